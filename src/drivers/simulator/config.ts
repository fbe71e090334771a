/** What a sensor of type `simulator` may be told, besides what every sensor has. */
import { z } from 'zod';

export const schema: z.ZodType<SimulatorOptions> = z.strictObject({
  seed: z
    .int()
    .min(0)
    .max(0xffffffff)
    .optional()
    .describe('Of the noise: the same seed gives the same values. Left out: made from the machine id.'),
  phase: z
    .number()
    .min(0)
    .max(86_400)
    .default(0)
    .describe('How far into its cycle of 120 s the machine starts, in seconds; lets machines differ.'),
});

export interface SimulatorOptions {
  readonly seed?: number | undefined;
  readonly phase: number;
}

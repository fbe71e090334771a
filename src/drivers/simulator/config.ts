/** What a sensor of type `simulator` may be told, besides what every sensor has. */
import type { z } from 'zod';
import { duration, integer, section } from '../../base/config.ts';

const written = section({
  seed: integer({ min: 0, max: 0xffffffff })
    .optional()
    .describe('Of the noise: the same seed gives the same values; default: made from the machine id'),
  phase: duration({ minMs: 0, maxMs: 86_400_000 })
    .prefault('0s')
    .describe('How far into its cycle of 120 s the machine starts; lets machines differ'),
});

export const schema: z.ZodType<SimulatorOptions, unknown> = written.transform(({ seed, phase }) => {
  return { ...(seed !== undefined && { seed }), phaseSeconds: phase / 1000 };
});

/** As the schema leaves it. */
export interface SimulatorOptions {
  readonly seed?: number;
  readonly phaseSeconds: number;
}

/** Every type of processor by its name in the configuration. Nothing is loaded that the configuration does not name. */
import type { ZodType } from 'zod';
import type { Processor } from '../ports/processor.ts';

/** A method, not a function property, so that a processor's own type of options fits: its schema has checked them. */
export interface ProcessorModule {
  create(options: unknown): Processor;
}

export interface ProcessorEntry {
  /** Only for who reads the configuration: loads the schema library. */
  readonly schema: () => Promise<{ readonly schema: ZodType }>;
  readonly create: () => Promise<ProcessorModule>;
  /** What it does must not be done twice: two of the type for one machine are refused. */
  readonly onceForMachine: boolean;
}

export const PROCESSORS: { readonly [type: string]: ProcessorEntry } = {
  plausibility: {
    schema: () => import('./plausibility/config.ts'),
    create: () => import('./plausibility/processor.ts'),
    onceForMachine: true,
  },
  thermal: {
    schema: () => import('./thermal/config.ts'),
    create: () => import('./thermal/processor.ts'),
    onceForMachine: true,
  },
};

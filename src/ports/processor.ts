/**
 * The contract of a processor: one reading in, none, one or several out, at once and in order. Called for every reading
 * of the machines it is configured for, in the order of the configuration; keeps what state it needs in memory. It must
 * not throw: what it cannot use it passes on unchanged.
 */
import type { Reading } from '../model/reading.ts';

export interface Processor {
  process(reading: Reading): readonly Reading[];
}

export type CreateProcessor<Options> = (options: Options) => Processor;

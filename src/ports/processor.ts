/**
 * The contract of a processor: one reading in, none, one or several out, at once and in order. Called for every reading
 * of the machines it is configured for, in the order of the configuration; keeps what state it needs in memory. It must
 * not throw: what it cannot use it passes on unchanged.
 */
import type { Reading } from '../model/reading.ts';

export interface Processor {
  process(reading: Reading): readonly Reading[];
}

/**
 * An optional ability: to learn from readings of machines that it does not process, such as a room's temperature. Those
 * readings go on as they are.
 */
export interface Observer {
  /** Of these machines; none that the processor is configured for is observed as well. */
  readonly observedMachines: readonly string[];
  observe(reading: Reading): void;
}

export function isObserver(processor: Processor): processor is Processor & Observer {
  return 'observedMachines' in processor;
}

export type CreateProcessor<Options> = (options: Options) => Processor;

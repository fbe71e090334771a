/** The way from a driver to the log: the processors, in the order of the configuration, then the batcher. */
import type { Reading } from '../model/reading.ts';
import type { Processor } from '../ports/processor.ts';
import type { Batcher } from './batcher.ts';

export class Pipeline {
  readonly #processors: readonly Processor[];
  readonly #batcher: Pick<Batcher, 'accept'>;

  constructor(processors: readonly Processor[], batcher: Pick<Batcher, 'accept'>) {
    this.#processors = processors;
    this.#batcher = batcher;
  }

  accept(reading: Reading): void {
    this.#from(0, reading);
  }

  #from(index: number, reading: Reading): void {
    const processor = this.#processors[index];
    if (processor === undefined) this.#batcher.accept(reading);
    else for (const processed of processor.process(reading)) this.#from(index + 1, processed);
  }
}

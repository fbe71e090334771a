/** Readings go to the log with where they were read; what the log has since before a crash is left out. */
import type { Reading } from '../../model/reading.ts';
import { withReadFrom } from '../../model/read-from.ts';
import type { DriverContext } from '../../ports/driver.ts';
import type { FilesMemory } from './memory.ts';
import { nameOf } from './reader.ts';

export class Emitter {
  readonly #context: DriverContext;
  readonly #memory: FilesMemory;
  readonly #source: string;
  /** Since it was set to 0. */
  count = 0;

  constructor(parts: { context: DriverContext; memory: FilesMemory; source: string }) {
    this.#context = parts.context;
    this.#memory = parts.memory;
    this.#source = parts.source;
  }

  emit(path: string, reading: Reading, { row, mark }: { row: number; mark: string }): void {
    if (this.#memory.hasSingle(mark)) return;
    this.#memory.begin();
    this.#context.emit(withReadFrom(reading, { source: this.#source, file: nameOf(path), row, mark }));
    this.count += 1;
  }
}

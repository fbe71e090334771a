/**
 * The dead letters of one sink: a file of JSON lines with every batch that the far end will never take.
 *
 * A line is synced before `keep` resolves, so the cursor moves past a refused batch only when its bytes are safe here.
 * At {@link DEAD_LETTERS_BYTES_MAX} the file becomes `NAME.old.ndjson`, and the one of that name before it is gone.
 */
import { type Clock, now } from '../base/clock.ts';
import type { FileHandle, Files } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';
import type { Batch } from '../model/batch.ts';

/** Length at which the file is put aside. */
export const DEAD_LETTERS_BYTES_MAX: number = 32 * 1024 * 1024;

export interface DeadLettersOptions {
  /** The log's folder; the files are in `dead-letters` below it. */
  readonly logFolder: string;
  /** Name of the sink. */
  readonly sink: string;
  readonly files: Files;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly bytesMax?: number;
}

/** One line of the file. */
export interface DeadLetterLine {
  readonly time: string;
  readonly reason: string;
  readonly gateway_id: string;
  readonly epoch: string;
  readonly sequence: number;
  readonly readings: number;
  readonly payload_base64: string;
}

const NEW_LINE = 0x0a;

export class DeadLetters {
  readonly #options: DeadLettersOptions;
  readonly #folder: string;
  readonly #name: string;

  constructor(options: DeadLettersOptions) {
    this.#options = options;
    this.#folder = `${options.logFolder}/dead-letters`;
    this.#name = options.sink.replace(/[^A-Za-z0-9_-]/g, '_');
  }

  /** Resolves when the batches are safe on the disk. One call at a time. */
  async keep(refused: readonly { readonly batch: Batch; readonly reason: string }[]): Promise<void> {
    const { files, clock } = this.#options;
    const lines = refused.map(({ batch, reason }) =>
      Buffer.from(`${JSON.stringify(lineOf(batch, reason, now(clock)))}\n`),
    );
    await files.makeFolder(this.#folder);
    const file = await this.#open(`${this.#name}.ndjson`);
    let size: number;
    try {
      size = await endOfLines(file);
      await file.write(lines, size);
      await file.datasync();
      size += lines.reduce((bytes, line) => bytes + line.length, 0);
    } finally {
      await file.close();
    }
    await files.syncFolder(this.#folder);
    if (size >= (this.#options.bytesMax ?? DEAD_LETTERS_BYTES_MAX)) await this.#putAside();
  }

  async #open(name: string): Promise<FileHandle> {
    const { files } = this.#options;
    const exists = (await files.list(this.#folder)).includes(name);
    return files.open(`${this.#folder}/${name}`, exists ? 'write' : 'create');
  }

  async #putAside(): Promise<void> {
    const { files, logger } = this.#options;
    const aside = `${this.#name}.old.ndjson`;
    if ((await files.list(this.#folder)).includes(aside)) {
      logger.error('the dead letters are full: the oldest are deleted', { file: `${this.#folder}/${aside}` });
    }
    await files.rename(`${this.#folder}/${this.#name}.ndjson`, `${this.#folder}/${aside}`);
    await files.syncFolder(this.#folder);
  }
}

/** Where the next line begins. A line that a crash has cut short is cut off: its batch was not settled and comes again. */
async function endOfLines(file: FileHandle): Promise<number> {
  let size = await file.size();
  const chunk = new Uint8Array(64 * 1024);
  let end = size;
  while (end > 0) {
    const start = Math.max(0, end - chunk.length);
    const found = chunk.subarray(0, await file.read(chunk.subarray(0, end - start), start)).lastIndexOf(NEW_LINE);
    if (found >= 0) {
      end = start + found + 1;
      break;
    }
    end = start;
  }
  if (end < size) {
    await file.truncate(end);
    size = end;
  }
  return size;
}

function lineOf(batch: Batch, reason: string, time: string): DeadLetterLine {
  return {
    time,
    reason,
    gateway_id: batch.gatewayId,
    epoch: batch.epoch,
    sequence: batch.sequence,
    readings: batch.readings,
    payload_base64: Buffer.from(batch.payload.buffer, batch.payload.byteOffset, batch.payload.length).toString(
      'base64',
    ),
  };
}

/**
 * The dead letters of one sink: a file of JSON lines with every batch, or single reading, that the far end will never take.
 *
 * A line is synced before `keep` resolves, so the cursor moves past a refused batch only when its bytes are safe here.
 * At {@link DEAD_LETTERS_BYTES_MAX} the file becomes `NAME.old.ndjson`, and the one of that name before it is gone.
 * A replay takes both away by renaming them (`dead-letter-replay.ts`); a lock keeps that out of the midst of a write.
 */
import { type Clock, now } from '../../base/clock.ts';
import type { FileHandle, Files } from '../../base/files.ts';
import type { Logger } from '../../base/logger.ts';
import { isSystemError } from '../../base/node-files.ts';
import { writeNewFile } from '../../base/small-files.ts';
import { type Batch, readingOfBatch } from '../../model/batch.ts';
import type { Refusal } from '../../ports/sink.ts';

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
  /** Where the line is about a single reading of the batch: its place there, from 0; the payload is just that one. */
  readonly index?: number;
  readonly readings: number;
  readonly payload_base64: string;
}

/** A batch, or one reading of it as a batch of its own, and why it was refused. */
export interface Refused {
  readonly batch: Batch;
  readonly reason: string;
}

/** What a sink refused of the batches that it was handed, each once: after a crash two letters may be about one reading. */
export function refusedOf(batches: readonly Batch[], refusals: readonly Refusal[]): Refused[] {
  const told = new Set<string>();
  return refusals.flatMap(({ sequence, index, reason }) => {
    const key = `${sequence} ${index ?? 'whole'}`;
    if (told.has(key)) return [];
    told.add(key);
    const candidates = batches.filter((batch) => batch.sequence === sequence);
    if (index === undefined) return candidates.map((batch) => ({ batch, reason }));
    const found = candidates.map((batch) => readingOfBatch(batch, index)).find((part) => part !== undefined);
    return found === undefined ? [] : [{ batch: found, reason }];
  });
}

/** The names of a sink's files, oldest content first. */
export interface DeadLetterNames {
  /** Being delivered again. */
  readonly replay: string;
  /** Refused again by an earlier replay. */
  readonly refused: string;
  readonly old: string;
  readonly current: string;
  /** Held while the current file is written or taken away. */
  readonly lock: string;
  /** Held by a replay. */
  readonly replaying: string;
}

/** It is held for one write or one rename. One that is there for longer was left by a process that died. */
const LOCK_WAITS = { timesMax: 500, ms: 20 } as const;

export const NEW_LINE = 0x0a;

export function deadLettersFolder(logFolder: string): string {
  return `${logFolder}/dead-letters`;
}

/** A sink's name is percent-encoded, dots too: what follows the first dot says which file it is. */
export function deadLetterNames(sink: string): DeadLetterNames {
  const name = encodeURIComponent(sink).replaceAll('.', '%2E');
  return {
    replay: `${name}.replay.ndjson`,
    refused: `${name}.refused.ndjson`,
    old: `${name}.old.ndjson`,
    current: `${name}.ndjson`,
    lock: `${name}.lock`,
    replaying: `${name}.replaying`,
  };
}

/** Runs the action while no other process writes or takes away the file. */
export async function withLock(
  { files, clock, path }: { files: Files; clock: Clock; path: string },
  action: () => Promise<void>,
): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await writeNewFile(files, path, []);
      break;
    } catch (error) {
      if (!isSystemError(error, 'EEXIST')) throw error;
    }
    if (tries % LOCK_WAITS.timesMax === 0) await files.remove(path);
    else await clock.sleep(LOCK_WAITS.ms);
  }
  try {
    await action();
  } finally {
    await files.remove(path);
  }
}

export class DeadLetters {
  readonly #options: DeadLettersOptions;
  readonly #folder: string;
  readonly #names: DeadLetterNames;
  #turn: Promise<void> = Promise.resolve();

  constructor(options: DeadLettersOptions) {
    this.#options = options;
    this.#folder = deadLettersFolder(options.logFolder);
    this.#names = deadLetterNames(options.sink);
  }

  /** Resolves when the batches are safe on the disk. */
  keep(refused: readonly Refused[]): Promise<void> {
    const kept = this.#turn.then(() => this.#keep(refused));
    this.#turn = kept.catch(() => {});
    return kept;
  }

  async #keep(refused: readonly Refused[]): Promise<void> {
    const { files, clock } = this.#options;
    const lines = refused.map((one) => encodeLine(deadLetterLine(one, now(clock))));
    await files.makeFolder(this.#folder);
    await withLock({ files, clock, path: `${this.#folder}/${this.#names.lock}` }, () => this.#append(lines));
  }

  async #append(lines: readonly Buffer[]): Promise<void> {
    const { files } = this.#options;
    const file = await this.#open(this.#names.current);
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
    const { old: aside, current } = this.#names;
    if ((await files.list(this.#folder)).includes(aside)) {
      logger.error('the dead letters are full: the oldest are deleted', { file: `${this.#folder}/${aside}` });
    }
    await files.rename(`${this.#folder}/${current}`, `${this.#folder}/${aside}`);
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

export function encodeLine(line: DeadLetterLine): Buffer {
  return Buffer.from(`${JSON.stringify(line)}\n`);
}

export function deadLetterLine({ batch, reason }: Refused, time: string): DeadLetterLine {
  return {
    time,
    reason,
    gateway_id: batch.gatewayId,
    epoch: batch.epoch,
    sequence: batch.sequence,
    ...(batch.index !== undefined && { index: batch.index }),
    readings: batch.readings,
    payload_base64: Buffer.from(batch.payload.buffer, batch.payload.byteOffset, batch.payload.length).toString(
      'base64',
    ),
  };
}

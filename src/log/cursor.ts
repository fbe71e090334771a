/**
 * How far each sink has settled.
 *
 * A cursor moves in memory at once and is saved at most once a second, and when the log is closed. Loss window: after a
 * crash it may lag behind by what was settled since the last save. Those batches are sent again, and the far end drops
 * them by their identity.
 */
import { type Clock, now } from '../base/clock.ts';
import { MillwrightError } from '../base/errors.ts';
import type { Files } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';
import { FORMAT_VERSION } from './format.ts';
import type { BatchPlace } from './reader.ts';
import { readSmallFile, saveSmallFile } from '../base/small-files.ts';

/** Shortest time between two saves of one cursor. */
export const SAVE_INTERVAL_MS = 1000;

export interface Cursor {
  /** The highest sequence settled without a gap. */
  readonly position: number;
  /** Everything up to `sequence` is settled. Never moves back, never rejects. Resolves when the backlog is known again. */
  settle(sequence: number): Promise<void>;
}

/** What a sink has not settled yet. */
export interface Backlog {
  /** Numbers that damage has left without a batch count too, until the cursor has passed them. */
  readonly batches: number;
  readonly readings: number;
  readonly oldestAppendedAtMicros: number | null;
}

export interface CursorOptions {
  readonly files: Files;
  /** The folder of the cursors. */
  readonly folder: string;
  readonly epoch: string;
  readonly sink: string;
  readonly position: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly placeOf: (sequence: number) => Promise<BatchPlace | undefined>;
  readonly onSaved: () => Promise<void>;
}

export class SinkCursor implements Cursor {
  readonly #options: CursorOptions;
  readonly #closing = new AbortController();
  #position: number;
  #savedPosition: number;
  /** The oldest batch not settled, as far as known; one at or below the position stands for none. */
  #next: BatchPlace | undefined;
  #saver: Promise<void> | undefined;
  #bytesWritten = 0;
  #saveFails = false;

  constructor(options: CursorOptions) {
    this.#options = options;
    this.#position = options.position;
    this.#savedPosition = options.position;
  }

  get position(): number {
    return this.#position;
  }

  /** Where the cursor will be found after a crash, at least. */
  get savedPosition(): number {
    return this.#savedPosition;
  }

  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /** Finds the oldest batch that is not settled. */
  async start(): Promise<void> {
    this.#next = await this.#options.placeOf(this.#position + 1);
  }

  async settle(sequence: number): Promise<void> {
    if (sequence <= this.#position) return;
    this.#position = sequence;
    this.#saver ??= this.#saveLater();
    try {
      const found = await this.#options.placeOf(sequence + 1);
      if (found !== undefined && this.#position === sequence) this.#next = found;
    } catch (error) {
      // The cursor stands all the same; only the backlog is told wrongly until the next batch is settled.
      this.#options.log.warn('the oldest unsent batch could not be looked up', { sink: this.#options.sink, error });
    }
  }

  /** A batch was appended. */
  offer(batch: BatchPlace): void {
    const isSettled = this.#next === undefined || this.#next.sequence <= this.#position;
    if (isSettled && batch.sequence > this.#position) this.#next = batch;
  }

  backlog(lastSequence: number, readingsTotal: number): Backlog {
    const next = this.#next;
    if (next === undefined || next.sequence <= this.#position) {
      return { batches: 0, readings: 0, oldestAppendedAtMicros: null };
    }
    return {
      batches: lastSequence - next.sequence + 1,
      readings: readingsTotal - next.readingsBefore,
      oldestAppendedAtMicros: next.appendedAtMicros,
    };
  }

  /** Saves a last time. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#saver;
    await this.#save();
  }

  async #saveLater(): Promise<void> {
    const { clock } = this.#options;
    while (!this.#closing.signal.aborted && this.#savedPosition !== this.#position) {
      await clock.sleep(SAVE_INTERVAL_MS, this.#closing.signal);
      if (!this.#closing.signal.aborted) await this.#save();
    }
    this.#saver = undefined;
  }

  async #save(): Promise<void> {
    const { files, folder, epoch, sink, clock, log, onSaved } = this.#options;
    const position = this.#position;
    if (position === this.#savedPosition) return;
    const kind = { format: 'millwright-cursor', version: FORMAT_VERSION };
    try {
      const value = { ...kind, epoch, sink, position, saved_at: now(clock) };
      this.#bytesWritten += await saveSmallFile(files, { folder, name: cursorName(sink), value });
      this.#savedPosition = position;
      this.#saveFails = false;
      await onSaved();
    } catch (error) {
      // Tried again each second; said once.
      if (!this.#saveFails) {
        log.warn('a cursor could not be saved; after a crash its batches would be sent again', { sink, error });
      }
      this.#saveFails = true;
    }
  }
}

/** `damaged`: a cursor is there, but nothing can be learned from it, or it is that of another log. */
export type LoadedCursor =
  | { readonly sink: string; readonly position: number }
  | { readonly sink: string; readonly position: 'damaged' };

/** All cursors in the folder, those of sinks that are no longer configured among them. */
export async function loadCursors(files: Files, folder: string, epoch: string): Promise<LoadedCursor[]> {
  const cursors: LoadedCursor[] = [];
  for (const name of (await files.list(folder)).sort()) {
    const sink = sinkOf(name);
    if (sink === undefined) continue;
    const found = await readSmallFile(files, `${folder}/${name}`);
    const position = typeof found === 'object' && found['epoch'] === epoch ? found['position'] : undefined;
    const isPosition = typeof position === 'number' && Number.isSafeInteger(position) && position >= 0;
    cursors.push({ sink, position: isPosition ? position : 'damaged' });
  }
  return cursors;
}

/** Where a sink goes on, given its cursor and the oldest batch that the log still has. */
export function startPosition(
  loaded: LoadedCursor | undefined,
  { firstSequence, log }: { firstSequence: number; log: Logger },
): number {
  if (loaded === undefined) return firstSequence - 1;
  const { sink, position } = loaded;
  if (position === 'damaged') {
    log.warn('the cursor of a sink is damaged; it goes on from the oldest batch kept', { sink, firstSequence });
    return firstSequence - 1;
  }
  if (position >= firstSequence - 1) return position;
  log.warn('the log no longer has the batches after the cursor of a sink', { sink, position, firstSequence });
  return firstSequence - 1;
}

export function cursorsFolder(folder: string): string {
  return `${folder}/cursors`;
}

export function noSuchSink(sink: string): MillwrightError {
  return new MillwrightError('not_found', `the log has no cursor for a sink named ${JSON.stringify(sink)}`);
}

const SUFFIX = '.cursor';

function cursorName(sink: string): string {
  return `${encodeURIComponent(sink)}${SUFFIX}`;
}

function sinkOf(name: string): string | undefined {
  if (!name.endsWith(SUFFIX)) return undefined;
  try {
    return decodeURIComponent(name.slice(0, -SUFFIX.length));
  } catch {
    return undefined;
  }
}

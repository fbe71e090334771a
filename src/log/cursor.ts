/**
 * How far each sink has settled: everything up to the position, and islands ahead of it, since a sink takes the newest
 * batches while it still works through older ones.
 *
 * A cursor moves in memory at once and is saved at most once a second, and when the log is closed. Loss window: after a
 * crash it may lag behind by what was settled since the last save. Those batches are sent again, and the far end drops
 * them by their identity.
 */
import { type Clock, now } from '../base/clock.ts';
import { MillwrightError } from '../base/errors.ts';
import type { Files } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';
import { isSystemError } from '../base/node-files.ts';
import { FORMAT_VERSION } from './format.ts';
import type { BatchPlace } from './reader.ts';
import { readSmallFile, saveSmallFile } from '../base/small-files.ts';

/** Shortest time between two saves of one cursor. */
export const SAVE_INTERVAL_MS = 1000;

/**
 * Ranges that are settled ahead of the position. Beyond it the one with the fewest readings is forgotten: those are sent
 * again, and the far end drops them by their identity.
 */
export const ISLANDS_MAX = 32;

/**
 * Where a sink begins that has no cursor yet: a number is the sequence of its first batch. `recent`: {@link RECENT_BATCHES}
 * before the end, at each opening, whatever its cursor says.
 */
export type StartFrom = 'oldest' | 'now' | 'recent' | number;

/** Enough for what a machine says once in a minute or two; a second's work to look through. */
export const RECENT_BATCHES = 1_000;

/** All numbers from `first` to `last`, whether or not there is a batch for each. */
export interface SettledRange {
  readonly first: number;
  readonly last: number;
  /** In the batches of the range. */
  readonly readings: number;
}

export interface Cursor {
  /** The highest sequence settled without a gap. */
  readonly position: number;
  /** What is settled beyond the position; rising, with numbers between them that are not settled. */
  readonly islands: readonly SettledRange[];
  /**
   * The range is settled; `first` is the number from which was read, so that numbers without a batch are passed over.
   * Takes effect at once and never rejects. Resolves when the backlog is known again.
   */
  settle(range: SettledRange): Promise<void>;
}

/** What a sink has not settled yet. */
export interface Backlog {
  /** Numbers that damage has left without a batch count too, until the cursor has passed them. */
  readonly batches: number;
  readonly readings: number;
  readonly oldestAppendedAtMicros: number | null;
}

const NO_BACKLOG: Backlog = { batches: 0, readings: 0, oldestAppendedAtMicros: null };

/** Where a cursor stands when the log is opened. */
export interface CursorStart {
  readonly position: number;
  readonly islands: readonly SettledRange[];
  /** Nothing on the disk says so yet, and without it the sink would begin elsewhere the next time. */
  readonly toBeSaved: boolean;
}

export interface CursorOptions {
  readonly files: Files;
  /** The folder of the cursors. */
  readonly folder: string;
  readonly epoch: string;
  readonly sink: string;
  readonly start: CursorStart;
  readonly clock: Clock;
  readonly log: Logger;
  readonly placeOf: (sequence: number) => Promise<BatchPlace | undefined>;
  readonly onSaved: () => Promise<void>;
  /** The disk has no room for the cursor's file. Resolves to whether there may be some now. */
  readonly onDiskFull: () => Promise<boolean>;
}

export class SinkCursor implements Cursor {
  readonly #options: CursorOptions;
  readonly #closing = new AbortController();
  #position: number;
  #islands: SettledRange[];
  #savedPosition: number;
  /** Counts what was settled, to know whether the newest of it is saved. */
  #revision = 0;
  #savedRevision = 0;
  /** The oldest batch not settled; undefined when there is none. */
  #next: BatchPlace | undefined;
  /** `#next` is reckoned from what was settled, until the log has been looked at. */
  #nextIsReckoned = false;
  #saver: Promise<void> | undefined;
  #bytesWritten = 0;
  #saveFails = false;

  constructor(options: CursorOptions) {
    this.#options = options;
    this.#position = options.start.position;
    this.#islands = [...options.start.islands];
    this.#savedPosition = options.start.position;
  }

  get position(): number {
    return this.#position;
  }

  get islands(): readonly SettledRange[] {
    return this.#islands;
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
    // A disk that cannot be read there must not keep the log from opening: what comes can be written.
    await this.lookAgain();
    if (!this.#options.start.toBeSaved) return;
    this.#revision += 1;
    await this.#save();
    this.#saver ??= this.#saveLater();
  }

  async settle(range: SettledRange): Promise<void> {
    if (range.last <= this.#position) return;
    this.#revision += 1;
    this.#saver ??= this.#saveLater();
    if (range.first > this.#position + 1) {
      this.#islands = withIsland(this.#islands, range);
      return;
    }
    const readings = range.readings + this.#moveTo(range.last);
    if (this.#next === undefined) return;
    const { appendedAtMicros, readingsBefore } = this.#next;
    const readingsNow = readingsBefore + readings;
    this.#next = {
      sequence: this.#position + 1,
      appendedAtMicros,
      readingsBefore: readingsNow,
      readingsThrough: readingsNow,
    };
    this.#nextIsReckoned = true;
    await this.#findNext();
  }

  /** A batch was appended. */
  offer(batch: BatchPlace): void {
    if (batch.sequence <= this.#position) return;
    const isReckoned = this.#nextIsReckoned && this.#next?.sequence === batch.sequence;
    if (this.#next !== undefined && !isReckoned) return;
    this.#next = batch;
    this.#nextIsReckoned = false;
  }

  backlog(lastSequence: number, readingsTotal: number): Backlog {
    const next = this.#next;
    if (next === undefined) return NO_BACKLOG;
    let batches = lastSequence - next.sequence + 1;
    let readings = readingsTotal - next.readingsBefore;
    for (const island of this.#islands) {
      batches -= island.last - island.first + 1;
      readings -= island.readings;
    }
    if (batches <= 0) return NO_BACKLOG;
    return { batches, readings: Math.max(0, readings), oldestAppendedAtMicros: next.appendedAtMicros };
  }

  /** @returns the readings of the islands that were reached */
  #moveTo(sequence: number): number {
    let readings = 0;
    this.#position = sequence;
    for (
      let [island] = this.#islands;
      island !== undefined && island.first <= this.#position + 1;
      [island] = this.#islands
    ) {
      this.#position = Math.max(this.#position, island.last);
      this.#islands = this.#islands.slice(1);
      readings += island.readings;
    }
    return readings;
  }

  /** Batches that were not settled may be gone. */
  async lookAgain(): Promise<void> {
    this.#nextIsReckoned = true;
    await this.#findNext();
  }

  async #findNext(): Promise<void> {
    const position = this.#position;
    try {
      const found = await this.#options.placeOf(position + 1);
      if (this.#position !== position || !this.#nextIsReckoned) return;
      this.#next = found;
      this.#nextIsReckoned = false;
    } catch (error) {
      // The cursor stands all the same; only the backlog is reckoned until the next batch is settled.
      this.#options.log.warn('the oldest unsent batch could not be looked up', { sink: this.#options.sink, error });
    }
  }

  /** Saves a last time. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#saver;
    await this.#save();
  }

  async #saveLater(): Promise<void> {
    const { clock } = this.#options;
    while (!this.#closing.signal.aborted && this.#savedRevision !== this.#revision) {
      await clock.sleep(SAVE_INTERVAL_MS, this.#closing.signal);
      if (!this.#closing.signal.aborted) await this.#save();
    }
    this.#saver = undefined;
  }

  async #save(): Promise<void> {
    const { sink, log, onSaved, onDiskFull } = this.#options;
    if (this.#revision === this.#savedRevision) return;
    try {
      await this.#write().catch(async (error: unknown) => {
        const isFull = isSystemError(error, 'ENOSPC') || isSystemError(error, 'EDQUOT');
        if (!isFull || !(await onDiskFull())) throw error;
        await this.#write();
      });
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

  async #write(): Promise<void> {
    const position = this.#position;
    const revision = this.#revision;
    this.#bytesWritten += await saveCursor(this.#options, { position, islands: this.#islands });
    this.#savedPosition = position;
    this.#savedRevision = revision;
  }
}

/** @returns how many bytes were written */
export function saveCursor(
  { files, folder, epoch, sink, clock }: Pick<CursorOptions, 'files' | 'folder' | 'epoch' | 'sink' | 'clock'>,
  { position, islands: settled }: { position: number; islands: readonly SettledRange[] },
): Promise<number> {
  const islands = settled.map(({ first, last, readings }) => [first, last, readings]);
  const kind = { format: 'millwright-cursor', version: FORMAT_VERSION };
  const value = { ...kind, epoch, sink, position, islands, saved_at: now(clock) };
  return saveSmallFile(files, { folder, name: cursorName(sink), value });
}

/** The ranges with one more, which is joined with those that it touches; at most {@link ISLANDS_MAX}. */
function withIsland(islands: readonly SettledRange[], added: SettledRange): SettledRange[] {
  const kept: SettledRange[] = [];
  let joined = added;
  for (const island of islands) {
    if (island.first > joined.last + 1 || island.last < joined.first - 1) kept.push(island);
    else {
      const first = Math.min(joined.first, island.first);
      const last = Math.max(joined.last, island.last);
      joined = { first, last, readings: joined.readings + island.readings };
    }
  }
  kept.push(joined);
  if (kept.length > ISLANDS_MAX) {
    const least = kept.reduce((least, island) => (island.readings < least.readings ? island : least));
    kept.splice(kept.indexOf(least), 1);
  }
  return kept.sort((a, b) => a.first - b.first);
}

/** `damaged`: a cursor is there, but nothing can be learned from it, or it is that of another log. */
export interface LoadedCursor {
  readonly sink: string;
  readonly position: number | 'damaged';
  readonly islands: readonly SettledRange[];
}

/** All cursors in the folder, those of sinks that are no longer configured among them. */
export async function loadCursors(files: Files, folder: string, epoch: string): Promise<LoadedCursor[]> {
  const cursors: LoadedCursor[] = [];
  for (const name of (await files.list(folder)).sort()) {
    const sink = sinkOf(name);
    if (sink === undefined) continue;
    const found = await readSmallFile(files, `${folder}/${name}`);
    const fields = typeof found === 'object' && found['epoch'] === epoch ? found : {};
    const position = fields['position'];
    if (isCount(position)) cursors.push({ sink, position, islands: islandsIn(fields['islands'], position) });
    else cursors.push({ sink, position: 'damaged', islands: [] });
  }
  return cursors;
}

/** The highest number that the sink has settled. */
export function settledMaxOf({ position, islands }: LoadedCursor): number {
  return islands.at(-1)?.last ?? (position === 'damaged' ? 0 : position);
}

/** The highest sequence that every one of these sinks has settled, and that any sink has. */
export function settledOf(
  sinks: readonly string[],
  loaded: readonly LoadedCursor[],
): { settledMin: number; settledMax: number } {
  const positionOf = ({ position }: LoadedCursor): number => (position === 'damaged' ? 0 : position);
  const own = sinks.map((sink) => loaded.find((cursor) => cursor.sink === sink));
  return {
    settledMin:
      own.length === 0 ? 0 : Math.min(...own.map((cursor) => (cursor === undefined ? 0 : positionOf(cursor)))),
    settledMax: Math.max(0, ...loaded.map(settledMaxOf)),
  };
}

/** What a cursor's file says of islands; none when it does not make sense, as in a file from before there were any. */
function islandsIn(value: unknown, position: number): SettledRange[] {
  if (!Array.isArray(value) || value.length > ISLANDS_MAX) return [];
  const islands: SettledRange[] = [];
  for (const item of value as readonly unknown[]) {
    const [first, last, readings]: readonly unknown[] = Array.isArray(item) ? item : [];
    const after = islands.at(-1)?.last ?? position;
    if (!isCount(first) || !isCount(last) || !isCount(readings) || first <= after + 1 || last < first) return [];
    islands.push({ first, last, readings });
  }
  return islands;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** Where a sink goes on, given its cursor and what the log still has; `from` is for one that has no cursor. */
export function startOf(
  loaded: LoadedCursor | undefined,
  { from, firstSequence, lastSequence, log }: StartOptions,
): CursorStart {
  const oldest = firstSequence - 1;
  if (from === 'recent') {
    return { position: Math.max(oldest, lastSequence - RECENT_BATCHES), islands: [], toBeSaved: false };
  }
  if (loaded === undefined) {
    const wanted = from === 'now' ? lastSequence : from === 'oldest' ? oldest : from - 1;
    const position = Math.max(oldest, Math.min(wanted, lastSequence));
    return { position, islands: [], toBeSaved: from !== 'oldest' };
  }
  const { sink, position } = loaded;
  if (position === 'damaged') {
    log.warn('the cursor of a sink is damaged; it goes on from the oldest batch kept', { sink, firstSequence });
    return { position: oldest, islands: [], toBeSaved: false };
  }
  if (position < oldest) {
    log.warn('the log no longer has the batches after the cursor of a sink', { sink, position, firstSequence });
  }
  const islands = loaded.islands.filter(({ first }) => first > firstSequence);
  return { position: Math.max(position, oldest), islands, toBeSaved: false };
}

export interface StartOptions {
  readonly from: StartFrom;
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly log: Logger;
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

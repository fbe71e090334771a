/**
 * The durable log: batches go in once, and every sink reads them at its own pace.
 *
 * A batch's life: *waiting* (appended, not yet on the disk, in the writer's queue) → *hot* (durable, and in memory while
 * there is room and a sink needs it) → *warm* (in a segment only) → deleted with its segment, when every sink has settled
 * it. It has one identity all along; `hot` is a copy of what the segment holds, so nothing is ever in two places with two
 * identities. What damage destroys leaves that way for the quarantine.
 */
import type { Clock } from '../base/clock.ts';
import { MillwrightError } from '../base/errors.ts';
import type { Files } from '../base/files.ts';
import { type Processes, takeLock } from '../base/lock-file.ts';
import type { Logger } from '../base/logger.ts';
import type { LogStatus } from '../model/status.ts';
import {
  type Backlog,
  type Cursor,
  cursorsFolder,
  type LoadedCursor,
  loadCursors,
  noSuchSink,
  settledMaxOf,
  SinkCursor,
  type StartFrom,
  startOf,
} from './cursor.ts';
import { epochSeed } from './format.ts';
import { type HotBatch, HotTier, type ReadLimits, type StoredBatch } from './hot.ts';
import { Quarantine, quarantineFolder } from './quarantine.ts';
import { type BatchPlace, Reader } from './reader.ts';
import { LOCK_NAME, establishIdentity, findSegments, type Recovered, recoverSegments } from './recovery.ts';
import type { Segments } from './segments.ts';
import { Writer } from './writer.ts';

export type { Backlog, Cursor, SettledRange, StartFrom } from './cursor.ts';
export type { ReadLimits, StoredBatch } from './hot.ts';

export interface LogOptions {
  readonly folder: string;
  readonly files: Files;
  readonly clock: Clock;
  readonly log: Logger;
  readonly gatewayId: string;
  /** Names of the sinks that read the log: each has a cursor. */
  readonly sinks: readonly string[];
  /** Where a sink begins that has no cursor yet; `oldest` for those that are not named. */
  readonly startFrom?: { readonly [sink: string]: StartFrom };
  /** A segment is closed when it would grow beyond this. */
  readonly segmentBytesMax: number;
  /** Newest batches kept in memory. */
  readonly hotBytesMax: number;
  /** A random id: 1 to 40 letters, digits, `-` or `_`. Called only for a new log. */
  readonly newEpoch: () => string;
  /** Who may hold the lock; this machine's processes when absent. */
  readonly processes?: Processes;
}

interface Waiter {
  readonly sequence: number;
  readonly resolve: () => void;
}

interface Parts {
  readonly options: LogOptions;
  readonly epoch: string;
  readonly recovered: Recovered;
  readonly quarantine: Quarantine;
  readonly loaded: readonly LoadedCursor[];
}

export class DurableLog {
  readonly #options: LogOptions;
  readonly #epoch: string;
  readonly #segments: Segments;
  readonly #quarantine: Quarantine;
  readonly #hot: HotTier;
  readonly #reader: Reader;
  readonly #writer: Writer;
  readonly #cursors = new Map<string, SinkCursor>();
  readonly #waiters = new Set<Waiter>();
  #lastSequence: number;
  #closing: Promise<void> | undefined;

  /**
   * Opens the log in the folder, or creates it there. Whatever a crash or damage has left, it opens, unless the disk
   * itself fails.
   * @throws log_locked when another process has it open
   * @throws log_format when a newer version of the program wrote it; nothing is changed
   * @throws storage_failed when the folder cannot be read or written
   */
  static async open(options: LogOptions): Promise<DurableLog> {
    const { files, folder, processes } = options;
    const lock = lockPath(folder);
    try {
      for (const path of [folder, cursorsFolder(folder), quarantineFolder(folder)]) await files.makeFolder(path);
      await takeLock(files, { path: lock, what: 'the log', ...(processes && { processes }) });
    } catch (error) {
      throw storageFailed(folder, error);
    }
    try {
      return await openLocked(options);
    } catch (error) {
      await files.remove(lock).catch(() => {});
      throw storageFailed(folder, error);
    }
  }

  /** Use {@link DurableLog.open}. */
  constructor({ options, epoch, recovered, quarantine, loaded }: Parts) {
    const { files, folder, clock, log, segmentBytesMax } = options;
    const { segments } = recovered;
    this.#options = options;
    this.#epoch = epoch;
    this.#segments = segments;
    this.#quarantine = quarantine;
    this.#lastSequence = recovered.lastSequence;
    this.#hot = new HotTier(options.hotBytesMax);
    const seed = epochSeed(epoch);
    this.#reader = new Reader({
      files,
      folder,
      epoch,
      seed,
      segments,
      quarantine,
      lastSequence: () => this.#lastSequence,
    });
    this.#writer = new Writer({
      files,
      folder,
      clock,
      log,
      epoch,
      segments,
      segmentBytesMax,
      lastSequence: recovered.lastSequence,
      readingsTotal: recovered.readingsTotal,
      onDurable: (batches) => this.#onDurable(batches),
    });
    for (const sink of options.sinks) {
      const found = loaded.find((cursor) => cursor.sink === sink);
      const { firstSequence, lastSequence } = this;
      const start = startOf(found, { from: options.startFrom?.[sink] ?? 'oldest', firstSequence, lastSequence, log });
      const placeOf = (sequence: number): Promise<BatchPlace | undefined> => this.#placeOf(sequence);
      const common = { files, folder: cursorsFolder(folder), epoch, sink, start, clock, log, placeOf };
      this.#cursors.set(sink, new SinkCursor({ ...common, onSaved: () => this.#deleteSettled() }));
    }
  }

  /** Call once, before anything else. */
  async start(): Promise<void> {
    await this.#writer.start();
    for (const cursor of this.#cursors.values()) await cursor.start();
    await this.#deleteSettled();
  }

  get epoch(): string {
    return this.#epoch;
  }

  /** Of the oldest batch kept; one more than the last when none is. */
  get firstSequence(): number {
    return this.#segments.first?.firstSequence ?? this.#lastSequence + 1;
  }

  /** Of the newest durable batch. */
  get lastSequence(): number {
    return this.#lastSequence;
  }

  /**
   * Resolves to the batch's sequence when it is on the disk. The log keeps the payload: do not change it afterwards.
   * @throws limit_exceeded when it is too long, or too much waits to be written: nothing was taken
   * @throws storage_failed when it could not be written: append it again
   * @throws log_closed
   */
  append(payload: Uint8Array, readings: number): Promise<number> {
    return this.#writer.append(payload, readings);
  }

  /**
   * The durable batches from sequence `from` on, in order; destroyed ones are passed over, so a sequence may be
   * higher than expected. Empty when there is none.
   * @throws storage_failed when the disk cannot be read: try again
   */
  async read(from: number, limits: ReadLimits): Promise<StoredBatch[]> {
    const wanted = this.#quarantine.passOver(from);
    if (wanted > this.#lastSequence) return [];
    const hot = this.#hot.read(wanted, limits);
    if (hot !== undefined) return hot;
    try {
      return await this.#reader.read(wanted, limits);
    } catch (error) {
      throw storageFailed(this.#options.folder, error);
    }
  }

  /**
   * Resolves when there may be a batch at or after `sequence` to be read; also when the signal is aborted, and when the
   * log is closed. After a `read` that found nothing it waits for the next append, even where damage has destroyed the rest.
   */
  waitFor(sequence: number, signal: AbortSignal): Promise<void> {
    const wanted = this.#quarantine.passOver(sequence);
    if (this.#lastSequence >= wanted || signal.aborted || this.#closing !== undefined) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        this.#waiters.delete(waiter);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const waiter: Waiter = { sequence: wanted, resolve: done };
      this.#waiters.add(waiter);
      signal.addEventListener('abort', done);
    });
  }

  /** @throws not_found for a sink that was not named when the log was opened */
  cursor(sink: string): Cursor {
    return this.#cursorOf(sink);
  }

  /** What the sink has not settled yet; costs nothing. @throws not_found */
  backlog(sink: string): Backlog {
    return this.#cursorOf(sink).backlog(this.#lastSequence, this.#writer.readingsTotal);
  }

  status(): LogStatus {
    let bytesWritten = this.#writer.bytesWritten;
    for (const cursor of this.#cursors.values()) bytesWritten += cursor.bytesWritten;
    return {
      epoch: this.#epoch,
      first_sequence: this.firstSequence,
      last_sequence: this.#lastSequence,
      bytes: this.#segments.bytes,
      segments: this.#segments.count,
      quarantined_batches: this.#quarantine.batches,
      bytes_written: bytesWritten,
      last_error: this.#writer.lastError,
    };
  }

  /** Writes what waits, saves the cursors, and gives the folder free. Later calls wait for the same end. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#writer.close();
    for (const { resolve } of this.#waiters) resolve();
    for (const cursor of this.#cursors.values()) await cursor.close();
    await this.#reader.exclusively(async () => {});
    await this.#options.files.remove(lockPath(this.#options.folder)).catch((error: unknown) => {
      this.#options.log.warn('the lock of the log could not be removed', { error });
    });
  }

  #onDurable(batches: readonly HotBatch[]): void {
    const newest = batches.at(-1);
    if (newest === undefined) return;
    this.#lastSequence = newest.sequence;
    this.#hot.add(batches);
    for (const cursor of this.#cursors.values()) {
      const next = batches.find(({ sequence }) => sequence > cursor.position);
      if (next !== undefined) cursor.offer(placeIn(next));
    }
    for (const { sequence, resolve } of this.#waiters) {
      if (sequence <= newest.sequence) resolve();
    }
  }

  async #placeOf(sequence: number): Promise<BatchPlace | undefined> {
    this.#hot.dropThrough(this.#settledByAll());
    if (sequence > this.#lastSequence) return undefined;
    const hot = this.#hot.firstFrom(sequence);
    return hot === undefined ? await this.#reader.placeOf(sequence) : placeIn(hot);
  }

  /** The highest sequence that every sink has settled; 0 without sinks. */
  #settledByAll(): number {
    if (this.#cursors.size === 0) return 0;
    return Math.min(...[...this.#cursors.values()].map(({ position }) => position));
  }

  /** Judges by what is saved: after a crash no cursor stands before the oldest batch kept. */
  #deleteSettled(): Promise<void> {
    return this.#reader.exclusively(async () => {
      if (this.#cursors.size === 0) return;
      const settled = Math.min(...[...this.#cursors.values()].map(({ savedPosition }) => savedPosition));
      const { files, folder } = this.#options;
      let deleted = 0;
      for (const [segment, next] of this.#segments.settledThrough(settled)) {
        await files.remove(`${folder}/${segment.name}`);
        this.#segments.removeFirst();
        this.#quarantine.forget(next.firstSequence);
        deleted += 1;
      }
      if (deleted > 0) await files.syncFolder(folder);
    });
  }

  #cursorOf(sink: string): SinkCursor {
    const cursor = this.#cursors.get(sink);
    if (cursor === undefined) throw noSuchSink(sink);
    return cursor;
  }
}

function lockPath(folder: string): string {
  return `${folder}/${LOCK_NAME}`;
}

async function openLocked(options: LogOptions): Promise<DurableLog> {
  const { files, folder, clock, log } = options;
  const found = await findSegments(files, folder);
  const quarantine = new Quarantine({ files, folder, clock, log });
  await quarantine.load();
  const recovery = { ...options, quarantine };
  const epoch = await establishIdentity(recovery, found);
  const loaded = await loadCursors(files, cursorsFolder(folder), epoch);
  const settledMax = Math.max(0, ...loaded.map(settledMaxOf));
  const recovered = await recoverSegments(recovery, { found, epoch, settledMax });
  const opened = new DurableLog({ options, epoch, recovered, quarantine, loaded });
  try {
    await opened.start();
    return opened;
  } catch (error) {
    await opened.close();
    throw error;
  }
}

function placeIn({ sequence, appendedAtMicros, readings, readingsTotal }: HotBatch): BatchPlace {
  return { sequence, appendedAtMicros, readingsBefore: readingsTotal - readings };
}

function storageFailed(folder: string, error: unknown): MillwrightError {
  if (error instanceof MillwrightError) return error;
  return new MillwrightError('storage_failed', `the log in ${folder} cannot be read or written`, { cause: error });
}

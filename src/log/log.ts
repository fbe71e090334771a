/**
 * The durable log: batches go in once, and every sink reads them at its own pace.
 *
 * A batch's life is one way through these states, and it keeps its identity (epoch, sequence) on all of it:
 *
 *     waiting ─▶ hot ─▶ warm ─▶ cold ─▶ (thinned) ─▶ gone
 *
 * - *waiting*: appended, in the writer's queue; its promise is open. A failed write ends it here: the promise rejects.
 * - *hot*: in the newest plain segment and, while there is room and a sink needs it, in memory too: a sink that keeps up
 *   is served without reading the disk. Memory holds a copy of what the segment holds, never more.
 * - *warm*: in a plain segment only, because `hotBytesMax` of newer ones came, or the process began after it.
 * - *cold*: in a compressed segment, when there are more than `warmBytesMax` of plain ones ({@link Keeper}).
 * - *thinned*: some of its readings were given up, because the log was full. Its number stays used.
 * - *gone*: with its segment, when every sink has settled all of that; or to the quarantine, by damage.
 *
 * A sink that keeps up settles its batches while they are hot, and the disk is written once for each.
 */
import type { Clock } from '../base/clock.ts';
import { MillwrightError } from '../base/errors.ts';
import type { Files } from '../base/files.ts';
import { type Processes, takeLock } from '../base/lock-file.ts';
import type { Logger } from '../base/logger.ts';
import type { ReadingKind } from '../model/reading.ts';
import type { LogStatus } from '../model/status.ts';
import { timestampOf } from '../model/time.ts';
import {
  type Backlog,
  type Cursor,
  cursorsFolder,
  type LoadedCursor,
  loadCursors,
  noSuchSink,
  settledOf,
  SinkCursor,
  type StartFrom,
  startOf,
} from './cursor.ts';
import { type HotBatch, HotTier, type ReadLimits, type StoredBatch } from './hot.ts';
import { Quarantine, quarantineFolder } from './quarantine.ts';
import { Keeper, type LogLimits } from './keeper.ts';
import { type Loss, Losses } from './losses.ts';
import { type BatchPlace, Reader } from './reader.ts';
import {
  beginEpoch,
  establishIdentity,
  findSegments,
  type LogIdentity,
  LOCK_NAME,
  type Recovered,
  recoverSegments,
  removeTemporaries,
} from './recovery.ts';
import type { Segments } from './segments.ts';
import { type SyncPolicy, Writer } from './writer.ts';

export type { Backlog, Cursor, SettledRange, StartFrom } from './cursor.ts';
export type { ReadLimits, StoredBatch } from './hot.ts';

export interface LogOptions {
  readonly folder: string;
  readonly files: Files;
  readonly clock: Clock;
  readonly log: Logger;
  readonly gatewayId: string;
  /** Names of the sinks that read the log from the start: each has a cursor. */
  readonly sinks: readonly string[];
  /** Where a sink begins that has no cursor yet; `oldest` for those that are not named. */
  readonly startFrom?: { readonly [sink: string]: StartFrom };
  /** A segment is closed when it would grow beyond this. */
  readonly segmentBytesMax: number;
  /** Newest batches kept in memory. */
  readonly hotBytesMax: number;
  readonly sync: SyncPolicy;
  readonly limits: LogLimits;
  /**
   * Batches after this one are not deleted when all sinks have settled them; absent: any may be. A log that is full
   * makes room all the same.
   */
  readonly heldAfter?: () => number;
  /** A random id of at most 17 letters and digits: of a new log, and of each time it is opened. */
  readonly newId: () => string;
  /** Who may hold the lock; this machine's processes when absent. */
  readonly processes?: Processes;
}

/** The limit of the log is at least so many segments long, so that room can be made in small pieces. */
const SEGMENTS_MIN = 8;

interface Waiter {
  readonly sequence: number;
  readonly resolve: () => void;
}

interface Parts {
  readonly options: LogOptions;
  readonly identity: LogIdentity;
  readonly epoch: string;
  readonly recovered: Recovered;
  readonly quarantine: Quarantine;
  readonly loaded: readonly LoadedCursor[];
  readonly losses: Losses;
}

export class DurableLog {
  readonly #options: LogOptions;
  readonly #id: string;
  readonly #epoch: string;
  readonly #segments: Segments;
  readonly #quarantine: Quarantine;
  readonly #hot: HotTier;
  readonly #reader: Reader;
  readonly #writer: Writer;
  readonly #losses: Losses;
  readonly #keeper: Keeper;
  readonly #cursors = new Map<string, SinkCursor>();
  readonly #waiters = new Set<Waiter>();
  #limits: LogLimits;
  #lastSequence: number;
  #telling: Quarantine['untold'] = [];
  /** What is known of destroyed ranges, learned while the batches around them are there. */
  readonly #destroyed = new WeakMap<object, Loss>();
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
  constructor({ options, identity, epoch, recovered, quarantine, loaded, losses }: Parts) {
    const { files, folder, clock, log, limits, sync } = options;
    const { segments } = recovered;
    this.#options = options;
    this.#id = identity.id;
    this.#limits = limits;
    this.#epoch = epoch;
    this.#segments = segments;
    this.#quarantine = quarantine;
    this.#losses = losses;
    this.#lastSequence = recovered.lastSequence;
    this.#hot = new HotTier(options.hotBytesMax);
    this.#reader = new Reader({ files, folder, segments, quarantine, clock, lastSequence: () => this.#lastSequence });
    this.#writer = new Writer({
      files,
      folder,
      clock,
      log,
      epoch,
      segments,
      segmentBytesMax: segmentBytesMaxOf(options),
      sync,
      lastSequence: recovered.lastSequence,
      readingsTotal: recovered.readingsTotal,
      onDurable: (batches) => this.#onDurable(batches),
    });
    this.#keeper = new Keeper({
      files,
      folder,
      clock,
      log,
      segments,
      reader: this.#reader,
      quarantine,
      limits,
      losses,
      lastSequence: () => this.#lastSequence,
      readingsTotal: () => this.#writer.readingsTotal,
      hotFirst: () => this.#hot.firstSequence,
      islandBorders: () => {
        const islands = [...this.#cursors.values()].flatMap((cursor) => cursor.islands);
        return islands.flatMap(({ first, last }) => [first, last + 1]);
      },
      onRemoved: () => {
        for (const cursor of this.#cursors.values()) void cursor.lookAgain();
      },
      settledThrough: () => this.#settledAndSaved(),
      sinksBehind: (sequence) => this.#sinksBehind(sequence),
    });
    for (const sink of options.sinks) {
      const found = loaded.find((cursor) => cursor.sink === sink);
      this.#cursors.set(sink, this.#newCursor(sink, found, options.startFrom?.[sink] ?? 'oldest'));
    }
  }

  /** Call once, before anything else. */
  async start(): Promise<void> {
    for (const cursor of this.#cursors.values()) await cursor.start();
    await this.#deleteThrough(() => this.#settledAndSaved());
  }

  /** Of what is appended now. */
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

  /** @throws not_found for a sink that does not read the log */
  cursor(sink: string): Cursor {
    return this.#cursorOf(sink);
  }

  /**
   * One more sink reads the log: from where its cursor stands, if it was here before.
   * @throws storage_failed when it cannot be read whether it was
   */
  async addSink(sink: string, from: StartFrom): Promise<void> {
    const { files, folder } = this.#options;
    if (this.#cursors.has(sink)) throw new Error(`the log has a cursor for ${sink} already`);
    let found: LoadedCursor | undefined;
    try {
      const loaded = from === 'recent' ? [] : await loadCursors(files, cursorsFolder(folder), this.#id);
      found = loaded.find((cursor) => cursor.sink === sink);
    } catch (error) {
      throw storageFailed(folder, error);
    }
    const cursor = this.#newCursor(sink, found, from);
    this.#cursors.set(sink, cursor);
    await cursor.start();
  }

  /** The sink reads no more: nothing is kept for it from now on. Its cursor stays on the disk. Never rejects. */
  async removeSink(sink: string): Promise<void> {
    const cursor = this.#cursors.get(sink);
    if (cursor === undefined) return;
    this.#cursors.delete(sink);
    await cursor.close();
    try {
      await this.#deleteThrough(() => this.#settledAndSaved());
    } catch (error) {
      // With the next save of another cursor it is tried again.
      this.#options.log.warn('what was kept for a sink could not be deleted yet', { sink, error });
    }
  }

  /** Takes effect at once; a log that is larger makes room by and by. */
  setLimits(limits: LogLimits, segmentBytesMax: number): void {
    this.#limits = limits;
    this.#writer.segmentBytesMax = segmentBytesMaxOf({ limits, segmentBytesMax });
    this.#keeper.setLimits(limits);
  }

  /** What the sink has not settled yet; costs nothing. @throws not_found */
  backlog(sink: string): Backlog {
    return this.#cursorOf(sink).backlog(this.#lastSequence, this.#writer.readingsTotal);
  }

  /** The log is full, and its policy is to take no more readings of that kind: whoever appends is to leave them out. */
  refuses(kind: ReadingKind, waitingBytes: number = 0): boolean {
    return this.#keeper.refuses(kind, waitingBytes);
  }

  /**
   * What the log had to give up or damage has destroyed, and no `gap` event has told yet. To be called again only after
   * {@link lossesTold}.
   */
  async takeLosses(): Promise<readonly Loss[]> {
    await this.#describeDestroyed();
    this.#telling = this.#quarantine.untold.filter((range) => this.#destroyed.has(range));
    return [...this.#losses.take(), ...this.#telling.flatMap((range) => this.#destroyed.get(range) ?? [])];
  }

  /** The `gap` events that tell of what was taken are in the log. */
  async lossesTold(): Promise<void> {
    await this.#losses.told();
    if (this.#telling.length > 0) await this.#quarantine.told(this.#telling);
    this.#telling = [];
  }

  /** Whether {@link takeLosses} would give any. */
  get hasLosses(): boolean {
    return !this.#losses.isEmpty || this.#quarantine.untold.length > 0;
  }

  status(): LogStatus {
    let bytesWritten = this.#writer.bytesWritten + this.#keeper.bytesWritten;
    for (const cursor of this.#cursors.values()) bytesWritten += cursor.bytesWritten;
    return {
      epoch: this.#epoch,
      first_sequence: this.firstSequence,
      last_sequence: this.#lastSequence,
      bytes: this.#segments.bytes,
      bytes_max: this.#limits.bytesMax,
      bytes_possible: this.#keeper.bytesPossible ?? null,
      readings_thinned: this.#keeper.readingsThinned,
      readings_dropped: this.#keeper.readingsDropped,
      segments: this.#segments.count,
      quarantined_batches: this.#quarantine.batches,
      bytes_appended: this.#writer.bytesWritten,
      bytes_written: bytesWritten,
      syncs: this.#writer.syncs,
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
    await this.#keeper.close();
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
    this.#keeper.nudge();
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

  /**
   * Deletes the segments that are settled whole. Usually by what is saved, so that after a crash no cursor stands before
   * the oldest batch kept; on a full disk, where nothing can be saved before something is deleted, by what is known.
   * @returns whether a segment was deleted
   */
  async #deleteThrough(settledThrough: () => number): Promise<boolean> {
    await this.#describeDestroyed();
    return await this.#reader.exclusively(async () => {
      const { files, folder } = this.#options;
      let deleted = 0;
      const through = Math.min(settledThrough(), this.#options.heldAfter?.() ?? Infinity);
      for (const [segment, next] of this.#segments.settledThrough(through)) {
        await files.remove(`${folder}/${segment.name}`);
        this.#segments.removeFirst();
        this.#quarantine.forget(next.firstSequence);
        deleted += 1;
      }
      if (deleted > 0) await files.syncFolder(folder);
      this.#keeper.nudge();
      return deleted > 0;
    });
  }

  /** As {@link #settledByAll}, of what is saved. */
  #settledAndSaved(): number {
    if (this.#cursors.size === 0) return 0;
    return Math.min(...[...this.#cursors.values()].map(({ savedPosition }) => savedPosition));
  }

  #sinksBehind(sequence: number): string[] {
    return [...this.#cursors].flatMap(([sink, { position }]) => (position < sequence ? [sink] : []));
  }

  async #describeDestroyed(): Promise<void> {
    for (const range of this.#quarantine.untold) {
      if (this.#destroyed.has(range)) continue;
      try {
        this.#destroyed.set(range, await this.#destroyedLoss(range));
      } catch (error) {
        // A disk that cannot be read now may be later; the range stays untold until then.
        this.#options.log.debug('what damage has destroyed could not be looked up', { error });
      }
    }
  }

  /** What the batches around it tell: when they were appended, and how many readings were appended between them. */
  async #destroyedLoss({ first, last }: { first: number; last: number }): Promise<Loss> {
    const found = await this.#placeOf(first - 1);
    const before = found?.sequence === first - 1 ? found : undefined;
    const after = await this.#placeOf(last + 1);
    const endMicros = after?.appendedAtMicros ?? this.#options.clock.nowMicros();
    const startMicros = Math.min(before?.appendedAtMicros ?? endMicros, endMicros);
    const readingsThrough = after?.readingsBefore ?? this.#writer.readingsTotal;
    return {
      reason: 'destroyed',
      machineId: null,
      startTime: timestampOf(startMicros),
      endTime: timestampOf(endMicros),
      // 0: not known.
      readings: before === undefined ? 0 : Math.max(0, readingsThrough - before.readingsThrough),
      firstSequence: first,
      lastSequence: last,
      sinks: this.#sinksBehind(last),
    };
  }

  #newCursor(sink: string, found: LoadedCursor | undefined, from: StartFrom): SinkCursor {
    const { files, folder, clock, log } = this.#options;
    const { firstSequence, lastSequence } = this;
    return new SinkCursor({
      files,
      folder: cursorsFolder(folder),
      epoch: this.#id,
      sink,
      start: startOf(found, { from, firstSequence, lastSequence, log }),
      clock,
      log,
      placeOf: (sequence) => this.#placeOf(sequence),
      onSaved: async () => {
        await this.#deleteThrough(() => this.#settledAndSaved());
      },
      onDiskFull: () => this.#deleteThrough(() => this.#settledByAll()),
    });
  }

  #cursorOf(sink: string): SinkCursor {
    const cursor = this.#cursors.get(sink);
    if (cursor === undefined) throw noSuchSink(sink);
    return cursor;
  }
}

function segmentBytesMaxOf({ segmentBytesMax, limits }: Pick<LogOptions, 'segmentBytesMax' | 'limits'>): number {
  return Math.min(segmentBytesMax, limits.bytesMax / SEGMENTS_MIN);
}

function lockPath(folder: string): string {
  return `${folder}/${LOCK_NAME}`;
}

async function openLocked(options: LogOptions): Promise<DurableLog> {
  const { files, folder, clock, log } = options;
  await removeTemporaries(files, folder);
  const found = await findSegments(files, folder);
  const quarantine = new Quarantine({ files, folder, clock, log });
  await quarantine.load();
  const losses = new Losses(files, folder);
  await losses.load();
  const recovery = { ...options, quarantine };
  const identity = await establishIdentity(recovery, found);
  const loaded = await loadCursors(files, cursorsFolder(folder), identity.id);
  const recovered = await recoverSegments(recovery, { found, identity, ...settledOf(options.sinks, loaded) });
  const epoch = await beginEpoch(recovery, { found, identity, recovered });
  const opened = new DurableLog({ options, identity, epoch, recovered, quarantine, loaded, losses });
  try {
    await opened.start();
    return opened;
  } catch (error) {
    await opened.close();
    throw error;
  }
}

function placeIn({ sequence, appendedAtMicros, readings, readingsTotal }: HotBatch): BatchPlace {
  return { sequence, appendedAtMicros, readingsBefore: readingsTotal - readings, readingsThrough: readingsTotal };
}

function storageFailed(folder: string, error: unknown): MillwrightError {
  if (error instanceof MillwrightError) return error;
  return new MillwrightError('storage_failed', `the log in ${folder} cannot be read or written`, { cause: error });
}

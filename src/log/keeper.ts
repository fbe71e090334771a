/**
 * Keeps the log within its limits: compresses what is not needed soon, and when the log is full, makes room.
 *
 * Nothing is done while sinks keep up: segments are then deleted before there are enough of them. Beyond
 * `warmBytesMax` of plain segments the oldest is compressed. Beyond `bytesMax`, or when the disk has less than
 * `reserveBytes` to spare, room is made in this order, one segment at a time:
 *
 * 1. every closed segment is compressed;
 * 2. samples, by their policy. `thin`: they are merged into intervals that are wide in proportion to their age, as
 *    long as that saves anything, and then dropped; `drop_oldest`: those of the oldest segment are dropped;
 *    `drop_newest`: new ones are refused at the entrance (see {@link Keeper.refuses});
 * 3. measurements and events, when there is no sample left to give: the oldest are dropped, or new ones are refused.
 *
 * Age in this is counted in readings, not by a clock that may be wrong. What is given up is counted, and noted for
 * telling before it is done.
 */
import { type Clock, now } from '../base/clock.ts';
import { messageOf, MillwrightError } from '../base/errors.ts';
import type { Files } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';
import type { Gone } from '../model/merge.ts';
import type { ReadingKind } from '../model/reading.ts';
import type { Shrinking } from '../model/shrink.ts';
import type { Loss, LossReason, Losses } from './losses.ts';
import type { Quarantine } from './quarantine.ts';
import type { Reader } from './reader.ts';
import { type RewriteOptions, type Rewritten, rewriteSegment } from './rewrite.ts';
import type { Segment, Segments } from './segments.ts';

export type FullPolicy = 'drop_oldest' | 'drop_newest';

export interface LogLimits {
  /** Plain segments beyond this are compressed. */
  readonly warmBytesMax: number;
  /** Of all segments together. */
  readonly bytesMax: number;
  /** Batches that were appended longer ago are dropped; null: never. By the gateway's clock. */
  readonly ageMsMax: number | null;
  /** What the log leaves free on its disk, for others. */
  readonly reserveBytes: number;
  readonly whenFull: {
    readonly samples: 'thin' | FullPolicy;
    readonly measurements: FullPolicy;
    readonly events: FullPolicy;
  };
}

export interface KeeperOptions {
  readonly files: Files;
  readonly folder: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly segments: Segments;
  readonly reader: Pick<Reader, 'exclusively'>;
  readonly quarantine: Quarantine;
  readonly limits: LogLimits;
  readonly losses: Losses;
  /** The log's newest durable batch. */
  readonly lastSequence: () => number;
  readonly readingsTotal: () => number;
  /** The oldest batch that is served from memory, as it was appended. */
  readonly hotFirst: () => number;
  /** Where ranges begin and end that a sink has settled ahead of others: nothing may be merged into them, or out of them. */
  readonly islandBorders: () => readonly number[];
  /** Batches are gone: backlogs are to be reckoned anew. */
  readonly onRemoved: () => void;
  /** What every sink has settled, by what is saved. */
  readonly settledThrough: () => number;
  /** Sinks that have not settled everything up to that sequence. */
  readonly sinksBehind: (sequence: number) => readonly string[];
}

/** Width of the first thinning, in microseconds; each further level doubles it. */
export const WIDTH_MICROS_FIRST = 200_000;
/** 200 ms · 2¹⁴ is about an hour. */
const THINNING_MAX = 15;
/** All samples are gone from the segment. */
export const WITHOUT_SAMPLES = 254;
/** All that may be dropped is gone from the segment. */
export const EMPTIED = 255;
/** A thinning that leaves more than this of a segment was not worth it: the next level is tried. */
const WORTH_SHARE = 0.8;
/** New samples are refused above this share of the limit, so that measurements and events find room below it, */
const REFUSED_SHARE = 0.95;
/** until no more than this share is in use. */
const ACCEPTED_SHARE = 0.9;
/**
 * Where making room does not keep up (or fails, on a disk that cannot be read), new readings are refused whatever the
 * policy: samples above this share of the limit, and all above the next. So the limit is one.
 */
const SAMPLES_MAX_SHARE = 1.25;
const ALL_MAX_SHARE = 1.5;
/** How often the disk's free space is looked at, while batches come. */
const SPACE_INTERVAL_MS = 5_000;
/** Rest after a failure. */
const FAILURE_REST_MS = 10_000;
/** A clock that has jumped ahead must not cost the log: segments are too old when they have been so for this long. */
const AGE_PATIENCE_MS = 600_000;
/** 2025: no gateway of this program was ever set to an earlier time. */
const CLOCK_SET_MICROS = 1_735_689_600_000_000;
/**
 * What a sink was handed may be on its way for as long as its longest timeout. A segment that was read is not thinned for
 * longer than that: what is merged into a batch of which the far end has the old form would be lost.
 */
const READ_REST_MS = 900_000;
/** A segment that cannot be read or rewritten is left alone so long; others may be possible. */
const AVOIDED_MS = 300_000;

/** What becomes of a segment. */
type Change = Pick<RewriteOptions, 'thinning' | 'how' | 'bytesMax'>;

export class Keeper {
  readonly #options: KeeperOptions;
  #limits: LogLimits;
  #running: Promise<void> | undefined;
  #isNudged = false;
  #closed = false;
  /** What the log had and what was free beyond the reserve, when it was last looked at. */
  #bytesPossible: number | undefined;
  #spaceLookedAtMs = Number.NEGATIVE_INFINITY;
  #restUntilMs = Number.NEGATIVE_INFINITY;
  #tooOldSinceMs: number | undefined;
  #refusing: ReadonlySet<ReadingKind> = new Set();
  /** The log is over its limit, and nothing more can be given up. */
  #isStuck = false;
  /** Segments that could not be rewritten, and until when they are left alone. */
  readonly #avoided = new WeakMap<Segment, number>();
  #bytesWritten = 0;
  #readingsThinned = 0;
  #readingsDropped = 0;
  #lastError: string | null = null;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#limits = options.limits;
  }

  /** Bytes written by compressing and thinning. */
  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /** Samples that were merged into others. */
  get readingsThinned(): number {
    return this.#readingsThinned;
  }

  get readingsDropped(): number {
    return this.#readingsDropped;
  }

  /** How large its disk lets the log become; undefined until it was looked at, and where the system does not tell. */
  get bytesPossible(): number | undefined {
    const { warmBytesMax } = this.#limits;
    return this.#bytesPossible === undefined ? undefined : Math.max(warmBytesMax, this.#bytesPossible);
  }

  /** How many bytes the log may have now: its limit, or less where the disk is short of space. */
  get bytesAllowed(): number {
    const { bytesMax } = this.#limits;
    return Math.min(bytesMax, this.bytesPossible ?? bytesMax);
  }

  /**
   * The log is full, and its policy is to refuse new readings of that kind.
   * @param waitingBytes what was taken already, and is going to be appended
   */
  refuses(kind: ReadingKind, waitingBytes: number): boolean {
    const share = (this.#options.segments.bytes + waitingBytes) / this.bytesAllowed;
    const isRefused = this.#refusing.has(kind) || share > (kind === 'sample' ? SAMPLES_MAX_SHARE : ALL_MAX_SHARE);
    // Where all is refused nothing is appended, and nobody else would look whether there is room again.
    if (isRefused && this.#options.clock.monotonicMs() >= this.#spaceLookedAtMs + SPACE_INTERVAL_MS) this.nudge();
    return isRefused;
  }

  /** Something was appended or settled: looks whether there is work, and does it beside all else. */
  nudge(): void {
    if (this.#closed || !this.#maybeNeeded()) return;
    this.#isNudged = true;
    this.#running ??= this.#work().finally(() => {
      this.#running = undefined;
      if (this.#isNudged) this.nudge();
    });
  }

  setLimits(limits: LogLimits): void {
    this.#limits = limits;
    this.#isStuck = false;
    this.#spaceLookedAtMs = Number.NEGATIVE_INFINITY;
    this.nudge();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  #maybeNeeded(): boolean {
    const { clock, segments } = this.#options;
    const nowMs = clock.monotonicMs();
    if (nowMs < this.#restUntilMs) return false;
    return (
      nowMs >= this.#spaceLookedAtMs + SPACE_INTERVAL_MS ||
      segments.bytes > this.#limits.warmBytesMax ||
      this.#refusing.size > 0
    );
  }

  async #work(): Promise<void> {
    const { clock, log } = this.#options;
    this.#isNudged = false;
    try {
      // Each step changes what is free, so it is looked at again before the next.
      do await this.#lookAtSpace();
      while (!this.#closed && (await this.#step()));
      if (this.#lastError !== null) log.info('the log keeps within its limits again');
      this.#lastError = null;
    } catch (error) {
      if (this.#closed) return;
      if (this.#lastError === null) {
        log.warn('the log could not be compressed or made smaller; it is tried again', { error });
      }
      this.#lastError = messageOf(error);
      this.#restUntilMs = clock.monotonicMs() + FAILURE_REST_MS;
    }
  }

  async #lookAtSpace(): Promise<void> {
    const { clock, files, folder, segments } = this.#options;
    this.#spaceLookedAtMs = clock.monotonicMs();
    const free = await files.freeBytes(folder);
    this.#bytesPossible = free === undefined ? undefined : segments.bytes + free - this.#limits.reserveBytes;
  }

  /** Does one thing that is needed; false when nothing is, or nothing helps. */
  async #step(): Promise<boolean> {
    const { segments } = this.#options;
    const isOver = segments.bytes > this.bytesAllowed;
    this.#refusing = this.#toRefuse();
    // The newest is being written to, or is the one that the next start reads through.
    const closed = segments.all.slice(0, -1).filter((segment) => !this.#isAvoided(segment));
    const plain = closed.find(({ header }) => header.form === 'plain');
    const warmBytes = segments.all.reduce((sum, one) => (one.header.form === 'plain' ? sum + one.bytes : sum), 0);
    if (plain !== undefined && (isOver || warmBytes > this.#limits.warmBytesMax)) {
      await this.#rewrite(plain, { thinning: 0, how: undefined });
      return true;
    }
    const old = this.#tooOld();
    if (old !== undefined) {
      await this.#rewrite(old, { thinning: EMPTIED, how: { kind: 'drop', kinds: ['sample', 'measurement', 'event'] } });
      return true;
    }
    const makesRoom = isOver && (await this.#makeRoom(closed));
    this.#isStuck = isOver && !makesRoom;
    if (this.#isStuck) this.#refusing = this.#toRefuse();
    return makesRoom;
  }

  async #makeRoom(closed: readonly Segment[]): Promise<boolean> {
    const { whenFull } = this.#limits;
    const thinnable = whenFull.samples === 'thin' ? closed.filter((segment) => this.#isThinnable(segment)) : [];
    if (thinnable.length > 0) {
      const segment = this.#narrowestForItsAge(thinnable.filter((one) => this.#isAtRest(one)));
      if (segment !== undefined) await this.#thin(segment);
      return segment !== undefined;
    }
    const withSamples = closed.find(({ header }) => header.thinning < WITHOUT_SAMPLES);
    if (whenFull.samples !== 'drop_newest' && withSamples !== undefined) {
      await this.#rewrite(withSamples, { thinning: WITHOUT_SAMPLES, how: { kind: 'drop', kinds: ['sample'] } });
      return true;
    }
    const kinds: ReadingKind[] = [];
    if (whenFull.measurements === 'drop_oldest') kinds.push('measurement');
    if (whenFull.events === 'drop_oldest') kinds.push('event');
    const oldest = closed.find(({ header }) => header.thinning < EMPTIED);
    if (kinds.length === 0 || oldest === undefined) return false;
    await this.#rewrite(oldest, { thinning: EMPTIED, how: { kind: 'drop', kinds } });
    return true;
  }

  /** What is served from memory is served as it was appended, so its segment must hold the same. */
  #isThinnable(segment: Segment): boolean {
    const { segments, lastSequence, hotFirst } = this.#options;
    const isCold = segments.lastSequenceOf(segment, lastSequence()) < hotFirst();
    return isCold && segment.header.thinning < THINNING_MAX;
  }

  #isAtRest(segment: Segment): boolean {
    return this.#options.clock.monotonicMs() >= segment.readAtMs + READ_REST_MS;
  }

  /** The segment whose intervals are the narrowest for how long ago they were. */
  #narrowestForItsAge(segments: readonly Segment[]): Segment | undefined {
    const total = this.#options.readingsTotal();
    const widthForAge = ({ header }: Segment): number =>
      2 ** header.thinning / Math.max(1, total - header.readingsBefore);
    return segments.reduce<Segment | undefined>(
      (best, one) => (best === undefined || widthForAge(one) < widthForAge(best) ? one : best),
      undefined,
    );
  }

  /** Merges the segment's samples, in intervals wide enough that it is worth the writing. */
  async #thin(segment: Segment): Promise<void> {
    const { thinning: before } = segment.header;
    // A little wider first; what has no samples to merge is found out in a few tries.
    for (const more of [1, 3, 6, THINNING_MAX]) {
      const thinning = Math.min(THINNING_MAX, before + more);
      const how: Shrinking = { kind: 'thin', widthMicros: WIDTH_MICROS_FIRST * 2 ** (thinning - 1) };
      const bytesMax = thinning === THINNING_MAX ? Number.POSITIVE_INFINITY : segment.bytes * WORTH_SHARE;
      const rewritten = await this.#written(segment, { thinning, how, bytesMax });
      if (rewritten !== undefined) return await this.#putInPlace(segment, rewritten, 'thinned');
    }
  }

  async #rewrite(segment: Segment, change: Omit<Change, 'bytesMax'>): Promise<void> {
    const rewritten = await this.#written(segment, { ...change, bytesMax: Number.POSITIVE_INFINITY });
    if (rewritten !== undefined) await this.#putInPlace(segment, rewritten, 'dropped');
  }

  async #written(segment: Segment, change: Change): Promise<Rewritten | undefined> {
    const { files, folder, quarantine, segments, lastSequence, settledThrough, islandBorders } = this.#options;
    try {
      return await rewriteSegment({
        files,
        folder,
        quarantine,
        segment,
        lastSequence: segments.lastSequenceOf(segment, lastSequence()),
        settledThrough: settledThrough(),
        borders: islandBorders(),
        onWritten: (bytes) => {
          if (this.#closed) throw new MillwrightError('log_closed', 'the log is closed');
          this.#bytesWritten += bytes;
        },
        ...change,
      });
    } catch (error) {
      this.#avoid(segment);
      throw error;
    }
  }

  #avoid(segment: Segment): void {
    this.#avoided.set(segment, this.#options.clock.monotonicMs() + AVOIDED_MS);
  }

  #isAvoided(segment: Segment): boolean {
    return this.#options.clock.monotonicMs() < (this.#avoided.get(segment) ?? Number.NEGATIVE_INFINITY);
  }

  /** The new file takes the old one's name, while nobody reads. */
  async #putInPlace(segment: Segment, rewritten: Rewritten, reason: LossReason): Promise<void> {
    const { reader, files } = this.#options;
    const { readAtMs } = segment;
    await reader.exclusively(async () => {
      const { segments } = this.#options;
      // All sinks may have settled it meanwhile, and then it is deleted; or a sink has got its old form.
      const isOutdated = !segments.all.includes(segment) || (reason === 'thinned' && segment.readAtMs !== readAtMs);
      if (isOutdated) return await files.remove(rewritten.temporary);
      try {
        await this.#noteLosses(segment, rewritten.lost, reason);
        await this.#swap(segment, rewritten);
      } catch (error) {
        this.#avoid(segment);
        throw error;
      }
      this.#countLosses(segment, rewritten.lost, reason);
    });
  }

  async #swap(segment: Segment, { segment: rewritten, temporary, isEmpty }: Rewritten): Promise<void> {
    const { files, folder, segments, onRemoved } = this.#options;
    if (isEmpty && segments.first === segment) {
      await files.remove(`${folder}/${segment.name}`);
      segments.removeFirst();
      await files.remove(temporary);
      onRemoved();
    } else {
      await files.rename(temporary, `${folder}/${segment.name}`);
      segments.replace(segment, rewritten);
    }
    await files.syncFolder(folder);
  }

  async #noteLosses(segment: Segment, lost: ReadonlyMap<string, Gone>, reason: LossReason): Promise<void> {
    const { segments, sinksBehind, losses, lastSequence } = this.#options;
    const last = segments.lastSequenceOf(segment, lastSequence());
    const sequences = { firstSequence: segment.firstSequence, lastSequence: last, sinks: sinksBehind(last) };
    await losses.add([...lost].map(([machineId, gone]): Loss => ({ reason, machineId, ...gone, ...sequences })));
  }

  #countLosses(segment: Segment, lost: ReadonlyMap<string, Gone>, reason: LossReason): void {
    if (lost.size === 0) return;
    const { segments, log } = this.#options;
    const readings = [...lost.values()].reduce((sum, gone) => sum + gone.readings, 0);
    if (reason === 'thinned') this.#readingsThinned += readings;
    else this.#readingsDropped += readings;
    const about = { segment: segment.name, readings, bytes: segments.bytes, bytes_allowed: this.bytesAllowed };
    if (reason === 'thinned') log.warn('the log is full: old samples were merged into wider intervals', about);
    else log.error('the log is full: old readings were dropped', about);
  }

  /** The oldest segment, when it is too old. What is younger by the order of appends is never older. */
  #tooOld(): Segment | undefined {
    const { clock, segments } = this.#options;
    const { ageMsMax } = this.#limits;
    const [first, next] = segments.all;
    if (ageMsMax === null || first === undefined || next === undefined) return undefined;
    const oldestAllowedMicros = clock.nowMicros() - ageMsMax * 1000;
    const endMicros = Math.max(first.header.createdAtMicros, next.header.createdAtMicros);
    // A gateway without a clock of its own starts in the past; a damaged header tells no time.
    const isOld = endMicros > CLOCK_SET_MICROS && endMicros < oldestAllowedMicros;
    if (!isOld) this.#tooOldSinceMs = undefined;
    else this.#tooOldSinceMs ??= clock.monotonicMs();
    const isPatienceOver = clock.monotonicMs() >= (this.#tooOldSinceMs ?? 0) + AGE_PATIENCE_MS;
    return isOld && isPatienceOver && !this.#isAvoided(first) ? first : undefined;
  }

  #toRefuse(): ReadonlySet<ReadingKind> {
    const { segments, log, clock } = this.#options;
    const { whenFull } = this.#limits;
    const share = segments.bytes / this.bytesAllowed;
    const isFull = this.#isStuck && share > 1;
    const refused = new Set<ReadingKind>();
    const samplesFull = this.#refusing.has('sample') ? share > ACCEPTED_SHARE : share > REFUSED_SHARE;
    if (whenFull.samples === 'drop_newest' && samplesFull) refused.add('sample');
    if (whenFull.measurements === 'drop_newest' && isFull) refused.add('measurement');
    if (whenFull.events === 'drop_newest' && isFull) refused.add('event');
    if (refused.size > 0 && this.#refusing.size === 0) {
      log.error('the log is full: new readings are refused', { kinds: [...refused], since: now(clock) });
    } else if (refused.size === 0 && this.#refusing.size > 0) {
      log.info('the log has room again: new readings are taken');
    }
    return refused;
  }
}

/**
 * The batcher: joins readings into batches and puts each into the log.
 *
 * A batch is closed when it holds `readingsMax` readings, when its first has waited `delayMs`, or, if an event is in
 * it, at the end of the same turn of the event loop. A reading is encoded as it comes, so nothing of it is kept but its
 * bytes. Until its append resolves a batch is in memory only: a crash loses at most what waits here.
 *
 * When the log is slow or failing, closed batches wait, up to {@link WAITING_READINGS_MAX} and {@link WAITING_BYTES_MAX}.
 * Beyond that the samples of the older half are merged into ever wider intervals, and in the end taken out; events and
 * measurements stay, up to {@link WAITING_BYTES_HARD_MAX}. What was lost is counted, logged, and told by one `gap` event
 * for each machine once the log takes batches again.
 */
import { Backoff } from '../../base/backoff.ts';
import { type Clock, now } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import { Histogram, type Metric } from '../../base/prometheus.ts';
import type { Random } from '../../base/random.ts';
import { BATCH_BYTES_MAX } from '../../model/batch.ts';
import { FRAME_BYTES_MAX, FRAME_HEADER_BYTES } from '../../model/frame.ts';
import { addGone, type Gone } from '../../model/merge.ts';
import { kindOf, type Reading, type ReadingKind } from '../../model/reading.ts';
import { type Shrinking, shrink } from '../../model/shrink.ts';

/** Readings that may wait for the log before samples are merged. */
export const WAITING_READINGS_MAX = 20_000;
/** Sources that can wait are made to when so many readings wait for the log, */
export const ROOM_READINGS_MAX: number = WAITING_READINGS_MAX / 4;
/** but never for longer than this at once. */
export const ROOM_WAIT_MS_MAX = 5_000;
/** Bytes that may wait for the log before samples are merged. */
export const WAITING_BYTES_MAX: number = 8 * 1024 * 1024;
/** Bytes that may wait when all that waits is events and measurements; beyond it the oldest of them are lost. */
export const WAITING_BYTES_HARD_MAX: number = 16 * 1024 * 1024;
/** Batches handed to the log at once, so that one sync serves several. */
export const APPENDS_MAX = 16;

/** Intervals into which samples are merged at first, and at most. */
const WIDTH_MICROS_FIRST = 200_000;
const WIDTH_MICROS_MAX = 3_600_000_000;
/** A merging that leaves more than this of the readings was not worth it: wider intervals are tried. */
const WORTH_SHARE = 0.8;

const RETRY_LIMITS = { firstMs: 200, maxMs: 5_000 };
const BUFFER_BYTES_FIRST: number = 64 * 1024;
/** From emit to durable, in seconds. */
const LATENCY_BOUNDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 1, 2.5, 5, 10,
] as const;

/** What the batcher needs of the log. */
export interface Appendable {
  append(payload: Uint8Array, readings: number): Promise<number>;
  /** The log is full, or will be with so many bytes that wait for it, and takes no more readings of that kind. */
  refuses(kind: ReadingKind, waitingBytes: number): boolean;
}

export interface BatchLimits {
  readonly readingsMax: number;
  /** Longest wait of a reading for its batch. */
  readonly delayMs: number;
}

export interface BatcherOptions extends BatchLimits {
  readonly log: Appendable;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

interface ClosedBatch {
  /** Counts the batches of this process; keeps their order when one must be appended again. */
  readonly number: number;
  payload: Uint8Array;
  readings: number;
  /** When each reading was emitted, by the monotonic clock. */
  emittedMs: readonly number[];
  /** There is nothing more to merge or drop but events and measurements. */
  isWithoutSamples: boolean;
}

export class Batcher {
  readonly #options: BatcherOptions;
  readonly #backoff: Backoff;
  #limits: BatchLimits;
  readonly #latency: Histogram = new Histogram(LATENCY_BOUNDS);

  #buffer: Buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES_FIRST);
  #used = 0;
  #emittedMs: number[] = [];
  #timing = false;
  #flushing = false;

  readonly #waiting: ClosedBatch[] = [];
  #waitingBytes = 0;
  #waitingReadings = 0;
  #inFlight = 0;
  #batchesClosed = 0;
  #paused = false;
  #lastError: string | null = null;
  readonly #life = new AbortController();
  readonly #onIdle: (() => void)[] = [];
  /** Numbers of the closed batches that are neither in the log nor lost, rising. */
  readonly #unsettled = new Set<number>();
  #onKept: { readonly through: number; readonly resolve: () => void }[] = [];
  /** One wait, shared by all sources; over when there is room. */
  #roomWait: { readonly over: AbortController; readonly promise: Promise<void> } | undefined;

  #readings = 0;
  #losses = 0;
  /** Lost and not told yet, by machine. */
  readonly #untold = new Map<string, Gone>();
  /** Of the intervals that samples are merged into while the log takes nothing. */
  #widthMicros = WIDTH_MICROS_FIRST;

  constructor(options: BatcherOptions) {
    this.#options = options;
    this.#limits = options;
    this.#backoff = new Backoff(RETRY_LIMITS, options.random);
  }

  /** For batches from now on; the first of them may still wait for as long as one did before. */
  setLimits(limits: BatchLimits): void {
    this.flush();
    this.#limits = limits;
  }

  /** Readings taken. */
  get readings(): number {
    return this.#readings;
  }

  /** Readings lost, since the start. */
  get losses(): number {
    return this.#losses;
  }

  /** Readings that the log has not confirmed. */
  get waitingReadings(): number {
    return this.#waitingReadings + this.#emittedMs.length;
  }

  /** Why the log does not take batches now; null when it does. */
  get lastError(): string | null {
    return this.#lastError;
  }

  /** Takes a reading. Never throws and never waits. */
  accept(reading: Reading): void {
    this.#readings += 1;
    const kind = kindOf(reading);
    if (this.#options.log.refuses(kind, this.#waitingBytes + this.#used)) {
      this.#lose(reading.machine_id, oneOf(reading), `the log is full and takes no more ${kind}s`);
      return;
    }
    const json = JSON.stringify(reading);
    if (!this.#write(json)) {
      const reason = `a reading of ${reading.machine_id} is longer than ${FRAME_BYTES_MAX} bytes`;
      this.#lose(reading.machine_id, oneOf(reading), reason);
      return;
    }
    this.#emittedMs.push(this.#options.clock.monotonicMs());
    if (this.#emittedMs.length >= this.#limits.readingsMax) this.flush();
    else if (kind === 'event') this.#flushSoon();
    else if (!this.#timing) void this.#flushInTime();
  }

  /** Undefined while there is room; else resolves when there is, or after {@link ROOM_WAIT_MS_MAX}. */
  room(): Promise<void> | undefined {
    if (this.#waitingReadings <= ROOM_READINGS_MAX) return undefined;
    if (this.#roomWait === undefined) {
      const over = new AbortController();
      const promise = this.#options.clock.sleep(ROOM_WAIT_MS_MAX, over.signal).then(() => {
        this.#roomWait = undefined;
      });
      this.#roomWait = { over, promise };
    }
    return this.#roomWait.promise;
  }

  /** Hands all that was accepted to the log. Resolves when it is in it, or was lost and is counted. */
  kept(): Promise<void> {
    this.flush();
    if (this.#unsettled.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onKept.push({ through: this.#batchesClosed, resolve }));
  }

  /** Closes the open batch, whatever it holds, and hands it to the log. */
  flush(): void {
    if (this.#emittedMs.length === 0) return;
    const payload = new Uint8Array(this.#buffer.subarray(0, this.#used));
    this.#batchesClosed += 1;
    this.#queue({
      number: this.#batchesClosed,
      payload,
      readings: this.#emittedMs.length,
      emittedMs: this.#emittedMs,
      isWithoutSamples: false,
    });
    if (this.#buffer.length > BUFFER_BYTES_FIRST) this.#buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES_FIRST);
    this.#used = 0;
    this.#emittedMs = [];
    this.#shed();
    this.#pump();
  }

  /**
   * Flushes, waits until the log has everything or the signal is aborted, and ends the batcher: nothing may be given to
   * it afterwards. Resolves to how many readings the log has not.
   */
  async drain(signal: AbortSignal): Promise<number> {
    this.flush();
    if (this.#waiting.length + this.#inFlight > 0 && !signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#onIdle.push(resolve);
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    }
    this.#life.abort();
    return this.waitingReadings;
  }

  metrics(): Metric[] {
    const counter = (name: string, help: string, value: number): Metric => {
      return { name, help, type: 'counter', points: [{ value }] };
    };
    return [
      counter('millwright_readings_total', 'Readings taken from sources.', this.#readings),
      counter(
        'millwright_readings_lost_total',
        'Readings merged into others or lost because the log did not take them.',
        this.#losses,
      ),
      {
        name: 'millwright_readings_waiting',
        help: 'Readings that the log has not confirmed.',
        type: 'gauge',
        points: [{ value: this.waitingReadings }],
      },
      this.#latency.metric(
        'millwright_append_latency_seconds',
        'From emit of a reading until it is durable in the log.',
      ),
    ];
  }

  /** Appends a frame to the open batch; false when the reading is too long for a frame. */
  #write(json: string): boolean {
    if (json.length > FRAME_BYTES_MAX) return false;
    const room = FRAME_HEADER_BYTES + json.length * 3;
    if (this.#used > 0 && this.#used + room > BATCH_BYTES_MAX) this.flush();
    if (this.#used + room > this.#buffer.length) this.#grow(this.#used + room);
    const bytes = this.#buffer.write(json, this.#used + FRAME_HEADER_BYTES);
    if (bytes > FRAME_BYTES_MAX) return false;
    this.#buffer.writeUInt32BE(bytes, this.#used);
    this.#used += FRAME_HEADER_BYTES + bytes;
    return true;
  }

  #grow(least: number): void {
    let length = this.#buffer.length;
    while (length < least) length *= 2;
    const grown = Buffer.allocUnsafeSlow(length);
    this.#buffer.copy(grown, 0, 0, this.#used);
    this.#buffer = grown;
  }

  /** At the end of this turn of the loop, so that events of the same moment share a batch. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.flush();
    });
  }

  async #flushInTime(): Promise<void> {
    const { clock } = this.#options;
    this.#timing = true;
    let firstMs = this.#emittedMs[0];
    while (firstMs !== undefined && !this.#life.signal.aborted) {
      const leftMs = firstMs + this.#limits.delayMs - clock.monotonicMs();
      if (leftMs <= 0) {
        this.flush();
        break;
      }
      await clock.sleep(leftMs, this.#life.signal);
      firstMs = this.#emittedMs[0];
    }
    this.#timing = false;
  }

  #queue(batch: ClosedBatch): void {
    this.#waiting.push(batch);
    this.#unsettled.add(batch.number);
    this.#waitingBytes += batch.payload.length;
    this.#waitingReadings += batch.readings;
  }

  #pump(): void {
    while (!this.#paused && !this.#life.signal.aborted && this.#inFlight < APPENDS_MAX) {
      const batch = this.#waiting.shift();
      if (batch === undefined) break;
      void this.#append(batch);
    }
    if (this.#waiting.length + this.#inFlight > 0) return;
    for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  async #append(batch: ClosedBatch): Promise<void> {
    this.#inFlight += 1;
    let fault: unknown;
    try {
      await this.#options.log.append(batch.payload, batch.readings);
    } catch (error) {
      fault = error ?? new Error('the log refused a batch');
    }
    this.#inFlight -= 1;
    if (fault === undefined) this.#appended(batch);
    else this.#refused(batch, fault);
    this.#pump();
  }

  /** The batch is in the log, or nothing of it is left. */
  #settled({ number }: ClosedBatch): void {
    this.#unsettled.delete(number);
    // A set keeps the order in which it was filled.
    const [oldest = Infinity] = this.#unsettled;
    const over = this.#onKept.filter(({ through }) => through < oldest);
    if (over.length === 0) return;
    this.#onKept = this.#onKept.filter(({ through }) => through >= oldest);
    for (const { resolve } of over) resolve();
  }

  #appended(batch: ClosedBatch): void {
    this.#settled(batch);
    this.#waitingBytes -= batch.payload.length;
    this.#waitingReadings -= batch.readings;
    const nowMs = this.#options.clock.monotonicMs();
    for (const emittedMs of batch.emittedMs) this.#latency.observe((nowMs - emittedMs) / 1000);
    if (this.#lastError !== null) {
      this.#options.logger.info('the log takes batches again', { waiting_readings: this.#waitingReadings });
      this.#lastError = null;
      this.#backoff.reset();
    }
    if (this.#waitingReadings < ROOM_READINGS_MAX / 2) {
      this.#widthMicros = WIDTH_MICROS_FIRST;
      this.#roomWait?.over.abort();
    }
    if (this.#untold.size > 0 && this.#waitingReadings < WAITING_READINGS_MAX / 2) this.#tellGaps();
  }

  /** The batch goes back to its place, and the log is left alone for a while. */
  #refused(batch: ClosedBatch, fault: unknown): void {
    const place = this.#waiting.findIndex((other) => other.number > batch.number);
    this.#waiting.splice(place < 0 ? this.#waiting.length : place, 0, batch);
    if (this.#lastError === null)
      this.#options.logger.warn('the log refused a batch; it is kept and tried again', { fault });
    this.#lastError = messageOf(fault);
    if (!this.#paused) void this.#retryLater();
  }

  /** Waits, then tries one batch alone; only its success opens the way for the others. */
  async #retryLater(): Promise<void> {
    this.#paused = true;
    while (this.#lastError !== null && !this.#life.signal.aborted) {
      await this.#options.clock.sleep(this.#backoff.nextMs(), this.#life.signal);
      if (this.#inFlight > 0 || this.#life.signal.aborted) continue;
      const batch = this.#waiting.shift();
      if (batch === undefined) break;
      await this.#append(batch);
    }
    this.#paused = false;
    this.#pump();
  }

  /** Keeps what waits within its limits. */
  #shed(): void {
    while (this.#isOverLimit() && this.#widthMicros <= WIDTH_MICROS_MAX) this.#mergeOlderHalf();
    for (let index = 0; this.#isOverLimit() && index < this.#waiting.length; index += 1) {
      const batch = this.#waiting[index]!;
      if (batch.isWithoutSamples) continue;
      this.#shrink([batch], { kind: 'drop', kinds: ['sample'] });
      batch.isWithoutSamples = true;
    }
    this.#removeEmpty();
    while (this.#waitingBytes > WAITING_BYTES_HARD_MAX && this.#waiting.length > 0) this.#loseOldest();
  }

  #isOverLimit(): boolean {
    return this.#waitingReadings > WAITING_READINGS_MAX || this.#waitingBytes > WAITING_BYTES_MAX;
  }

  /** The older half, so that what is newest is finest, and there is room for some time afterwards. */
  #mergeOlderHalf(): void {
    const older = this.#waiting.slice(0, Math.ceil(this.#waiting.length / 2));
    const before = older.reduce((sum, { readings }) => sum + readings, 0);
    this.#shrink(older, { kind: 'thin', widthMicros: this.#widthMicros });
    const after = older.reduce((sum, { readings }) => sum + readings, 0);
    if (after >= before * WORTH_SHARE) this.#widthMicros *= 2;
    this.#removeEmpty();
  }

  #shrink(batches: readonly ClosedBatch[], how: Shrinking): void {
    const { messages, lost } = shrink(
      batches.map(({ payload }) => payload),
      how,
    );
    for (const [index, batch] of batches.entries()) {
      const message = messages[index] ?? 'unchanged';
      if (message === 'unchanged') continue;
      const { payload, readings } = message;
      this.#waitingBytes -= batch.payload.length - payload.length;
      this.#waitingReadings -= batch.readings - readings;
      batch.payload = payload;
      batch.readings = readings;
      batch.emittedMs = batch.emittedMs.slice(0, readings);
    }
    for (const [machineId, gone] of lost) this.#lose(machineId, gone, 'the log does not keep up');
  }

  /** The whole batch, also what no hub would understand in it. */
  #loseOldest(): void {
    const batch = this.#waiting.shift();
    if (batch === undefined) return;
    this.#settled(batch);
    const { messages, lost } = shrink([batch.payload], { kind: 'drop', kinds: ['sample', 'measurement', 'event'] });
    this.#waitingBytes -= batch.payload.length;
    this.#waitingReadings -= batch.readings;
    for (const [machineId, gone] of lost) this.#lose(machineId, gone, 'the log does not keep up');
    // Of a batch with a reading that cannot be decoded, nobody can say whose the others are.
    if (messages[0] === 'unchanged') this.#losses += batch.readings;
  }

  #removeEmpty(): void {
    for (let index = this.#waiting.length - 1; index >= 0; index -= 1) {
      if (this.#waiting[index]?.readings !== 0) continue;
      for (const batch of this.#waiting.splice(index, 1)) this.#settled(batch);
    }
  }

  #lose(machineId: string, gone: Readonly<Gone>, reason: string): void {
    if (this.#untold.size === 0) this.#options.logger.error('readings are being merged or lost', { reason });
    this.#losses += gone.readings;
    addGone(this.#untold, machineId, gone);
  }

  #tellGaps(): void {
    const timestamp = now(this.#options.clock);
    const losses = [...this.#untold];
    this.#untold.clear();
    for (const [machineId, { startTime, endTime, readings }] of losses) {
      this.#options.logger.error('readings were merged into others or lost', { machine_id: machineId, readings });
      this.accept({
        machine_id: machineId,
        timestamp,
        kind: 'event',
        event_type: 'gap',
        text: `${readings} readings were merged into others or lost at the gateway: its log could not take them`,
        details: { reason: 'refused', start_time: startTime, end_time: endTime, readings },
      });
    }
  }
}

function oneOf({ timestamp }: Reading): Gone {
  return { startTime: timestamp, endTime: timestamp, readings: 1 };
}

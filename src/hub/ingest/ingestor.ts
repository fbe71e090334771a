/**
 * Takes messages from any transport and stores them: the answer comes when they are committed.
 *
 * Messages are decoded and encoded when they come. Two transactions may be under way, so that one has rows to copy while
 * the other commits, and this process decodes; meanwhile all that comes gathers for the next. So a single message waits
 * for nobody, and under load transactions grow by themselves.
 *
 * Trouble with the database is waited out (exponential backoff with jitter) until the sender's patience ends; the sender
 * then tries again, and what was stored meanwhile is recognized by its identity.
 */
import type { Client } from 'pg';
import { Backoff } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import { messageOf, MillwrightError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { Random } from '../../base/random.ts';
import type { IngestAnswer } from '../../model/api.ts';
import { faultKind } from '../store/connection.ts';
import type { Consignment, Parcel } from '../store/parcel.ts';
import { RowEncoder } from '../store/rows.ts';
import type { Written } from '../store/writer.ts';
import { type Committed, Lane, type Outcome } from './lane.ts';
import { type IsWatched, type Message, prepare, REASONS_TOLD_MAX } from './prepare.ts';

export type { Committed } from './lane.ts';

export interface IngestLimits {
  /** Of messages and their rows that wait or are under way. Beyond it new messages are told to come later. */
  readonly queueBytesMax: number;
  /** A transaction takes no further message when it holds so many readings. */
  readonly transactionReadingsMax: number;
  /** How long a sender waits for trouble to pass before it is told to come later. */
  readonly patienceMs: number;
  /** A transaction that takes longer is given up with its connection: longer than any statement's timeout. */
  readonly transactionMsMax: number;
  readonly backoff: { readonly firstMs: number; readonly maxMs: number };
  /** A transaction that is still under way so long after the signal to stop is given up with its connection. */
  readonly stopMsMax: number;
  /** How long the last failure counts when nobody has tried since. */
  readonly failureMsMax: number;
}

export const INGEST_LIMITS: IngestLimits = {
  queueBytesMax: 64 * 1024 * 1024,
  transactionReadingsMax: 20_000,
  patienceMs: 10_000,
  transactionMsMax: 30_000,
  backoff: { firstMs: 100, maxMs: 3_000 },
  stopMsMax: 7_000,
  failureMsMax: 60_000,
};

/** Transactions under way at once. */
const LANES = 2;
/** What a sender that comes too early is told to wait. */
const COME_LATER_MS = 1_000;

export interface IngestorParts {
  /** A new connection, not yet connected. */
  readonly connection: (onLost: (error: Error) => void) => Client;
  readonly isWatched: IsWatched;
  readonly committed: (committed: Committed) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** Since the start of the process. */
export interface IngestCounters {
  readingsStored: number;
  batchesStored: number;
  batchesDuplicate: number;
  deadLetters: number;
  transactions: number;
  transactionSeconds: number;
  failures: number;
}

interface Entry {
  readonly consignment: Consignment;
  readonly readings: number;
  readonly bytes: number;
  readonly deadline: number;
  readonly resolve: (answer: IngestAnswer) => void;
  readonly reject: (error: Error) => void;
}

export class Ingestor {
  readonly counters: IngestCounters = {
    readingsStored: 0,
    batchesStored: 0,
    batchesDuplicate: 0,
    deadLetters: 0,
    transactions: 0,
    transactionSeconds: 0,
    failures: 0,
  };
  readonly #parts: IngestorParts;
  readonly #limits: IngestLimits;
  readonly #encoder: RowEncoder = new RowEncoder();
  readonly #backoff: Backoff;
  readonly #lanes: readonly Lane[];
  readonly #queue: Entry[] = [];
  #queuedBytes = 0;
  /** Of lanes that have nothing to do. */
  #wakes: (() => void)[] = [];
  /** Before {@link run} and after its end nobody would answer. */
  #state: 'waiting' | 'running' | 'stopping' = 'waiting';
  #lastError: string | null = null;
  #lastErrorMs = 0;

  constructor(parts: IngestorParts, limits: IngestLimits = INGEST_LIMITS) {
    this.#parts = parts;
    this.#limits = limits;
    this.#backoff = new Backoff(limits.backoff, parts.random);
    const { connection, isWatched, clock, log } = parts;
    const { transactionMsMax } = limits;
    const committed = (written: Written, parcels: number, seconds: number): void => {
      this.#committed(written, parcels, seconds);
    };
    const lane = { connection, isWatched, encoder: this.#encoder, committed, clock, log, transactionMsMax };
    this.#lanes = Array.from({ length: LANES }, () => new Lane(lane));
  }

  /**
   * Why nothing can be stored now; null when the last transaction succeeded, and when the failure is old: whoever sends
   * only to a hub that calls itself healthy would otherwise never find out that it is.
   */
  get lastError(): string | null {
    const ageMs = this.#parts.clock.monotonicMs() - this.#lastErrorMs;
    return ageMs > this.#limits.failureMsMax ? null : this.#lastError;
  }

  /** Readings wait because all transactions that may be under way are. */
  get isPressed(): boolean {
    return this.#queue.length > 0;
  }

  /** Bytes of messages and rows that wait or are under way. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /**
   * Resolves when all of the messages are in the database, or in its dead letters, committed.
   * @throws `try_later` when the queue is full, the database could not be reached in time, or the hub is stopping
   */
  submit(messages: readonly Message[]): Promise<IngestAnswer> {
    const payloadBytes = messages.reduce((sum, { payload }) => sum + payload.length, 0);
    if (this.#state === 'stopping') return Promise.reject(comeLater('the hub is stopping'));
    if (this.#state === 'waiting') return Promise.reject(comeLater('the hub waits for its database'));
    if (this.#queuedBytes > 0 && this.#queuedBytes + payloadBytes > this.#limits.queueBytesMax) {
      const reason = this.#lastError === null ? 'the database is slower than the senders' : this.#lastError;
      return Promise.reject(comeLater(`too much waits to be stored (${reason})`));
    }
    const consignment = prepare(messages, this.#encoder, this.#parts.isWatched);
    const bytes = payloadBytes + consignment.rowsBytes;
    const readings = consignment.parcels.reduce((sum, parcel) => sum + parcel.readings, 0);
    this.#queuedBytes += bytes;
    const deadline = this.#parts.clock.monotonicMs() + this.#limits.patienceMs;
    return new Promise((resolve, reject) => {
      this.#queue.push({ consignment, readings, bytes, deadline, resolve, reject });
      this.#wakes.pop()?.();
    });
  }

  /** Stores until the signal is aborted, then what is still queued as long as the database takes it, within the limit. */
  async run(signal: AbortSignal): Promise<void> {
    this.#state = 'running';
    let impatience: NodeJS.Timeout | undefined;
    signal.addEventListener('abort', () => {
      this.#state = 'stopping';
      for (const wake of this.#wakes.splice(0)) wake();
      impatience = setTimeout(() => this.#disconnect(), this.#limits.stopMsMax);
    });
    await Promise.all(this.#lanes.map((lane) => this.#runLane(lane, signal)));
    clearTimeout(impatience);
    this.#state = 'stopping';
    await Promise.all(this.#lanes.map((lane) => lane.close()));
  }

  async #runLane(lane: Lane, signal: AbortSignal): Promise<void> {
    while (!signal.aborted || this.#queue.length > 0) {
      if (this.#queue.length > 0) await this.#storeEntries(lane, this.#takeEntries(), signal);
      else await new Promise<void>((resolve) => void this.#wakes.push(resolve));
    }
  }

  #takeEntries(): Entry[] {
    let readings = 0;
    let count = 0;
    for (const entry of this.#queue) {
      if (count > 0 && readings + entry.readings > this.#limits.transactionReadingsMax) break;
      readings += entry.readings;
      count += 1;
    }
    return this.#queue.splice(0, count);
  }

  async #storeEntries(lane: Lane, entries: Entry[], signal: AbortSignal): Promise<void> {
    let open = entries;
    while (open.length > 0) {
      try {
        const outcomes = await lane.store(open.map((entry) => entry.consignment));
        this.#backoff.reset();
        this.#lastError = null;
        return this.#answer(open, outcomes);
      } catch (error) {
        this.#fail(lane, error);
        open = this.#dismiss(open, signal.aborted);
        this.#queue.splice(0, this.#queue.length, ...this.#dismiss(this.#queue, signal.aborted));
        if (open.length > 0) await this.#parts.clock.sleep(this.#backoff.nextMs(), signal);
      }
    }
  }

  #fail(lane: Lane, error: unknown): void {
    this.counters.failures += 1;
    if (faultKind(error) === 'conflict') return this.#parts.log.debug('a transaction is repeated', { error });
    const reason = messageOf(error);
    if (this.#lastError !== reason) this.#parts.log.warn('readings cannot be stored now; trying again', { error });
    this.#lastError = reason;
    this.#lastErrorMs = this.#parts.clock.monotonicMs();
    lane.disconnect();
  }

  #disconnect(): void {
    for (const lane of this.#lanes) lane.disconnect();
  }

  /** Tells the senders whose patience has ended, and returns the others. */
  #dismiss(entries: readonly Entry[], all: boolean): Entry[] {
    const nowMs = this.#parts.clock.monotonicMs();
    return entries.filter((entry) => {
      if (!all && entry.deadline > nowMs) return true;
      this.#queuedBytes -= entry.bytes;
      entry.reject(comeLater(`the database cannot be reached: ${this.#lastError}`));
      return false;
    });
  }

  #committed({ stored, contents, machines }: Written, parcels: number, seconds: number): void {
    const { counters } = this;
    counters.transactions += 1;
    counters.transactionSeconds += seconds;
    counters.batchesStored += stored.size;
    counters.batchesDuplicate += parcels - stored.size;
    for (const { readings, deadLetters } of stored) {
      counters.readingsStored += readings;
      counters.deadLetters += deadLetters;
    }
    const samples = contents.flatMap((content) => content.samples);
    const events = contents.flatMap((content) => content.events);
    this.#parts.committed({ machines, samples, events });
  }

  #answer(entries: readonly Entry[], outcomes: ReadonlyMap<Parcel, Outcome>): void {
    for (const entry of entries) {
      this.#queuedBytes -= entry.bytes;
      entry.resolve(answerOf(entry.consignment, outcomes));
    }
  }
}

function comeLater(message: string): MillwrightError {
  return new MillwrightError('try_later', message, { retryAfterMs: COME_LATER_MS });
}

function answerOf(consignment: Consignment, outcomes: ReadonlyMap<Parcel, Outcome>): IngestAnswer {
  let stored = 0;
  let duplicates = 0;
  let deadLetters = 0;
  const refused: { place: string; reason: string }[] = [];
  for (const parcel of consignment.parcels) {
    const kept = outcomes.get(parcel)?.kept;
    if (kept === undefined) {
      duplicates += 1;
      continue;
    }
    stored += kept.readings;
    deadLetters += kept.deadLetters;
    if (refused.length < REASONS_TOLD_MAX) refused.push(...kept.refused);
  }
  return {
    stored,
    duplicate_batches: duplicates,
    dead_letters: deadLetters,
    refused: refused.slice(0, REASONS_TOLD_MAX),
  };
}

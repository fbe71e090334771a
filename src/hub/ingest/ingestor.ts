/**
 * Takes messages from any transport and stores them: the answer comes when they are committed.
 *
 * Messages are decoded and encoded when they come; one transaction at a time is under way, and meanwhile all that comes
 * gathers for the next. So a single message waits for nobody, and under load transactions grow by themselves.
 *
 * Trouble with the database is waited out (exponential backoff with jitter) until the sender's patience ends; the sender
 * then tries again, and what was stored meanwhile is recognized by its identity. What the database refuses as data is
 * searched by halves until the guilty reading is found, and that becomes a dead letter.
 */
import type { Client } from 'pg';
import { Backoff } from '../../base/backoff.ts';
import { type Clock, now } from '../../base/clock.ts';
import { messageOf, MillwrightError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { Random } from '../../base/random.ts';
import type { IngestAnswer } from '../../model/api.ts';
import { decodeMessage, encodeFrame, FRAME_HEADER_BYTES, type FrameFault } from '../../model/frame.ts';
import type { MachineEvent, Reading, Sample } from '../../model/reading.ts';
import { faultKind } from '../store/connection.ts';
import type { Consignment, Parcel } from '../store/parcel.ts';
import { RowEncoder } from '../store/rows.ts';
import { probeRows, writeConsignments } from '../store/writer.ts';
import { type IsWatched, type Message, prepare, prepareOpened, REASONS_TOLD_MAX, refuseWhole } from './prepare.ts';

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

/** Of one message, the database may refuse this many readings before the whole message is put aside. */
const REFUSED_READINGS_MAX = 100;
/** What a sender that comes too early is told to wait. */
const COME_LATER_MS = 1_000;

/** What was committed, for those who want to see it live. */
export interface Committed {
  readonly machines: readonly string[];
  readonly samples: readonly Sample[];
  readonly events: readonly MachineEvent[];
}

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

/** A parcel and what was kept of it; nothing when it was there before. */
interface Outcome {
  readonly parcel: Parcel;
  readonly kept: Parcel | undefined;
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
  readonly #queue: Entry[] = [];
  #queuedBytes = 0;
  #wake: (() => void) | undefined;
  #client: Client | undefined;
  /** Before {@link run} and after its end nobody would answer. */
  #state: 'waiting' | 'running' | 'stopping' = 'waiting';
  #lastError: string | null = null;
  #lastErrorMs = 0;

  constructor(parts: IngestorParts, limits: IngestLimits = INGEST_LIMITS) {
    this.#parts = parts;
    this.#limits = limits;
    this.#backoff = new Backoff(limits.backoff, parts.random);
  }

  /**
   * Why nothing can be stored now; null when the last transaction succeeded, and when the failure is old: whoever sends
   * only to a hub that calls itself healthy would otherwise never find out that it is.
   */
  get lastError(): string | null {
    const ageMs = this.#parts.clock.monotonicMs() - this.#lastErrorMs;
    return ageMs > this.#limits.failureMsMax ? null : this.#lastError;
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
      this.#wake?.();
    });
  }

  /** Stores until the signal is aborted, then what is still queued as long as the database takes it, within the limit. */
  async run(signal: AbortSignal): Promise<void> {
    this.#state = 'running';
    let impatience: NodeJS.Timeout | undefined;
    signal.addEventListener('abort', () => {
      this.#state = 'stopping';
      this.#wake?.();
      impatience = setTimeout(() => this.#disconnect(), this.#limits.stopMsMax);
    });
    while (!signal.aborted || this.#queue.length > 0) {
      if (this.#queue.length === 0) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      await this.#storeEntries(this.#takeEntries(), signal);
    }
    clearTimeout(impatience);
    this.#state = 'stopping';
    await this.#client?.end().catch(() => undefined);
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

  async #storeEntries(entries: Entry[], signal: AbortSignal): Promise<void> {
    let open = entries;
    while (open.length > 0) {
      try {
        const outcomes = await this.#store(open.map((entry) => entry.consignment));
        this.#backoff.reset();
        this.#lastError = null;
        return this.#answer(open, outcomes);
      } catch (error) {
        this.#fail(error);
        open = this.#dismiss(open, signal.aborted);
        this.#queue.splice(0, this.#queue.length, ...this.#dismiss(this.#queue, signal.aborted));
        if (open.length > 0) await this.#parts.clock.sleep(this.#backoff.nextMs(), signal);
      }
    }
  }

  #fail(error: unknown): void {
    this.counters.failures += 1;
    if (faultKind(error) === 'conflict') return this.#parts.log.debug('a transaction is repeated', { error });
    const reason = messageOf(error);
    if (this.#lastError !== reason) this.#parts.log.warn('readings cannot be stored now; trying again', { error });
    this.#lastError = reason;
    this.#lastErrorMs = this.#parts.clock.monotonicMs();
    this.#disconnect();
  }

  /** The next attempt makes a new connection. */
  #disconnect(): void {
    const client = this.#client;
    this.#client = undefined;
    client?.end(() => {});
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

  #answer(entries: readonly Entry[], outcomes: ReadonlyMap<Parcel, Outcome>): void {
    for (const entry of entries) {
      this.#queuedBytes -= entry.bytes;
      entry.resolve(answerOf(entry.consignment, outcomes));
    }
  }

  /** One transaction, or as many as it takes to find what the database refuses. */
  async #store(consignments: readonly Consignment[]): Promise<ReadonlyMap<Parcel, Outcome>> {
    const outcomes = new Map<Parcel, Outcome>();
    for (const outcome of await this.#storeOrDivide(consignments)) outcomes.set(outcome.parcel, outcome);
    return outcomes;
  }

  async #storeOrDivide(consignments: readonly Consignment[]): Promise<Outcome[]> {
    try {
      return await this.#transact(consignments);
    } catch (error) {
      if (faultKind(error) !== 'data') throw error;
      const parcels = consignments.flatMap((consignment) => consignment.parcels);
      const middle = Math.floor(parcels.length / 2);
      if (middle > 0) {
        return [
          ...(await this.#storeOrDivide([this.#prepareAgain(parcels.slice(0, middle))])),
          ...(await this.#storeOrDivide([this.#prepareAgain(parcels.slice(middle))])),
        ];
      }
      const [only] = parcels;
      return only === undefined ? [] : [await this.#repair(only, error)];
    }
  }

  /** Parcels without those that came with them. */
  #prepareAgain(parcels: readonly Parcel[]): Consignment {
    return { ...prepare(parcels, this.#encoder, this.#parts.isWatched), parcels };
  }

  async #transact(consignments: readonly Consignment[]): Promise<Outcome[]> {
    const started = this.#parts.clock.monotonicMs();
    const { stored, contents, machines } = await this.#withClient((client) => {
      const again = (parcels: readonly Parcel[]): Consignment => this.#prepareAgain(parcels);
      return writeConsignments(client, consignments, { prepareAgain: again, now: now(this.#parts.clock) });
    });
    this.counters.transactions += 1;
    this.counters.transactionSeconds += (this.#parts.clock.monotonicMs() - started) / 1000;
    for (const { readings, deadLetters } of stored) {
      this.counters.readingsStored += readings;
      this.counters.deadLetters += deadLetters;
    }
    const parcels = consignments.flatMap((consignment) => consignment.parcels);
    this.counters.batchesStored += stored.size;
    this.counters.batchesDuplicate += parcels.length - stored.size;
    const samples = contents.flatMap((content) => content.samples);
    const events = contents.flatMap((content) => content.events);
    this.#parts.committed({ machines, samples, events });
    return parcels.map((parcel) => ({ parcel, kept: stored.has(parcel) ? parcel : undefined }));
  }

  /** Stores what the database takes of a message, and the rest as dead letters with the database's reason. */
  async #repair(parcel: Parcel, error: unknown): Promise<Outcome> {
    const { readings, faults } = decodeMessage(parcel.payload);
    const refused = new Map<Reading, string>();
    await this.#findRefused(readings, refused);
    this.#parts.log.warn('the database refused readings; they are in the dead letters', {
      error,
      readings: refused.size,
    });
    if (refused.size > 0 && refused.size <= REFUSED_READINGS_MAX) {
      const taken = readings.filter((reading) => !refused.has(reading));
      const allFaults: FrameFault[] = [...faults];
      for (const [reading, reason] of refused) {
        const bytes = encodeFrame(reading).subarray(FRAME_HEADER_BYTES);
        allFaults.push({ offset: 0, reason: `the database refuses it: ${reason}`, bytes });
      }
      try {
        const repaired = prepareOpened(parcel, { readings: taken, faults: allFaults }, this.#encoder);
        return await this.#transactOne(parcel, repaired);
      } catch (again) {
        if (faultKind(again) !== 'data') throw again;
      }
    }
    const whole = refuseWhole(parcel, `the database refuses it: ${messageOf(error)}`, this.#encoder);
    return await this.#transactOne(parcel, whole);
  }

  /** The outcome is told of the parcel as it came. */
  async #transactOne(parcel: Parcel, instead: Consignment): Promise<Outcome> {
    const [outcome] = await this.#transact([instead]);
    return { parcel, kept: outcome?.kept };
  }

  /** By halves; stops when more are found than are worth it. */
  async #findRefused(readings: readonly Reading[], refused: Map<Reading, string>): Promise<void> {
    if (readings.length === 0 || refused.size > REFUSED_READINGS_MAX) return;
    for (const reading of readings) this.#encoder.add(reading);
    const rows = this.#encoder.take();
    try {
      await this.#withClient((client) => probeRows(client, rows));
    } catch (error) {
      if (faultKind(error) !== 'data') throw error;
      const [first] = readings;
      if (readings.length === 1 && first !== undefined) {
        refused.set(first, messageOf(error));
        return;
      }
      const middle = Math.floor(readings.length / 2);
      await this.#findRefused(readings.slice(0, middle), refused);
      await this.#findRefused(readings.slice(middle), refused);
    }
  }

  /** With a connection, made where there is none; a server that does not answer at all loses it. */
  async #withClient<Result>(work: (client: Client) => Promise<Result>): Promise<Result> {
    const client = this.#client ?? (await this.#connect());
    const impatience = setTimeout(() => client.end(() => {}), this.#limits.transactionMsMax);
    try {
      return await work(client);
    } finally {
      clearTimeout(impatience);
    }
  }

  async #connect(): Promise<Client> {
    const client = this.#parts.connection((error) => {
      this.#parts.log.debug('the connection for writing was lost', { error });
      if (this.#client === client) this.#client = undefined;
    });
    await client.connect();
    this.#client = client;
    return client;
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

/** What the hub says of itself: for the pages, for health checks, and as Prometheus metrics. */
import { Counter, Gauge, Registry } from 'prom-client';
import { type Clock, now } from '../base/clock.ts';
import { type ErrorCode, messageOf } from '../base/errors.ts';
import type { HubStatus } from '../model/api.ts';
import type { Ingestor } from './ingest/ingestor.ts';
import type { JetStreamReader } from './ingest/jetstream.ts';
import type { LiveBus } from './live/bus.ts';
import type { Reader } from './store/reader.ts';

export interface StatusParts {
  readonly version: string;
  readonly timeZone: string;
  readonly ingestor: Ingestor;
  readonly reader: Reader;
  readonly bus: LiveBus;
  /** Null where NATS is not configured. */
  readonly stream: JetStreamReader | null;
  readonly clock: Clock;
}

/** The database is asked at most so often, however many want to know. */
const CHECK_INTERVAL_MS = 1_000;
/** The rate is that of the last two spans of this length. */
const RATE_SPAN_MS = 2_000;

export class HubHealth {
  readonly #parts: StatusParts;
  #checked: Promise<string | null> | undefined;
  #checkedMs = 0;
  #older: { readonly ms: number; readonly readings: number };
  #newer: { readonly ms: number; readonly readings: number };

  constructor(parts: StatusParts) {
    this.#parts = parts;
    this.#older = this.#newer = { ms: parts.clock.monotonicMs(), readings: 0 };
  }

  async status(): Promise<HubStatus> {
    const { version, timeZone, ingestor, stream, clock } = this.#parts;
    const error = await this.databaseError();
    const { readingsStored, batchesDuplicate, deadLetters } = ingestor.counters;
    return {
      version,
      time: now(clock),
      time_zone: timeZone,
      database: error === null ? 'ok' : 'failing',
      database_error: error,
      readings_stored: readingsStored,
      readings_per_second: this.#rate(),
      batches_duplicate: batchesDuplicate,
      dead_letters: deadLetters,
      nats: stream?.status ?? null,
    };
  }

  /** Why readings cannot be taken and stored, all ways considered; null when they can. */
  async fault(): Promise<{ readonly code: ErrorCode; readonly message: string } | null> {
    const reason = await this.databaseError();
    if (reason !== null) return { code: 'database_unavailable', message: `the database cannot be used: ${reason}` };
    const streamReason = this.#parts.stream?.lastError ?? null;
    if (streamReason !== null) {
      return { code: 'connection_failed', message: `nothing can be read from NATS: ${streamReason}` };
    }
    return null;
  }

  /** Why the database cannot be used; null when it can. */
  databaseError(): Promise<string | null> {
    const { reader, ingestor, clock } = this.#parts;
    const nowMs = clock.monotonicMs();
    if (this.#checked === undefined || nowMs - this.#checkedMs > CHECK_INTERVAL_MS) {
      this.#checkedMs = nowMs;
      this.#checked = reader.check().then(() => ingestor.lastError, messageOf);
    }
    return this.#checked;
  }

  #rate(): number {
    const nowMs = this.#parts.clock.monotonicMs();
    const readings = this.#parts.ingestor.counters.readingsStored;
    if (nowMs - this.#newer.ms > RATE_SPAN_MS) {
      this.#older = this.#newer;
      this.#newer = { ms: nowMs, readings };
    }
    const seconds = (nowMs - this.#older.ms) / 1000;
    return seconds <= 0 ? 0 : Math.round(((readings - this.#older.readings) / seconds) * 10) / 10;
  }
}

/** The metrics are read from the parts when they are asked for; nothing is counted twice. */
export function createMetrics({ ingestor, bus, stream }: StatusParts): Registry {
  const registry = new Registry();
  const registers = [registry];
  const counter = (name: string, help: string, value: () => number): void => {
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(value());
      },
    });
  };
  const gauge = (name: string, help: string, value: () => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value());
      },
    });
  };
  const { counters } = ingestor;
  counter('millwright_hub_readings_stored_total', 'Readings committed', () => counters.readingsStored);
  counter('millwright_hub_batches_stored_total', 'Batches committed', () => counters.batchesStored);
  counter('millwright_hub_batches_duplicate_total', 'Batches that were there before', () => counters.batchesDuplicate);
  counter('millwright_hub_dead_letters_total', 'Parts of messages that were refused', () => counters.deadLetters);
  counter('millwright_hub_transactions_total', 'Transactions committed', () => counters.transactions);
  counter('millwright_hub_transaction_seconds_total', 'Time they took', () => counters.transactionSeconds);
  counter('millwright_hub_transaction_failures_total', 'Transactions that failed', () => counters.failures);
  if (stream !== null) {
    const { counters: taken } = stream;
    const pending = (): number => stream.status.messages_pending ?? 0;
    gauge('millwright_hub_nats_up', '1 while the stream is read', () => (stream.lastError === null ? 1 : 0));
    gauge('millwright_hub_nats_pending', 'Messages of the stream that are not acknowledged', pending);
    gauge('millwright_hub_nats_in_flight', 'Messages that this hub holds', () => stream.status.messages_in_flight);
    counter('millwright_hub_nats_received_total', 'Deliveries to this hub', () => taken.received);
    counter('millwright_hub_nats_redelivered_total', 'Those that were not the first', () => taken.redelivered);
    counter('millwright_hub_nats_acknowledged_total', 'Messages acknowledged', () => taken.acknowledged);
    counter('millwright_hub_nats_given_back_total', 'Messages given back for later', () => taken.givenBack);
    counter('millwright_hub_nats_terminated_total', 'Messages that could not be unpacked', () => taken.terminated);
  }
  gauge('millwright_hub_queue_bytes', 'Messages and rows that wait or are under way', () => ingestor.queuedBytes);
  gauge('millwright_hub_live_clients', 'Open live streams', () => bus.subscribers);
  gauge('millwright_hub_resident_memory_bytes', 'Resident memory', () => process.memoryUsage.rss());
  return registry;
}

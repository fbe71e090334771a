/**
 * Delivers the log to one sink: reads from the sink's cursor, hands over as much as the sink takes at once, and moves
 * the cursor when all of that is settled. What may pass is tried again for ever, with growing waits; what the far end
 * refuses for good goes to the dead letters first. A sink that is down delays nobody else.
 */
import { Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { MillwrightError, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Random } from '../base/random.ts';
import { Rate } from '../base/rate.ts';
import type { DurableLog, StoredBatch } from '../log/log.ts';
import type { Batch } from '../model/batch.ts';
import type { EdgeStatus, SinkStatus } from '../model/status.ts';
import { timestampOf } from '../model/time.ts';
import { isStatusReporter, type Settlement, type Sink } from '../ports/sink.ts';
import type { DeadLetters } from './dead-letters.ts';

export const RETRY_LIMITS = { firstMs: 500, maxMs: 30_000 } as const;
/** A far end that asks for a longer wait is asked again after this: whoever said so may be a proxy that knows nothing of it. */
export const RETRY_AFTER_MS_MAX: number = 5 * 60_000;
/** How often a sink that wants it is told the edge's status. */
export const REPORT_INTERVAL_MS = 2_000;

/** What delivery needs of the log. */
export type ReadableLog = Pick<DurableLog, 'epoch' | 'lastSequence' | 'read' | 'waitFor' | 'cursor' | 'backlog'>;

export interface DeliveryOptions {
  readonly name: string;
  readonly type: string;
  readonly gatewayId: string;
  readonly sink: Sink;
  readonly log: ReadableLog;
  readonly deadLetters: Pick<DeadLetters, 'keep'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** Neighbouring batches that are handed over in one call, and settled together. */
interface Lot {
  readonly batches: readonly Batch[];
  readonly lastSequence: number;
  readonly readings: number;
}

export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #logger: Logger;
  readonly #backoff: Backoff;
  readonly #rate = new Rate();

  #state: SinkStatus['state'] = 'connecting';
  #lastError: string | null = null;
  #lastDeliveryMicros: number | null = null;
  #retries = 0;
  #deadLetters = 0;
  #delivered = 0;
  #reportError: string | null = null;

  constructor(options: DeliveryOptions) {
    this.#options = options;
    this.#logger = options.logger.with({ sink: options.name });
    this.#backoff = new Backoff(RETRY_LIMITS, options.random);
  }

  /** Until aborted. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const cursor = this.#options.log.cursor(this.#options.name);
    while (!signal.aborted) {
      try {
        const lot = await this.#nextLot(cursor.position + 1, signal);
        if (lot === undefined) continue;
        const settlement = await this.#options.sink.deliver(lot.batches, signal);
        await this.#keepRefused(lot, settlement);
        await cursor.settle(lot.lastSequence);
        this.#settled(lot);
      } catch (error) {
        if (!signal.aborted) await this.#failed(error, signal);
      }
    }
    this.#state = 'stopped';
  }

  /** Tells the sink the edge's status every two seconds, if it wants to know. Until aborted. Never rejects. */
  async runReports(status: () => EdgeStatus, signal: AbortSignal): Promise<void> {
    const { sink, clock } = this.#options;
    if (!isStatusReporter(sink)) return;
    while (!signal.aborted) {
      try {
        await sink.report(status(), signal);
        this.#reported(null);
      } catch (error) {
        if (!signal.aborted) this.#reported(messageOf(error));
      }
      await clock.sleep(REPORT_INTERVAL_MS, signal);
    }
  }

  /** Resolves when the sink has everything that is in the log now, or the signal is aborted. */
  async caughtUp(signal: AbortSignal): Promise<void> {
    const { log, name, clock } = this.#options;
    const goal = log.lastSequence;
    while (!signal.aborted && log.cursor(name).position < goal) await clock.sleep(20, signal);
  }

  get name(): string {
    return this.#options.name;
  }

  /** Readings settled since the start, dead letters among them. */
  get delivered(): number {
    return this.#delivered;
  }

  status(): SinkStatus {
    const { name, type, log, clock } = this.#options;
    const { batches, readings, oldestAppendedAtMicros } = log.backlog(name);
    const ageMicros = oldestAppendedAtMicros === null ? null : clock.nowMicros() - oldestAppendedAtMicros;
    return {
      name,
      type,
      state: this.#state,
      last_error: this.#lastError,
      cursor: log.cursor(name).position,
      lag_batches: batches,
      lag_readings: readings,
      oldest_unsent_age_seconds: ageMicros === null ? null : Math.max(0, Math.round(ageMicros / 1000) / 1000),
      readings_per_second: this.#rate.perSecond(clock.monotonicMs()),
      retries: this.#retries,
      dead_letters: this.#deadLetters,
      last_delivery: this.#lastDeliveryMicros === null ? null : timestampOf(this.#lastDeliveryMicros),
    };
  }

  /** Waits for the batch `from` and takes what follows it, up to the sink's limits; undefined when aborted, or when damage left nothing. */
  async #nextLot(from: number, signal: AbortSignal): Promise<Lot | undefined> {
    const { log, sink, gatewayId } = this.#options;
    await log.waitFor(from, signal);
    if (signal.aborted) return undefined;
    const stored = await log.read(from, sink.limits);
    const last = stored.at(-1);
    if (last === undefined) return undefined;
    const { epoch } = log;
    return {
      batches: stored.map(({ sequence, readings, payload }) => ({ gatewayId, epoch, sequence, readings, payload })),
      lastSequence: last.sequence,
      readings: readingsOf(stored),
    };
  }

  async #keepRefused(lot: Lot, { refused }: Settlement): Promise<void> {
    if (refused.length === 0) return;
    const bySequence = new Map(lot.batches.map((batch) => [batch.sequence, batch]));
    const kept = refused.flatMap(({ sequence, reason }) => {
      const batch = bySequence.get(sequence);
      return batch === undefined ? [] : [{ batch, reason }];
    });
    await this.#options.deadLetters.keep(kept);
    this.#deadLetters += kept.length;
    for (const { batch, reason } of kept) {
      this.#logger.error('a batch was refused and is in the dead letters', { sequence: batch.sequence, reason });
    }
  }

  #settled(lot: Lot): void {
    const { clock } = this.#options;
    this.#delivered += lot.readings;
    this.#rate.add(lot.readings, clock.monotonicMs());
    this.#lastDeliveryMicros = clock.nowMicros();
    this.#backoff.reset();
    if (this.#lastError !== null) this.#logger.info('the sink takes batches again', { sequence: lot.lastSequence });
    this.#lastError = null;
    this.#state = 'ok';
  }

  async #failed(error: unknown, signal: AbortSignal): Promise<void> {
    const reason = messageOf(error);
    if (this.#lastError !== reason) this.#logger.warn('the sink takes nothing now; it is tried again', { reason });
    this.#lastError = reason;
    this.#state = 'failing';
    this.#retries += 1;
    const retryAfterMs = error instanceof MillwrightError ? error.retryAfterMs : undefined;
    const askedMs = retryAfterMs === undefined ? undefined : Math.min(retryAfterMs, RETRY_AFTER_MS_MAX);
    await this.#options.clock.sleep(this.#backoff.nextMs(askedMs), signal);
  }

  #reported(error: string | null): void {
    if (error === null && this.#state === 'connecting') this.#state = 'ok';
    if ((error === null) === (this.#reportError === null)) return;
    this.#reportError = error;
    if (error === null) this.#logger.info('the sink takes status reports again');
    else this.#logger.warn('the sink takes no status reports now', { reason: error });
  }
}

function readingsOf(batches: readonly StoredBatch[]): number {
  return batches.reduce((readings, batch) => readings + batch.readings, 0);
}

/** Publishes to a hub over one connection: what is waiting goes together in one request, one request at a time. */
import { crc32 } from 'node:zlib';
import { Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { MillwrightError, messageOf } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import type { IngestAnswer } from '../model/api.ts';
import { type Batch, BATCHES_MEDIA_TYPE, encodeBatchHeader } from '../model/batch.ts';
import type { HubClient } from './http-client.ts';
import { newFigures, type Publisher, type PublisherFigures, Waiters } from './publisher.ts';

export interface HttpPublisherOptions {
  /** Closed with the publisher. */
  readonly client: HubClient;
  readonly clock: Clock;
  readonly random: Random;
  /** Called for each batch when the hub has committed it. */
  readonly onAcknowledged?: (batch: Batch, latencyMs: number) => void;
}

/** Limits of one request; the hub takes 8 MiB. */
const BATCHES_PER_REQUEST_MAX = 500;
const REQUEST_BYTES_MAX: number = 1024 * 1024;
const RETRY = { firstMs: 100, maxMs: 5_000 };

interface Waiting {
  readonly batch: Batch;
  readonly publishedMs: number;
}

export class HttpPublisher implements Publisher {
  readonly figures: PublisherFigures = newFigures();
  readonly #options: HttpPublisherOptions;
  readonly #backoff: Backoff;
  readonly #waiters = new Waiters();
  readonly #closing = new AbortController();
  /** Oldest first; those of the request under way stay in it until they are acknowledged. */
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #sending: Promise<void> | null = null;

  constructor(options: HttpPublisherOptions) {
    this.#options = options;
    this.#backoff = new Backoff(RETRY, options.random);
  }

  /** For the request under way and the next one. */
  get hasRoom(): boolean {
    return (
      this.#waiting.length < 2 * BATCHES_PER_REQUEST_MAX &&
      this.#waitingBytes < 2 * REQUEST_BYTES_MAX &&
      this.#waiters.failure === null
    );
  }

  room(signal: AbortSignal): Promise<void> {
    return this.#waiters.wait(() => this.hasRoom, signal);
  }

  settled(signal: AbortSignal): Promise<void> {
    return this.#waiters.wait(() => this.#waiting.length === 0, signal);
  }

  publish(batch: Batch): void {
    this.#waiting.push({ batch, publishedMs: this.#options.clock.monotonicMs() });
    this.#waitingBytes += batch.payload.length;
    this.figures.published += 1;
    this.#sending ??= this.#send();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#sending;
    this.#options.client.close();
  }

  async #send(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#closing;
    // What is published in the same turn of the event loop goes together.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0 && !signal.aborted) {
      const request = this.#nextRequest();
      try {
        const answer = await this.#post(request.map(({ batch }) => batch));
        this.#acknowledged(request, answer);
      } catch (error) {
        if (signal.aborted) break;
        if (!mayPass(error)) {
          this.#waiters.fail(error instanceof Error ? error : new Error(String(error)));
          break;
        }
        this.figures.trouble = messageOf(error);
        this.figures.repeated += request.length;
        await clock.sleep(this.#backoff.nextMs(error.retryAfterMs), signal);
      }
    }
    this.#sending = null;
  }

  #nextRequest(): readonly Waiting[] {
    let bytes = 0;
    const end = this.#waiting.findIndex(({ batch }, index) => {
      bytes += batch.payload.length;
      return index >= BATCHES_PER_REQUEST_MAX || (index > 0 && bytes > REQUEST_BYTES_MAX);
    });
    return end === -1 ? [...this.#waiting] : this.#waiting.slice(0, end);
  }

  #post(batches: readonly Batch[]): Promise<IngestAnswer> {
    const body = batches.flatMap((batch) => [encodeBatchHeader(batch, crc32(batch.payload)), batch.payload]);
    const headers = { 'content-type': BATCHES_MEDIA_TYPE };
    const request = { method: 'POST', path: '/api/v1/ingest', headers, body: [Buffer.concat(body)] } as const;
    return this.#options.client.json<IngestAnswer>(request, this.#closing.signal);
  }

  #acknowledged(request: readonly Waiting[], { duplicate_batches: duplicates }: IngestAnswer): void {
    this.#waiting.splice(0, request.length);
    this.figures.acknowledged += request.length;
    this.figures.duplicates += duplicates;
    this.figures.trouble = null;
    this.#backoff.reset();
    const nowMs = this.#options.clock.monotonicMs();
    for (const { batch, publishedMs } of request) {
      this.#waitingBytes -= batch.payload.length;
      this.#options.onAcknowledged?.(batch, nowMs - publishedMs);
    }
    this.#waiters.check();
  }
}

function mayPass(error: unknown): error is MillwrightError {
  return error instanceof MillwrightError && ['connection_failed', 'try_later'].includes(error.code);
}

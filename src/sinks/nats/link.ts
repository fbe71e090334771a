/**
 * The sink's one connection to NATS, opened by the first work that needs it. Work is done while the connection stands, and
 * fails at once when it is lost: the library would let it wait for an answer that cannot come.
 */
import { Backoff } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import { MillwrightError } from '../../base/errors.ts';
import {
  connectNats,
  hostsOf,
  type NatsConnection,
  type NatsConnectionSettings,
  natsFailure,
} from '../../base/nats.ts';
import type { Random } from '../../base/random.ts';

export interface LinkParts {
  /** What the servers' monitoring shows. */
  readonly name: string;
  readonly reconnectFirstMs: number;
  readonly clock: Clock;
  readonly random: Random;
}

/** Longest wait between two attempts to open the connection, however many want it. */
const OPENING_MS_MAX = 10_000;

type Interrupt = (error: MillwrightError) => void;

export class Link {
  readonly #settings: NatsConnectionSettings;
  readonly #parts: LinkParts;
  readonly #backoff: Backoff;
  readonly #interrupts = new Set<Interrupt>();
  #opening: Promise<NatsConnection> | undefined;
  #openedAgainAtMs = Number.NEGATIVE_INFINITY;
  /** Why there is no connection now; undefined while it stands, and before the first attempt. */
  #trouble: MillwrightError | undefined;
  #isClosed = false;

  constructor(settings: NatsConnectionSettings, parts: LinkParts) {
    this.#settings = settings;
    this.#parts = parts;
    const firstMs = parts.reconnectFirstMs;
    this.#backoff = new Backoff({ firstMs, maxMs: Math.max(firstMs, OPENING_MS_MAX) }, parts.random);
  }

  /**
   * Rejects as the work does, and besides:
   * @throws connection_failed when there is no connection, when it is lost meanwhile, and when the signal is aborted
   * @throws storage_failed when a file of keys or certificates cannot be read
   */
  async use<Result>(work: (connection: NatsConnection) => Promise<Result>, signal: AbortSignal): Promise<Result> {
    const interrupted = Promise.withResolvers<never>();
    const stop = (): void => interrupted.reject(stopped());
    this.#interrupts.add(interrupted.reject);
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
    try {
      return await Promise.race([interrupted.promise, this.#connection(signal).then(work)]);
    } finally {
      signal.removeEventListener('abort', stop);
      this.#interrupts.delete(interrupted.reject);
    }
  }

  /** Does not wait for servers that do not answer. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const opening = this.#opening;
    this.#interrupt(stopped());
    void opening?.then((connection) => connection.close()).catch(() => {});
  }

  async #connection(signal: AbortSignal): Promise<NatsConnection> {
    if (this.#isClosed) throw stopped();
    if (this.#opening === undefined && this.#trouble !== undefined) {
      if (this.#parts.clock.monotonicMs() < this.#openedAgainAtMs) throw this.#trouble;
    }
    const connection = await (this.#opening ??= this.#open());
    if (signal.aborted || this.#isClosed) throw stopped();
    if (this.#trouble !== undefined) throw this.#trouble;
    return connection;
  }

  async #open(): Promise<NatsConnection> {
    const { name, reconnectFirstMs, clock, random } = this.#parts;
    try {
      const connection = await connectNats(this.#settings, { name, random, reconnectFirstMs });
      this.#trouble = undefined;
      this.#backoff.reset();
      void this.#watch(connection);
      return connection;
    } catch (error) {
      this.#trouble = error instanceof MillwrightError ? error : await natsFailure(this.#settings, error);
      this.#opening = undefined;
      this.#openedAgainAtMs = clock.monotonicMs() + this.#backoff.nextMs();
      throw this.#trouble;
    }
  }

  /** Until the library gives the connection up, which it does only when its files can no longer be read. */
  async #watch(connection: NatsConnection): Promise<void> {
    const lost = (): MillwrightError => {
      const hosts = hostsOf(this.#settings).join(', ');
      const sentence = `the connection to NATS at ${hosts} is lost; it is made again as soon as a server answers`;
      return new MillwrightError('connection_failed', sentence);
    };
    for await (const status of connection.status()) {
      if (status.type === 'reconnect') this.#trouble = undefined;
      else if (status.type === 'disconnect') {
        this.#trouble ??= lost();
        this.#interrupt(this.#trouble);
      } else if (status.type === 'error' && this.#trouble !== undefined) {
        this.#trouble = await natsFailure(this.#settings, status.error);
      }
    }
    this.#trouble = undefined;
    this.#opening = undefined;
    this.#interrupt(lost());
  }

  #interrupt(error: MillwrightError): void {
    for (const interrupt of this.#interrupts) interrupt(error);
  }
}

function stopped(): MillwrightError {
  return new MillwrightError('connection_failed', 'the delivery was stopped');
}

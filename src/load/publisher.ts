/** What a load generator publishes with: over NATS or over HTTP, one of these for each simulated gateway. */
import type { Batch } from '../model/batch.ts';

/**
 * Takes batches and sees to it that each is acknowledged: what is not answered, or refused for now, is sent again with
 * the same identity, for as long as it takes.
 *
 * A caller waits for {@link room} before each batch; {@link publish} itself never waits. Waits end early, without error,
 * when their signal is aborted. They reject when a batch is refused for good (`limit_exceeded`, `bad_request`): then
 * nothing more is sent.
 */
export interface Publisher {
  readonly hasRoom: boolean;
  room(signal: AbortSignal): Promise<void>;
  publish(batch: Batch): void;
  /** Resolves when everything published is acknowledged. */
  settled(signal: AbortSignal): Promise<void>;
  readonly figures: PublisherFigures;
  /** Gives up what is not acknowledged. */
  close(): Promise<void>;
}

/** Counted in messages. */
export interface PublisherFigures {
  published: number;
  acknowledged: number;
  /** Of the acknowledged, those that the far end had already: an acknowledgment was lost on the way. */
  duplicates: number;
  /** How often a message was sent again. */
  repeated: number;
  /** A sentence while nothing gets through; null while all is well. */
  trouble: string | null;
}

export function newFigures(): PublisherFigures {
  return { published: 0, acknowledged: 0, duplicates: 0, repeated: 0, trouble: null };
}

/** Waits of several callers for the same condition. */
export class Waiters {
  #waiting: { isMet: () => boolean; resolve: () => void; reject: (error: Error) => void }[] = [];
  #failure: Error | null = null;

  get failure(): Error | null {
    return this.#failure;
  }

  /** Resolves when the condition is met at a {@link check}, or the signal is aborted; rejects after {@link fail}. */
  wait(isMet: () => boolean, signal: AbortSignal): Promise<void> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    if (isMet() || signal.aborted) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        this.#waiting = this.#waiting.filter((one) => one !== waiter);
        resolve();
      };
      signal.addEventListener('abort', stop, { once: true });
      const done = (): void => {
        signal.removeEventListener('abort', stop);
        resolve();
      };
      const waiter = { isMet, resolve: done, reject };
      this.#waiting.push(waiter);
    });
  }

  check(): void {
    if (this.#waiting.length === 0) return;
    const met = this.#waiting.filter(({ isMet }) => isMet());
    if (met.length === 0) return;
    this.#waiting = this.#waiting.filter((waiter) => !met.includes(waiter));
    for (const { resolve } of met) resolve();
  }

  /** All waits, these and later ones, reject. */
  fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#failure);
  }
}

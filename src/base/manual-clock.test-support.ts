/** A clock for tests: it stands still until it is stepped by hand, and wakes the sleepers in order. */
import { microsOf, type Timestamp } from '../model/time.ts';
import type { Clock } from './clock.ts';

interface Sleeper {
  readonly dueMs: number;
  readonly wake: () => void;
}

export class ManualClock implements Clock {
  readonly #startMicros: number;
  readonly #sleepers = new Set<Sleeper>();
  #elapsedMs = 0;

  constructor(start: Timestamp) {
    this.#startMicros = microsOf(start);
  }

  nowMicros(): number {
    return this.#startMicros + this.#elapsedMs * 1000;
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted === true) return resolve();
      const sleeper: Sleeper = {
        dueMs: this.#elapsedMs + ms,
        wake: () => {
          this.#sleepers.delete(sleeper);
          signal?.removeEventListener('abort', sleeper.wake);
          resolve();
        },
      };
      this.#sleepers.add(sleeper);
      signal?.addEventListener('abort', sleeper.wake);
    });
  }

  /** How many sleep now. */
  get sleepers(): number {
    return this.#sleepers.size;
  }

  /**
   * Moves the time on, stopping at each sleeper's end so that what it does next happens at its own time. Resolves after
   * one turn of the event loop at each stop.
   */
  async step(ms: number): Promise<void> {
    const endMs = this.#elapsedMs + ms;
    for (;;) {
      const due = [...this.#sleepers].filter(({ dueMs }) => dueMs <= endMs).sort((a, b) => a.dueMs - b.dueMs)[0];
      if (due === undefined) break;
      this.#elapsedMs = Math.max(this.#elapsedMs, due.dueMs);
      due.wake();
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#elapsedMs = endMs;
  }
}

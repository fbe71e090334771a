/** Exponential backoff with full jitter: the n-th wait is uniform in (0, min(max, first · 2ⁿ)], never below `first`/2. */
import type { Random } from './random.ts';

export interface BackoffLimits {
  readonly firstMs: number;
  readonly maxMs: number;
}

export class Backoff {
  #attempt = 0;
  readonly #limits: BackoffLimits;
  readonly #random: Random;

  constructor(limits: BackoffLimits, random: Random) {
    this.#limits = limits;
    this.#random = random;
  }

  /** How many waits since the last success. */
  get attempts(): number {
    return this.#attempt;
  }

  /** The next wait in milliseconds; at least what the peer asked for, where it asked. */
  nextMs(retryAfterMs = 0): number {
    const { firstMs, maxMs } = this.#limits;
    const ceiling = Math.min(maxMs, firstMs * 2 ** Math.min(this.#attempt, 30));
    this.#attempt += 1;
    return Math.max(firstMs / 2, this.#random() * ceiling, retryAfterMs);
  }

  /** After a success. */
  reset(): void {
    this.#attempt = 0;
  }
}

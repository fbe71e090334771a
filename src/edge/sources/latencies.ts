/** How long the newest answers of a source took: a short window, so that it costs next to nothing. */

const ANSWERS_MAX = 100;
const PART = 0.95;

export class Latencies {
  readonly #newest: number[] = [];
  #next = 0;

  /** Milliseconds. */
  add(latencyMs: number): void {
    // A clock's nanoseconds are nothing to show.
    this.#newest[this.#next] = Math.round(latencyMs * 1_000) / 1_000;
    this.#next = (this.#next + 1) % ANSWERS_MAX;
  }

  /** The newest; null: there is none. */
  get lastMs(): number | null {
    return this.#newest[(this.#next + ANSWERS_MAX - 1) % ANSWERS_MAX] ?? null;
  }

  /** 95 in 100 of the newest took at most so long (nearest rank). */
  get p95Ms(): number | null {
    const sorted = this.#newest.toSorted((a, b) => a - b);
    return sorted[Math.ceil(sorted.length * PART) - 1] ?? null;
  }
}

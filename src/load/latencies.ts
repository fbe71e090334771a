/** Millions of times in a few kilobytes: counted in classes of which each is 3 % wider than the one before. */

/** The upper end of the first class, in milliseconds. */
const FIRST_MS = 0.01;
const GROWTH = 1.03;
const CLASSES: number = 1 + Math.ceil(Math.log(1e8) / Math.log(GROWTH));

export interface LatencySummary {
  readonly count: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export class Latencies {
  readonly #counts = new Float64Array(CLASSES);
  #count = 0;
  #maxMs = 0;

  add(latencyMs: number): void {
    const place = latencyMs <= FIRST_MS ? 0 : Math.ceil(Math.log(latencyMs / FIRST_MS) / Math.log(GROWTH));
    const held = Math.min(place, CLASSES - 1);
    this.#counts[held] = (this.#counts[held] ?? 0) + 1;
    this.#count += 1;
    this.#maxMs = Math.max(this.#maxMs, latencyMs);
  }

  /** Null when nothing was measured. */
  summary(): LatencySummary | null {
    if (this.#count === 0) return null;
    const percentile = (share: number): number => round(this.#percentile(share));
    const [p50Ms, p95Ms, p99Ms] = [percentile(0.5), percentile(0.95), percentile(0.99)];
    return { count: this.#count, p50Ms, p95Ms, p99Ms, maxMs: round(this.#maxMs) };
  }

  /** The upper end of the class in which that share is reached. */
  #percentile(share: number): number {
    let left = Math.ceil(share * this.#count);
    for (let place = 0; place < CLASSES; place += 1) {
      left -= this.#counts[place] ?? 0;
      if (left <= 0) return Math.min(this.#maxMs, FIRST_MS * GROWTH ** place);
    }
    return this.#maxMs;
  }
}

function round(milliseconds: number): number {
  return Number(milliseconds.toPrecision(3));
}

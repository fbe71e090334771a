/**
 * How fast a backlog is sent: calls of such a size that one takes a quarter to half a second, so that the line is soon
 * free for fresh readings; and no more readings in a second than a person allows. Pure: times are passed in.
 */
export const PACE: { readonly [limit in 'fastMs' | 'slowMs' | 'bytesMin' | 'bytesFirst']: number } = {
  /** A call that takes less lets the next ones grow. */
  fastMs: 250,
  /** A call that takes more makes the next ones smaller. */
  slowMs: 500,
  bytesMin: 16 * 1024,
  bytesFirst: 64 * 1024,
};
/** What was not used of the allowance is kept for so long. */
const BURST_SECONDS = 1;

export class Pace {
  readonly #bytesMax: number;
  readonly #readingsPerSecondMax: number;
  #bytes: number;
  /** Readings that may be sent at `#asOfMs`; below zero when the last call held more than was left. */
  #allowance: number;
  #asOfMs = Number.NEGATIVE_INFINITY;

  /** @param readingsPerSecondMax null: as fast as it goes */
  constructor(bytesMax: number, readingsPerSecondMax: number | null) {
    this.#bytesMax = bytesMax;
    this.#bytes = Math.min(PACE.bytesFirst, bytesMax);
    this.#readingsPerSecondMax = readingsPerSecondMax ?? Number.POSITIVE_INFINITY;
    this.#allowance = this.#readingsPerSecondMax * BURST_SECONDS;
  }

  /** Of the next call. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How long until the next call may start. */
  waitMs(nowMs: number): number {
    this.#earn(nowMs);
    return this.#allowance > 0 ? 0 : Math.ceil(((1 - this.#allowance) / this.#readingsPerSecondMax) * 1000);
  }

  /** How many readings the next call should hold at most. */
  allowance(nowMs: number): number {
    this.#earn(nowMs);
    return this.#allowance;
  }

  started(readings: number, nowMs: number): void {
    this.#earn(nowMs);
    this.#allowance -= readings;
  }

  /** @param bytes what {@link bytes} was when the call started: of several at once, only the first changes it */
  ended(bytes: number, tookMs: number): void {
    if (bytes !== this.#bytes) return;
    if (tookMs > PACE.slowMs) this.#bytes = Math.min(this.#bytesMax, Math.max(PACE.bytesMin, Math.floor(bytes / 2)));
    else if (tookMs < PACE.fastMs) this.#bytes = Math.min(this.#bytesMax, bytes * 2);
  }

  #earn(nowMs: number): void {
    if (this.#readingsPerSecondMax === Number.POSITIVE_INFINITY) return;
    const most = this.#readingsPerSecondMax * BURST_SECONDS;
    const earned = ((nowMs - this.#asOfMs) / 1000) * this.#readingsPerSecondMax;
    this.#allowance = Math.min(most, this.#allowance + earned);
    this.#asOfMs = nowMs;
  }
}

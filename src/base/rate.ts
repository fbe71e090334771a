/** How many things happen in a second: a sliding window made of two counts, so it costs three numbers. */

const WINDOW_MS = 5_000;

export class Rate {
  #windowStartMs = 0;
  #count = 0;
  #countBefore = 0;

  add(count: number, nowMs: number): void {
    this.#turn(nowMs);
    this.#count += count;
  }

  /** Mean over about the last five seconds. */
  perSecond(nowMs: number): number {
    this.#turn(nowMs);
    const stillInside = 1 - (nowMs - this.#windowStartMs) / WINDOW_MS;
    return Math.round(((this.#countBefore * stillInside + this.#count) / WINDOW_MS) * 10_000) / 10;
  }

  #turn(nowMs: number): void {
    const windows = Math.floor((nowMs - this.#windowStartMs) / WINDOW_MS);
    if (windows < 1) return;
    this.#countBefore = windows === 1 ? this.#count : 0;
    this.#count = 0;
    this.#windowStartMs += windows * WINDOW_MS;
  }
}

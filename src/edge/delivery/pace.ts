/**
 * How fast a backlog is sent: calls of such a size that one takes a quarter to half a second, so that the line is soon free for
 * fresh readings; and no more readings in a second than a person allows. Pure: times are passed in.
 *
 * A call takes long because of what it carries, or because the far end takes its time whatever it carries (a database that
 * is busy). Smaller calls help in the first case only; in the second they would make a backlog of hours one of days. So a
 * slow call is followed by smaller ones, down to the smallest, and if these are hardly faster, by larger ones again.
 */
export const PACE: { readonly [limit in 'fastMs' | 'slowMs' | 'bytesMin' | 'bytesFirst']: number } = {
  /** A call that takes less lets the next ones grow, whatever larger ones took before. */
  fastMs: 250,
  /** A call that takes more makes the next ones smaller, if smaller ones are faster. */
  slowMs: 500,
  bytesMin: 16 * 1024,
  bytesFirst: 64 * 1024,
};
/** Of what smaller calls take, a larger one may take so much, however slow they are. */
const SLOWER_THAN_SMALLER_MAX = 1.5;
/** What calls of a size took is forgotten after this, and tried again. */
const REMEMBERED_MS = 300_000;
/** Weight of the newest call among those of its size. */
const NEWEST_WEIGHT = 0.5;
/** What was not used of the allowance is kept for so long. */
const BURST_SECONDS = 1;

/** What calls of one size took lately. */
interface Experience {
  readonly ms: number;
  readonly atMs: number;
}

export class Pace {
  readonly #bytesMax: number;
  readonly #readingsPerSecondMax: number;
  #bytes: number;
  /** By the size of the calls. */
  readonly #known = new Map<number, Experience>();
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

  /** @param bytes what {@link bytes} was when the call started: only calls of the present size change it */
  ended(bytes: number, tookMs: number, nowMs: number): void {
    const known = this.#takes(bytes, nowMs);
    const ms = known === undefined ? tookMs : known + (tookMs - known) * NEWEST_WEIGHT;
    this.#known.set(bytes, { ms, atMs: nowMs });
    if (bytes !== this.#bytes) return;
    const larger = Math.min(this.#bytesMax, bytes * 2);
    const largerMs = this.#takes(larger, nowMs) ?? 0;
    if (ms > this.#mayTake(bytes, nowMs)) this.#bytes = this.#smaller(bytes);
    else if (ms < PACE.fastMs || largerMs <= this.#mayTake(larger, nowMs)) this.#bytes = larger;
  }

  /** Undefined where nothing is known lately. */
  #takes(bytes: number, nowMs: number): number | undefined {
    const known = this.#known.get(bytes);
    return known === undefined || nowMs - known.atMs > REMEMBERED_MS ? undefined : known.ms;
  }

  /** How long a call of this size may take. */
  #mayTake(bytes: number, nowMs: number): number {
    if (this.#smaller(bytes) === bytes) return Number.POSITIVE_INFINITY;
    const smaller = [...this.#known.keys()].filter((other) => other < bytes);
    const least = Math.min(...smaller.map((other) => this.#takes(other, nowMs) ?? Number.POSITIVE_INFINITY));
    return Number.isFinite(least) ? Math.max(PACE.slowMs, least * SLOWER_THAN_SMALLER_MAX) : PACE.slowMs;
  }

  #smaller(bytes: number): number {
    return Math.min(bytes, Math.max(PACE.bytesMin, 2 ** Math.ceil(Math.log2(bytes) - 1)));
  }

  #earn(nowMs: number): void {
    if (this.#readingsPerSecondMax === Number.POSITIVE_INFINITY) return;
    const most = this.#readingsPerSecondMax * BURST_SECONDS;
    const earned = ((nowMs - this.#asOfMs) / 1000) * this.#readingsPerSecondMax;
    this.#allowance = Math.min(most, this.#allowance + earned);
    this.#asOfMs = nowMs;
  }
}

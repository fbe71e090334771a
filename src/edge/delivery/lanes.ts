/**
 * Which numbers of the log come next, while several ranges of them are under way and others are settled already. Pure.
 *
 * The backlog lane works upwards from the first number that is neither settled nor under way. The live lane, while there
 * is one, begins near the log's end and goes on from there without a gap.
 */
import type { Cursor } from '../../log/log.ts';

/** Numbers to read: from the first one up to, and without, `before`. */
export interface Range {
  readonly first: number;
  readonly before: number;
}

export type Lane = 'live' | 'backlog';

/** Numbers that are under way. */
export interface Claim {
  readonly lane: Lane;
  readonly first: number;
  readonly last: number;
}

export class Lanes {
  readonly #cursor: Cursor;
  readonly #claims: Set<Claim> = new Set();
  #liveFirst: number | undefined;

  constructor(cursor: Cursor) {
    this.#cursor = cursor;
  }

  /** First number that the live lane has not sent; undefined when there is but one lane. */
  get liveFirst(): number | undefined {
    return this.#liveFirst;
  }

  /** The live lane begins, or begins anew: what it has not sent is left to the backlog lane. */
  startLive(sequence: number): void {
    const { islands } = this.#cursor;
    // After a restart without a new batch, the newest ones may be settled already.
    const settled = islands.find(({ first, last }) => first <= sequence && sequence <= last);
    this.#liveFirst = Math.max(settled === undefined ? sequence : settled.last + 1, this.backlog().first);
  }

  /** The lanes are one again. */
  join(): void {
    this.#liveFirst = undefined;
  }

  /** What the backlog lane sends next; nothing when `first` is not below {@link liveFirst}. */
  backlog(): Range {
    const { position, islands } = this.#cursor;
    let first = position + 1;
    for (const range of [...islands, ...this.#claims].sort((a, b) => a.first - b.first)) {
      if (range.first > first) return { first, before: this.#notIntoLive(first, range.first) };
      first = Math.max(first, range.last + 1);
    }
    return { first, before: this.#notIntoLive(first, Number.POSITIVE_INFINITY) };
  }

  claim(claim: Claim): void {
    this.#claims.add(claim);
    if (claim.lane === 'live') this.#liveFirst = claim.last + 1;
  }

  settled(claim: Claim): void {
    this.#claims.delete(claim);
  }

  /** Comes again; in the live lane, if it was the last one there. */
  failed(claim: Claim): void {
    this.#claims.delete(claim);
    if (claim.lane === 'live' && this.#liveFirst === claim.last + 1) this.#liveFirst = claim.first;
  }

  #notIntoLive(first: number, before: number): number {
    const live = this.#liveFirst;
    return live !== undefined && live > first && live < before ? live : before;
  }
}

/** A level counts once it has stood for a while, and then from the edge on that began it. Pure. */

export interface Change {
  readonly level: boolean;
  /** By the monotonic clock. */
  readonly atMs: number;
}

export class Debounce {
  readonly #debounceMs: number;
  #level = false;
  /** Another level than the one that counts, and since when. */
  #candidate: Change | undefined;

  constructor(debounceMs: number) {
    this.#debounceMs = debounceMs;
  }

  start(level: boolean): void {
    this.#level = level;
    this.#candidate = undefined;
  }

  /** @returns the change that had stood long enough before this edge */
  edge(level: boolean, atMs: number): Change | undefined {
    const change = this.settle(atMs);
    this.#candidate = level === this.#level ? undefined : { level, atMs };
    return change;
  }

  /** @returns the change that has stood long enough by now */
  settle(nowMs: number): Change | undefined {
    const candidate = this.#candidate;
    if (candidate === undefined || nowMs - candidate.atMs < this.#debounceMs) return undefined;
    this.#level = candidate.level;
    this.#candidate = undefined;
    return candidate;
  }

  /** When to look again; infinity: there is nothing to wait for. */
  get dueMs(): number {
    return this.#candidate === undefined ? Number.POSITIVE_INFINITY : this.#candidate.atMs + this.#debounceMs;
  }

  /** The level that was told last, whether it counts yet or not. */
  get told(): boolean {
    return this.#candidate?.level ?? this.#level;
  }
}

/**
 * Whether a lamp is off, on or blinking. Pure.
 *
 * A lamp that goes on a second time within `blinkMs` is blinking, from the first time on; until it has not changed for
 * `blinkMs`, when it is what it is since its last change. So a lamp that has just gone on may be either for a while.
 */
export const PATTERNS = ['off', 'on', 'blinking'] as const;
export type Pattern = (typeof PATTERNS)[number];

export interface Segment {
  readonly pattern: Pattern;
  /** By the monotonic clock. */
  readonly sinceMs: number;
}

export class Lamp {
  readonly #blinkMs: number;
  #now: Segment | undefined;
  /** What it was since it went on, unless it turns out that it is blinking. */
  #pending: Segment[] = [];
  #isBlinking = false;
  #last: { level: boolean; atMs: number } = { level: false, atMs: Number.NEGATIVE_INFINITY };
  #dueMs = Number.POSITIVE_INFINITY;

  constructor(blinkMs: number) {
    this.#blinkMs = blinkMs;
  }

  /** Nothing is known of the time before. */
  start(level: boolean, atMs: number): void {
    this.#now = undefined;
    this.#isBlinking = false;
    this.#last = { level, atMs };
    this.#pending = [{ pattern: level ? 'on' : 'off', sinceMs: atMs }];
    this.#dueMs = atMs + this.#blinkMs;
  }

  /** @returns what it is known to have been, in order */
  change(level: boolean, atMs: number): Segment[] {
    const known = this.settle(atMs);
    this.#last = { level, atMs };
    const [first] = this.#pending;
    if (this.#isBlinking) {
      this.#dueMs = atMs + this.#blinkMs;
    } else if (!level && first?.pattern === 'on') {
      this.#pending.push({ pattern: 'off', sinceMs: atMs });
    } else if (!level) {
      known.push(this.#is({ pattern: 'off', sinceMs: atMs }));
    } else {
      this.#dueMs = atMs + this.#blinkMs;
      this.#isBlinking = first?.pattern === 'on';
      this.#pending = this.#isBlinking ? [] : [{ pattern: 'on', sinceMs: atMs }];
      if (this.#isBlinking) known.push(this.#is({ pattern: 'blinking', sinceMs: first!.sinceMs }));
    }
    return known;
  }

  /** @returns what it is known to have been by now, in order */
  settle(nowMs: number): Segment[] {
    if (nowMs < this.#dueMs) return [];
    this.#dueMs = Number.POSITIVE_INFINITY;
    const { level, atMs } = this.#last;
    const known = this.#isBlinking ? [{ pattern: level ? 'on' : 'off', sinceMs: atMs } as const] : this.#pending;
    this.#isBlinking = false;
    this.#pending = [];
    return known.map((segment) => this.#is(segment));
  }

  get dueMs(): number {
    return this.#dueMs;
  }

  /** What it may be now: one pattern, or two while that is not decided. */
  get possible(): readonly Pattern[] {
    const pending = this.#pending.at(-1);
    if (pending !== undefined) return [pending.pattern, 'blinking'];
    return this.#now === undefined ? PATTERNS : [this.#now.pattern];
  }

  /** Since when it is what it is, or may be. */
  get sinceMs(): number {
    return this.#pending.at(-1)?.sinceMs ?? this.#now?.sinceMs ?? this.#last.atMs;
  }

  #is(segment: Segment): Segment {
    this.#now = segment;
    return segment;
  }
}

/** Which readings are news, and which are told late: a backlog, or what was sent before something newer. */
import type { Clock } from '../../base/clock.ts';

/** Older than this is late, while more is waiting behind it. */
export const LATE_AFTER_MS = 10_000;
/** Names that are remembered; the oldest is forgotten first. */
const NAMES_MAX = 50_000;

export interface FreshnessParts {
  readonly clock: Clock;
  readonly backlogReadings: () => number | undefined;
}

export class Freshness {
  readonly #parts: FreshnessParts;
  readonly #newest = new Map<string, number>();

  constructor(parts: FreshnessParts) {
    this.#parts = parts;
  }

  /**
   * Judges what one call delivers.
   * @returns whether a value of that name and time is late; one that is not becomes the newest of its name
   */
  ofCall(readings: number): (name: string, micros: number) => boolean {
    const { clock, backlogReadings } = this.#parts;
    const hasMore = (backlogReadings() ?? Number.POSITIVE_INFINITY) > readings;
    const nowMicros = clock.nowMicros();
    const lateBefore = hasMore ? nowMicros - LATE_AFTER_MS * 1_000 : Number.NEGATIVE_INFINITY;
    return (name, micros) => {
      const known = this.#newest.get(name);
      // A time to come was of a clock that was wrong, or has been set back: else all that follows would be late.
      const newest = known !== undefined && known > nowMicros + LATE_AFTER_MS * 1_000 ? undefined : known;
      if (micros < lateBefore || (newest !== undefined && micros < newest)) return true;
      this.#newest.delete(name);
      this.#newest.set(name, micros);
      if (this.#newest.size > NAMES_MAX) {
        const [oldest = ''] = this.#newest.keys();
        this.#newest.delete(oldest);
      }
      return false;
    };
  }
}

/** Temperatures of one place over the last hour, by their own times. */

export interface TemperatureAt {
  readonly micros: number;
  readonly temperatureC: number;
}

/** Of so long something is known at least. */
export const HISTORY_MS = 3_600_000;
/** One value a second is kept. */
export const HISTORY_LENGTH_MAX = 4_096;
const SPACING_MICROS = 1_000_000;

/** What lies outside is no temperature of a part but a broken sensor, and is not taken. */
export const PLAUSIBLE_C = { min: -60, max: 200 } as const;

export class TemperatureHistory {
  /** In the order of time. */
  readonly #kept: TemperatureAt[] = [];

  /** Takes values in any order; of those within a second the last one that comes. */
  add(micros: number, temperatureC: number): void {
    if (!isPlausible(temperatureC)) return;
    const kept = this.#kept;
    let at = kept.length;
    while (at > 0 && kept[at - 1]!.micros > micros) at -= 1;
    const before = kept[at - 1];
    const isSameSecond = before !== undefined && secondOf(before.micros) === secondOf(micros);
    kept.splice(isSameSecond ? at - 1 : at, isSameSecond ? 1 : 0, { micros, temperatureC });
    if (kept.length <= HISTORY_LENGTH_MAX) return;
    // What is farthest away goes: else the values of a clock that once stood in the year 2100 would stay for ever.
    if (kept.at(-1)!.micros - micros > micros - kept[0]!.micros) kept.pop();
    else kept.shift();
  }

  nearest(micros: number): TemperatureAt | undefined {
    const kept = this.#kept;
    let at = kept.length - 1;
    while (at > 0 && kept[at]!.micros > micros) at -= 1;
    const [before, after] = [kept[at], kept[at + 1]];
    if (before === undefined || after === undefined) return before;
    return Math.abs(after.micros - micros) < Math.abs(before.micros - micros) ? after : before;
  }

  /**
   * Largest less smallest temperature, in K, over a time that ends at `micros`, with the one that held at its beginning.
   * undefined when nothing is known of the beginning: the newest value before it is missing, or older than twice the time.
   */
  change(micros: number, overMicros: number): number | undefined {
    const begins = micros - overMicros;
    let lowest = Number.POSITIVE_INFINITY;
    let highest = Number.NEGATIVE_INFINITY;
    for (let at = this.#kept.length - 1; at >= 0; at -= 1) {
      const one = this.#kept[at]!;
      if (one.micros > micros) continue;
      if (one.micros < begins - overMicros) return undefined;
      lowest = Math.min(lowest, one.temperatureC);
      highest = Math.max(highest, one.temperatureC);
      if (one.micros <= begins) return highest - lowest;
    }
    return undefined;
  }
}

export function isPlausible(temperatureC: number): boolean {
  return temperatureC >= PLAUSIBLE_C.min && temperatureC <= PLAUSIBLE_C.max;
}

function secondOf(micros: number): number {
  return Math.floor(micros / SPACING_MICROS);
}

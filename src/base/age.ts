/** How long ago, or for how long, as people read it. */

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** `42 s`, `12 m 05 s`, `3 h 07 m`, `2 d 4 h`: as the pages of the hub write it. Below zero (clocks differ): `0 s`. */
export function ageText(ageMs: number): string {
  const age = Math.max(0, ageMs);
  const twoDigits = (count: number): string => String(Math.floor(count)).padStart(2, '0');
  if (age < MINUTE_MS) return `${Math.floor(age / SECOND_MS)} s`;
  if (age < HOUR_MS) return `${Math.floor(age / MINUTE_MS)} m ${twoDigits((age % MINUTE_MS) / SECOND_MS)} s`;
  if (age < DAY_MS) return `${Math.floor(age / HOUR_MS)} h ${twoDigits((age % HOUR_MS) / MINUTE_MS)} m`;
  return `${Math.floor(age / DAY_MS)} d ${Math.floor((age % DAY_MS) / HOUR_MS)} h`;
}

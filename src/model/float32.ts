/** Digits that tell apart most float32, and all of them. */
const DIGITS = { min: 6, max: 9 } as const;

/** A short decimal that is this float32 and no other: 230.1 instead of 230.10000610351562. What is not finite stays. */
export function shortFloat32(value: number): number {
  if (!Number.isFinite(value)) return value;
  for (let digits: number = DIGITS.min; digits < DIGITS.max; digits += 1) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return Number(value.toPrecision(DIGITS.max));
}

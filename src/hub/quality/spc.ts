/**
 * Statistical process control of single inspected values, in the order in which they were made. Pure.
 *
 * Individuals chart: centre x̄, limits x̄ ± 2.66 M̄R, and 3.267 M̄R for the moving ranges, from the first values as a baseline
 * (Montgomery, Introduction to Statistical Quality Control, ch. 6; 2.66 = 3/d2 and 3.267 = D4 for n = 2). Rules: L. S.
 * Nelson, "The Shewhart Control Chart: Tests for Special Causes", Journal of Quality Technology 16 (1984).
 *
 * Within: σ from M̄R/1.128, what the process does from part to part. Overall: the standard deviation of all values.
 */

/** d2 of ranges of two values. */
const RANGE_TO_SIGMA = 1.128;
const LIMIT_FACTOR = 2.66;
const RANGE_LIMIT_FACTOR = 3.267;
/** Limits are worked out from so many values and then stay, so that a drift does not move what should show it. */
export const BASELINE_VALUES = 25;
/** With fewer values an index of capability says nothing. */
export const CAPABILITY_VALUES_MIN = 30;
/** Of the normal distribution, two-sided 95 %. */
const Z_95 = 1.96;

/** In the unit of the values. */
export interface ControlLimits {
  /** So many values, the first ones, gave the limits. */
  readonly baseline: number;
  readonly centre: number;
  /** From the mean moving range. */
  readonly sigma: number;
  readonly lower: number;
  readonly upper: number;
  readonly rangeCentre: number;
  readonly rangeUpper: number;
}

/** Undefined for fewer than two values, of which there is no range, and for values too large for it. */
export function controlLimits(values: readonly number[]): ControlLimits | undefined {
  const baseline = values.slice(0, BASELINE_VALUES);
  if (baseline.length < 2) return undefined;
  const centre = mean(baseline);
  const rangeCentre = mean(movingRanges(baseline));
  if (!Number.isFinite(RANGE_LIMIT_FACTOR * rangeCentre + Math.abs(centre))) return undefined;
  return {
    baseline: baseline.length,
    centre,
    sigma: rangeCentre / RANGE_TO_SIGMA,
    lower: centre - LIMIT_FACTOR * rangeCentre,
    upper: centre + LIMIT_FACTOR * rangeCentre,
    rangeCentre,
    rangeUpper: RANGE_LIMIT_FACTOR * rangeCentre,
  };
}

/** Differences of neighbours, without sign: one fewer than values. */
export function movingRanges(values: readonly number[]): number[] {
  return values.slice(1).map((value, index) => Math.abs(value - (values[index] ?? value)));
}

/** Nelson's eight, numbered as he did. */
export const NELSON_RULES: readonly string[] = [
  'one value more than 3 σ from the centre',
  'nine in a row on one side of the centre',
  'six in a row that rise, or fall',
  'fourteen in a row that go up and down by turns',
  'two of three more than 2 σ from the centre, on one side',
  'four of five more than 1 σ from the centre, on one side',
  'fifteen in a row within 1 σ of the centre',
  'eight in a row outside 1 σ, on both sides',
];

/** For each value the rules (from 1) whose pattern it completes. Without a spread there is nothing to be unusual. */
export function nelsonRules(
  values: readonly number[],
  { centre, sigma }: Pick<ControlLimits, 'centre' | 'sigma'>,
): number[][] {
  if (!(sigma > 0)) return values.map(() => []);
  const distances = values.map((value) => (value - centre) / sigma);
  return distances.map((_, index) => {
    return PATTERNS.flatMap(({ length, least = length, isMet }, rule) => {
      const window = distances.slice(Math.max(0, index + 1 - length), index + 1);
      return window.length >= least && isMet(window) ? [rule + 1] : [];
    });
  });
}

interface Pattern {
  readonly length: number;
  /** At the beginning so few values can meet it, whatever those before them were; absent: all of its length. */
  readonly least?: number;
  /** Of the last values, as distances from the centre in σ. */
  readonly isMet: (window: readonly number[]) => boolean;
}

const PATTERNS: readonly Pattern[] = [
  { length: 1, isMet: (window) => beyond(window, 3) >= 1 || beyond(opposite(window), 3) >= 1 },
  { length: 9, isMet: (window) => window.every((one) => one > 0) || window.every((one) => one < 0) },
  { length: 6, isMet: (window) => isRising(window) || isRising(opposite(window)) },
  { length: 14, isMet: isAlternating },
  { length: 3, least: 2, isMet: (window) => isOneOfMany(window, 2, 2) || isOneOfMany(opposite(window), 2, 2) },
  { length: 5, least: 4, isMet: (window) => isOneOfMany(window, 1, 4) || isOneOfMany(opposite(window), 1, 4) },
  { length: 15, isMet: (window) => window.every((one) => Math.abs(one) < 1) },
  {
    length: 8,
    isMet: (window) =>
      window.every((one) => Math.abs(one) > 1) && window.some((one) => one > 0) && window.some((one) => one < 0),
  },
];

function beyond(window: readonly number[], sigmas: number): number {
  return window.filter((one) => one > sigmas).length;
}

/** The newest value is one of `count` that are so far out, so that a pattern is told once, where it is completed. */
function isOneOfMany(window: readonly number[], sigmas: number, count: number): boolean {
  return (window.at(-1) ?? 0) > sigmas && beyond(window, sigmas) >= count;
}

function opposite(window: readonly number[]): number[] {
  return window.map((one) => -one);
}

function isRising(window: readonly number[]): boolean {
  return window.every((one, index) => index === 0 || one > (window[index - 1] ?? one));
}

function isAlternating(window: readonly number[]): boolean {
  const steps = window.slice(1).map((one, index) => Math.sign(one - (window[index] ?? one)));
  return steps.every((step, index) => step !== 0 && (index === 0 || step === -(steps[index - 1] ?? 0)));
}

/** At least one of them; undefined: open on that side. */
export interface SpecificationLimits {
  readonly lower: number | undefined;
  readonly upper: number | undefined;
}

export interface Capability {
  readonly values: number;
  readonly mean: number;
  readonly sigmaWithin: number;
  readonly sigmaOverall: number;
  /** Of two-sided limits only. */
  readonly cp: number | undefined;
  readonly cpk: number;
  readonly pp: number | undefined;
  readonly ppk: number;
  /** Two-sided 95 % intervals (A. F. Bissell, "How reliable is your capability index?", Applied Statistics 39, 1990). */
  readonly cpkInterval: Interval;
  readonly ppkInterval: Interval;
}

export type Interval = readonly [low: number, high: number];

/** Undefined for too few values, for values without a spread or too large for it, and without limits. */
export function capability(values: readonly number[], limits: SpecificationLimits): Capability | undefined {
  if (values.length < CAPABILITY_VALUES_MIN) return undefined;
  if (limits.lower === undefined && limits.upper === undefined) return undefined;
  const centre = mean(values);
  const sigmaWithin = mean(movingRanges(values)) / RANGE_TO_SIGMA;
  const sigmaOverall = Math.sqrt(values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1));
  if (!(sigmaWithin > 0 && sigmaOverall > 0 && Number.isFinite(sigmaWithin + sigmaOverall))) return undefined;
  const cpk = nearest(centre, sigmaWithin, limits);
  const ppk = nearest(centre, sigmaOverall, limits);
  return {
    values: values.length,
    mean: centre,
    sigmaWithin,
    sigmaOverall,
    cp: spread(sigmaWithin, limits),
    cpk,
    pp: spread(sigmaOverall, limits),
    ppk,
    cpkInterval: intervalOf(cpk, values.length),
    ppkInterval: intervalOf(ppk, values.length),
  };
}

function spread(sigma: number, { lower, upper }: SpecificationLimits): number | undefined {
  return lower === undefined || upper === undefined ? undefined : (upper - lower) / (6 * sigma);
}

function nearest(centre: number, sigma: number, { lower, upper }: SpecificationLimits): number {
  const toLower = lower === undefined ? Number.POSITIVE_INFINITY : centre - lower;
  const toUpper = upper === undefined ? Number.POSITIVE_INFINITY : upper - centre;
  return Math.min(toLower, toUpper) / (3 * sigma);
}

function intervalOf(index: number, count: number): Interval {
  const margin = Z_95 * Math.sqrt(1 / (9 * count) + index ** 2 / (2 * (count - 1)));
  return [index - margin, index + margin];
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

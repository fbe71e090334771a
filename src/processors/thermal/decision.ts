/**
 * Whether a value conforms to its limits, given its uncertainty.
 *
 * ISO 14253-1: with a guard band g = factor · u, conformity is shown when LSL + g ≤ y ≤ USL − g, nonconformity when y is
 * beyond a limit by more than g, and neither otherwise. A factor of 1.65 leaves 5 % of risk at one limit. Simple
 * acceptance (JCGM 106, 8.2) has g = 0, and always decides. A limit that is absent does not limit.
 *
 * The probability of conformance (JCGM 106, 7.4) takes the true value as normally distributed around y:
 *
 *     P = Φ((USL − y)/u) − Φ((LSL − y)/u)
 */
import type { DecisionRule, Verdict } from '../../model/reading.ts';

export interface Limits {
  readonly lower: number | undefined;
  readonly upper: number | undefined;
}

export interface Judged {
  readonly value: number;
  /** g ≥ 0, in the unit of the value. */
  readonly guardBand: number;
}

export function verdictOf({ value, guardBand }: Judged, { lower, upper }: Limits): Verdict {
  const above = lower === undefined ? Number.POSITIVE_INFINITY : value - lower;
  const below = upper === undefined ? Number.POSITIVE_INFINITY : upper - value;
  const room = Math.min(above, below);
  if (room >= guardBand) return 'conform';
  return room < -guardBand ? 'nonconform' : 'indeterminate';
}

export function guardBandOf(rule: DecisionRule, factor: number, u: number): number {
  return rule === 'simple_acceptance' ? 0 : factor * u;
}

/** That the true value is within the limits, from 0 to 1. Without uncertainty it is the value itself. */
export function conformanceProbability(value: number, u: number, { lower, upper }: Limits): number {
  if (u === 0) return (lower === undefined || value >= lower) && (upper === undefined || value <= upper) ? 1 : 0;
  const belowUpper = upper === undefined ? 1 : normalCdf((upper - value) / u);
  const belowLower = lower === undefined ? 0 : normalCdf((lower - value) / u);
  return Math.min(1, Math.max(0, belowUpper - belowLower));
}

/** Beyond this many standard deviations the tail is smaller than what a double can say beside 1. */
const TAIL_BEGINS = 8.5;

/** Φ, by its series (G. Marsaglia, Evaluating the Normal Distribution, J. Stat. Softw. 11(4), 2004); good to 1e-15. */
function normalCdf(x: number): number {
  if (x < -TAIL_BEGINS) return 0;
  if (x > TAIL_BEGINS) return 1;
  let sum = x;
  let term = x;
  for (let odd = 3, before = 0; sum !== before; odd += 2) {
    before = sum;
    term *= (x * x) / odd;
    sum += term;
  }
  return 0.5 + (sum * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI);
}

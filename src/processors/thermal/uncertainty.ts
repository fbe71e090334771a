/**
 * The uncertainty of a length at 20 °C, term by term (names as in ISO/TR 16015; propagated as in JCGM 100, the GUM, 5.1.2,
 * to the first order).
 *
 *     u² = (L·ΔTp·u(αp))² + (L·αp·u(Tp))² + (L·ΔTs·u(αs))² + (L·αs·u(Ts))² + u²CMM        ΔT = T − 20 °C
 *
 * Where one sensor serves part and scale, its error is in both temperatures with the same sign and mostly cancels
 * (JCGM 100, 5.2; H.1 does the same with its θ and δθ). In place of the two terms of temperature there are then
 *
 *     (L·(αp − αs)·u(T))²  and  (L·max(αp, αs)·u(δ))²
 *
 * where δ is by how much the two may differ though one sensor speaks for both. The sensor may sit on either, so the
 * larger coefficient is taken. Every term is independent of the others, so their squares add up.
 */
import { type Expansion, REFERENCE_C } from './compensation.ts';

export interface UncertainExpansion extends Expansion {
  /** Standard uncertainty of the coefficient, 1/K. */
  readonly coefficientU: number;
  /** Standard uncertainty of the temperature, K. */
  readonly temperatureU: number;
}

export interface UncertaintyInput {
  readonly length: number;
  readonly part: UncertainExpansion | null;
  readonly scale: UncertainExpansion | null;
  /** One sensor serves both: the standard uncertainty of what their temperatures differ by, K. null: each has its own. */
  readonly sharedDifferenceU: number | null;
  /** Standard uncertainty of the measurement itself, in the unit of the length. */
  readonly cmm: number;
}

export type Contributions = { readonly [name: string]: number };

/** Standard uncertainties in the unit of the length, of what there is. */
export function contributionsOf({ length, part, scale, sharedDifferenceU, cmm }: UncertaintyInput): Contributions {
  // Multiplied last, so that no length is too large for it.
  const size = Math.abs(length);
  const expansion = (of: UncertainExpansion): number =>
    of.coefficientU * Math.abs(of.temperatureC - REFERENCE_C) * size;
  const temperature = (of: UncertainExpansion): number => Math.abs(of.coefficient) * of.temperatureU * size;
  const ofExpansion = {
    ...(part !== null && { part_expansion: expansion(part) }),
    ...(scale !== null && { scale_expansion: expansion(scale) }),
  };
  if (part !== null && scale !== null && sharedDifferenceU !== null) {
    const larger = Math.max(Math.abs(part.coefficient), Math.abs(scale.coefficient));
    return {
      ...ofExpansion,
      temperature: Math.abs(part.coefficient - scale.coefficient) * part.temperatureU * size,
      temperature_difference: larger * sharedDifferenceU * size,
      cmm,
    };
  }
  return {
    ...ofExpansion,
    ...(part !== null && { part_temperature: temperature(part) }),
    ...(scale !== null && { scale_temperature: temperature(scale) }),
    cmm,
  };
}

/** u: the root of the sum of squares. */
export function combined(contributions: Contributions): number {
  return Math.hypot(...Object.values(contributions));
}

/** The standard uncertainty of a quantity that lies anywhere in ± half-width with equal probability (JCGM 100, 4.3.7). */
export function rectangular(halfWidth: number): number {
  return halfWidth / Math.sqrt(3);
}

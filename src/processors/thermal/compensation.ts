/**
 * What a length measured at some temperature is at 20 °C, the reference temperature of ISO 1:2022.
 *
 *     L20 = Lm · (1 + αs·(Ts − 20)) / (1 + αp·(Tp − 20))
 *
 * with coefficient α and temperature T of scale (s) and part (p). Who leaves one out takes it as compensated already.
 */

export const REFERENCE_C = 20;

/** A part, or a scale. */
export interface Expansion {
  /** Coefficient of thermal expansion, 1/K. */
  readonly coefficient: number;
  readonly temperatureC: number;
}

export interface Expansions {
  readonly part: Expansion | null;
  readonly scale: Expansion | null;
}

/**
 * L20 − Lm, in the unit of the length. Worked out as a difference of its own: subtracting two nearly equal lengths would
 * lose the digits that matter.
 */
export function correctionOf(length: number, { part, scale }: Expansions): number {
  const partStrain = strainOf(part);
  return length * ((strainOf(scale) - partStrain) / (1 + partStrain));
}

function strainOf(expansion: Expansion | null): number {
  return expansion === null ? 0 : expansion.coefficient * (expansion.temperatureC - REFERENCE_C);
}

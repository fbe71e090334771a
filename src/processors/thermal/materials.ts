/**
 * Linear coefficients of thermal expansion near 20 °C, in 1e-6/K, and how far they may be off.
 *
 * The coefficients are those of W. D. Callister, Materials Science and Engineering, Appendix B (table B.6), where no
 * other source is named. Such tables give no uncertainty, and mean over a range of temperatures that begins at 20 °C and
 * ends at 100 °C. The half-width is 10 % of the coefficient unless something better is known: it covers what heats,
 * tempers and tables differ by (Al 6061: 23.6 here, 22.6 by NIST). Who knows the material better gives both numbers.
 */

export interface Material {
  /** 1e-6/K */
  readonly coefficient: number;
  /** Half-width of the interval in which the coefficient lies with equal probability, in 1e-6/K. */
  readonly halfWidth: number;
}

export const MATERIALS: { readonly [name: string]: Material } = {
  aluminium_6061: handbook(23.6),
  /** At 20 °C, of NIST's polynomial for Al 6061-T6; the half-width reaches to the handbooks' value. */
  aluminium_6061_nist: { coefficient: 22.6, halfWidth: 1 },
  aluminium_7075: handbook(23.4),
  steel_1020: handbook(11.7),
  steel_1045: handbook(11.6),
  steel_4140: handbook(12.3),
  stainless_304: handbook(17.2),
  stainless_316: handbook(15.9),
  stainless_17_4_ph: handbook(10.8),
  titanium_6al_4v: handbook(8.6),
  /** Its coefficient is near nothing and depends on its treatment: a tenth of it would be too little. */
  invar_36: { coefficient: 1.6, halfWidth: 0.5 },
  grey_iron: handbook(11.4),
  brass_c360: handbook(20.5),
  inconel_625: handbook(12.8),
  /** ISO 3650 (gauge blocks of steel): 11.5 ± 1.0. */
  gauge_steel: { coefficient: 11.5, halfWidth: 1 },
  granite: handbook(7.9),
  /** The maker's wider class: 0 ± 0.1. */
  zerodur: { coefficient: 0, halfWidth: 0.1 },
};

/** Rounded to the digit that the tables give. */
function handbook(coefficient: number): Material {
  return { coefficient, halfWidth: Math.round(coefficient) / 10 };
}

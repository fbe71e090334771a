/** Units of length. What is measured in another unit (an angle, a ratio) has no expansion, and is none of our business. */

const MM_PER_UNIT: { readonly [unit: string]: number } = {
  mm: 1,
  // The micro sign and the Greek letter look alike; files have both, and people write u.
  '\u00b5m': 1e-3,
  '\u03bcm': 1e-3,
  um: 1e-3,
  nm: 1e-6,
  cm: 10,
  dm: 100,
  m: 1000,
  ft: 304.8,
  mil: 0.0254,
  in: 25.4,
  inch: 25.4,
  '"': 25.4,
};

/** In the singular. */
const WORDS: { readonly [word: string]: string } = {
  millimeter: 'mm',
  millimetre: 'mm',
  micrometer: 'um',
  micrometre: 'um',
  micron: 'um',
  nanometer: 'nm',
  nanometre: 'nm',
  centimeter: 'cm',
  centimetre: 'cm',
  meter: 'm',
  metre: 'm',
  inche: 'in',
  foot: 'ft',
  feet: 'ft',
  thou: 'mil',
};

/** Millimetres in one of the unit; undefined for what is no unit of length. */
export function mmPerUnit(unit: string): number | undefined {
  const name = unit.trim().toLowerCase();
  const word = name.replace(/s$/, '');
  const known = Object.hasOwn(WORDS, word) ? WORDS[word]! : name;
  return Object.hasOwn(MM_PER_UNIT, known) ? MM_PER_UNIT[known] : undefined;
}

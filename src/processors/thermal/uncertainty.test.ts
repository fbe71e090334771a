import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gaussian, seededRandom } from '../../base/random.ts';
import { combined, contributionsOf, rectangular, type UncertaintyInput } from './uncertainty.ts';

/** 500 mm of aluminium on a glass scale, with half-widths of 1.0 and 0.5 (1e-6/K), and 0.1 K for each temperature. */
const ALUMINIUM: UncertaintyInput = {
  length: 500,
  part: { coefficient: 22.6e-6, coefficientU: rectangular(1e-6), temperatureC: 23.5, temperatureU: 0.1 },
  scale: { coefficient: 8e-6, coefficientU: rectangular(0.5e-6), temperatureC: 22, temperatureU: 0.1 },
  sharedDifferenceU: null,
  cmm: 0,
};

test('500 mm of aluminium: u is 1.59 µm, term by term', () => {
  const contributions = contributionsOf(ALUMINIUM);
  const inMicrometres = Object.fromEntries(
    Object.entries(contributions).map(([name, u]) => [name, Number((u * 1000).toFixed(3))]),
  );
  assert.deepEqual(inMicrometres, {
    part_expansion: 1.01,
    scale_expansion: 0.289,
    part_temperature: 1.13,
    scale_temperature: 0.4,
    cmm: 0,
  });
  assert.equal((combined(contributions) * 1000).toFixed(2), '1.59');
});

test('JCGM 100, H.1: u is 32 nm', () => {
  // H.1's model is l = lS + d − lS·(δα·θ + αS·δθ): standard and gauge have one θ but for δθ, and one α but for δα, which
  // is then the uncertainty of the gauge's coefficient beside a standard's that is given.
  const standard = { coefficient: 11.5e-6, coefficientU: 0, temperatureC: 19.9, temperatureU: 0.41 };
  const contributions = contributionsOf({
    length: 50.000838,
    part: { ...standard, coefficientU: rectangular(1e-6) },
    scale: standard,
    sharedDifferenceU: rectangular(0.05),
    cmm: Math.hypot(25e-6, 9.7e-6),
  });
  const inNanometres = (name: string): string => ((contributions[name] ?? Number.NaN) * 1e6).toFixed(1);
  assert.deepEqual(['part_expansion', 'temperature_difference'].map(inNanometres), ['2.9', '16.6']);
  assert.equal(contributions['temperature'], 0);
  assert.equal((combined(contributions) * 1e6).toFixed(0), '32');
});

interface Draw {
  readonly partC: number;
  readonly scaleC: number;
  readonly alphaP: number;
  readonly alphaS: number;
}

/** The standard deviation of lengths at 20 °C, by the formula itself with drawn inputs: nothing is linear here. */
function spreadOf(length: number, draw: () => Draw): number {
  const draws = 400_000;
  let sum = 0;
  let squares = 0;
  for (let index = 0; index < draws; index += 1) {
    const { partC, scaleC, alphaP, alphaS } = draw();
    const off = (length * (1 + alphaS * (scaleC - 20))) / (1 + alphaP * (partC - 20)) - length;
    sum += off;
    squares += off * off;
  }
  return Math.sqrt(squares / draws - (sum / draws) ** 2);
}

test('two sensors: a Monte Carlo with the formula itself spreads as much', () => {
  const random = seededRandom(16015);
  const within = (halfWidth: number): number => (2 * random() - 1) * halfWidth;
  const spread = spreadOf(500, () => ({
    partC: 23.5 + 0.1 * gaussian(random),
    scaleC: 22 + 0.1 * gaussian(random),
    alphaP: 22.6e-6 + within(1e-6),
    alphaS: 8e-6 + within(0.5e-6),
  }));
  assert.ok(Math.abs(spread / combined(contributionsOf(ALUMINIUM)) - 1) < 0.005, `${spread}`);
});

test('one sensor for both: a Monte Carlo with one error in both temperatures spreads as much', () => {
  const random = seededRandom(14253);
  const within = (halfWidth: number): number => (2 * random() - 1) * halfWidth;
  const [sensorU, difference] = [0.5, 0.1];
  // The sensor sits on the scale, so that the difference moves the part, whose coefficient is the larger.
  const spread = spreadOf(500, () => {
    const sensorC = 24 + sensorU * gaussian(random);
    return {
      partC: sensorC + within(difference),
      scaleC: sensorC,
      alphaP: 22.6e-6 + within(1e-6),
      alphaS: 11.5e-6 + within(0.5e-6),
    };
  });
  const part = { coefficient: 22.6e-6, coefficientU: rectangular(1e-6), temperatureC: 24, temperatureU: sensorU };
  const scale = { ...part, coefficient: 11.5e-6, coefficientU: rectangular(0.5e-6) };
  const shared = { length: 500, part, scale, sharedDifferenceU: rectangular(difference), cmm: 0 };
  const u = combined(contributionsOf(shared));
  assert.ok(Math.abs(spread / u - 1) < 0.005, `${spread} ${u}`);
  const asIfTwo = combined(contributionsOf({ ...shared, sharedDifferenceU: null }));
  assert.ok(asIfTwo / u > 1.7, 'taking the two temperatures as independent would say far more');
});

test('only what there is contributes', () => {
  const { part } = ALUMINIUM;
  assert.deepEqual(Object.keys(contributionsOf({ ...ALUMINIUM, scale: null })), [
    'part_expansion',
    'part_temperature',
    'cmm',
  ]);
  assert.deepEqual(contributionsOf({ ...ALUMINIUM, part: null, scale: null, cmm: 0.002 }), { cmm: 0.002 });
  const alone = { ...ALUMINIUM, scale: null, sharedDifferenceU: 0.1 };
  assert.deepEqual(contributionsOf(alone), contributionsOf({ ...ALUMINIUM, part, scale: null }));
  assert.equal(combined(contributionsOf({ ...ALUMINIUM, length: -500 })), combined(contributionsOf(ALUMINIUM)));
});

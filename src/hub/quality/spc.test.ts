import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../base/random.ts';
import { capability, controlLimits, movingRanges, nelsonRules } from './spc.ts';

const near = (found: number | undefined, wanted: number, tolerance: number): void => {
  assert.ok(found !== undefined && Math.abs(found - wanted) <= tolerance, `${found}, wanted ${wanted} ± ${tolerance}`);
};

/** Viscosities of 15 batches of aircraft primer paint: Montgomery, 6th edition, example 6.5. */
const PAINT = [33.75, 33.05, 34.0, 33.81, 33.46, 34.02, 33.68, 33.27, 33.49, 33.2, 33.62, 33.0, 33.54, 33.12, 33.84];

test('limits of a chart of individuals: the example of the book', () => {
  const limits = controlLimits(PAINT);
  near(limits?.centre, 33.52, 0.005);
  near(limits?.rangeCentre, 0.48, 0.005);
  near(limits?.upper, 34.8, 0.01);
  near(limits?.lower, 32.24, 0.01);
  near(limits?.rangeUpper, 1.57, 0.01);
  assert.equal(limits?.baseline, 15);
});

test('the limits stay those of the first 25 values, and one value has none', () => {
  const steady = Array.from({ length: 25 }, (_, index) => 10 + (index % 2));
  assert.deepEqual(controlLimits([...steady, 100, 200]), controlLimits(steady));
  assert.equal(controlLimits([1]), undefined);
  assert.deepEqual(movingRanges([1, 4, 2]), [3, 2]);
});

test('each rule is met by its pattern, where the pattern is completed, and by nothing shorter', () => {
  const rules = (values: readonly number[]): number[][] => nelsonRules(values, { centre: 0, sigma: 1 });
  const completes = (rule: number, pattern: readonly number[]): void => {
    for (const values of [pattern, pattern.map((value) => -value)]) {
      const found = rules(values).map((list) => list.includes(rule));
      assert.deepEqual(found, [...values.slice(1).map(() => false), true], `rule ${rule}: ${values.join(' ')}`);
    }
  };
  completes(1, [0.5, 3.01]);
  completes(2, [0.1, 0.2, 0.1, 0.2, 0.1, 0.2, 0.1, 0.2, 0.1]);
  completes(3, [-0.5, -0.3, -0.1, 0.1, 0.3, 0.5]);
  completes(4, [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]);
  completes(5, [2.1, 0, 2.1]);
  completes(6, [1.1, 1.1, 0, 1.1, 1.1]);
  completes(7, [0.9, -0.9, 0.9, 0.2, -0.2, 0.9, -0.9, 0.9, 0.2, -0.2, 0.9, -0.9, 0.9, 0.2, -0.2]);
  completes(8, [1.1, -1.1, 1.1, -1.1, 1.1, -1.1, 1.1, -1.1]);
  assert.deepEqual(rules([3, 0, -3]).flat(), [], 'on the limit is not beyond it');
  assert.deepEqual(rules([2.1, 0, -2.1]).flat(), [], 'two of three count on one side only');
  assert.deepEqual(nelsonRules([1, 1, 1], { centre: 1, sigma: 0 }), [[], [], []]);
});

test('two of three and four of five are met by the first two and the first four values', () => {
  const met = (...distances: number[]): number[][] => nelsonRules(distances, { centre: 0, sigma: 1 });
  assert.deepEqual(met(2.5, 2.5, 0), [[], [5], []]);
  assert.deepEqual(met(-1.5, -1.5, -1.5, -1.5, 0), [[], [], [], [6], []]);
  assert.deepEqual(met(2.5, -2.5, 0), [[], [], []]);
});

test('a steady process seldom meets a rule, one that drifts does', () => {
  const random = seededRandom(7);
  // The sum of twelve is near enough to normal.
  const normal = (): number => Array.from({ length: 12 }, random).reduce((sum, value) => sum + value, -6);
  const steady = Array.from({ length: 2_000 }, normal);
  const met = nelsonRules(steady, { centre: 0, sigma: 1 }).filter((list) => list.includes(1)).length;
  assert.ok(met < 15, `${met} of 2,000 beyond 3 σ`);
  const drifting = steady.slice(0, 100).map((value, index) => value + index / 25);
  assert.ok(nelsonRules(drifting, { centre: 0, sigma: 1 }).some((list) => list.includes(2)));
});

test('capability: two limits, one limit, none, too few', () => {
  const values = Array.from({ length: 40 }, (_, index) => 10 + [0, 0.1, 0, -0.1][index % 4]!);
  const both = capability(values, { lower: 9.7, upper: 10.6 });
  // Ranges of 0.1 throughout: σ within = 0.1 / 1.128; overall: the mean square of 0, 0.1, 0, 0.1.
  near(both?.sigmaWithin, 0.08865, 0.00001);
  near(both?.sigmaOverall, Math.sqrt((0.005 * 40) / 39), 1e-9);
  near(both?.cp, 0.9 / (6 * 0.08865), 0.0001);
  near(both?.cpk, 0.3 / (3 * 0.08865), 0.0001);
  near(both?.ppk, 0.3 / (3 * Math.sqrt((0.005 * 40) / 39)), 1e-9);
  assert.ok(both !== undefined && both.cpkInterval[0] < both.cpk && both.cpk < both.cpkInterval[1]);
  const upper = capability(values, { lower: undefined, upper: 10.6 });
  assert.equal(upper?.cp, undefined);
  near(upper?.cpk, 0.6 / (3 * 0.08865), 0.0001);
  assert.equal(capability(values, { lower: undefined, upper: undefined }), undefined);
  assert.equal(capability(values.slice(0, 29), { lower: 9, upper: 11 }), undefined);
  assert.equal(
    capability(
      values.map(() => 10),
      { lower: 9, upper: 11 },
    ),
    undefined,
  );
});

test('the 95 % interval of Ppk covers the true index about 95 times of 100', () => {
  const random = seededRandom(11);
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  let covered = 0;
  for (let round = 0; round < 1_000; round += 1) {
    const values = Array.from({ length: 50 }, normal);
    const [low, high] = capability(values, { lower: -4, upper: undefined })?.ppkInterval ?? [0, 0];
    if (low <= 4 / 3 && 4 / 3 <= high) covered += 1;
  }
  assert.ok(covered > 920 && covered < 980, `${covered} of 1,000`);
});

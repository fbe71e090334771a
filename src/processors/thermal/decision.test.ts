import assert from 'node:assert/strict';
import { test } from 'node:test';
import { conformanceProbability, guardBandOf, verdictOf } from './decision.ts';

const LIMITS = { lower: 9.9, upper: 10.1 };
const NONE = undefined;

test('JCGM 106, 7.4: y 13.6, u 1.8, limits 12.5 and 16.3 conform with a probability of 0.6626', () => {
  assert.equal(conformanceProbability(13.6, 1.8, { lower: 12.5, upper: 16.3 }).toFixed(4), '0.6626');
});

test('the normal distribution is right in its middle and its tails', () => {
  const below = (x: number): number => conformanceProbability(0, 1, { lower: NONE, upper: x });
  // Values of Φ to 10 digits, from tables.
  const table: [number, string][] = [
    [0, '0.5000000000'],
    [1, '0.8413447461'],
    [-1, '0.1586552539'],
    [1.65, '0.9505285320'],
    [2, '0.9772498681'],
    [-3, '0.0013498980'],
    [5, '0.9999997133'],
    [-8, '0.0000000000'],
    [9, '1.0000000000'],
    [-9, '0.0000000000'],
  ];
  for (const [x, value] of table) assert.equal(below(x).toFixed(10), value, `Φ(${x})`);
  for (let x = -9; x < 9; x += 0.01) assert.ok(below(x) <= below(x + 0.01) + 1e-15 && below(x) >= 0 && below(x) <= 1);
});

test('without uncertainty the probability is the value itself; a limit that is absent does not limit', () => {
  assert.equal(conformanceProbability(10.1, 0, LIMITS), 1);
  assert.equal(conformanceProbability(10.2, 0, LIMITS), 0);
  assert.equal(conformanceProbability(9.8, 0, LIMITS), 0);
  assert.equal(conformanceProbability(10, 1, { lower: NONE, upper: 10 }), 0.5);
  assert.equal(conformanceProbability(10, 1, { lower: 10, upper: NONE }), 0.5);
  assert.equal(conformanceProbability(1e308, 1, LIMITS), 0);
});

test('ISO 14253-1: conform within the limits less g, nonconform beyond them by g, else neither', () => {
  const guardBand = guardBandOf('iso_14253_1', 1.65, 0.02);
  assert.equal(guardBand, 0.033);
  const cases: [number, string][] = [
    [9.8, 'nonconform'],
    [9.868, 'indeterminate'],
    [9.9, 'indeterminate'],
    [9.932, 'indeterminate'],
    [9.934, 'conform'],
    [10, 'conform'],
    [10.066, 'conform'],
    [10.068, 'indeterminate'],
    [10.132, 'indeterminate'],
    [10.134, 'nonconform'],
  ];
  for (const [value, verdict] of cases) assert.equal(verdictOf({ value, guardBand }, LIMITS), verdict, `${value}`);
});

test('a guard band wider than the tolerance leaves no value conform', () => {
  for (let value = 9.7; value < 10.3; value += 0.01) {
    assert.notEqual(verdictOf({ value, guardBand: 0.11 }, LIMITS), 'conform');
  }
});

test('one limit', () => {
  const upper = { lower: NONE, upper: 0.05 };
  const judge = (value: number): string => verdictOf({ value, guardBand: 0.01 }, upper);
  assert.deepEqual([-5, 0.039, 0.045, 0.059, 0.061].map(judge), [
    'conform',
    'conform',
    'indeterminate',
    'indeterminate',
    'nonconform',
  ]);
  assert.equal(verdictOf({ value: 5, guardBand: 0.01 }, { lower: 4.9, upper: NONE }), 'conform');
  assert.equal(verdictOf({ value: 4.8, guardBand: 0.01 }, { lower: 4.9, upper: NONE }), 'nonconform');
});

test('simple acceptance always decides, and the limits belong to what conforms', () => {
  const guardBand = guardBandOf('simple_acceptance', 1.65, 0.02);
  const judge = (value: number): string => verdictOf({ value, guardBand }, LIMITS);
  assert.equal(guardBand, 0);
  assert.deepEqual([9.899, 9.9, 10.1, 10.101].map(judge), ['nonconform', 'conform', 'conform', 'nonconform']);
});

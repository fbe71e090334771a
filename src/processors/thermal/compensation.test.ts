import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../base/random.ts';
import { correctionOf, REFERENCE_C } from './compensation.ts';

test('500 mm of aluminium at 23.5 °C on a scale at 22 °C are 31.548 µm less at 20 °C', () => {
  const part = { coefficient: 22.6e-6, temperatureC: 23.5 };
  const scale = { coefficient: 8e-6, temperatureC: 22 };
  assert.equal((correctionOf(500, { part, scale }) * 1000).toFixed(3), '-31.548');
});

test('JCGM 100, H.1: a gauge on a standard of the same material and temperature needs no correction', () => {
  const gauge = { coefficient: 11.5e-6, temperatureC: 19.9 };
  const shown = 50.000623 + 0.000215;
  assert.equal((shown + correctionOf(shown, { part: gauge, scale: gauge })).toFixed(6), '50.000838');
});

test('what is left out is taken as compensated', () => {
  const part = { coefficient: 20e-6, temperatureC: 25 };
  assert.equal(correctionOf(100, { part: null, scale: null }), 0);
  assert.ok(Math.abs(correctionOf(100, { part, scale: null }) + 0.01 / 1.0001) < 1e-15);
  assert.ok(Math.abs(correctionOf(100, { part: null, scale: part }) - 0.01) < 1e-15);
});

test('the correction is what the formula gives, to the last digits that the formula has', () => {
  const random = seededRandom(20);
  for (let round = 0; round < 10_000; round += 1) {
    const length = (random() - 0.2) * 10_000;
    const part = { coefficient: random() * 3e-5, temperatureC: random() * 60 - 10 };
    const scale = { coefficient: random() * 3e-5, temperatureC: random() * 60 - 10 };
    const [strainP, strainS] = [part, scale].map((of) => of.coefficient * (of.temperatureC - 20)) as [number, number];
    const at20 = (length * (1 + strainS)) / (1 + strainP);
    assert.ok(Math.abs(correctionOf(length, { part, scale }) - (at20 - length)) <= 4e-16 * Math.abs(length) + 1e-18);
  }
});

test('at 20 °C there is none; the warmer the part, the smaller the result; the warmer the scale, the larger', () => {
  const random = seededRandom(1);
  for (let round = 0; round < 2_000; round += 1) {
    const length = random() * 2_000 + 0.01;
    const [alphaP, alphaS] = [1e-7 + random() * 3e-5, 1e-7 + random() * 3e-5];
    const [low, high] = [random() * 20, 20.001 + random() * 20];
    const at = (partC: number, scaleC: number): number =>
      correctionOf(length, {
        part: { coefficient: alphaP, temperatureC: partC },
        scale: { coefficient: alphaS, temperatureC: scaleC },
      });
    assert.equal(Math.abs(at(REFERENCE_C, REFERENCE_C)), 0);
    assert.ok(at(low, 20) > at(high, 20) && at(20, low) < at(20, high));
  }
});

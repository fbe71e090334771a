import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mmPerUnit } from './units.ts';

test('units of length, however they are spelled', () => {
  const units = ['mm', ' MM ', 'millimetre', '\u00b5m', '\u03bcm', 'um', 'micron', 'nm', 'cm', 'm', 'in', 'Inch', '"'];
  const expected = [1, 1, 1, 1e-3, 1e-3, 1e-3, 1e-3, 1e-6, 10, 1000, 25.4, 25.4, 25.4];
  assert.deepEqual(units.map(mmPerUnit), expected);
});

test('words in the singular and the plural', () => {
  const units = [
    'millimeters',
    'Millimetres',
    'microns',
    'meter',
    'metres',
    'inches',
    'inch',
    'feet',
    'ft',
    'mil',
    'thou',
  ];
  assert.deepEqual(units.map(mmPerUnit), [1, 1, 1e-3, 1000, 1000, 25.4, 25.4, 304.8, 304.8, 0.0254, 0.0254]);
});

test('what is no length', () => {
  for (const unit of [
    'deg',
    '°',
    'rad',
    '%',
    '',
    '1',
    'N',
    's',
    'ms',
    'ins',
    'mm/s',
    'mm²',
    'constructor',
    '__proto__',
  ]) {
    assert.equal(mmPerUnit(unit), undefined, unit);
  }
});

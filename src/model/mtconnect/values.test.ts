import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dataSet, type FieldSettings, fieldValue, SERIES_VALUES_MAX, seriesValues, setValue } from './values.ts';

const NUMBER: FieldSettings = { name: 'x', type: 'number', scale: 1, offset: 0, index: null };
const EXTRA: FieldSettings = { ...NUMBER, type: 'auto' };

test('numbers as adapters write them, and what is none', () => {
  for (const [text, value] of [
    ['1', 1],
    ['-2.50', -2.5],
    ['+3.', 3],
    ['.5', 0.5],
    ['1e3', 1000],
    ['', null],
    ['Unavailable', null],
    ['.', undefined],
    ['1.2.3', undefined],
    ['0x10', undefined],
    ['1e999', undefined],
  ] as const) {
    assert.equal(fieldValue(NUMBER, text), value, text);
  }
});

test('a long run of digits that is no number is told as soon as a short one', () => {
  // A million digits, each of which could be taken in two ways, would take hours.
  const text = `${'0'.repeat(1_000_000)}x`;
  assert.equal(fieldValue(NUMBER, text), undefined);
  assert.equal(seriesValues(text), undefined);
});

test('no value is a number that JSON cannot hold', () => {
  assert.equal(setValue('1e999'), '1e999');
  assert.equal(fieldValue(EXTRA, '1e999'), '1e999');
  assert.equal(fieldValue({ ...NUMBER, scale: 1e300 }, '1e300'), undefined);
  assert.equal(seriesValues('1 1e999'), undefined);
  assert.deepEqual(
    dataSet('a=1e999 __proto__=1'),
    Object.fromEntries([
      ['a', '1e999'],
      ['__proto__', 1],
    ]),
  );
});

test('a series has so many values at most', () => {
  assert.equal(seriesValues('1 '.repeat(SERIES_VALUES_MAX))?.length, SERIES_VALUES_MAX);
  assert.equal(seriesValues('1 '.repeat(SERIES_VALUES_MAX + 1)), undefined);
});

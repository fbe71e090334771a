import assert from 'node:assert/strict';
import { test } from 'node:test';
import { numberIn } from './rows.ts';

test('numbers with a point or a comma, and what is none', () => {
  for (const [text, value] of [
    ['25,0031', 25.0031],
    [' -1.5 ', -1.5],
    ['+3.', 3],
    ['.5', 0.5],
    ['1E-3', 0.001],
    ['', undefined],
    ['1,2,3', undefined],
    ['1 2', undefined],
  ] as const) {
    assert.equal(numberIn(text), value, text);
  }
});

test('a long run of digits that is no number is told as soon as a short one', () => {
  // A million digits, each of which could be taken in two ways, would take hours.
  assert.equal(numberIn(`${'0'.repeat(1_000_000)}x`), undefined);
});

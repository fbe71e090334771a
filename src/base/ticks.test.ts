import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextTickMs } from './ticks.ts';

test('the grid follows an interval that changes', () => {
  assert.equal(nextTickMs(1_000, 100, 1_000.4), 1_100);
  assert.equal(nextTickMs(1_000, 1_000, 1_000.4), 2_000);
  assert.equal(nextTickMs(1_000, 100, 1_350), 1_400);
  assert.throws(() => nextTickMs(0, 0, 0), { code: 'config_invalid' });
});

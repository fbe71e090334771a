import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rate } from './rate.ts';

test('a steady stream has its rate from the second window on', () => {
  const rate = new Rate();
  for (let ms = 0; ms < 30_000; ms += 100) {
    rate.add(1, ms);
    if (ms > 10_000) assert.ok(Math.abs(rate.perSecond(ms) - 10) <= 0.3, `${rate.perSecond(ms)} at ${ms}`);
  }
});

test('after a silence of two windows the rate is zero', () => {
  const rate = new Rate();
  rate.add(100, 1_000);
  assert.ok(rate.perSecond(1_000) > 0);
  assert.equal(rate.perSecond(11_000), 0);
  rate.add(50, 1_000_000);
  assert.equal(rate.perSecond(1_000_000), 10);
});

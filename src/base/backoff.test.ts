import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff } from './backoff.ts';
import { seededRandom } from './random.ts';

const LIMITS = { firstMs: 100, maxMs: 10_000 };

test('grows to its limit, and begins again after a success', () => {
  const backoff = new Backoff(LIMITS, () => 0.999_999);
  const waits = Array.from({ length: 10 }, () => Math.round(backoff.nextMs()));
  assert.deepEqual(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]);
  assert.equal(backoff.attempts, 10);
  backoff.reset();
  assert.equal(backoff.attempts, 0);
  assert.equal(Math.round(backoff.nextMs()), 100);
});

test('never below half of the first, never above the limit, however long it fails', () => {
  const backoff = new Backoff(LIMITS, seededRandom(1));
  const waits = Array.from({ length: 2_000 }, () => backoff.nextMs());
  assert.ok(waits.every((wait) => wait >= 50 && wait <= 10_000));
  const mean = waits.slice(10).reduce((sum, wait) => sum + wait, 0) / 1_990;
  assert.ok(mean > 4_500 && mean < 5_500, `full jitter: ${mean}`);
});

test('waits at least as long as the peer asks', () => {
  const backoff = new Backoff(LIMITS, () => 0);
  assert.equal(backoff.nextMs(30_000), 30_000);
  assert.equal(backoff.nextMs(10), 50);
});

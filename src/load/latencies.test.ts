import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Latencies } from './latencies.ts';

test('percentiles are right to 3 %', () => {
  const latencies = new Latencies();
  assert.equal(latencies.summary(), null);
  for (let ms = 1; ms <= 1_000; ms += 1) latencies.add(ms);
  const summary = latencies.summary();
  assert.ok(summary !== null);
  const { count, p50Ms, p95Ms, p99Ms, maxMs } = summary;
  assert.equal(count, 1_000);
  assert.equal(maxMs, 1_000);
  for (const [found, right] of [
    [p50Ms, 500],
    [p95Ms, 950],
    [p99Ms, 990],
  ] as const) {
    assert.ok(found >= right && found <= right * 1.035, `${found} for ${right}`);
  }
});

test('nothing is too short or too long to be counted', () => {
  const latencies = new Latencies();
  for (const ms of [0, 0.001, 1e12]) latencies.add(ms);
  assert.equal(latencies.summary()?.count, 3);
  assert.equal(latencies.summary()?.p50Ms, 0.01);
  assert.equal(latencies.summary()?.maxMs, 1e12);
});

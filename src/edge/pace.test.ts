import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PACE, Pace } from './pace.ts';

test('calls grow while they are fast and shrink while they are slow, within their limits', () => {
  const pace = new Pace(256 * 1024, null);
  assert.equal(pace.bytes, PACE.bytesFirst);
  pace.ended(pace.bytes, PACE.fastMs);
  assert.equal(pace.bytes, PACE.bytesFirst, 'neither fast nor slow');
  for (let call = 0; call < 5; call += 1) pace.ended(pace.bytes, 10);
  assert.equal(pace.bytes, 256 * 1024);
  const before = pace.bytes;
  pace.ended(before, 2_000);
  pace.ended(before, 2_000);
  assert.equal(pace.bytes, before / 2, 'of two that were under way together one counts');
  for (let call = 0; call < 9; call += 1) pace.ended(pace.bytes, 2_000);
  assert.equal(pace.bytes, PACE.bytesMin);
  assert.equal(new Pace(1_000, null).bytes, 1_000);
});

test('no more readings than are allowed, over any longer time', () => {
  const pace = new Pace(1_000_000, 100);
  let sent = 0;
  for (let nowMs = 5_000; nowMs <= 65_000; nowMs += 10) {
    if (pace.waitMs(nowMs) > 0) continue;
    pace.started(250, nowMs);
    sent += 250;
  }
  assert.ok(sent >= 6_000 && sent <= 6_350, `${sent} in a minute`);
});

test('the wait is as long as it takes until something is allowed again', () => {
  const pace = new Pace(1_000_000, 100);
  assert.equal(pace.waitMs(0), 0);
  assert.equal(pace.allowance(0), 100);
  pace.started(300, 0);
  const waitMs = pace.waitMs(0);
  assert.ok(waitMs > 2_000 && waitMs < 2_100);
  assert.ok(pace.waitMs(waitMs - 20) > 0);
  assert.equal(pace.waitMs(waitMs), 0);
  assert.equal(new Pace(1_000, null).waitMs(0), 0);
  assert.equal(new Pace(1_000, null).allowance(0), Number.POSITIVE_INFINITY);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pace } from './pace.ts';

const MIB = 1024 * 1024;

/** After so many calls, one after the other, that take what is said of their size. */
function after(calls: number, pace: Pace, takesMs: (bytes: number) => number, fromMs = 0): number {
  let nowMs = fromMs;
  for (let call = 0; call < calls; call += 1) {
    const { bytes } = pace;
    nowMs += takesMs(bytes);
    pace.ended(bytes, takesMs(bytes), nowMs);
  }
  return nowMs;
}

test('calls are as large as a line carries in half a second', () => {
  for (const [bytesPerMs, wanted] of [
    [1_000, 256 * 1024],
    [200, 64 * 1024],
    [50, 16 * 1024],
    [10, 16 * 1024],
    [1e9, MIB],
  ] as const) {
    const pace = new Pace(MIB, null);
    after(40, pace, (bytes) => 20 + bytes / bytesPerMs);
    assert.equal(pace.bytes, wanted, `${bytesPerMs} bytes a millisecond`);
  }
  assert.equal(new Pace(1_000, null).bytes, 1_000);
});

test('a far end that is slow whatever it gets is sent large calls', () => {
  for (const waitMs of [300, 700, 5_000]) {
    const pace = new Pace(MIB, null);
    after(20, pace, (bytes) => waitMs + bytes / 10_000);
    assert.equal(pace.bytes, MIB, `${waitMs} ms`);
  }
  const uneven = new Pace(MIB, null);
  let turn = 0;
  after(40, uneven, () => 600 + 300 * Math.sin((turn += 1)));
  assert.ok(uneven.bytes >= 256 * 1024, `${uneven.bytes} bytes`);
});

test('a line that becomes slow, and one that becomes fast, is found out', () => {
  const pace = new Pace(MIB, null);
  let nowMs = after(20, pace, () => 50);
  assert.equal(pace.bytes, MIB);
  nowMs = after(40, pace, (bytes) => bytes / 50, nowMs);
  assert.equal(pace.bytes, 16 * 1024);
  after(400, pace, () => 50 + 100, nowMs);
  assert.equal(pace.bytes, MIB);
});

test('of calls that were under way together one counts', () => {
  const pace = new Pace(MIB, null);
  const before = pace.bytes;
  for (let call = 0; call < 3; call += 1) pace.ended(before, 2_000, 2_000);
  assert.equal(pace.bytes, before / 2);
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

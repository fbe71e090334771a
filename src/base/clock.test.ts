import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { now, systemClock, wallClock } from './clock.ts';
import { ManualClock } from './manual-clock.test-support.ts';

test('tells the wall clock’s time in microseconds', () => {
  const before = Date.now() - 6;
  const micros = systemClock.nowMicros();
  assert.ok(Number.isSafeInteger(micros));
  assert.ok(micros >= before * 1000 && micros <= (Date.now() + 7) * 1000);
  assert.match(now(systemClock), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
});

test('follows the wall clock when it is set, and keeps its decimals otherwise', () => {
  let wallMs = 1_000;
  let fineMs = 5.25;
  const nowMicros = wallClock(
    () => Math.floor(wallMs),
    () => fineMs,
  );
  const pass = (ms: number): void => {
    wallMs += ms;
    fineMs += ms;
  };
  assert.equal(nowMicros(), 1_000_000);
  pass(0.123);
  assert.equal(nowMicros(), 1_000_123);
  pass(0.9);
  assert.equal(nowMicros(), 1_001_023);
  // The time server is reached: 50 years are set at once.
  wallMs += 1_577_836_800_000;
  assert.equal(nowMicros(), 1_577_836_801_001_000);
  wallMs -= 60_000;
  assert.equal(nowMicros(), 1_577_836_741_001_000);
  // A slow drift of the fine clock is taken back as well.
  for (let day = 0; day < 100; day += 1) {
    pass(86_400_000);
    fineMs += 1;
    assert.ok(Math.abs(nowMicros() / 1000 - wallMs) <= 6);
  }
});

test('all sleeps end with their signal, and share one listener that is gone with it', async () => {
  const stop = new AbortController();
  const began = systemClock.monotonicMs();
  await systemClock.sleep(20, stop.signal);
  assert.ok(systemClock.monotonicMs() - began >= 18);
  const long = [1, 2, 3].map(() => systemClock.sleep(3_600_000, stop.signal));
  assert.equal(getEventListeners(stop.signal, 'abort').length, 1);
  stop.abort();
  await Promise.all(long);
  await systemClock.sleep(3_600_000, stop.signal);
  assert.equal(getEventListeners(stop.signal, 'abort').length, 0);
});

test('a sleep longer than a timer holds does not end at once', async () => {
  const stop = new AbortController();
  let isOver = false;
  const sleep = systemClock.sleep(2 ** 32, stop.signal).then(() => {
    isOver = true;
  });
  await systemClock.sleep(20);
  assert.equal(isOver, false);
  stop.abort();
  await sleep;
});

test('the manual clock wakes its sleepers in order, each at its own time', async () => {
  const clock = new ManualClock('2026-01-01T00:00:00Z');
  const woken: string[] = [];
  const stop = new AbortController();
  void clock.sleep(20).then(() => woken.push(`b ${clock.monotonicMs()}`));
  void clock
    .sleep(10)
    .then(() => woken.push(`a ${clock.monotonicMs()}`))
    .then(() => clock.sleep(5))
    .then(() => woken.push(`c ${clock.monotonicMs()}`));
  void clock.sleep(1, stop.signal).then(() => woken.push('aborted'));
  stop.abort();
  assert.equal(clock.sleepers, 2);
  await clock.step(30);
  assert.deepEqual(woken, ['aborted', 'a 10', 'c 15', 'b 20']);
  assert.equal(now(clock), '2026-01-01T00:00:00.030000Z');
});

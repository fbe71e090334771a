import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MillwrightError } from '../../base/errors.ts';
import type { Batch } from '../../model/batch.ts';
import { encodeFrame } from '../../model/frame.ts';
import type { ServingSink, Sink, Trouble } from '../../ports/sink.ts';
import { newRig, type Rig, STORED } from './delivery.test-support.ts';
import { BEHIND_MS, RETRY_AFTER_MS_MAX } from './delivery.ts';

/** All that was appended arrived, each batch in one call that succeeded. */
function assertEachOnce(rig: Rig): void {
  const settled = rig.calls.filter(({ endedMs }) => endedMs !== undefined).flatMap(({ sequences }) => sequences);
  const expected = Array.from({ length: rig.log.lastSequence }, (_, index) => index + 1);
  assert.deepEqual(
    settled.toSorted((a, b) => a - b),
    expected.filter((sequence) => !rig.gone(sequence)),
  );
}

/** A rig whose log holds a backlog older than a minute, and gets a fresh batch every 100 ms while the delivery runs. */
async function behind(rig: Rig, { backlog, seconds }: { backlog: number; seconds: number }): Promise<() => boolean> {
  await rig.append(backlog, 1_000);
  await rig.clock.step(60_000);
  const startMs = rig.clock.monotonicMs();
  let made = 0;
  rig.onStep = () => {
    for (; made < seconds * 10 && rig.clock.monotonicMs() >= startMs + made * 100; made += 1) void rig.appendOne(500);
  };
  return () => rig.appendedMs.size === backlog + seconds * 10 && rig.position === rig.log.lastSequence;
}

/** How late the batches after the backlog were, at most. */
function latestMs(rig: Rig, backlog: number): number {
  const fresh = [...rig.appendedMs.keys()].filter((sequence) => sequence > backlog);
  assert.ok(fresh.length > 0);
  return Math.max(...fresh.map((sequence) => rig.latencyMs(sequence)));
}

test('a sink that keeps up is sent one call after the other, in order, as much as it takes', async (context) => {
  const rig = await newRig(context);
  let first: Batch | undefined;
  rig.deliver = async (batches) => {
    first ??= batches[0];
    await rig.clock.sleep(20);
    return STORED;
  };
  await rig.append(10);
  await rig.run(() => rig.position === 10);
  assert.deepEqual(
    rig.calls.map(({ sequences }) => sequences),
    [
      [1, 2, 3, 4],
      [5, 6, 7, 8],
      [9, 10],
    ],
  );
  assert.equal(rig.callsMax, 1);
  assert.deepEqual(
    { ...first, payload: first?.payload.length },
    { gatewayId: 'gw', epoch: 'epoch-1_epoch-1', sequence: 1, readings: 2, payload: 50 },
  );
  const status = rig.delivery.status();
  assert.equal(status.cursor, 10);
  assert.equal(status.lag_batches, 0);
  assert.equal(status.oldest_unsent_age_seconds, null);
  assert.equal(status.drained_in_seconds, null);
  assert.equal(status.state, 'stopped');
  assert.ok(status.last_delivery !== null);
  assert.equal(rig.delivery.delivered, 20);
});

test('what fails is sent again, with growing waits', async (context) => {
  const rig = await newRig(context);
  let failures = 4;
  rig.deliver = () => {
    if (failures === 0) return STORED;
    failures -= 1;
    throw new MillwrightError('connection_failed', 'nobody there');
  };
  await rig.append(3);
  await rig.run(() => rig.position === 3);
  assertEachOnce(rig);
  const startsMs = rig.calls.map(({ startedMs }) => startedMs);
  const waitsMs = [500, 1_000, 2_000, 4_000];
  for (const [index, waitMs] of waitsMs.entries()) {
    const waitedMs = (startsMs[index + 1] ?? 0) - (startsMs[index] ?? 0);
    assert.ok(waitedMs >= waitMs && waitedMs < waitMs + 50, `${waitedMs} ms`);
  }
  assert.equal(rig.delivery.status().retries, 4);
  assert.equal(rig.delivery.status().last_error, null);
  assert.equal(rig.lines.filter((line) => line.level === 'warn').length, 1, 'told once');
});

test('waits do not grow while each attempt gets further', async (context) => {
  const rig = await newRig(context);
  let failures = 6;
  rig.deliver = () => {
    if (failures === 0) return STORED;
    failures -= 1;
    throw new MillwrightError('connection_failed', 'HTTP 500', { hasProgressed: true });
  };
  await rig.append(3);
  await rig.run(() => rig.position === 3);
  const startsMs = rig.calls.slice(0, 7).map(({ startedMs }) => startedMs);
  for (const [index, startedMs] of startsMs.slice(1).entries()) {
    const waitedMs = startedMs - (startsMs[index] ?? 0);
    assert.ok(waitedMs >= 500 && waitedMs < 550, `${waitedMs} ms`);
  }
});

test('an ordered sink gets the oldest first however far behind it is, one call at a time, no faster than max_rate', async (context) => {
  const rig = await newRig(context, { ordered: true });
  await rig.log.close();
  await rig.open({ maxRate: 60 });
  let calls = 0;
  rig.deliver = async () => {
    calls += 1;
    await rig.clock.sleep(20);
    if (calls % 7 === 0) throw new MillwrightError('connection_failed', 'nobody there');
    return STORED;
  };
  const done = await behind(rig, { backlog: 300, seconds: 10 });
  const startMs = rig.clock.monotonicMs();
  await rig.run(done);
  const settled = rig.calls.filter(({ endedMs }) => endedMs !== undefined).flatMap(({ sequences }) => sequences);
  assert.deepEqual(
    settled,
    Array.from({ length: 400 }, (_, index) => index + 1),
  );
  assert.equal(rig.callsMax, 1);
  // 600 readings of the backlog and those that came meanwhile, of which the first 60 may go at once.
  const seconds = (rig.clock.monotonicMs() - startMs) / 1000;
  assert.ok(seconds > 9, `${seconds} s`);
});

test('the wait that the far end asks for is kept, but not for hours or years', async (context) => {
  for (const [askedMs, waitMs] of [
    [45_000, 45_000],
    [999_999_999_000, RETRY_AFTER_MS_MAX],
  ] as const) {
    const rig = await newRig(context);
    rig.deliver = () => {
      if (rig.calls.length > 1) return STORED;
      throw new MillwrightError('try_later', 'busy', { retryAfterMs: askedMs });
    };
    await rig.append(1);
    await rig.run(() => rig.position === 1);
    const [first, second] = rig.calls;
    const waitedMs = (second?.startedMs ?? 0) - (first?.startedMs ?? 0);
    assert.ok(waitedMs >= waitMs && waitedMs < waitMs + 50, `${waitedMs} ms`);
  }
});

test('a failing sink says so in its status', async (context) => {
  const rig = await newRig(context);
  rig.deliver = () => {
    throw new TypeError('even this');
  };
  await rig.append(3);
  let during = rig.delivery.status();
  assert.equal(during.state, 'connecting');
  await rig.run(() => {
    during = rig.delivery.status();
    return during.retries > 2;
  });
  assert.equal(during.state, 'failing');
  assert.equal(during.last_error, 'even this');
  assert.equal(during.lag_batches, 3);
  assert.equal(during.lag_readings, 6);
  assert.ok((during.oldest_unsent_age_seconds ?? -1) >= 0);
});

test('a serving sink says in the status what keeps it from serving, although it takes batches', async (context) => {
  const rig = await newRig(context);
  let trouble: Trouble | null = { message: 'the port is taken', isServing: false };
  const sink: Sink & ServingSink = {
    limits: rig.limits,
    window: 1,
    deliver: () => Promise.resolve(STORED),
    close: () => Promise.resolve(),
    serve: () => {},
    get trouble() {
      return trouble;
    },
  };
  await rig.log.close();
  await rig.open({ sink });
  await rig.append(3);
  let during = rig.delivery.status();
  const told = (): unknown[] => [during.state, during.last_error, during.lag_batches];
  await rig.run(() => {
    during = rig.delivery.status();
    return during.cursor === 3;
  });
  assert.deepEqual(told(), ['failing', 'the port is taken', 0]);
  trouble = { message: 'the certificate ends soon', isServing: true };
  await rig.append(1);
  await rig.run(() => {
    during = rig.delivery.status();
    return during.cursor === 4;
  });
  assert.deepEqual(told(), ['ok', 'the certificate ends soon', 0]);
});

test('a refused batch goes to the dead letters, the others are settled', async (context) => {
  const rig = await newRig(context);
  rig.deliver = (batches) => ({
    refused: batches
      .filter(({ sequence }) => sequence === 2)
      .map(({ sequence }) => ({ sequence, reason: 'bad frame' })),
  });
  await rig.append(6);
  await rig.run(() => rig.position === 6);
  assert.deepEqual(rig.kept, [{ sequence: 2, reason: 'bad frame' }]);
  assert.equal(rig.delivery.status().dead_letters, 1);
  assert.equal(rig.lines.filter((line) => line.level === 'error').length, 1);
});

test('of a refused reading just that one is kept, and the rest of its batch is settled', async (context) => {
  const rig = await newRig(context);
  const frames = [1, 2].map((number) => encodeFrame({ number }));
  await rig.log.append(Buffer.concat(frames), 2);
  rig.deliver = () => ({ refused: [{ sequence: 1, index: 1, reason: 'HTTP 400' }] });
  await rig.run(() => rig.position === 1);
  assert.deepEqual(rig.kept, [{ sequence: 1, index: 1, reason: 'HTTP 400' }]);
  assert.equal(rig.delivery.status().dead_letters, 1);
});

test('while a backlog drains, fresh batches arrive within two seconds, and each batch once', async (context) => {
  const rig = await newRig(context);
  rig.deliver = async () => {
    await rig.clock.sleep(300);
    return STORED;
  };
  const done = await behind(rig, { backlog: 800, seconds: 20 });
  let during = rig.delivery.status();
  await rig.run(() => {
    if (rig.delivery.delivered < 800) during = rig.delivery.status();
    return done();
  });
  assertEachOnce(rig);
  assert.ok(latestMs(rig, 800) < 2_000, `${latestMs(rig, 800)} ms`);
  assert.equal(rig.callsMax, 3);
  assert.deepEqual(rig.log.cursor('hub').islands, []);
  assert.equal(rig.delivery.status().lag_readings, 0);
  const seconds = during.drained_in_seconds ?? 0;
  assert.ok(seconds > 5 && seconds < 120, `half of the backlog is drained in ${seconds} s`);
});

test('where one call at a time is allowed, the lanes take turns', async (context) => {
  const rig = await newRig(context, { window: 1 });
  rig.deliver = async () => {
    await rig.clock.sleep(200);
    return STORED;
  };
  const done = await behind(rig, { backlog: 100, seconds: 10 });
  await rig.run(done);
  assertEachOnce(rig);
  assert.equal(rig.callsMax, 1);
  assert.ok(latestMs(rig, 100) < 2_000, `${latestMs(rig, 100)} ms`);
});

test('a slow line carries fresh batches within two seconds too: the calls of the backlog become smaller', async (context) => {
  const rig = await newRig(context, { limits: { batchesMax: 64, bytesMax: 256 * 1024 } });
  const bytesPerSecond = 20_000;
  let underWay = 0;
  rig.deliver = async (batches) => {
    let bytes = batches.reduce((sum, { payload }) => sum + payload.length, 0);
    underWay += 1;
    for (; bytes > 0; bytes -= (bytesPerSecond * 0.01) / underWay) await rig.clock.sleep(10);
    underWay -= 1;
    return STORED;
  };
  const done = await behind(rig, { backlog: 300, seconds: 20 });
  await rig.run(done);
  const sizes = rig.calls.map(({ sequences }) => sequences.length).filter((size) => size > 2);
  assert.deepEqual(sizes.slice(0, 6), [64, 64, 32, 32, 16, 16]);
  assert.ok(Math.max(...sizes.slice(4)) <= 16, 'no smaller than 16 KiB, and no larger again');
  assertEachOnce(rig);
  assert.ok(latestMs(rig, 300) < 2_000, `${latestMs(rig, 300)} ms`);
});

test('a line on which every answer takes seconds drains its backlog all the same', async (context) => {
  const rig = await newRig(context);
  rig.deliver = async () => {
    await rig.clock.sleep(3_000);
    return STORED;
  };
  const done = await behind(rig, { backlog: 60, seconds: 60 });
  await rig.run(done);
  assertEachOnce(rig);
});

test('a far end that is slow whatever it gets is sent the backlog at full width', async (context) => {
  const rig = await newRig(context, { window: 4, limits: { batchesMax: 64, bytesMax: 64_000 } });
  rig.deliver = async () => {
    await rig.clock.sleep(1_500);
    return STORED;
  };
  const startMs = rig.clock.monotonicMs();
  const done = await behind(rig, { backlog: 1_500, seconds: 120 });
  let drainedMs = 0;
  await rig.run(() => {
    if (drainedMs === 0 && rig.position >= 1_500) drainedMs = rig.clock.monotonicMs() - startMs - 60_000;
    return done();
  });
  assertEachOnce(rig);
  // With one call of 16 kB in five seconds it would take eight minutes.
  assert.ok(drainedMs < 60_000, `${drainedMs} ms`);
});

test('an outage during the drain: one wait for all, one call to find out, and the newest go first again', async (context) => {
  const rig = await newRig(context);
  let isDown = false;
  rig.deliver = async () => {
    await rig.clock.sleep(100);
    if (isDown) throw new MillwrightError('connection_failed', 'nobody there');
    return STORED;
  };
  const done = await behind(rig, { backlog: 600, seconds: 60 });
  const startMs = rig.clock.monotonicMs();
  const [downMs, upMs] = [startMs + 3_000, startMs + 33_000];
  await rig.run(() => {
    const nowMs = rig.clock.monotonicMs();
    isDown = nowMs >= downMs && nowMs < upMs;
    return done();
  });
  assertEachOnce(rig);
  const tries = rig.calls.filter(({ startedMs }) => startedMs > downMs + 200 && startedMs < upMs);
  assert.ok(tries.length >= 4 && tries.length <= 8, `${tries.length} tries in half a minute`);
  for (const [index, { startedMs }] of tries.entries()) {
    assert.ok(startedMs - (tries[index - 1]?.startedMs ?? 0) > 400, 'never two at once');
  }
  const firstAfter = rig.calls.find(({ startedMs, endedMs }) => startedMs >= upMs && endedMs !== undefined);
  assert.ok(firstAfter?.endedMs !== undefined);
  const newest = Math.max(...firstAfter.sequences);
  assert.ok(rig.latencyMs(newest) < 2_000, 'the newest batch is in the first call after the outage');
  const later = [...rig.appendedMs].filter(([, atMs]) => atMs > (firstAfter.endedMs ?? 0)).map(([one]) => one);
  assert.ok(Math.max(...later.map((sequence) => rig.latencyMs(sequence))) < 2_000);
});

test('a backlog that fails again and again does not hold up the fresh batches, and is not hurried', async (context) => {
  const rig = await newRig(context);
  let tries = 0;
  rig.deliver = async (batches) => {
    await rig.clock.sleep(20);
    if (rig.clock.monotonicMs() > 90_000 || !batches.some(({ sequence }) => sequence === 1)) return STORED;
    tries += 1;
    throw new MillwrightError('connection_failed', 'HTTP 500');
  };
  const done = await behind(rig, { backlog: 50, seconds: 40 });
  await rig.run(done);
  assertEachOnce(rig);
  assert.ok(tries >= 3 && tries <= 8, `${tries} tries`);
  assert.ok(latestMs(rig, 50) < 2_000, `${latestMs(rig, 50)} ms`);
});

test('max_rate holds the backlog only', async (context) => {
  const rig = await newRig(context);
  await rig.log.close();
  await rig.open({ maxRate: 40 });
  const done = await behind(rig, { backlog: 300, seconds: 20 });
  const startMs = rig.clock.monotonicMs();
  await rig.run(done);
  assertEachOnce(rig);
  const seconds = (rig.clock.monotonicMs() - startMs) / 1000;
  // 600 readings, of which the first 40 may go at once.
  assert.ok(seconds > 13 && seconds < 20.5, `${seconds} s`);
  assert.ok(latestMs(rig, 300) < 500, `${latestMs(rig, 300)} ms`);
});

test('after a restart in the middle of a drain, what was sent ahead is not sent again', async (context) => {
  const rig = await newRig(context);
  rig.deliver = async () => {
    await rig.clock.sleep(200);
    return STORED;
  };
  const done = await behind(rig, { backlog: 200, seconds: 20 });
  await rig.run(() => rig.log.lastSequence > 225);
  assert.ok(rig.log.cursor('hub').islands.length > 0);
  const cut = new Set(rig.calls.filter(({ endedMs }) => endedMs === undefined).flatMap(({ sequences }) => sequences));
  await rig.log.close();
  await rig.open();
  await rig.run(done);
  const settled = rig.calls.filter(({ endedMs }) => endedMs !== undefined).flatMap(({ sequences }) => sequences);
  const twice = settled.filter((sequence, index) => settled.indexOf(sequence) !== index);
  assert.deepEqual(
    twice.filter((sequence) => !cut.has(sequence)),
    [],
  );
  assert.equal(new Set(settled).size, rig.log.lastSequence);
});

test('numbers without a batch are passed over in both lanes', async (context) => {
  const rig = await newRig(context);
  rig.deliver = async () => {
    await rig.clock.sleep(200);
    return STORED;
  };
  const done = await behind(rig, { backlog: 200, seconds: 20 });
  // All of the backlog's later half is gone, and some of what follows.
  rig.gone = (sequence) => (sequence > 100 && sequence <= 203) || sequence === 230;
  await rig.run(done);
  assertEachOnce(rig);
  assert.deepEqual(rig.log.cursor('hub').islands, []);
});

test('where damage left nothing, the delivery waits for the next batch', async (context) => {
  const rig = await newRig(context);
  await rig.append(6);
  await rig.clock.step(2 * BEHIND_MS);
  rig.gone = (sequence) => sequence <= 6;
  await rig.run(() => rig.clock.monotonicMs() > 10_000);
  assert.equal(rig.calls.length, 0);
  await rig.append(1);
  await rig.run(() => rig.position === 7);
  assertEachOnce(rig);
});

test('a delivery that is stopped in the middle of everything ends', async (context) => {
  const rig = await newRig(context);
  const done = await behind(rig, { backlog: 100, seconds: 5 });
  const stop = new AbortController();
  rig.deliver = () =>
    new Promise((_, reject) => stop.signal.addEventListener('abort', () => reject(new Error('stopped'))));
  const running = rig.delivery.run(stop.signal);
  while (rig.clock.monotonicMs() < 70_000) {
    await rig.step();
    rig.onStep();
  }
  assert.equal(rig.callsMax, 3);
  stop.abort();
  await running;
  assert.equal(rig.delivery.status().state, 'stopped');
  assert.equal(done(), false);
});

test('the status is reported, and trouble with that is told once per change', async (context) => {
  let reports = 0;
  const rig = await newRig(context, {
    report: async () => {
      reports += 1;
      if (reports >= 3 && reports < 10) throw new MillwrightError('connection_failed', 'nobody there');
    },
  });
  let during = rig.delivery.status().state;
  await rig.run(() => {
    during = rig.delivery.status().state;
    return reports > 12;
  });
  assert.equal(during, 'ok', 'a report that was taken shows that the sink is there');
  assert.deepEqual(
    rig.lines.filter((line) => line.message.includes('status reports')).map((line) => line.level),
    ['warn', 'info'],
  );
});

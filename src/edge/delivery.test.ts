import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Clock, systemClock } from '../base/clock.ts';
import { MillwrightError } from '../base/errors.ts';
import { createLogger } from '../base/logger.ts';
import { nodeFiles } from '../base/node-files.ts';
import { DurableLog } from '../log/log.ts';
import type { Batch } from '../model/batch.ts';
import type { EdgeStatus } from '../model/status.ts';
import type { Settlement, Sink, StatusReporter } from '../ports/sink.ts';
import { DeadLetters } from './dead-letters.ts';
import { Delivery, RETRY_AFTER_MS_MAX } from './delivery.ts';

type Deliver = (batches: readonly Batch[]) => Settlement | Promise<Settlement>;

interface Setup {
  readonly log: DurableLog;
  readonly delivery: Delivery;
  /** Sequences that the sink has taken, call by call. */
  readonly calls: number[][];
  readonly sleepsMs: number[];
  readonly lines: { level: string; message: string }[];
  readonly kept: { sequence: number; reason: string }[];
  /** Runs until the condition holds, then stops. */
  readonly run: (condition: () => boolean) => Promise<void>;
}

/** A delivery from a real log to a sink that does as told; its waits take no time and are noted. */
async function setup(context: TestContext, deliver: Deliver, report?: StatusReporter['report']): Promise<Setup> {
  const folder = mkdtempSync(join(tmpdir(), 'millwright-delivery-'));
  const sleepsMs: number[] = [];
  const clock: Clock = {
    ...systemClock,
    sleep: async (ms) => {
      sleepsMs.push(ms);
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
  const lines: { level: string; message: string }[] = [];
  const write = (line: string): void => void lines.push(JSON.parse(line));
  const logger = createLogger({ level: 'debug', pretty: false, write, now: () => '' });
  const files = nodeFiles;
  const log = await DurableLog.open({
    folder,
    files,
    clock: systemClock,
    log: logger,
    gatewayId: 'gw',
    sinks: ['hub'],
    segmentBytesMax: 1_000_000,
    hotBytesMax: 100_000,
    newEpoch: () => 'epoch-1',
  });
  context.after(async () => {
    await log.close();
    rmSync(folder, { recursive: true });
  });
  const calls: number[][] = [];
  const sink: Sink = {
    limits: { batchesMax: 4, bytesMax: 10_000 },
    deliver: async (batches) => {
      const settlement = await deliver(batches);
      calls.push(batches.map((batch) => batch.sequence));
      return settlement;
    },
    close: async () => {},
  };
  const kept: { sequence: number; reason: string }[] = [];
  const letters = new DeadLetters({ logFolder: folder, sink: 'hub', files, clock, logger });
  const delivery = new Delivery({
    name: 'hub',
    type: 'hub',
    gatewayId: 'gw',
    sink: report === undefined ? sink : Object.assign(sink, { report }),
    log,
    deadLetters: {
      keep: async (refused) => {
        assert.ok(log.cursor('hub').position < (refused[0]?.batch.sequence ?? 0), 'kept before the cursor moves');
        kept.push(...refused.map(({ batch, reason }) => ({ sequence: batch.sequence, reason })));
        await letters.keep(refused);
      },
    },
    clock,
    random: () => 1,
    logger,
  });
  const run = async (condition: () => boolean): Promise<void> => {
    const stop = new AbortController();
    const running = [delivery.run(stop.signal), delivery.runReports(() => ({}) as EdgeStatus, stop.signal)];
    const limit = AbortSignal.timeout(5_000);
    while (!condition() && !limit.aborted) await new Promise((resolve) => setTimeout(resolve, 2));
    stop.abort();
    await Promise.all(running);
    assert.equal(limit.aborted, false, 'in time');
  };
  return { log, delivery, calls, sleepsMs, lines, kept, run };
}

async function append(log: DurableLog, count: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, () => log.append(Buffer.alloc(50, 1), 2)));
}

const STORED: Settlement = { refused: [] };

test('batches are handed over in order, with their identity, as many as the sink takes', async (context) => {
  let first: Batch | undefined;
  const { log, delivery, calls, run } = await setup(context, (batches) => {
    first ??= batches[0];
    return STORED;
  });
  await append(log, 10);
  await run(() => log.cursor('hub').position === 10);
  assert.deepEqual(calls, [
    [1, 2, 3, 4],
    [5, 6, 7, 8],
    [9, 10],
  ]);
  assert.deepEqual(
    { ...first, payload: first?.payload.length },
    {
      gatewayId: 'gw',
      epoch: 'epoch-1',
      sequence: 1,
      readings: 2,
      payload: 50,
    },
  );
  const status = delivery.status();
  assert.equal(status.cursor, 10);
  assert.equal(status.lag_batches, 0);
  assert.equal(status.oldest_unsent_age_seconds, null);
  assert.equal(status.state, 'stopped');
  assert.ok(status.last_delivery !== null);
  assert.equal(delivery.delivered, 20);
});

test('what fails is sent again, the same batches first, with growing waits', async (context) => {
  let failures = 4;
  const tried: number[] = [];
  const { log, delivery, calls, sleepsMs, lines, run } = await setup(context, (batches) => {
    tried.push(batches[0]?.sequence ?? 0);
    if (failures > 0) {
      failures -= 1;
      throw new MillwrightError('connection_failed', 'nobody there');
    }
    return STORED;
  });
  await append(log, 5);
  await run(() => log.cursor('hub').position === 5);
  assert.deepEqual(tried, [1, 1, 1, 1, 1, 5]);
  assert.deepEqual(calls, [[1, 2, 3, 4], [5]]);
  assert.deepEqual(sleepsMs.slice(0, 4), [500, 1_000, 2_000, 4_000]);
  assert.equal(delivery.status().retries, 4);
  assert.equal(delivery.status().last_error, null);
  assert.equal(lines.filter((line) => line.level === 'warn').length, 1, 'told once');
});

test('the wait that the far end asks for is kept', async (context) => {
  let asked = false;
  const { log, sleepsMs, run } = await setup(context, () => {
    if (asked) return STORED;
    asked = true;
    throw new MillwrightError('try_later', 'busy', { retryAfterMs: 45_000 });
  });
  await append(log, 1);
  await run(() => log.cursor('hub').position === 1);
  assert.equal(sleepsMs[0], 45_000);
});

test('a wait of hours or years is cut', async (context) => {
  let asked = 0;
  const { log, sleepsMs, run } = await setup(context, () => {
    asked += 1;
    if (asked > 1) return STORED;
    throw new MillwrightError('try_later', 'maintenance', { retryAfterMs: 999_999_999_000 });
  });
  await append(log, 1);
  await run(() => log.cursor('hub').position === 1);
  assert.equal(sleepsMs[0], RETRY_AFTER_MS_MAX);
});

test('a failing sink says so in its status', async (context) => {
  const { log, delivery, run } = await setup(context, () => {
    throw new TypeError('even this');
  });
  await append(log, 3);
  let during = delivery.status();
  assert.equal(during.state, 'connecting');
  await run(() => {
    during = delivery.status();
    return during.retries > 2;
  });
  assert.equal(during.state, 'failing');
  assert.equal(during.last_error, 'even this');
  assert.equal(during.lag_batches, 3);
  assert.equal(during.lag_readings, 6);
  assert.ok((during.oldest_unsent_age_seconds ?? -1) >= 0);
});

test('a refused batch goes to the dead letters, the others are settled', async (context) => {
  const { log, delivery, kept, lines, run } = await setup(context, (batches) => ({
    refused: batches
      .filter(({ sequence }) => sequence === 2)
      .map(({ sequence }) => ({ sequence, reason: 'bad frame' })),
  }));
  await append(log, 6);
  await run(() => log.cursor('hub').position === 6);
  assert.deepEqual(kept, [{ sequence: 2, reason: 'bad frame' }]);
  assert.equal(delivery.status().dead_letters, 1);
  assert.equal(lines.filter((line) => line.level === 'error').length, 1);
});

test('the status is reported, and trouble with that is told once per change', async (context) => {
  let reports = 0;
  const { lines, delivery, run } = await setup(
    context,
    () => STORED,
    async () => {
      reports += 1;
      if (reports >= 3 && reports < 10) throw new MillwrightError('connection_failed', 'nobody there');
    },
  );
  let during = delivery.status().state;
  await run(() => {
    during = delivery.status().state;
    return reports > 12;
  });
  assert.equal(during, 'ok', 'a report that was taken shows that the sink is there');
  assert.deepEqual(
    lines.filter((line) => line.message.includes('status reports')).map((line) => line.level),
    ['warn', 'info'],
  );
});

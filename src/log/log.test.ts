import assert from 'node:assert/strict';
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../../test/support/until.ts';
import type { Files } from '../base/files.ts';
import { silentLogger } from '../base/logger.ts';
import { ManualClock } from '../base/manual-clock.test-support.ts';
import { nodeFiles } from '../base/node-files.ts';
import { seededRandom } from '../base/random.ts';
import { encodeSmallFile } from '../base/small-files.ts';
import { BATCH_BYTES_MAX } from '../model/batch.ts';
import { microsOf } from '../model/time.ts';
import { FaultyFiles } from './faulty-files.test-support.ts';
import { inspectLog, readAll } from './inspect.ts';
import { DurableLog } from './log.ts';
import { QUEUE_BYTES_MAX } from './writer.ts';
import {
  START,
  ALL,
  optionsFor,
  newFolder,
  payloadOf,
  appendSeveral,
  sequencesFrom,
  settleThrough,
  coded,
  closedLog,
  isSegment,
} from './log-fixture.test-support.ts';

test('batches are numbered in the order of the calls, and read back after a restart', async () => {
  const folder = await newFolder();
  const log = await DurableLog.open(optionsFor(folder));
  assert.deepEqual([log.epoch, log.firstSequence, log.lastSequence], ['log-1_log-1', 1, 0]);
  const numbers = await Promise.all(Array.from({ length: 50 }, (_, index) => log.append(payloadOf(index + 1), 3)));
  assert.deepEqual(
    numbers,
    Array.from({ length: 50 }, (_, index) => index + 1),
  );
  assert.equal((await sequencesFrom(log)).length, 50);
  const before = await log.read(7, ALL);
  await log.close();
  const again = await DurableLog.open(optionsFor(folder, { newId: () => 'open-2' }));
  assert.deepEqual([again.epoch, again.firstSequence, again.lastSequence], ['log-1_open-2', 1, 50]);
  assert.deepEqual(
    await again.read(7, ALL),
    before.map((batch) => ({ ...pick(batch) })),
  );
  assert.equal(await again.append(payloadOf(51), 3), 51);
  assert.deepEqual(await sequencesFrom(again, 50), [50, 51]);
  await again.close();
});

function pick({
  epoch,
  sequence,
  readings,
  appendedAtMicros,
  payload,
}: Awaited<ReturnType<DurableLog['read']>>[number]): object {
  return { epoch, sequence, readings, appendedAtMicros, payload: new Uint8Array(payload) };
}

test('appends that wait share a sync, and none resolves before it', async () => {
  let syncs = 0;
  const counting: Files = {
    ...nodeFiles,
    open: async (path, mode) => {
      const handle = await nodeFiles.open(path, mode);
      const datasync = handle.datasync.bind(handle);
      handle.datasync = () => {
        syncs += 1;
        return datasync();
      };
      return handle;
    },
  };
  const log = await DurableLog.open(optionsFor(await newFolder(), { files: counting, segmentBytesMax: 1_000_000 }));
  syncs = 0;
  const first = log.append(payloadOf(1), 1);
  assert.equal(log.lastSequence, 0);
  assert.deepEqual(await log.read(1, ALL), []);
  await Promise.all([first, ...Array.from({ length: 99 }, (_, index) => log.append(payloadOf(index + 2), 1))]);
  assert.equal(syncs, 2, 'the first alone, and all that came while it was written');
  assert.equal(log.lastSequence, 100);
  await log.close();
});

test('with sync: interval an append does not wait for the disk, and the disk has it soon after', async () => {
  let syncs = 0;
  let failing = false;
  const errors: string[] = [];
  const files: Files = {
    ...nodeFiles,
    open: async (path, mode) => {
      const handle = await nodeFiles.open(path, mode);
      const datasync = handle.datasync.bind(handle);
      const counted = (): Promise<void> => {
        if (!path.endsWith('.seg')) return datasync();
        syncs += 1;
        return failing ? Promise.reject(new Error('the disk has failed')) : datasync();
      };
      return Object.assign(handle, { datasync: counted });
    },
  };
  const clock = new ManualClock(START);
  const logger = { ...silentLogger, error: (message: string) => void errors.push(message) };
  const sync = { kind: 'interval', intervalMs: 500 } as const;
  const folder = await newFolder();
  const options = optionsFor(folder, { files, clock, sync, log: logger, segmentBytesMax: 1_000_000 });
  const log = await DurableLog.open(options);
  await appendSeveral(log, 1);
  assert.equal(syncs, 1, 'a new segment is synced whatever the policy');
  await appendSeveral(log, 20);
  assert.equal(syncs, 1);
  assert.equal((await sequencesFrom(log)).length, 21, 'what was appended may be read');
  await clock.step(500);
  await until(() => syncs === 2);
  await clock.step(5000);
  assert.equal(syncs, 2, 'nothing new, nothing to sync');
  await appendSeveral(log, 1);
  failing = true;
  await clock.step(500);
  await until(() => errors.length === 1);
  failing = false;
  await appendSeveral(log, 1);
  await log.close();
  const again = await DurableLog.open({ ...options, files: nodeFiles });
  assert.equal((await sequencesFrom(again)).length, 23);
  assert.equal((await readdir(folder)).filter(isSegment).length, 2, 'the file whose sync failed is not trusted again');
  await again.close();
});

test('what waits to be written is bounded', async () => {
  const log = await DurableLog.open(optionsFor(await newFolder()));
  await assert.rejects(log.append(new Uint8Array(BATCH_BYTES_MAX + 1), 1), coded('limit_exceeded'));
  const waiting = Array.from({ length: QUEUE_BYTES_MAX / BATCH_BYTES_MAX }, () =>
    log.append(new Uint8Array(BATCH_BYTES_MAX), 1),
  );
  await assert.rejects(log.append(new Uint8Array(1), 1), coded('limit_exceeded'));
  assert.deepEqual(await Promise.all(waiting), [1, 2]);
  assert.equal(await log.append(new Uint8Array(1), 1), 3);
  await log.close();
  await assert.rejects(log.append(new Uint8Array(1), 1), coded('log_closed'));
});

test('a full disk rejects the group, and the log goes on without a gap when there is room', async () => {
  const disk = new FaultyFiles(seededRandom(1));
  const log = await DurableLog.open(optionsFor('/log', { files: disk.mount() }));
  await appendSeveral(log, 2);
  disk.failAfter(0, 'ENOSPC', 20);
  await assert.rejects(log.append(payloadOf(3), 10), coded('storage_failed'));
  await assert.rejects(Promise.all([log.append(payloadOf(3), 10), log.append(payloadOf(4), 10)]));
  assert.match(log.status().last_error ?? '', /ENOSPC/);
  assert.equal(log.lastSequence, 2);
  disk.healthy();
  await appendSeveral(log, 3);
  assert.equal(log.status().last_error, null);
  assert.deepEqual(await sequencesFrom(log), [1, 2, 3, 4, 5]);
  assert.deepEqual(log.backlog('hub').readings, 50);
  await log.close();
});

test('after a failed sync the same file is not trusted again', async () => {
  const disk = new FaultyFiles(seededRandom(2));
  const log = await DurableLog.open(optionsFor('/log', { files: disk.mount() }));
  await appendSeveral(log, 1);
  disk.failAfter(1, 'EIO');
  await assert.rejects(log.append(payloadOf(2), 10), coded('storage_failed'));
  await appendSeveral(log, 1);
  assert.equal(log.status().segments, 2);
  disk.cutPower();
  const again = await DurableLog.open(optionsFor('/log', { files: disk.mount(), processes: noProcesses }));
  assert.deepEqual(await sequencesFrom(again), [1, 2]);
  assert.equal(again.status().quarantined_batches, 0);
  await again.close();
});

const noProcesses = { pid: 1, identify: async () => undefined };

test('a second process is refused, and the lock of a dead one is taken over', async () => {
  const folder = await newFolder();
  const log = await DurableLog.open(optionsFor(folder));
  await assert.rejects(DurableLog.open(optionsFor(folder)), coded('log_locked'));
  const child = spawn(process.execPath, ['-e', '']);
  const { pid } = child;
  await once(child, 'exit');
  await writeFile(join(folder, 'lock'), encodeSmallFile({ pid, process: 'gone' }));
  const second = await DurableLog.open(optionsFor(folder));
  await second.close();
  // The same pid, but an earlier process: what a container sees after a restart.
  await writeFile(join(folder, 'lock'), encodeSmallFile({ pid: process.pid, process: 'earlier' }));
  await (await DurableLog.open(optionsFor(folder))).close();
  await writeFile(join(folder, 'lock'), '');
  await (await DurableLog.open(optionsFor(folder))).close();
  assert.ok(!(await readdir(folder)).includes('lock'));
  await log.close();
});

test('the backlog is known exactly, in memory and on the disk', async () => {
  const folder = await newFolder();
  for (const hotBytesMax of [1_000_000, 3000, 0]) {
    const log = await DurableLog.open(optionsFor(`${folder}-${hotBytesMax}`, { hotBytesMax }));
    const none = { batches: 0, readings: 0, oldestAppendedAtMicros: null };
    assert.deepEqual(log.backlog('hub'), none);
    await appendSeveral(log, 12);
    const stored = await log.read(1, ALL);
    for (const position of [0, 1, 5, 11]) {
      await settleThrough(log.cursor('hub'), position);
      const left = 12 - position;
      const oldestAppendedAtMicros = stored[position]?.appendedAtMicros;
      assert.deepEqual(log.backlog('hub'), { batches: left, readings: 10 * left, oldestAppendedAtMicros });
    }
    await settleThrough(log.cursor('hub'), 12);
    assert.deepEqual(log.backlog('hub'), none);
    await appendSeveral(log, 2);
    assert.deepEqual([log.backlog('hub').batches, log.backlog('hub').readings], [2, 20]);
    await log.close();
  }
});

test('a read keeps to its limits, but always gives one batch', async () => {
  for (const hotBytesMax of [10_000_000, 0]) {
    const log = await DurableLog.open(optionsFor(await newFolder(), { hotBytesMax }));
    await appendSeveral(log, 10);
    const big = Buffer.alloc(1_500_000, 'big');
    assert.equal(await log.append(big, 1), 11);
    await appendSeveral(log, 3);
    const numbers = async (from: number, batchesMax: number, bytesMax: number): Promise<number[]> =>
      (await log.read(from, { batchesMax, bytesMax })).map(({ sequence }) => sequence);
    assert.deepEqual(await numbers(1, 3, 1_000_000), [1, 2, 3]);
    assert.deepEqual(await numbers(3, 100, 2999), [3, 4]);
    assert.deepEqual(await numbers(5, 100, 1), [5]);
    assert.deepEqual(await numbers(10, 100, 1_000_000), [10]);
    assert.deepEqual(await numbers(11, 100, 1000), [11]);
    assert.deepEqual(await numbers(11, 100, 1_502_000), [11, 12, 13]);
    assert.deepEqual(await numbers(15, 100, 1), []);
    assert.deepEqual(Buffer.from((await log.read(11, { batchesMax: 1, bytesMax: 1 }))[0]?.payload ?? []), big);
    await log.close();
  }
});

test('a waiting runner is woken by the append, by its signal, and by the end of the log', async () => {
  const log = await DurableLog.open(optionsFor(await newFolder()));
  const never = new AbortController().signal;
  const woken: string[] = [];
  const stop = new AbortController();
  const waits = [
    log.waitFor(1, never).then(() => woken.push('first')),
    log.waitFor(5, stop.signal).then(() => woken.push('aborted')),
    log.waitFor(99, never).then(() => woken.push('closed')),
  ];
  await appendSeveral(log, 1);
  await waits[0];
  assert.deepEqual(woken, ['first']);
  await log.waitFor(1, never);
  stop.abort();
  await waits[1];
  await log.waitFor(5, stop.signal);
  assert.deepEqual(woken, ['first', 'aborted']);
  await log.close();
  await Promise.all(waits);
  await log.waitFor(99, never);
});

test('a log is inspected while it is open, and read from outside as from within', async () => {
  const folder = await newFolder();
  const log = await DurableLog.open(optionsFor(folder));
  await appendSeveral(log, 6);
  const report = await inspectLog(nodeFiles, folder);
  assert.deepEqual(
    [report.id, report.gatewayId, report.lockedByPid, report.sound, report.batches, report.readings],
    ['log-1', 'gateway', process.pid, true, 6, 60],
  );
  assert.deepEqual(
    report.segments.map(({ firstSequence, lastSequence, batches }) => [firstSequence, lastSequence, batches]),
    [
      [1, 4, 4],
      [5, 6, 2],
    ],
  );
  assert.equal(report.bytes, log.status().bytes);
  await settleThrough(log.cursor('hub'), 5);
  await log.close();
  const closed = await inspectLog(nodeFiles, folder);
  assert.deepEqual(closed.cursors, [
    { sink: 'hub', position: 5, islands: [], lagBatches: 1, lagReadings: 10, oldestUnsentMicros: microsOf(START) },
  ]);
  assert.equal(closed.lockedByPid, null);
  const read: number[] = [];
  for await (const { sequence } of readAll(nodeFiles, folder)) read.push(sequence);
  assert.deepEqual(read, [5, 6], 'the first segment is settled and deleted');
  await assert.rejects(inspectLog(nodeFiles, join(folder, 'none')), coded('not_found'));
});

test('a segment that is settled and deleted while the log is inspected is no damage', async () => {
  const { folder, segments } = await closedLog();
  let isFirst = true;
  const files: Files = {
    ...nodeFiles,
    // The segments are found one way and read another: between, the oldest goes.
    list: async (path) => {
      const names = await nodeFiles.list(path);
      if (path.endsWith('cursors') && isFirst) await rm(segments[0] ?? '');
      isFirst = path.endsWith('cursors') ? false : isFirst;
      return names;
    },
  };
  const report = await inspectLog(files, folder);
  assert.deepEqual([report.sound, report.batches, report.segments.length], [true, 8, 2]);
});

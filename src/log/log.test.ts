import assert from 'node:assert/strict';
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { until } from '../../test/support/until.ts';
import { type ErrorCode, hasCode } from '../base/errors.ts';
import type { Files } from '../base/files.ts';
import { silentLogger } from '../base/logger.ts';
import { ManualClock } from '../base/manual-clock.test-support.ts';
import { nodeFiles } from '../base/node-files.ts';
import { seededRandom } from '../base/random.ts';
import { encodeSmallFile } from '../base/small-files.ts';
import { BATCH_BYTES_MAX } from '../model/batch.ts';
import { microsOf } from '../model/time.ts';
import { type Cursor, ISLANDS_MAX, SAVE_INTERVAL_MS } from './cursor.ts';
import { FaultyFiles } from './faulty-files.test-support.ts';
import { checksum, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES } from './format.ts';
import { inspectLog, readAll } from './inspect.ts';
import { DurableLog, type LogOptions } from './log.ts';
import { QUEUE_BYTES_MAX } from './writer.ts';
import { ROOMY } from './options.test-support.ts';

const START = '2026-01-01T08:00:00.000000Z';
const ALL = { batchesMax: 100_000, bytesMax: 100_000_000 };
const PAYLOAD_BYTES = 1000;
const RECORD_BYTES = RECORD_HEADER_BYTES + PAYLOAD_BYTES;

let root = '';
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'millwright-log-'));
});
after(() => rm(root, { recursive: true }));

function optionsFor(folder: string, changes: Partial<LogOptions> = {}): LogOptions {
  return {
    folder,
    files: nodeFiles,
    clock: new ManualClock(START),
    log: silentLogger,
    gatewayId: 'gateway',
    sinks: ['hub'],
    // Four records of the usual payload in a segment.
    segmentBytesMax: SEGMENT_HEADER_BYTES + 4 * RECORD_BYTES,
    hotBytesMax: 1_000_000,
    ...ROOMY,
    newId: () => 'log-1',
    ...changes,
  };
}

async function newFolder(): Promise<string> {
  return join(await mkdtemp(join(root, 'log-')), 'data', 'log');
}

/** A recognisable payload of the usual length. */
function payloadOf(number: number): Buffer {
  return Buffer.alloc(PAYLOAD_BYTES, `batch ${number} `);
}

/** Appends one at a time, so that segments are divided alike each time. */
async function appendSeveral(log: DurableLog, count: number): Promise<void> {
  for (let made = 0; made < count; made += 1) await log.append(payloadOf(log.lastSequence + 1), 10);
}

async function sequencesFrom(log: DurableLog, from = 1): Promise<number[]> {
  const batches = await log.read(from, ALL);
  for (const { sequence, payload } of batches) assert.deepEqual(Buffer.from(payload), payloadOf(sequence));
  return batches.map(({ sequence }) => sequence);
}

function settleThrough(cursor: Cursor, sequence: number): Promise<void> {
  return cursor.settle({ first: 1, last: sequence, readings: 10 * sequence });
}

function coded(code: ErrorCode): (error: unknown) => boolean {
  return (error) => hasCode(error, code);
}

/** A closed log of twelve batches in three segments, and the name of the first. */
async function closedLog(): Promise<{ folder: string; segments: string[] }> {
  const folder = await newFolder();
  const log = await DurableLog.open(optionsFor(folder));
  await appendSeveral(log, 12);
  await log.close();
  const names = (await readdir(folder)).filter((name) => name.endsWith('.seg')).sort();
  assert.equal(names.length, 3);
  return { folder, segments: names.map((name) => join(folder, name)) };
}

async function flip(path: string, offset: number): Promise<void> {
  const bytes = await readFile(path);
  bytes[offset] = (bytes[offset] ?? 0) ^ 0x10;
  await writeFile(path, bytes);
}

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

test('a folder that cannot be written is a storage error', async () => {
  const file = join(root, 'a-file');
  await writeFile(file, '');
  await assert.rejects(DurableLog.open(optionsFor(join(file, 'log'))), coded('storage_failed'));
});

test('a log of a newer version is refused and left as it is', async () => {
  const { folder, segments } = await closedLog();
  const [segment = ''] = segments;
  const header = await readFile(segment);
  header.writeUInt16LE(3, 8);
  header.writeUInt32LE(checksum(header.subarray(0, 92)), 92);
  await writeFile(segment, header);
  await assert.rejects(DurableLog.open(optionsFor(folder)), coded('log_format'));
  assert.deepEqual(await readFile(segment), header);
  header.writeUInt16LE(2, 8);
  header.writeUInt32LE(checksum(header.subarray(0, 92)), 92);
  await writeFile(segment, header);
  const identity = encodeSmallFile({ format: 'millwright-log', version: 3, epoch: 'e', gateway_id: 'gateway' });
  await writeFile(join(folder, 'log.identity'), identity);
  await assert.rejects(DurableLog.open(optionsFor(folder)), coded('log_format'));
  await assert.rejects(inspectLog(nodeFiles, folder), coded('log_format'));
  assert.deepEqual(await readFile(join(folder, 'log.identity')), identity);
});

test('a torn end is cut off wherever it is torn, and its number is used again', async () => {
  for (const left of [1, RECORD_HEADER_BYTES - 1, RECORD_HEADER_BYTES, RECORD_BYTES - 1]) {
    const { folder, segments } = await closedLog();
    await truncate(segments.at(-1) ?? '', SEGMENT_HEADER_BYTES + 3 * RECORD_BYTES + left);
    const log = await DurableLog.open(optionsFor(folder));
    assert.equal(log.lastSequence, 11);
    assert.equal(await log.append(payloadOf(12), 10), 12);
    assert.equal((await sequencesFrom(log)).length, 12);
    assert.equal(log.status().quarantined_batches, 0);
    assert.deepEqual(log.backlog('hub'), { ...log.backlog('hub'), batches: 12, readings: 120 });
    await log.close();
    assert.ok((await inspectLog(nodeFiles, folder)).sound);
  }
});

test('a damaged batch in the middle is passed over, counted once, and kept', async () => {
  for (const inRecord of [3, 20, RECORD_HEADER_BYTES, RECORD_BYTES - 1]) {
    for (const segment of [0, 2]) {
      const { folder, segments } = await closedLog();
      const destroyed = segment * 4 + 2;
      await flip(segments[segment] ?? '', SEGMENT_HEADER_BYTES + RECORD_BYTES + inRecord);
      const report = await inspectLog(nodeFiles, folder);
      assert.equal(report.sound, false);
      assert.deepEqual([report.batches, report.segments[segment]?.missingBatches], [11, 1]);
      assert.deepEqual(
        report.segments[segment]?.corruptRanges.map(({ offset, bytes }) => [offset, bytes]),
        [[SEGMENT_HEADER_BYTES + RECORD_BYTES, RECORD_BYTES]],
      );
      for (let opening = 0; opening < 2; opening += 1) {
        const log = await DurableLog.open(optionsFor(folder));
        assert.deepEqual(
          await sequencesFrom(log),
          Array.from({ length: 12 }, (_, index) => index + 1).filter((sequence) => sequence !== destroyed),
        );
        assert.deepEqual((await log.read(destroyed, { batchesMax: 1, bytesMax: 1 }))[0]?.sequence, destroyed + 1);
        assert.equal(log.status().quarantined_batches, 1);
        await log.close();
      }
      const [name = '', ...others] = await readdir(join(folder, 'quarantine'));
      assert.deepEqual(others, []);
      const kept = await readFile(join(folder, 'quarantine', name));
      const damaged = (await readFile(segments[segment] ?? '')).subarray(SEGMENT_HEADER_BYTES + RECORD_BYTES);
      assert.deepEqual(kept.subarray(kept.indexOf('\n') + 1), damaged.subarray(0, RECORD_BYTES));
      assert.ok((await inspectLog(nodeFiles, folder)).sound, 'what is in the quarantine is known');
    }
  }
});

test('a folder that is away for a while destroys nothing; a segment that is gone alone is destroyed', async () => {
  const { folder, segments } = await closedLog();
  // With nothing in memory, all is read from the files.
  const log = await DurableLog.open(optionsFor(folder, { hotBytesMax: 1 }));
  await rename(folder, `${folder}.away`);
  await assert.rejects(log.read(1, ALL), { code: 'storage_failed' });
  await rename(`${folder}.away`, folder);
  assert.equal(log.status().quarantined_batches, 0);
  assert.equal((await sequencesFrom(log)).length, 12);

  await rm(segments[1] ?? '');
  assert.deepEqual(await sequencesFrom(log), [1, 2, 3, 4, 9, 10, 11, 12]);
  assert.equal(log.status().quarantined_batches, 4);
  await log.close();
});

test('a damaged segment header costs nothing', async () => {
  for (const segment of [0, 1, 2]) {
    const { folder, segments } = await closedLog();
    await flip(segments[segment] ?? '', 20);
    const log = await DurableLog.open(optionsFor(folder));
    assert.equal((await sequencesFrom(log)).length, 12);
    assert.equal(await log.append(payloadOf(13), 10), 13);
    assert.equal(log.backlog('hub').readings, 130);
    assert.equal(log.status().quarantined_batches, 0);
    await log.close();
  }
});

test('a damaged or missing identity is restored from the segments', async () => {
  const { folder } = await closedLog();
  for (const damage of [() => flip(join(folder, 'log.identity'), 5), () => rm(join(folder, 'log.identity'))]) {
    await damage();
    const log = await DurableLog.open(optionsFor(folder, { newId: () => 'open-2' }));
    assert.equal(log.epoch, 'log-1_open-2', 'the id of the log, and that of this opening');
    assert.equal((await sequencesFrom(log)).length, 12);
    await log.close();
  }
});

test('a gateway that is given another name keeps its log', async () => {
  const { folder } = await closedLog();
  const changes = { gatewayId: 'renamed', newId: () => 'open-2' };
  const log = await DurableLog.open(optionsFor(folder, changes));
  assert.deepEqual([log.epoch, log.lastSequence], ['log-1_open-2', 12]);
  await log.close();
  assert.equal((await inspectLog(nodeFiles, folder)).gatewayId, 'renamed');
});

test('a segment that somebody deletes takes only its own batches with it', async () => {
  const { folder, segments } = await closedLog();
  const log = await DurableLog.open(optionsFor(folder));
  await rm(segments[1] ?? '');
  assert.deepEqual(await sequencesFrom(log), [1, 2, 3, 4, 9, 10, 11, 12]);
  assert.equal(log.status().quarantined_batches, 4);
  await log.close();
});

test('a disk that cannot be read is told, and the same read succeeds later', async () => {
  const disk = new FaultyFiles(seededRandom(3));
  const log = await DurableLog.open(optionsFor('/log', { files: disk.mount(), hotBytesMax: 0 }));
  await appendSeveral(log, 6);
  disk.failAnyAfter(1, 2);
  await assert.rejects(log.read(1, ALL), coded('storage_failed'));
  await assert.rejects(log.read(1, ALL), coded('storage_failed'));
  assert.equal((await sequencesFrom(log)).length, 6);
  assert.equal(log.status().quarantined_batches, 0);
  await log.close();
});

test('a segment of another log is moved away', async () => {
  const { folder } = await closedLog();
  const other = await newFolder();
  const log = await DurableLog.open(optionsFor(other, { newId: () => 'other' }));
  await appendSeveral(log, 1);
  await log.close();
  await writeFile(join(folder, '0000000000000099.seg'), await readFile(join(other, '0000000000000001.seg')));
  const again = await DurableLog.open(optionsFor(folder));
  assert.equal(again.lastSequence, 12);
  assert.deepEqual(await readdir(join(folder, 'quarantine')), ['0000000000000099.seg']);
  await again.close();
});

test('the number of a newest batch that was destroyed is never given again', async () => {
  for (const inRecord of [3, RECORD_HEADER_BYTES + 5]) {
    const { folder, segments } = await closedLog();
    await flip(segments[2] ?? '', SEGMENT_HEADER_BYTES + 3 * RECORD_BYTES + inRecord);
    for (let opening = 0; opening < 2; opening += 1) {
      const log = await DurableLog.open(optionsFor(folder));
      assert.ok(log.lastSequence > 12);
      assert.equal((await sequencesFrom(log)).at(-1), 11);
      assert.deepEqual([log.status().quarantined_batches, log.backlog('hub').batches > 0], [1, true]);
      await log.close();
    }
    const log = await DurableLog.open(optionsFor(folder));
    const waiting = log.waitFor(12, new AbortController().signal);
    const sequence = await log.append(payloadOf(log.lastSequence + 1), 1);
    await waiting;
    assert.deepEqual(await sequencesFrom(log, 12), [sequence]);
    await log.close();
  }
});

test('a cursor beyond the end of the log keeps its numbers from being given again', async () => {
  const { folder, segments } = await closedLog();
  const log = await DurableLog.open(optionsFor(folder));
  await settleThrough(log.cursor('hub'), 11);
  await log.close();
  await rm(segments[2] ?? '');
  const again = await DurableLog.open(optionsFor(folder));
  assert.equal(await again.append(payloadOf(12), 1), 12);
  await again.close();
});

test('a cursor is saved once a second and on closing, and the log forgets what every sink has settled', async () => {
  const folder = await newFolder();
  const clock = new ManualClock(START);
  const options = optionsFor(folder, { clock, sinks: ['hub', 'mes/2'] });
  const log = await DurableLog.open(options);
  await appendSeveral(log, 12);
  await settleThrough(log.cursor('hub'), 12);
  await settleThrough(log.cursor('hub'), 3);
  assert.equal(log.cursor('hub').position, 12);
  await settleThrough(log.cursor('mes/2'), 8);
  assert.deepEqual(await readdir(join(folder, 'cursors')), []);
  await clock.step(SAVE_INTERVAL_MS);
  await until(() => log.firstSequence === 9);
  assert.deepEqual((await readdir(join(folder, 'cursors'))).sort(), ['hub.cursor', 'mes%2F2.cursor']);
  assert.deepEqual(
    (await readdir(folder)).filter((name) => name.endsWith('.seg')),
    ['0000000000000009.seg'],
  );
  await settleThrough(log.cursor('mes/2'), 10);
  await log.close();
  // The sink that is no longer configured holds nothing, and goes on where it was when it returns.
  const without = await DurableLog.open({ ...options, sinks: ['hub'] });
  await without.close();
  const again = await DurableLog.open({ ...options, sinks: ['mes/2', 'new'] });
  assert.deepEqual([again.cursor('mes/2').position, again.cursor('new').position], [10, 8]);
  assert.throws(() => again.cursor('hub'), coded('not_found'));
  assert.throws(() => again.backlog('hub'), coded('not_found'));
  await again.close();
});

test('a disk that is full to the last byte is freed of what is settled, though no cursor can be saved', async () => {
  let full = false;
  const files: Files = {
    ...nodeFiles,
    open: async (path, mode) => {
      const hasRoom = !full || mode !== 'create' || (await readdir(folder)).filter(isSegment).length < 3;
      if (!hasRoom) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
      return nodeFiles.open(path, mode);
    },
  };
  const folder = await newFolder();
  const clock = new ManualClock(START);
  const log = await DurableLog.open(optionsFor(folder, { files, clock }));
  await appendSeveral(log, 12);
  full = true;
  await assert.rejects(log.append(payloadOf(13), 10), coded('storage_failed'));
  await log.cursor('hub').settle({ first: 1, last: 12, readings: 120 });
  await clock.step(SAVE_INTERVAL_MS);
  await until(async () => (await readdir(folder)).filter(isSegment).length === 1);
  assert.equal(await log.append(payloadOf(13), 10), 13);
  await log.close();
  assert.equal((await inspectLog(nodeFiles, folder)).cursors[0]?.position, 12);
});

test('a log on a full disk is opened and read, for to deliver it is what makes room', async () => {
  const { folder } = await closedLog();
  const files: Files = {
    ...nodeFiles,
    open: (path, mode) =>
      path.endsWith('log.identity.tmp')
        ? Promise.reject(Object.assign(new Error('no space left on device'), { code: 'ENOSPC' }))
        : nodeFiles.open(path, mode),
  };
  const log = await DurableLog.open(optionsFor(folder, { files, newId: () => 'open-2' }));
  assert.equal((await sequencesFrom(log)).length, 12);
  assert.equal(await log.append(payloadOf(13), 10), 13);
  await log.close();
  const again = await DurableLog.open(optionsFor(folder, { newId: () => 'open-3' }));
  assert.deepEqual(
    (await again.read(12, ALL)).map(({ epoch }) => epoch),
    ['log-1_log-1', 'log-1_open-2'],
  );
  await again.close();
});

function isSegment(name: string): boolean {
  return name.endsWith('.seg');
}

test('without sinks nothing is deleted, and a new sink begins at the oldest batch', async () => {
  const { folder } = await closedLog();
  const log = await DurableLog.open(optionsFor(folder, { sinks: [] }));
  assert.equal(log.firstSequence, 1);
  await log.close();
  const again = await DurableLog.open(optionsFor(folder, { sinks: ['new'] }));
  assert.equal(again.backlog('new').batches, 12);
  await again.close();
});

test('a damaged cursor begins again at the oldest batch kept', async () => {
  const { folder } = await closedLog();
  const log = await DurableLog.open(optionsFor(folder));
  await settleThrough(log.cursor('hub'), 6);
  await log.close();
  const again = await DurableLog.open(optionsFor(folder));
  assert.deepEqual([again.firstSequence, again.cursor('hub').position], [5, 6]);
  await again.close();
  await flip(join(folder, 'cursors', 'hub.cursor'), 30);
  assert.equal((await inspectLog(nodeFiles, folder)).cursors[0]?.position, null);
  const third = await DurableLog.open(optionsFor(folder));
  assert.deepEqual([third.firstSequence, third.cursor('hub').position], [5, 4]);
  await third.close();
});

test('the backlog is right too while the next batch is looked up on the disk', async () => {
  const log = await DurableLog.open(optionsFor(await newFolder(), { hotBytesMax: 0 }));
  await appendSeveral(log, 12);
  await log.cursor('hub').settle({ first: 4, last: 5, readings: 20 });
  const known = log.cursor('hub').settle({ first: 1, last: 3, readings: 30 });
  assert.deepEqual([log.backlog('hub').batches, log.backlog('hub').readings], [7, 70]);
  assert.ok(log.backlog('hub').oldestAppendedAtMicros !== null);
  await known;
  const all = log.cursor('hub').settle({ first: 6, last: 12, readings: 70 });
  assert.equal(log.backlog('hub').batches, 0);
  await appendSeveral(log, 1);
  await all;
  assert.deepEqual([log.backlog('hub').batches, log.backlog('hub').readings], [1, 10]);
  await log.close();
});

test('what is settled ahead of the position is remembered, and swallowed when the position reaches it', async () => {
  const folder = await newFolder();
  const log = await DurableLog.open(optionsFor(folder));
  await appendSeveral(log, 12);
  const cursor = log.cursor('hub');
  await cursor.settle({ first: 5, last: 6, readings: 20 });
  await cursor.settle({ first: 9, last: 9, readings: 10 });
  await cursor.settle({ first: 7, last: 7, readings: 10 });
  assert.deepEqual(
    [cursor.position, ...cursor.islands],
    [0, { first: 5, last: 7, readings: 30 }, { first: 9, last: 9, readings: 10 }],
  );
  assert.deepEqual([log.backlog('hub').batches, log.backlog('hub').readings], [8, 80]);
  await log.close();
  assert.deepEqual((await inspectLog(nodeFiles, folder)).cursors, [
    {
      sink: 'hub',
      position: 0,
      islands: [
        { first: 5, last: 7 },
        { first: 9, last: 9 },
      ],
      lagBatches: 8,
      lagReadings: 80,
      oldestUnsentMicros: microsOf(START),
    },
  ]);
  const again = await DurableLog.open(optionsFor(folder));
  const { islands } = again.cursor('hub');
  assert.deepEqual(islands, cursor.islands, 'also after a restart');
  await again.cursor('hub').settle({ first: 1, last: 4, readings: 40 });
  assert.deepEqual([again.cursor('hub').position, again.backlog('hub').batches], [7, 4]);
  await again.cursor('hub').settle({ first: 8, last: 8, readings: 10 });
  assert.deepEqual([again.cursor('hub').position, again.cursor('hub').islands], [9, []]);
  assert.deepEqual([again.backlog('hub').batches, again.backlog('hub').readings], [3, 30]);
  await again.close();
});

test('of too many islands the smallest is forgotten', async () => {
  const log = await DurableLog.open(optionsFor(await newFolder()));
  await appendSeveral(log, 2 * ISLANDS_MAX + 3);
  const cursor = log.cursor('hub');
  for (let island = 1; island <= ISLANDS_MAX + 1; island += 1) {
    await cursor.settle({ first: 2 * island, last: 2 * island, readings: island === 7 ? 9 : 10 });
  }
  assert.equal(cursor.islands.length, ISLANDS_MAX);
  assert.equal(
    cursor.islands.some(({ first }) => first === 14),
    false,
  );
  await log.close();
});

test('islands that make no sense are ignored, and those of a file from before there were any', async () => {
  const { folder } = await closedLog();
  const kind = { format: 'millwright-cursor', version: 1, epoch: 'log-1', sink: 'hub' };
  for (const islands of [
    undefined,
    7,
    [[4, 3, 1]],
    [[3, 4, 1]],
    [[5, 6]],
    [
      [6, 7, 1],
      [8, 9, 1],
    ],
    [['5', 6, 1]],
  ]) {
    await writeFile(join(folder, 'cursors', 'hub.cursor'), encodeSmallFile({ ...kind, position: 2, islands }));
    const log = await DurableLog.open(optionsFor(folder));
    assert.deepEqual([log.cursor('hub').position, log.cursor('hub').islands], [2, []], JSON.stringify(islands));
    await log.close();
  }
});

test('no number of an island is given again when the end of the log is gone', async () => {
  const { folder, segments } = await closedLog();
  const log = await DurableLog.open(optionsFor(folder));
  await log.cursor('hub').settle({ first: 10, last: 12, readings: 30 });
  await log.close();
  await truncate(segments[2]!, SEGMENT_HEADER_BYTES);
  const again = await DurableLog.open(optionsFor(folder));
  assert.ok((await again.append(payloadOf(1), 10)) > 12);
  await again.close();
});

test('a sink that has no cursor begins where it is told to, and stays there', async () => {
  const { folder } = await closedLog();
  const startFrom = { now: 'now', oldest: 'oldest', fifth: 5, early: 0, late: 99 } as const;
  const options = optionsFor(folder, { sinks: ['hub', ...Object.keys(startFrom)], startFrom });
  const log = await DurableLog.open(options);
  const positions = (of: DurableLog): number[] => Object.keys(startFrom).map((sink) => of.cursor(sink).position);
  assert.deepEqual(positions(log), [12, 0, 4, 0, 12]);
  await appendSeveral(log, 2);
  await log.close();
  const again = await DurableLog.open(options);
  assert.deepEqual(positions(again), [12, 0, 4, 0, 12], 'a sink that was down all the time misses nothing');
  assert.equal(again.firstSequence, 1);
  await again.close();
});

test('no change of the sinks empties the log or moves the cursor of another', async () => {
  const { folder } = await closedLog();
  const open = (sinks: string[]): Promise<DurableLog> => DurableLog.open(optionsFor(folder, { sinks }));
  const log = await open(['hub', 'mes']);
  await settleThrough(log.cursor('hub'), 7);
  await settleThrough(log.cursor('mes'), 6);
  await log.close();
  for (const sinks of [['hub', 'mes', 'new'], ['mes', 'renamed'], [], ['hub', 'mes'], ['hub'], ['mes', 'hub']]) {
    const changed = await open(sinks);
    assert.deepEqual([changed.lastSequence, await sequencesFrom(changed, 8)], [12, [8, 9, 10, 11, 12]], sinks.join());
    if (sinks.includes('hub')) assert.equal(changed.cursor('hub').position, 7);
    if (sinks.includes('mes')) assert.equal(changed.cursor('mes').position, 6);
    if (sinks.includes('new')) assert.equal(changed.cursor('new').position, changed.firstSequence - 1);
    await changed.close();
  }
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

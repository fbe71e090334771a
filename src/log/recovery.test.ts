import assert from 'node:assert/strict';
import { readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Files } from '../base/files.ts';
import { nodeFiles } from '../base/node-files.ts';
import { seededRandom } from '../base/random.ts';
import { encodeSmallFile } from '../base/small-files.ts';
import { FaultyFiles } from './faulty-files.test-support.ts';
import { checksum, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES } from './format.ts';
import { inspectLog } from './inspect.ts';
import { DurableLog } from './log.ts';
import {
  ALL,
  RECORD_BYTES,
  optionsFor,
  newFolder,
  payloadOf,
  appendSeveral,
  sequencesFrom,
  settleThrough,
  coded,
  closedLog,
  flip,
  root,
} from './log-fixture.test-support.ts';

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

/** Sinks that come and go, and limits that change, while the log is open. */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { test } from 'node:test';
import { until } from '../../test/support/until.ts';
import { ManualClock } from '../base/manual-clock.test-support.ts';
import { SEGMENT_HEADER_BYTES } from './format.ts';
import { DurableLog } from './log.ts';
import {
  appendSeveral,
  coded,
  newFolder,
  optionsFor,
  RECORD_BYTES,
  sequencesFrom,
  settleThrough,
  START,
} from './log-fixture.test-support.ts';

test('a sink that goes holds nothing any more, and goes on where it was when it returns', async () => {
  const options = optionsFor(await newFolder(), { clock: new ManualClock(START), sinks: ['hub', 'mes'] });
  const log = await DurableLog.open(options);
  await appendSeveral(log, 12);
  await settleThrough(log.cursor('hub'), 10);
  await settleThrough(log.cursor('mes'), 2);
  await log.removeSink('mes');
  assert.throws(() => log.cursor('mes'), coded('not_found'));
  // What the other has settled is deleted with its next save.
  await settleThrough(log.cursor('hub'), 11);
  await (options.clock as ManualClock).step(1_000);
  await until(() => log.firstSequence === 9);
  await log.addSink('mes', 'oldest');
  assert.equal(log.cursor('mes').position, 8, 'what is gone is passed over');
  assert.deepEqual(await sequencesFrom(log, log.cursor('mes').position + 1), [9, 10, 11, 12]);
  assert.equal(log.backlog('mes').batches, 4);
  await settleThrough(log.cursor('mes'), 10);
  await log.removeSink('mes');
  await log.addSink('mes', 'oldest');
  assert.equal(log.cursor('mes').position, 10);
  await log.close();
});

test('a sink that goes lets go at once of what only it had not settled', async () => {
  const folder = await newFolder();
  const log = await DurableLog.open(optionsFor(folder, { clock: new ManualClock(START), sinks: ['hub', 'mes'] }));
  await appendSeveral(log, 12);
  await settleThrough(log.cursor('hub'), 12);
  await log.removeSink('mes');
  await log.close();
  const again = await DurableLog.open(optionsFor(folder, { sinks: ['hub'] }));
  assert.equal(again.firstSequence, 9);
  await again.close();
});

test('a new sink begins where it is told to, and is offered what comes', async () => {
  const log = await DurableLog.open(optionsFor(await newFolder(), { sinks: [] }));
  await appendSeveral(log, 5);
  await log.addSink('all', 'oldest');
  await log.addSink('new', 'now');
  await log.addSink('third', 3);
  await log.addSink('view', 'recent');
  assert.deepEqual(
    ['all', 'new', 'third', 'view'].map((sink) => log.backlog(sink).batches),
    [5, 0, 3, 5],
  );
  await appendSeveral(log, 1);
  assert.deepEqual(
    ['all', 'new', 'third', 'view'].map((sink) => log.backlog(sink).batches),
    [6, 1, 4, 6],
  );
  await assert.rejects(log.addSink('all', 'oldest'), /has a cursor for all already/);
  await log.close();
});

test('limits are obeyed from when they are set', async () => {
  const folder = await newFolder();
  const options = optionsFor(folder);
  const log = await DurableLog.open(options);
  await appendSeveral(log, 8);
  const names = async (): Promise<string[]> => (await readdir(folder)).filter((name) => /\.(seg|zst)/.test(name));
  assert.equal((await names()).length, 2);
  const segmentBytesMax = SEGMENT_HEADER_BYTES + 2 * RECORD_BYTES;
  const limits = { ...options.limits, bytesMax: 2 ** 21 };
  log.setLimits(limits, segmentBytesMax);
  await appendSeveral(log, 4);
  assert.equal((await names()).length, 4, 'two records in a segment now');
  assert.equal(log.status().bytes_max, 2 ** 21);
  log.setLimits({ ...limits, warmBytesMax: 1, bytesMax: 12 * RECORD_BYTES }, segmentBytesMax);
  await until(async () => (await names()).length < 4 || (await names()).some((name) => !name.endsWith('.seg')));
  assert.deepEqual(await sequencesFrom(log), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  await log.close();
});

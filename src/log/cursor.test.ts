import assert from 'node:assert/strict';
import { readdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../../test/support/until.ts';
import type { Files } from '../base/files.ts';
import { ManualClock } from '../base/manual-clock.test-support.ts';
import { nodeFiles } from '../base/node-files.ts';
import { encodeSmallFile } from '../base/small-files.ts';
import { microsOf } from '../model/time.ts';
import { ISLANDS_MAX, RECENT_BATCHES, SAVE_INTERVAL_MS } from './cursor.ts';
import { SEGMENT_HEADER_BYTES } from './format.ts';
import { inspectLog } from './inspect.ts';
import { DurableLog } from './log.ts';
import {
  START,
  optionsFor,
  newFolder,
  payloadOf,
  appendSeveral,
  sequencesFrom,
  settleThrough,
  coded,
  closedLog,
  flip,
  isSegment,
} from './log-fixture.test-support.ts';

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

test('what is held is not deleted though every sink has it, also at the next opening', async () => {
  const folder = await newFolder();
  const clock = new ManualClock(START);
  let after = 6;
  const options = optionsFor(folder, { clock, heldAfter: () => after });
  const log = await DurableLog.open(options);
  await appendSeveral(log, 12);
  await settleThrough(log.cursor('hub'), 12);
  await clock.step(SAVE_INTERVAL_MS);
  await until(() => log.firstSequence === 5);
  await log.close();
  const again = await DurableLog.open(options);
  assert.equal(again.firstSequence, 5);
  await again.close();
  after = Infinity;
  const free = await DurableLog.open(options);
  assert.equal(free.firstSequence, 9);
  await free.close();
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

test('a sink that shows what is newest begins near the end at each opening, whatever its cursor says', async () => {
  const { folder } = await closedLog();
  const options = optionsFor(folder, { sinks: ['view'], startFrom: { view: 'recent' } });
  const log = await DurableLog.open(options);
  assert.equal(log.cursor('view').position, 0);
  await settleThrough(log.cursor('view'), 12);
  await appendSeveral(log, RECENT_BATCHES);
  await log.close();
  const again = await DurableLog.open(options);
  assert.equal(again.cursor('view').position, again.lastSequence - RECENT_BATCHES);
  assert.ok(again.cursor('view').position >= 12, 'it is not all that it looks through again');
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

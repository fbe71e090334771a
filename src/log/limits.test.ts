import assert from 'node:assert/strict';
import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { until } from '../../test/support/until.ts';
import type { Files } from '../base/files.ts';
import { silentLogger } from '../base/logger.ts';
import { ManualClock } from '../base/manual-clock.test-support.ts';
import { nodeFiles } from '../base/node-files.ts';
import { decodeMessage, encodeFrame } from '../model/frame.ts';
import { kindOf, type Reading } from '../model/reading.ts';
import { timestampOf } from '../model/time.ts';
import { inspectLog } from './inspect.ts';
import type { LogLimits } from './keeper.ts';
import { DurableLog, type LogOptions } from './log.ts';
import { ROOMY } from './options.test-support.ts';

const START = '2026-01-01T08:00:00.000000Z';
const START_MICROS = 1_767_254_400_000_000;
const ALL = { batchesMax: 100_000, bytesMax: 1_000_000_000 };
const SEGMENT_BYTES = 16_000;

let root = '';
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'millwright-limits-'));
});
after(() => rm(root, { recursive: true }));

/** What is on the disk when the power goes is the matter of other tests; here it would be most of the time. */
const unsynced: Files = {
  ...nodeFiles,
  open: async (path, mode) => Object.assign(await nodeFiles.open(path, mode), { datasync: async () => {} }),
  syncFolder: async () => {},
};

interface Limited {
  readonly log: DurableLog;
  readonly folder: string;
  readonly clock: ManualClock;
  readonly options: LogOptions;
}

async function openLimited(limits: Partial<LogLimits>, changes: Partial<LogOptions> = {}): Promise<Limited> {
  const folder = join(await mkdtemp(join(root, 'log-')), 'log');
  const clock = new ManualClock(START);
  const options: LogOptions = {
    folder,
    files: unsynced,
    clock,
    log: silentLogger,
    gatewayId: 'gateway',
    sinks: ['hub'],
    segmentBytesMax: SEGMENT_BYTES,
    hotBytesMax: 10_000,
    sync: ROOMY.sync,
    limits: { ...ROOMY.limits, ...limits },
    newId: () => 'id',
    ...changes,
  };
  return { log: await DurableLog.open(options), folder, clock, options };
}

/** Two machines at 10 Hz in batches of 2 s, an event each 10 s, and a measurement each 30 s; nothing compresses well. */
function batchOf(index: number): Reading[] {
  const readings: Reading[] = [];
  for (let tick = 0; tick < 20; tick += 1) {
    const micros = START_MICROS + index * 2_000_000 + tick * 100_000;
    for (const machine_id of ['CNC-001', 'CNC-002']) {
      const noise = String(Math.sin(index * 20 + tick) * 1e9);
      readings.push({ machine_id, timestamp: timestampOf(micros), spindle_speed: index * 20 + tick, noise });
    }
  }
  const timestamp = timestampOf(START_MICROS + index * 2_000_000 + 1_950_000);
  const common = { machine_id: 'CNC-001', timestamp };
  if (index % 5 === 0) readings.push({ ...common, kind: 'event', event_type: 'message', text: `event ${index}` });
  if (index % 15 === 0) {
    const value = { characteristic: 'bore', measured_value: index, unit: 'mm' };
    readings.push({ ...common, kind: 'measurement', ...value });
  }
  return readings;
}

async function append(log: DurableLog, { from, through }: { from: number; through: number }): Promise<void> {
  for (let index = from; index <= through; index += 1) {
    const readings = batchOf(index);
    await log.append(new Uint8Array(Buffer.concat(readings.map(encodeFrame))), readings.length);
  }
}

async function readAllReadings(log: DurableLog): Promise<Reading[]> {
  const batches = await log.read(1, ALL);
  for (const [index, { sequence }] of batches.entries()) assert.ok(sequence > (batches[index - 1]?.sequence ?? 0));
  return batches.flatMap(({ payload }) => decodeMessage(payload).readings);
}

function isPlain({ form }: { form: string }): boolean {
  return form === 'plain';
}

function weightOf(reading: Reading): number {
  return 'sampling_factor' in reading ? reading.sampling_factor : 1;
}

function countOf(readings: readonly Reading[], kind: ReturnType<typeof kindOf>): number {
  return readings.filter((reading) => kindOf(reading) === kind).length;
}

test('old segments are compressed beyond the warm size, and read back byte for byte, also after a restart', async () => {
  const { log, folder, options } = await openLimited({ warmBytesMax: 3 * SEGMENT_BYTES });
  await append(log, { from: 0, through: 99 });
  await until(() => log.status().bytes < 8 * SEGMENT_BYTES);
  const report = await inspectLog(nodeFiles, folder);
  assert.ok(report.sound);
  const forms = report.segments.map(({ form }) => form);
  assert.equal(forms[0], 'compressed');
  assert.deepEqual(forms.slice(-2), ['plain', 'plain']);
  const expected = Array.from({ length: 100 }, (_, index) => batchOf(index)).flat();
  assert.deepEqual(await readAllReadings(log), expected);
  await log.close();
  const again = await DurableLog.open(options);
  assert.deepEqual(await readAllReadings(again), expected);
  // A reader that starts anywhere gets the same as one that starts at the beginning.
  for (const from of [2, 17, 50, 99]) assert.equal((await again.read(from, ALL))[0]?.sequence, from);
  assert.equal(again.backlog('hub').readings, expected.length);
  await again.close();
});

test('a full log merges old samples, keeps measurements and events, stays within its limit, and tells', async () => {
  const bytesMax = 10 * SEGMENT_BYTES;
  const { log, folder } = await openLimited({ warmBytesMax: 3 * SEGMENT_BYTES, bytesMax });
  for (let from = 0; from < 600; from += 30) {
    await append(log, { from, through: from + 29 });
    await until(() => log.status().bytes <= bytesMax + 2 * SEGMENT_BYTES);
  }
  await until(() => log.status().bytes <= bytesMax);
  const status = log.status();
  assert.ok(status.readings_thinned > 0);
  assert.equal(status.readings_dropped, 0);
  assert.equal(status.quarantined_batches, 0, 'numbers without a batch are no damage');
  const all = Array.from({ length: 600 }, (_, index) => batchOf(index)).flat();
  const kept = await readAllReadings(log);
  assert.deepEqual(
    kept.filter((reading) => kindOf(reading) !== 'sample'),
    all.filter((reading) => kindOf(reading) !== 'sample'),
  );
  const weight = kept.reduce((sum, reading) => {
    return kindOf(reading) === 'sample' ? sum + weightOf(reading) : sum;
  }, 0);
  assert.equal(weight, countOf(all, 'sample'), 'each kept sample says for how many it stands');
  assert.equal(countOf(kept, 'sample') + status.readings_thinned, countOf(all, 'sample'));
  const widths = (await inspectLog(nodeFiles, folder)).segments.map(({ thinning }) => thinning);
  assert.ok((widths[0] ?? 0) > (widths.at(-2) ?? 0), `the older, the wider: ${widths.join(' ')}`);

  assert.ok(log.hasLosses);
  const losses = await log.takeLosses();
  assert.deepEqual(
    losses.map(({ reason, machineId, sinks }) => [reason, machineId, sinks]),
    [
      ['thinned', 'CNC-001', ['hub']],
      ['thinned', 'CNC-002', ['hub']],
    ],
  );
  assert.equal(
    losses.reduce((sum, { readings }) => sum + readings, 0),
    status.readings_thinned,
  );
  assert.equal(losses[0]?.startTime, START);
  await log.lossesTold();
  assert.equal(log.hasLosses, false);
  await log.close();
});

test('what is lost is not forgotten by a restart before it was told', async () => {
  const bytesMax = 10 * SEGMENT_BYTES;
  const { log, options } = await openLimited({ warmBytesMax: 3 * SEGMENT_BYTES, bytesMax });
  await append(log, { from: 0, through: 299 });
  await until(() => log.status().readings_thinned > 0 && log.status().bytes <= bytesMax);
  await log.takeLosses();
  await log.close();
  const again = await DurableLog.open(options);
  assert.ok(again.hasLosses, 'it was taken, but not told');
  assert.equal((await again.takeLosses()).length, 2);
  await again.lossesTold();
  await again.close();
  const third = await DurableLog.open(options);
  assert.equal(third.hasLosses, false);
  await third.close();
});

test('drop_oldest gives up the samples of the oldest segments first, then all that is old', async () => {
  const bytesMax = 8 * SEGMENT_BYTES;
  const whenFull = { samples: 'drop_oldest', measurements: 'drop_oldest', events: 'drop_oldest' } as const;
  const { log } = await openLimited({ warmBytesMax: 3 * SEGMENT_BYTES, bytesMax, whenFull });
  await append(log, { from: 0, through: 299 });
  await until(() => log.status().bytes <= bytesMax);
  const kept = await readAllReadings(log);
  const all = Array.from({ length: 300 }, (_, index) => batchOf(index)).flat();
  assert.deepEqual(
    kept.filter((reading) => kindOf(reading) !== 'sample'),
    all.filter((reading) => kindOf(reading) !== 'sample'),
  );
  const samples = kept.filter((reading) => kindOf(reading) === 'sample');
  assert.deepEqual(samples, all.filter((reading) => kindOf(reading) === 'sample').slice(-samples.length));
  assert.equal(log.status().readings_dropped, countOf(all, 'sample') - samples.length);
  await log.close();
});

test('when there is no sample left to give, the oldest events go, and the limit still holds', async () => {
  const bytesMax = 8 * SEGMENT_BYTES;
  const { log } = await openLimited({ warmBytesMax: 3 * SEGMENT_BYTES, bytesMax });
  for (let index = 0; index < 2000; index += 1) {
    const text = Array.from({ length: 20 }, (_, at) => Math.sin(index * 20 + at)).join(' ');
    const timestamp = timestampOf(START_MICROS + index * 1_000_000);
    const event: Reading = { machine_id: 'CNC-001', timestamp, kind: 'event', event_type: 'message', text };
    await log.append(encodeFrame(event), 1);
  }
  await until(() => log.status().bytes <= bytesMax);
  const kept = await readAllReadings(log);
  assert.ok(log.firstSequence > 1, 'segments in which nothing is left are gone');
  assert.equal(kept.length, 2000 - log.status().readings_dropped);
  const last = kept.at(-1);
  assert.equal(last?.timestamp, timestampOf(START_MICROS + 1999 * 1_000_000));
  await log.close();
});

test('drop_newest refuses new samples while the log is full, and takes them again when there is room', async () => {
  const bytesMax = 8 * SEGMENT_BYTES;
  const whenFull = { samples: 'drop_newest', measurements: 'drop_newest', events: 'drop_newest' } as const;
  const { log, clock } = await openLimited({ warmBytesMax: 3 * SEGMENT_BYTES, bytesMax, whenFull });
  let index = 0;
  for (; !log.refuses('sample') && index < 2000; index += 1) await append(log, { from: index, through: index });
  assert.ok(log.refuses('sample'));
  assert.equal(log.refuses('event'), false, 'there is still room for events');
  assert.equal(log.status().readings_dropped, 0);
  void log.cursor('hub').settle({ first: 1, last: log.lastSequence, readings: 0 });
  await clock.step(1000);
  await until(() => !log.refuses('sample'));
  await log.close();
});

test('the limit holds also where no room can be made: then new readings are refused, samples first', async () => {
  const bytesMax = 8 * SEGMENT_BYTES;
  const unreadable: Files = {
    ...unsynced,
    open: (path, mode) =>
      mode === 'read' && path.endsWith('.seg') ? Promise.reject(new Error('EIO')) : unsynced.open(path, mode),
  };
  const { log } = await openLimited({ warmBytesMax: 3 * SEGMENT_BYTES, bytesMax }, { files: unreadable });
  let index = 0;
  for (; !log.refuses('sample'); index += 1) await append(log, { from: index, through: index });
  assert.ok(log.status().bytes > bytesMax && log.status().bytes < 1.5 * bytesMax);
  assert.equal(log.refuses('event'), false);
  for (; !log.refuses('event'); index += 1) await append(log, { from: index, through: index });
  assert.ok(log.status().bytes < 2 * bytesMax);
  await log.close();
});

test('the log makes as much room as its disk is short of, and no more', async () => {
  const reserveBytes = 1_000_000;
  let others = 0;
  let logBytes = (): number => 0;
  // A disk of ten megabytes: what the log gives up is free again.
  const files: Files = { ...unsynced, freeBytes: async () => 10_000_000 - others - logBytes() };
  const { log, clock, folder } = await openLimited({ warmBytesMax: 3 * SEGMENT_BYTES, reserveBytes }, { files });
  logBytes = () => log.status().bytes;
  await append(log, { from: 0, through: 799 });
  await until(async () => (await inspectLog(nodeFiles, folder)).segments.filter(isPlain).length < 4);
  assert.equal(log.status().readings_thinned, 0);
  const before = log.status().bytes;
  others = 10_000_000 - reserveBytes - before + 20_000;
  await clock.step(6000);
  await append(log, { from: 800, through: 800 });
  await until(() => log.status().bytes <= before - 20_000);
  assert.ok(log.status().bytes > before - 40_000, `${before} bytes became ${log.status().bytes}`);
  await log.close();
});

test('nothing is merged into what a sink was handed a while ago, or into an island', async () => {
  const bytesMax = 10 * SEGMENT_BYTES;
  const { log, clock } = await openLimited({ warmBytesMax: 3 * SEGMENT_BYTES, bytesMax });
  await append(log, { from: 0, through: 39 });
  await until(() => log.status().bytes < 4 * SEGMENT_BYTES);
  // Under way, as far as the log can know.
  const handed = await log.read(1, { batchesMax: 20, bytesMax: 1e9 });
  // Settled ahead of what is before it.
  const island = { first: 45, last: 50, readings: 0 };
  await append(log, { from: 40, through: 59 });
  void log.cursor('hub').settle(island);
  await append(log, { from: 60, through: 399 });
  await until(() => log.status().readings_thinned > 0 && log.status().bytes <= bytesMax);
  const again = await log.read(1, { batchesMax: 20, bytesMax: 1e9 });
  assert.deepEqual(
    again.map(({ sequence, payload }) => [sequence, Buffer.from(payload)]),
    handed.map(({ sequence, payload }) => [sequence, Buffer.from(payload)]),
  );
  await clock.step(3_600_000);
  await append(log, { from: 400, through: 599 });
  await until(() => log.status().bytes <= bytesMax);
  const delivered = (await log.read(1, ALL)).filter(
    ({ sequence }) => sequence < island.first || sequence > island.last,
  );
  const weight = delivered
    .flatMap(({ payload }) => decodeMessage(payload).readings)
    .reduce((sum, reading) => sum + (kindOf(reading) === 'sample' ? weightOf(reading) : 0), 0);
  const all = Array.from({ length: 600 }, (_, index) => batchOf(index));
  const inIsland = all.slice(island.first - 1, island.last).flat();
  assert.equal(weight, countOf(all.flat(), 'sample') - countOf(inIsland, 'sample'));
  await log.close();
});

test('batches beyond the age limit are dropped, but not at once when the clock jumps', async () => {
  const { log, clock } = await openLimited({ warmBytesMax: 3 * SEGMENT_BYTES, ageMsMax: 3_600_000 });
  await append(log, { from: 0, through: 99 });
  await clock.step(7_200_000);
  await append(log, { from: 100, through: 130 });
  assert.equal(log.status().readings_dropped, 0);
  await until(async () => {
    await clock.step(300_000);
    await append(log, { from: 131, through: 131 });
    return log.status().readings_dropped > 0;
  });
  await until(() => log.firstSequence > 90);
  await log.close();
});

test('a copy of the folder goes on under identities of its own', async () => {
  let id = 0;
  const newId = (): string => `id${(id += 1)}`;
  const { log, options } = await openLimited({}, { newId });
  await append(log, { from: 0, through: 3 });
  await log.close();
  const copy = `${options.folder}-copy`;
  for (const [from, to] of [
    [options.folder, copy],
    [`${options.folder}/cursors`, `${copy}/cursors`],
  ] as const) {
    await nodeFiles.makeFolder(to);
    for (const name of await readdir(from, { withFileTypes: true })) {
      if (name.isFile()) await copyFile(join(from, name.name), join(to, name.name));
    }
  }
  const identities = new Set<string>();
  for (const folder of [options.folder, copy]) {
    const opened = await DurableLog.open({ ...options, folder });
    await append(opened, { from: 4, through: 4 });
    const batches = await opened.read(1, ALL);
    assert.deepEqual(
      batches.map(({ sequence }) => sequence),
      [1, 2, 3, 4, 5],
    );
    for (const { epoch, sequence } of batches) identities.add(`${epoch}/${sequence}`);
    await opened.close();
  }
  assert.equal(identities.size, 6, 'four that both have, and one each that only it has');
});

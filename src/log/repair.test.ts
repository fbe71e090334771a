import assert from 'node:assert/strict';
import { cp, mkdtemp, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { until } from '../../test/support/until.ts';
import { silentLogger } from '../base/logger.ts';
import { ManualClock } from '../base/manual-clock.test-support.ts';
import { nodeFiles } from '../base/node-files.ts';
import { seededRandom } from '../base/random.ts';
import { timestampOf } from '../model/time.ts';
import { RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES } from './format.ts';
import { inspectLog, type LogReport, readAll } from './inspect.ts';
import { DurableLog, type LogOptions } from './log.ts';
import { ROOMY } from './options.test-support.ts';
import { type Repaired, repairLog } from './repair.ts';

const START = '2026-01-01T08:00:00.000000Z';
const DAY_AFTER = '2026-01-02T08:00:00.000000Z';
const START_MICROS = 1_767_254_400_000_000;
const PAYLOAD_BYTES = 1000;
const RECORD_BYTES = RECORD_HEADER_BYTES + PAYLOAD_BYTES;

let root = '';
let plain = '';
let compressed = '';
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'millwright-repair-'));
  plain = await makeLog('plain', ROOMY);
  compressed = await makeLog('compressed', { ...ROOMY, limits: { ...ROOMY.limits, warmBytesMax: 1 } });
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
    // Four records in a segment.
    segmentBytesMax: SEGMENT_HEADER_BYTES + 4 * RECORD_BYTES,
    hotBytesMax: 1,
    ...ROOMY,
    newId: () => 'log-1',
    ...changes,
  };
}

/** Random bytes, told by their number: they hardly compress. */
function payloadOf(number: number): Buffer {
  const random = seededRandom(number);
  return Buffer.from(Uint8Array.from({ length: PAYLOAD_BYTES }, () => random() * 256));
}

/** A closed log of twelve batches in three segments, a second apart, of which the sink has settled two. */
async function makeLog(name: string, limits: Pick<LogOptions, 'limits'>): Promise<string> {
  const folder = join(root, name);
  const clock = new ManualClock(START);
  const log = await DurableLog.open(optionsFor(folder, { clock, ...limits }));
  for (let number = 1; number <= 12; number += 1) {
    await clock.step(1000);
    await log.append(payloadOf(number), 10);
  }
  await log.cursor('hub').settle({ first: 1, last: 2, readings: 20 });
  const isCold = limits.limits.warmBytesMax === 1;
  await until(async () => {
    const { segments } = await inspectLog(nodeFiles, folder);
    return segments.filter(({ form }) => form === 'compressed').length === (isCold ? 2 : 0);
  });
  await log.close();
  return folder;
}

async function copyOf(folder: string): Promise<string> {
  const copy = join(await mkdtemp(join(root, 'copy-')), 'log');
  await cp(folder, copy, { recursive: true });
  return copy;
}

function segmentFile(folder: string, first: number): string {
  return join(folder, `${String(first).padStart(16, '0')}.seg`);
}

async function flip(path: string, offset: number): Promise<void> {
  const bytes = await readFile(path);
  const at = offset < 0 ? bytes.length + offset : offset;
  bytes[at] = (bytes[at] ?? 0) ^ 0x10;
  await writeFile(path, bytes);
}

function repair(folder: string): Promise<Repaired> {
  return repairLog({
    files: nodeFiles,
    folder,
    clock: new ManualClock(DAY_AFTER),
    gatewayId: 'gateway',
  });
}

async function sequencesIn(folder: string): Promise<number[]> {
  const sequences: number[] = [];
  for await (const { epoch, sequence, payload } of readAll(nodeFiles, folder)) {
    assert.equal(epoch, 'log-1_log-1');
    assert.deepEqual(Buffer.from(payload), payloadOf(sequence), `batch ${sequence}`);
    sequences.push(sequence);
  }
  return sequences;
}

function allBut(...lost: readonly number[]): number[] {
  return Array.from({ length: 12 }, (_, index) => index + 1).filter((sequence) => !lost.includes(sequence));
}

/** Every file of the folder with its bytes. */
async function contentOf(folder: string): Promise<Map<string, string>> {
  const content = new Map<string, string>();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    content.set(path, (await readFile(path)).toString('base64'));
  }
  return content;
}

/** Of the batches from `first` to `last`, appended a second apart. */
function missing(first: number, last: number | null, segment: number): LogReport['missing'][number] {
  const before = last === null || last === 12 ? null : START_MICROS + (last + 1) * 1_000_000;
  return {
    segment: `${String(segment).padStart(16, '0')}.seg`,
    firstSequence: first,
    lastSequence: last,
    afterMicros: first === 1 ? null : START_MICROS + (first - 1) * 1_000_000,
    beforeMicros: before,
  };
}

interface Damage {
  readonly name: string;
  readonly do: (folder: string) => Promise<unknown>;
  readonly lost: readonly number[];
  /** What verify says is missing before the repair. */
  readonly missing: LogReport['missing'];
  /** In the plain log, or in the one whose older segments are compressed. */
  readonly log?: 'compressed';
}

const secondRecord = SEGMENT_HEADER_BYTES + RECORD_BYTES;
const DAMAGES: readonly Damage[] = [
  {
    name: 'a payload of an old segment',
    do: (folder) => flip(segmentFile(folder, 1), secondRecord + 500),
    lost: [2],
    missing: [missing(2, 2, 1)],
  },
  {
    name: 'the header of a record',
    do: (folder) => flip(segmentFile(folder, 5), secondRecord + 3),
    lost: [6],
    missing: [missing(6, 6, 5)],
  },
  {
    name: 'the last record of an old segment',
    do: (folder) => flip(segmentFile(folder, 1), -1),
    lost: [4],
    missing: [missing(4, 4, 1)],
  },
  {
    name: 'a payload of the newest segment',
    do: (folder) => flip(segmentFile(folder, 9), secondRecord + 500),
    lost: [10],
    missing: [missing(10, 10, 9)],
  },
  {
    name: 'the newest record',
    do: (folder) => flip(segmentFile(folder, 9), -1),
    lost: [12],
    missing: [missing(12, null, 9)],
  },
  {
    name: 'a block',
    do: (folder) => flip(segmentFile(folder, 5), -1),
    lost: [5, 6, 7, 8],
    missing: [missing(5, 8, 5)],
    log: 'compressed',
  },
  {
    name: 'the header of a compressed segment',
    do: (folder) => flip(segmentFile(folder, 5), 50),
    lost: [],
    missing: [],
    log: 'compressed',
  },
  {
    name: 'the header of the newest segment',
    do: (folder) => flip(segmentFile(folder, 9), 20),
    lost: [],
    missing: [],
  },
  {
    name: 'a segment that is gone',
    do: (folder) => rm(segmentFile(folder, 5)),
    lost: [5, 6, 7, 8],
    missing: [missing(5, 8, 1)],
  },
  {
    name: 'a segment of which nothing is left but its length',
    do: (folder) => writeFile(segmentFile(folder, 5), Buffer.alloc(5000)),
    lost: [5, 6, 7, 8],
    missing: [missing(5, 8, 5)],
  },
  {
    name: 'the identity and a segment header',
    do: async (folder) => {
      await flip(join(folder, 'log.identity'), 20);
      await flip(segmentFile(folder, 1), 50);
    },
    lost: [],
    missing: [],
  },
  { name: 'a lost identity', do: (folder) => rm(join(folder, 'log.identity')), lost: [], missing: [] },
  { name: 'a cursor', do: (folder) => flip(join(folder, 'cursors', 'hub.cursor'), 30), lost: [], missing: [] },
  {
    name: 'a segment of another log',
    do: async (folder) => {
      const other = join(await mkdtemp(join(root, 'other-')), 'log');
      const log = await DurableLog.open(optionsFor(other, { newId: () => 'other' }));
      await log.append(payloadOf(1), 10);
      await log.close();
      await rename(segmentFile(other, 1), segmentFile(folder, 7));
    },
    lost: [],
    missing: [],
  },
];

for (const damage of DAMAGES) {
  test(`repair mends ${damage.name}, loses nothing else, and has nothing to do afterwards`, async () => {
    const folder = await copyOf(damage.log === 'compressed' ? compressed : plain);
    await damage.do(folder);
    assert.equal((await inspectLog(nodeFiles, folder)).sound, false);
    const { before, done, after } = await repair(folder);
    assert.deepEqual(before.missing, damage.missing);
    assert.ok(done.length > 0);
    assert.ok(after.sound);
    assert.deepEqual(
      after.segments.flatMap(({ corruptRanges, headerDamaged }) => [...corruptRanges, ...(headerDamaged ? [1] : [])]),
      [],
    );
    assert.deepEqual(await sequencesIn(folder), allBut(...damage.lost));

    const repaired = await contentOf(folder);
    assert.deepEqual((await repair(folder)).done, []);
    assert.deepEqual(await contentOf(folder), repaired, 'a second repair writes nothing');

    const clock = new ManualClock(DAY_AFTER);
    const log = await DurableLog.open(optionsFor(folder, { clock, newId: () => 'open-2' }));
    assert.equal(log.status().quarantined_batches, damage.lost.length);
    const losses = await log.takeLosses();
    assert.equal(losses.length, damage.missing.length, 'the edge has it to tell');
    const lost = losses.map(({ firstSequence, startTime }) => [firstSequence, startTime]);
    const expected = damage.missing.map(({ firstSequence, afterMicros }) => [
      firstSequence,
      timestampOf(afterMicros ?? 0),
    ]);
    assert.deepEqual(lost, expected);
    assert.ok((await log.append(payloadOf(13), 10)) > 12, 'no number is given again');
    assert.equal((await log.read(1, { batchesMax: 100, bytesMax: 1e9 })).length, 13 - damage.lost.length);
    await log.close();
  });
}

test('everything at once, over and over: repair gives up no batch that could be read before', async () => {
  for (let seed = 1; seed <= 30; seed += 1) {
    const random = seededRandom(seed);
    const folder = await copyOf(random() < 0.5 ? plain : compressed);
    for (let flips = 1 + Math.floor(random() * 6); flips > 0; flips -= 1) {
      const names = [...(await contentOf(folder)).keys()].sort();
      const path = names[Math.floor(random() * names.length)] ?? '';
      await flip(path, Math.floor(random() * (await readFile(path)).length));
    }
    if (random() < 0.3)
      await truncate(segmentFile(folder, 9), SEGMENT_HEADER_BYTES + Math.floor(random() * RECORD_BYTES * 4));
    const readable = await sequencesIn(folder);
    const { after } = await repair(folder);
    assert.ok(after.sound, `seed ${seed}`);
    assert.deepEqual(await sequencesIn(folder), readable, `seed ${seed}`);
    assert.deepEqual((await repair(folder)).done, [], `seed ${seed}`);
    const log = await DurableLog.open(optionsFor(folder, { newId: () => 'open-2' }));
    assert.equal((await log.read(1, { batchesMax: 100, bytesMax: 1e9 })).length, readable.length, `seed ${seed}`);
    await log.close();
  }
});

test('a torn end is cut off, and what is no part of a log is left alone', async () => {
  const folder = await copyOf(plain);
  await truncate(segmentFile(folder, 9), SEGMENT_HEADER_BYTES + 3 * RECORD_BYTES + 100);
  await writeFile(join(folder, 'notes.txt'), 'call the electrician');
  await writeFile(join(folder, '9999999999999999.seg'), Buffer.alloc(300, 7));
  const { done, after } = await repair(folder);
  assert.deepEqual(done, ['0000000000000009.seg: the end, torn while it was written, is cut off']);
  assert.ok(after.sound);
  assert.deepEqual(await sequencesIn(folder), allBut(12));
  assert.equal(await readFile(join(folder, 'notes.txt'), 'utf8'), 'call the electrician');
  assert.deepEqual(await readdir(join(folder, 'quarantine')), []);
});

test('a log that is open, one that is not there, and one of a newer version are left alone', async () => {
  const folder = await copyOf(plain);
  const log = await DurableLog.open(optionsFor(folder));
  await assert.rejects(repair(folder), {
    code: 'log_locked',
    message: /in use by process \d+ .*: stop the edge first/,
  });
  await log.close();
  const empty = await mkdtemp(join(root, 'empty-'));
  await assert.rejects(repair(empty), { code: 'not_found' });
  assert.deepEqual(await readdir(empty), []);
});

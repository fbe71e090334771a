/** What the oracle believes of the log is so: its witness has all that was promised, and it excuses just what it spoils. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import type { Files } from '../../src/base/files.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { nodeFiles } from '../../src/base/node-files.ts';
import { seededRandom } from '../../src/base/random.ts';
import { readAll } from '../../src/log/inspect.ts';
import { DurableLog } from '../../src/log/log.ts';
import { flipBit, segmentsOf, tearTail } from './damage.ts';
import { FailingFiles } from './failing-files.ts';
import { openWitness, readWitness, witnessing } from './witness.ts';
import { ROOMY } from '../../src/log/options.test-support.ts';

const BATCHES = 120;
const FLIPS = 150;

const folder = mkdtempSync(path.join(tmpdir(), 'millwright-oracle-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function openLog(logFolder: string, files: Files): Promise<DurableLog> {
  return DurableLog.open({
    folder: logFolder,
    files,
    clock: systemClock,
    log: silentLogger,
    gatewayId: 'G',
    sinks: ['hub'],
    segmentBytesMax: 4_096,
    hotBytesMax: 4_096,
    ...ROOMY,
    newId: () => 'e-1',
  });
}

async function sequencesIn(logFolder: string): Promise<number[]> {
  const sequences: number[] = [];
  for await (const { sequence } of readAll(nodeFiles, logFolder)) sequences.push(sequence);
  return sequences;
}

/** A log of {@link BATCHES} batches in several segments, with its witness; some appends have failed on the way. */
async function writeLog(name: string): Promise<{ logFolder: string; witnessFile: string }> {
  const logFolder = path.join(folder, name);
  const witnessFile = `${logFolder}.witness`;
  const failing = new FailingFiles(seededRandom(1));
  const log = await openLog(logFolder, failing.wrap(witnessing(nodeFiles, openWitness(witnessFile))));
  for (let sequence = 1; sequence <= BATCHES; sequence += 1) {
    const payload = Buffer.from(`batch ${sequence} `.repeat(20));
    if (sequence % 10 === 0) {
      failing.fail({ calls: 'change', code: 'EIO', times: 1 + (sequence % 3) });
      await assert.rejects(log.append(payload, 1));
      failing.heal();
    }
    assert.equal(await log.append(payload, 1), sequence);
  }
  await log.close();
  return { logFolder, witnessFile };
}

test('the witness has every batch that was acknowledged, with its bytes, and no other as kept', async () => {
  const { witnessFile } = await writeLog('witness');
  const tried = new Map<number, string>();
  const kept: [number, string | undefined][] = [];
  for (const { kind, sequence, payload } of readWitness(witnessFile)) {
    if (kind === 'tried') tried.set(sequence, payload.toString());
    else kept.push([sequence, tried.get(sequence)]);
  }
  const expected = Array.from({ length: BATCHES }, (_, index) => [index + 1, `batch ${index + 1} `.repeat(20)]);
  assert.deepEqual(kept, expected);
});

test('a flipped bit destroys what is excused, and nothing else', async () => {
  const { logFolder } = await writeLog('flips');
  const random = seededRandom(2);
  const all = await sequencesIn(logFolder);
  let destroyed = 0;
  for (let flip = 0; flip < FLIPS; flip += 1) {
    const copy = path.join(folder, `flip-${flip}`);
    cpSync(logFolder, copy, { recursive: true });
    const segments = segmentsOf(copy);
    const index = Math.floor(random() * (segments.length - 1));
    const excused = flipBit(segments[index]!, segments[index + 1]!, random);
    const left = await sequencesIn(copy);
    const missing = all.filter((sequence) => !left.includes(sequence));
    const expected = excused === undefined ? [] : all.filter((one) => excused.first <= one && one <= excused.last);
    assert.deepEqual(missing, expected, `flip ${flip} of seed 2`);
    destroyed += missing.length;
    rmSync(copy, { recursive: true });
  }
  assert.ok(destroyed > FLIPS / 2, `${destroyed} destroyed`);
});

test('a torn tail destroys nothing', async () => {
  const { logFolder } = await writeLog('tails');
  const random = seededRandom(3);
  const all = await sequencesIn(logFolder);
  const told = new Set<string>();
  for (let tail = 0; tail < 20; tail += 1) {
    told.add(tearTail(logFolder, random).split(',')[0] ?? '');
    await (await openLog(logFolder, nodeFiles)).close();
    assert.deepEqual(await sequencesIn(logFolder), all);
  }
  assert.deepEqual([...told].toSorted(), ['noise', 'record', 'zeros']);
});

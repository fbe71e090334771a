import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { type Clock, systemClock } from '../base/clock.ts';
import { silentLogger } from '../base/logger.ts';
import { nodeFiles } from '../base/node-files.ts';
import { microsOf } from '../model/time.ts';
import { CMM_DEFAULTS, type CmmRun, type CmmRunOptions, runCmm, SimulatedCmm } from './cmm.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'millwright-cmm-'));
});
after(() => rm(folder, { recursive: true, force: true }));

/** A clock that jumps to the end of each sleep. */
function steppedClock(): Clock {
  let ms = 0;
  return {
    nowMicros: () => microsOf('2026-01-01T08:00:00.000000Z') + Math.round(ms * 1000),
    monotonicMs: () => ms,
    sleep: async (wait: number) => {
      ms += wait;
    },
  };
}

function run(name: string, options: Partial<CmmRunOptions>, signal = new AbortController().signal): Promise<CmmRun> {
  const common = { intervalMs: 5_000, count: null, keep: 20, faults: false, seed: 1 };
  const parts = { files: nodeFiles, clock: steppedClock(), log: silentLogger, folder: path.join(folder, name) };
  return runCmm({ ...CMM_DEFAULTS, ...common, ...parts, ...options }, signal);
}

function deviation(values: readonly number[]): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}

test('at its defaults the length waves with the room by more than 0.008 mm, and all else is the noise of 0.001 mm', () => {
  const cmm = new SimulatedCmm({ ...CMM_DEFAULTS, seed: 42 });
  const rows = Array.from({ length: 3600 }, (_, second) => cmm.measure(second, '2026-01-01T08:00:00Z')).flat();
  const temperatures = rows.map(({ temperatureC }) => temperatureC);
  assert.ok(Math.abs(Math.max(...temperatures) - 25) < 0.01 && Math.abs(Math.min(...temperatures) - 15) < 0.01);
  assert.ok(deviation(rows.map(({ observedLengthMm }) => observedLengthMm)) > 0.008);
  const corrected = rows.map((row) => row.observedLengthMm / (1 + 23.6e-6 * (row.temperatureC - 20)));
  assert.ok(Math.abs(deviation(corrected) - 0.001) < 0.0001, `${deviation(corrected)}`);
});

test('a file has the columns users have, one row, and the newest 20 are kept', async () => {
  const done = await run('plain', { count: 33 });
  assert.deepEqual([done.files, done.rows], [33, 33]);
  const names = (await readdir(path.join(folder, 'plain'))).sort();
  assert.equal(names.length, 20);
  assert.match(names[0] ?? '', /^cmm_20260101T080105000_000014\.csv$/);
  const [header, row, ...rest] = (await readFile(path.join(folder, 'plain', names.at(-1) ?? ''), 'utf8')).split('\n');
  assert.equal(header, 'Timestamp,Simulated_Temperature_C,True_Part_Length_mm,Observed_Part_Length_mm');
  assert.match(row ?? '', /^2026-01-01T08:02:40\.000000Z,\d\d\.\d{4},100\.000000,(99|100)\.\d{6}$/);
  assert.deepEqual(rest, ['']);
});

test('features, serial numbers, limits, drift and wear', async () => {
  const features = [
    { name: 'bore', nominalMm: 25 },
    { name: 'length', nominalMm: 100 },
  ];
  await run('rich', { count: 3, features, toleranceMm: 0.05, serialNumbers: true, noiseMm: 0 });
  const name = (await readdir(path.join(folder, 'rich'))).sort().at(-1) ?? '';
  const lines = (await readFile(path.join(folder, 'rich', name), 'utf8')).trim().split('\n');
  assert.match(lines[0] ?? '', /,Feature,Serial_Number,Nominal_mm,Lower_Limit_mm,Upper_Limit_mm$/);
  assert.match(lines[1] ?? '', /,bore,SN-000003,25\.000000,24\.950000,25\.050000$/);
  assert.match(lines[2] ?? '', /,length,SN-000003,100\.000000,99\.950000,100\.050000$/);
  const worn = new SimulatedCmm({
    ...CMM_DEFAULTS,
    seed: 1,
    toolWearMm: 0.01,
    driftCPerHour: 2,
    noiseMm: 0,
    swingC: 0,
  });
  worn.measure(0, '2026-01-01T08:00:00Z');
  const [row] = worn.measure(3600, '2026-01-01T09:00:00Z');
  assert.equal(row?.temperatureC, 22);
  assert.equal(row.trueLengthMm, 100.01);
});

test('a later run goes on with the numbers', async () => {
  await run('later', { count: 3, serialNumbers: true });
  await run('later', { count: 2, serialNumbers: true, seed: 2 });
  const pairs: string[] = [];
  for (const name of (await readdir(path.join(folder, 'later'))).sort()) {
    const text = await readFile(path.join(folder, 'later', name), 'utf8');
    pairs.push(`${/_(\d+)\.csv$/.exec(name)?.[1]} ${/SN-(\d+)/.exec(text)?.[1]}`);
  }
  assert.deepEqual(
    pairs.sort(),
    [1, 2, 3, 4, 5].map((number) => `00000${number} 00000${number}`),
  );
});

test('the same seed gives the same lengths, with faults and without', async () => {
  await run('seed-a', { count: 8, seed: 7 });
  await run('seed-b', { count: 8, seed: 7, faults: true });
  const third = async (name: string): Promise<string> => {
    const names = (await readdir(path.join(folder, name))).sort();
    return readFile(path.join(folder, name, names[0] ?? ''), 'utf8');
  };
  const [plain, faulty] = [await third('seed-a'), await third('seed-b')];
  assert.equal(plain.split('\n')[1]?.split(',')[3], faulty.split('\n')[1]?.split(',')[3]);
});

test('with faults, half files, late renames, duplicate rows and decimal commas are all seen', async () => {
  const seen = new Set<string>();
  const out = path.join(folder, 'faults');
  const clock: Clock = {
    ...steppedClock(),
    sleep: async (ms) => {
      if (ms < 2_500 || ms > 2_500) return;
      const names = (await readdir(out)).sort();
      if (names.some((name) => name.endsWith('.tmp'))) seen.add('late_rename');
      else if (!(await readFile(path.join(out, names.at(-1) ?? ''), 'utf8')).endsWith('\n')) seen.add('half_file');
    },
  };
  const done = await run('faults', { count: 200, keep: null, faults: true, clock });
  assert.deepEqual([...seen].sort(), ['half_file', 'late_rename']);
  const counted = { duplicate_row: 0, decimal_comma: 0 };
  for (const name of await readdir(out)) {
    const [, first, second] = (await readFile(path.join(out, name), 'utf8')).split('\n');
    if (first === second) counted.duplicate_row += 1;
    if (first?.split(',').length === 7) counted.decimal_comma += 1;
  }
  assert.deepEqual(counted, { duplicate_row: done.faults.duplicate_row, decimal_comma: done.faults.decimal_comma });
  assert.ok(counted.duplicate_row > 0 && counted.decimal_comma > 0);
});

test('it ends at once when it is told to, and says when the folder cannot be written', async () => {
  const stop = new AbortController();
  const running = run('stop', { clock: systemClock, intervalMs: 60_000 }, stop.signal);
  setTimeout(() => stop.abort(), 20);
  assert.equal((await running).files, 1);
  await assert.rejects(run('x', { folder: '/dev/null/x', count: 1 }), { code: 'storage_failed' });
});

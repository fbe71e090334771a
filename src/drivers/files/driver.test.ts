import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { appendFile, mkdir, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { readFromOf } from '../../model/read-from.ts';
import { Bench, CSV, HEADER, rowOf, withoutPlace } from './driver.test-support.ts';

let bench: Bench;
beforeEach(async () => {
  bench = await Bench.make();
});
afterEach(async () => {
  await bench.stop();
  await rm(bench.root, { recursive: true, force: true });
});

async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch((): string[] => [])).sort();
}

function put(name: string, ...lines: string[]): Promise<void> {
  return writeFile(path.join(bench.folder, name), `${[HEADER, ...lines].join('\n')}\n`);
}

test('a file gives its readings, with where they were read', async () => {
  bench.start({ format: 'csv', csv: CSV, compensation: 'none' });
  await put('a.csv', rowOf(1), rowOf(2));
  await bench.until(() => bench.values().length === 2);
  assert.deepEqual(withoutPlace(bench.log[0]!), {
    machine_id: 'CMM-1',
    compensation: 'none',
    kind: 'measurement',
    timestamp: '2026-01-01T08:00:01.000Z',
    characteristic: 'length',
    measured_value: 100.001,
    unit: 'mm',
    temperature_c: 20.5,
  });
  const { source, file, row } = readFromOf(bench.log[1]!) ?? {};
  assert.deepEqual({ source, file, row }, { source: 'cmm', file: 'a.csv', row: 2 });
});

test('a file is read once: over restarts, under another name, copied, and touched', async () => {
  bench.start();
  await put('a.csv', rowOf(1), rowOf(2));
  await bench.until(() => bench.values().length === 2);
  await bench.restart();
  await bench.caughtUp();
  await rename(path.join(bench.folder, 'a.csv'), path.join(bench.folder, 'b.csv'));
  await put('copy.csv', rowOf(1), rowOf(2));
  await bench.caughtUp();
  await utimes(path.join(bench.folder, 'b.csv'), 1_800_000_000, 1_800_000_000);
  await bench.caughtUp();
  await rm(path.join(bench.folder, 'b.csv'));
  await rm(path.join(bench.folder, 'copy.csv'));
  await bench.caughtUp();
  await put('again.csv', rowOf(1), rowOf(2), rowOf(3));
  await bench.until(() => bench.values().length >= 3);
  await bench.restart();
  await bench.caughtUp();
  assert.deepEqual(bench.values(), [100.001, 100.002, 100.003]);
});

test('after a crash the rows that the log has are left out, and all others read, wherever it came', async () => {
  for (const kept of [0, 1, 2, 3]) {
    const name = `crash-${kept}.csv`;
    const rows = [1, 2, 3].map((second) => rowOf(second, 10 * (kept + 1) + second));
    bench.logWorks = false;
    bench.start();
    await put(name, ...rows);
    await bench.until(() => bench.held !== null);
    await bench.stop();
    // The log had taken some of them when the crash came: not the first ones only, if it had to try one again.
    bench.start();
    await bench.until(() => bench.values().filter((value) => Math.floor(value / 10) === kept + 1).length === 3);
    const own = bench.log.splice(-3);
    await bench.stop();
    await rm(bench.state, { recursive: true, force: true });
    const inLog = own.filter((_, index) => index >= 3 - kept);
    bench.log.push(...inLog);
    bench.start();
    await bench.until(() => bench.values().filter((value) => Math.floor(value / 10) === kept + 1).length >= 3);
    await bench.caughtUp();
    const found = bench.values().filter((value) => Math.floor(value / 10) === kept + 1);
    assert.deepEqual(
      found.sort((a, b) => a - b),
      [1, 2, 3].map((second) => 10 * (kept + 1) + second),
      `${kept} kept`,
    );
    await bench.stop();
    await rm(path.join(bench.folder, name));
  }
});

test('while the log has not what was emitted, it may delete nothing of it; then all', async () => {
  bench.start();
  await bench.until(() => bench.held === null);
  await put('a.csv', rowOf(1));
  await bench.until(() => bench.values().length === 1 && bench.held === null);
  bench.logWorks = false;
  await put('b.csv', rowOf(2));
  await bench.until(() => bench.held !== null);
  assert.equal(bench.held, 1);
});

test('a file that grows is read on, over restarts; a line is read when it is whole', async () => {
  const growing = { format: 'csv', csv: { ...CSV, growing: true } };
  bench.start(growing);
  const file = path.join(bench.folder, 'log.csv');
  await put('log.csv', rowOf(1));
  await bench.until(() => bench.values().length === 1);
  await appendFile(file, `${rowOf(2)}\n${rowOf(3).slice(0, 30)}`);
  await bench.until(() => bench.values().length === 2);
  await bench.restart();
  await appendFile(file, `${rowOf(3).slice(30)}\n`);
  await bench.until(() => bench.values().length === 3);
  await rename(file, path.join(bench.folder, 'log-old.csv'));
  await appendFile(path.join(bench.folder, 'log-old.csv'), `${rowOf(4)}\n`);
  await put('log.csv', rowOf(5));
  await bench.until(() => bench.values().length === 5);
  await bench.caughtUp();
  assert.deepEqual(
    bench.values().sort((a, b) => a - b),
    [100.001, 100.002, 100.003, 100.004, 100.005],
  );
});

test('a file that never rests is read while it grows', async () => {
  bench.start({ format: 'csv', csv: { ...CSV, growing: true }, settle: '100ms' });
  await put('log.csv', rowOf(0));
  let second = 0;
  const writing = setInterval(() => {
    second += 1;
    appendFileSync(path.join(bench.folder, 'log.csv'), `${rowOf(second)}\n`);
  }, 10);
  await bench.until(() => bench.values().length > 30);
  clearInterval(writing);
  await bench.until(() => bench.values().length === second + 1);
  assert.deepEqual(
    bench.values(),
    Array.from({ length: second + 1 }, (_, index) => Number((100 + index / 1000).toFixed(6))),
  );
});

test('a file that is written anew in its place is another file', async () => {
  bench.start();
  for (const second of [1, 2, 3]) {
    await put('latest.csv', rowOf(second));
    await bench.until(() => bench.values().length === second);
  }
  assert.deepEqual(bench.values(), [100.001, 100.002, 100.003]);
});

test('half a file is not read: not in the middle of a row, not under a temporary name', async () => {
  bench.start({ format: 'csv', csv: CSV, last_line_after: '1h', quarantine_after: '1h' });
  const file = path.join(bench.folder, 'half.csv');
  const text = `${HEADER}\n${rowOf(1)}\n`;
  for (const end of [10, HEADER.length + 1, HEADER.length + 30, text.length - 4, text.length - 1]) {
    await writeFile(file, text.slice(0, end));
    await bench.caughtUp();
    assert.deepEqual(bench.values(), []);
  }
  await writeFile(`${file}.tmp`, text);
  await writeFile(file, text);
  await bench.until(() => bench.values().length === 1);
  await rename(`${file}.tmp`, path.join(bench.folder, 'renamed.csv'));
  await bench.caughtUp();
  assert.deepEqual(bench.values(), [100.001]);
});

test('a last row without a line end is taken after its time', async () => {
  bench.start();
  await writeFile(path.join(bench.folder, 'open.csv'), `${HEADER}\n${rowOf(1)}`);
  await bench.until(() => bench.values().length === 1);
});

test('rows that make no sense go to the quarantine alone, with a reason and an event, and the rest is read', async () => {
  bench.start();
  await put('bad.csv', rowOf(1), '2026-01-01T08:00:02Z,20,5,100,100,002', 'yesterday,20,100,100', rowOf(4), rowOf(4));
  await bench.until(() => bench.events.length === 1 && bench.values().length === 2);
  const quarantine = path.join(bench.folder, 'quarantine');
  const [rows = '', reasons = '', ...others] = await namesIn(quarantine);
  assert.match(`${rows} ${reasons} ${others.length}`, /^(bad\.row-2\.[\w-]{6}\.csv) \1\.reason\.txt 0$/);
  const copy = await readFile(path.join(quarantine, rows), 'utf8');
  assert.equal(copy, `${HEADER}\n2026-01-01T08:00:02Z,20,5,100,100,002\nyesterday,20,100,100\n`);
  await bench.until(() => bench.problems.size === 1);
  const { folder } = bench;
  assert.match(
    bench.problems.get('quarantine') ?? '',
    new RegExp(`^1 file waits in ${folder}/quarantine, the reasons`),
  );
  const reason = await readFile(path.join(quarantine, reasons), 'utf8');
  assert.match(reason, /^bad\.csv\nrow 2: it has 6 fields, and the header 4\nrow 3: "yesterday" is no time/);
  assert.match(bench.events[0]?.text ?? '', /^bad\.csv: row 2/);
  await bench.restart();
  await bench.caughtUp();
  assert.deepEqual([bench.values(), bench.events.length], [[100.001, 100.004], 1]);
  // Put right and dropped in again, they are read.
  await writeFile(
    path.join(bench.folder, 'right.csv'),
    copy.replace('20,5,100,100,002', '20.5,100,100.002').replace('yesterday', '2026-01-01T08:00:03Z'),
  );
  await bench.until(() => bench.values().length === 4);
  assert.equal(bench.problems.size, 1, 'what lies there waits on');
  await rm(path.join(quarantine, rows));
  await bench.until(() => bench.problems.size === 0);
});

test('a file that makes no sense goes to the quarantine, at the next start if it could not before', async () => {
  const quarantine = path.join(bench.folder, 'quarantine');
  await writeFile(quarantine, 'in the way');
  bench.start();
  await writeFile(path.join(bench.folder, 'other.csv'), 'A,B\n1,2\n');
  await bench.until(() => bench.events.length === 1);
  await bench.caughtUp();
  await bench.stop();
  await rm(quarantine);
  bench.start();
  // It is there, and empty, before it is written.
  const reason = (): Promise<string> => readFile(path.join(quarantine, 'other.csv.reason.txt'), 'utf8').catch(() => '');
  await bench.until(async () => (await reason()) !== '');
  assert.match(await reason(), /no column "Observed_Part_Length_mm"; the header has A, B/);
  assert.deepEqual(await namesIn(quarantine), ['other.csv', 'other.csv.reason.txt']);
  assert.equal(bench.events.length, 1);
  await bench.caughtUp();
  assert.ok(!(await namesIn(bench.folder)).includes('other.csv'));
});

test('what is read is moved, or deleted, as configured', async () => {
  bench.start({ format: 'csv', csv: CSV, after_reading: 'move' });
  await put('a.csv', rowOf(1));
  await bench.until(async () => (await namesIn(path.join(bench.folder, 'read'))).includes('a.csv'));
  await put('a.csv', rowOf(2));
  await bench.until(async () => (await namesIn(path.join(bench.folder, 'read'))).includes('a-2.csv'));
  await bench.stop();
  bench.start({ format: 'csv', csv: CSV, after_reading: 'delete' });
  await put('b.csv', rowOf(3));
  await bench.until(async () => !(await namesIn(bench.folder)).includes('b.csv'));
  assert.deepEqual(bench.values(), [100.001, 100.002, 100.003]);
});

test('a long document is read in pieces that the log takes, and on where a crash came between them', async () => {
  const values = Array.from({ length: 2_500 }, (_, index) => 10 + index / 1000);
  const lines = values.map((value) => `${value}\x140\x1401.02.2026/10:05:00`);
  const file = path.join(bench.folder, 'long.dfq');
  await writeFile(file, `K0100 1\nK2002/1 Bore\n${lines.join('\n')}\n`);
  // The log takes the first piece, and half of the second.
  bench.stallAfter = 1_500;
  bench.start({ format: 'aqdef' });
  await bench.until(() => bench.log.length === 1_500 && bench.held === 1_000);
  await bench.stop();
  bench.stallAfter = Infinity;
  bench.start({ format: 'aqdef' });
  await bench.until(() => bench.log.length >= 2_500);
  await appendFile(file, `99\x140\x1401.02.2026/10:06:00\n`);
  await bench.until(() => bench.values().includes(99));
  assert.deepEqual(bench.values(), [...values, 99]);
});

test('a folder that vanishes is waited for with one sentence, and nothing in it is read again', async () => {
  bench.start();
  await put('a.csv', rowOf(1));
  await bench.until(() => bench.values().length === 1);
  await rename(bench.folder, `${bench.folder}-gone`);
  await bench.until(() => bench.errors.length > 0);
  assert.match(String(bench.errors[0]), /the folder .*in cannot be read; it is waited for/);
  await mkdir(bench.folder);
  await bench.caughtUp();
  await rm(bench.folder, { recursive: true });
  await rename(`${bench.folder}-gone`, bench.folder);
  await put('b.csv', rowOf(2));
  await bench.until(() => bench.values().length >= 2);
  await bench.caughtUp();
  assert.deepEqual(bench.values(), [100.001, 100.002]);
});

test('a journal that a crash has torn is read as far as it is whole', async () => {
  bench.start();
  await put('a.csv', rowOf(1));
  await bench.until(() => bench.values().length === 1 && bench.held === null);
  await bench.stop();
  const journal = path.join(bench.state, 'read.journal');
  await appendFile(journal, '0123abcd{"file":{"path"');
  bench.start();
  await put('b.csv', rowOf(2));
  await bench.until(() => bench.values().length === 2);
  await bench.restart();
  await bench.caughtUp();
  assert.deepEqual(bench.values(), [100.001, 100.002]);
  assert.doesNotMatch(await readFile(journal, 'utf8'), /0123abcd/);
});

test('the journal is written anew when most of it is outdated, and nothing is forgotten', async () => {
  bench.start({ format: 'csv', csv: { ...CSV, growing: true }, settle: '10ms' });
  const [files, rows] = [20, 25];
  for (let row = 0; row < rows; row += 1) {
    for (let file = 0; file < files; file += 1) {
      const line = `${rowOf(row, 10 + file)}\n`;
      appendFileSync(path.join(bench.folder, `log-${file}.csv`), row === 0 ? `${HEADER}\n${line}` : line);
    }
    await bench.until(() => bench.values().length === (row + 1) * files);
  }
  // Each row came with a record.
  const lines = (await readFile(path.join(bench.state, 'read.journal'), 'utf8')).split('\n').length;
  assert.ok(lines < 400, `${lines} lines`);
  await bench.restart();
  await bench.caughtUp();
  assert.equal(bench.values().length, rows * files);
});

/** What files, folders and disks do to a reader of files, other than to be well. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import {
  appendFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { Bench, CSV, HEADER, rowOf } from './driver.test-support.ts';

let bench: Bench;
beforeEach(async () => {
  bench = await Bench.make();
});
afterEach(async () => {
  await bench.stop();
  await rm(bench.root, { recursive: true, force: true });
});

const GROWING = { format: 'csv', csv: { ...CSV, growing: true } };

function at(...names: string[]): string {
  return path.join(bench.folder, ...names);
}

function put(name: string, ...lines: string[]): Promise<void> {
  return writeFile(at(name), `${[HEADER, ...lines].join('\n')}\n`);
}

async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch((): string[] => [])).sort();
}

test('a disk that is full when a piece of a document is remembered costs none of the pieces after it', async () => {
  const values = Array.from({ length: 2_500 }, (_, index) => 10 + index / 1000);
  const lines = values.map((value) => `${value}\x140\x1401.02.2026/10:05:00`);
  bench.start({ format: 'aqdef' });
  await bench.until(() => bench.held === null);
  bench.isDiskFull = true;
  await writeFile(at('long.dfq'), `K0100 1\nK2002/1 Bore\n${lines.join('\n')}\n`);
  await bench.until(() => bench.errors.length > 2);
  bench.isDiskFull = false;
  await bench.until(() => bench.log.length >= values.length);
  assert.deepEqual(bench.values(), values);
});

test('a file that was not understood is read when it is dropped in again and the configuration is right', async () => {
  bench.start({ format: 'csv', csv: { ...CSV, decimal: ',', delimiter: ';' } });
  await writeFile(at('a.csv'), `${HEADER}\n${rowOf(1)}\n${rowOf(2)}\n`.replaceAll(',', ';'));
  await bench.until(async () => (await namesIn(at('quarantine'))).includes('a.csv.reason.txt'));
  await bench.stop();
  bench.start({ format: 'csv', csv: { ...CSV, delimiter: ';' } });
  await rename(at('quarantine', 'a.csv'), at('a.csv'));
  await bench.until(() => bench.values().length === 2);
});

test('rows that were not understood are read when they are dropped in again and the configuration is right', async () => {
  bench.start({ format: 'csv', csv: { ...CSV, decimal: ',', delimiter: ';', growing: true } });
  await writeFile(at('a.csv'), `${HEADER}\n${rowOf(1)}\n${rowOf(2)}\n`.replaceAll(',', ';'));
  await bench.until(async () => (await namesIn(at('quarantine'))).length === 2);
  await bench.stop();
  bench.start({ format: 'csv', csv: { ...CSV, delimiter: ';', growing: true } });
  const [rows = ''] = await namesIn(at('quarantine'));
  await rename(at('quarantine', rows), at(rows));
  await bench.until(() => bench.values().length === 2);
});

test('what was in a file that has become another is known in a copy that comes late', async () => {
  bench.start();
  await put('latest.csv', rowOf(1));
  await bench.until(() => bench.values().length === 1);
  await put('latest.csv', rowOf(2));
  await bench.until(() => bench.values().length === 2);
  await put('archived.csv', rowOf(1));
  await bench.caughtUp();
  assert.deepEqual(bench.values(), [100.001, 100.002]);
});

test('a copy is known after the file it was copied from has grown', async () => {
  bench.start(GROWING);
  await put('log.csv', rowOf(1), rowOf(2));
  await bench.until(() => bench.values().length === 2);
  await put('copy.csv', rowOf(1), rowOf(2));
  await bench.caughtUp();
  await appendFile(at('log.csv'), `${rowOf(3)}\n`);
  await bench.until(() => bench.values().length === 3);
  await rename(at('copy.csv'), at('moved.csv'));
  await bench.caughtUp();
  assert.deepEqual(bench.values(), [100.001, 100.002, 100.003]);
});

test('a file is another when only its middle has changed, and neither its length', async () => {
  bench.start();
  const rows = Array.from({ length: 200 }, (_, second) => rowOf(second));
  await put('a.csv', ...rows);
  await bench.until(() => bench.values().length === 200);
  await put('a.csv', ...rows.with(100, rowOf(100, 107)));
  await bench.until(() => bench.values().includes(107));
});

test('a file is another when neither its length nor its time has changed', async () => {
  bench.start();
  await put('a.csv', rowOf(1));
  await utimes(at('a.csv'), 1_800_000_000, 1_800_000_000);
  await bench.until(() => bench.values().length === 1);
  await bench.caughtUp();
  await writeFile(at('.b'), `${HEADER}\n${rowOf(2)}\n`);
  await utimes(at('.b'), 1_800_000_000, 1_800_000_000);
  await rename(at('.b'), at('a.csv'));
  await bench.until(() => bench.values().length === 2);
});

test('a file in which nothing stands yet is neither deleted nor moved from under its writer', async () => {
  for (const afterReading of ['delete', 'move']) {
    bench.start({ format: 'csv', csv: CSV, after_reading: afterReading, quarantine_after: '1h' });
    await writeFile(at('slow.csv'), '');
    await bench.caughtUp();
    assert.ok((await namesIn(bench.folder)).includes('slow.csv'));
    await writeFile(at('slow.csv'), `${HEADER}\n`);
    await bench.caughtUp();
    await appendFile(at('slow.csv'), `${rowOf(afterReading.length)}\n`);
    await bench.until(() => bench.values().includes(100 + afterReading.length / 1000));
    await bench.until(async () => !(await namesIn(bench.folder)).includes('slow.csv'));
    await bench.stop();
  }
});

test('one file that cannot be read does not keep the others, whatever the reason', async () => {
  await symlink(at('loop.csv'), at('loop.csv'));
  await mkdir(at('folder.csv'));
  await symlink(at('nowhere'), at('dangling.csv'));
  await writeFile(Buffer.concat([Buffer.from(`${bench.folder}/`), Buffer.from('gr\u00f6\u00dfe.csv', 'latin1')]), '');
  bench.start();
  await put('good.csv', rowOf(1));
  await bench.until(() => bench.values().length === 1);
  assert.deepEqual(bench.errors, []);
  await bench.caughtUp();
  const reasons = bench.lines.map((line) => String(JSON.parse(line).reason)).sort();
  assert.match(reasons.join('\n'), /^ELOOP.*\nits name is not UTF-8$/);
  assert.equal(bench.problems.size, 2);
  assert.match(bench.problems.get('loop.csv') ?? '', /^cannot be read: ELOOP/);
  await rm(at('loop.csv'));
  await bench.until(() => bench.problems.size === 1);
});

test('a file that could not be moved is moved when it can be', async () => {
  await writeFile(at('read'), 'in the way');
  bench.start({ format: 'csv', csv: CSV, after_reading: 'move' });
  await put('a.csv', rowOf(1));
  await bench.caughtUp();
  assert.ok((await namesIn(bench.folder)).includes('a.csv'));
  await bench.until(() => bench.problems.has('a.csv'));
  assert.match(bench.problems.get('a.csv') ?? '', /^was read, and cannot be moved, copied or deleted: /);
  await rm(at('read'));
  await bench.until(async () => (await namesIn(at('read'))).includes('a.csv'));
  await bench.until(() => bench.problems.size === 0);
});

test('a file whose bad rows cannot be kept is not deleted, but goes to the quarantine when it can', async () => {
  await writeFile(at('quarantine'), 'in the way');
  bench.start({ format: 'csv', csv: CSV, after_reading: 'delete' });
  await put('a.csv', rowOf(1), 'yesterday,20,100,100');
  await bench.until(() => bench.values().length === 1);
  await bench.restart();
  await bench.caughtUp();
  assert.ok((await namesIn(bench.folder)).includes('a.csv'));
  await rm(at('quarantine'));
  await bench.until(async () => (await namesIn(at('quarantine'))).includes('a.csv'));
  assert.equal(bench.events.length, 1);
});

test('a quote that is never closed costs its own line only, in a file that grows too', async () => {
  for (const config of [GROWING, { format: 'csv', csv: CSV }]) {
    bench.start(config);
    const name = `quote-${config === GROWING ? 'g' : 'w'}.csv`;
    const first = config === GROWING ? 0 : 1000;
    const rows = Array.from({ length: 150 }, (_, second) => rowOf(second, first + second));
    await put(name, ...rows.with(3, `"${rows[3]}`));
    await bench.until(() => bench.values().includes(first + 149));
    assert.equal(bench.values().filter((value) => value >= first).length, 149);
    await bench.stop();
  }
});

test('a file that grows and whose header makes no sense is told once, not at each row', async () => {
  bench.start(GROWING);
  await writeFile(at('other.csv'), 'A,B\n');
  await bench.until(() => bench.events.length === 1);
  for (let row = 0; row < 3; row += 1) {
    await appendFile(at('other.csv'), '1,2\n');
    await bench.caughtUp();
  }
  assert.equal(bench.events.length, 1);
});

test('a column whose name stands twice in the header is not guessed', async () => {
  bench.start();
  await writeFile(at('twice.csv'), `${HEADER},Observed_Part_Length_mm\n${rowOf(1)},7\n`);
  await bench.until(() => bench.events.length === 1);
  assert.match(bench.events[0]?.text ?? '', /two columns "Observed_Part_Length_mm"/);
});

test('UTF-16 is named as such where it is not read', async () => {
  bench.start();
  await writeFile(at('wide.csv'), Buffer.from(`\ufeff${HEADER}\n${rowOf(1)}\n`, 'utf16le'));
  await bench.until(() => bench.events.length === 1);
  assert.match(bench.events[0]?.text ?? '', /UTF-16/);
});

test('lines may end in both ways in one file', async () => {
  bench.start();
  await writeFile(at('mixed.csv'), `${HEADER}\r\n${rowOf(1)}\n"${rowOf(2).replaceAll(',', '","')}"\r\n${rowOf(3)}\n`);
  await bench.until(() => bench.values().length === 3);
});

test('many files of one name are moved in no more time each', async () => {
  await mkdir(at('read'));
  writeFileSync(at('read', 'a.csv'), '');
  for (let number = 2; number <= 5_000; number += 1) writeFileSync(at('read', `a-${number}.csv`), '');
  bench.start({ format: 'csv', csv: CSV, after_reading: 'move' });
  await put('a.csv', rowOf(1));
  await bench.until(async () => (await namesIn(at('read'))).includes('a-5001.csv'));
});

test('a record of the journal that has decayed costs that record only', async () => {
  bench.start();
  await put('a.csv', rowOf(1));
  await bench.until(() => bench.values().length === 1 && bench.held === null);
  await put('b.csv', rowOf(2));
  await bench.until(() => bench.values().length === 2 && bench.held === null);
  await put('c.csv', rowOf(3));
  await bench.until(() => bench.values().length === 3 && bench.held === null);
  await bench.stop();
  const journal = path.join(bench.state, 'read.journal');
  const text = await readFile(journal, 'utf8');
  await writeFile(journal, text.replace('b.csv', 'B.csv'));
  bench.start();
  await bench.caughtUp();
  // Only what the decayed record told of may come again.
  assert.deepEqual(
    bench.values().filter((value) => value !== 100.002),
    [100.001, 100.003],
  );
});

test('a row of 5,000 columns is read, a line of 2 GB is not', async () => {
  bench.start();
  await writeFile(at('line.csv'), `${HEADER}\n${rowOf(1)}\n`);
  await truncate(at('line.csv'), 2 * 1024 ** 3);
  const more = Array.from({ length: 5_000 }, (_, column) => `C${column}`).join(',');
  await writeFile(at('wide.csv'), `${HEADER},${more}\n${rowOf(2)},${more}\n`);
  await bench.until(async () => (await namesIn(at('quarantine'))).includes('line.csv'));
  await bench.until(() => bench.values().includes(100.002));
  assert.match(bench.events[0]?.text ?? '', /a row is longer than 1048576 bytes/);
});

test('what is read is moved to another disk too', async (context) => {
  const other = await mkdtemp('/dev/shm/millwright-files-').catch(() => undefined);
  if (other === undefined) return context.skip('there is no other disk here');
  context.after(() => rm(other, { recursive: true }));
  bench.start({ format: 'csv', csv: CSV, after_reading: 'move', read_folder: other });
  await put('a b#1*.csv', rowOf(1));
  await bench.until(async () => !(await namesIn(bench.folder)).includes('a b#1*.csv'));
  assert.equal(await readFile(path.join(other, 'a b#1*.csv'), 'utf8'), `${HEADER}\n${rowOf(1)}\n`);
});

test('a folder in whose place another is put is watched', async () => {
  bench.start({ format: 'csv', csv: CSV, rescan: '1h' });
  await put('a.csv', rowOf(1));
  await bench.until(() => bench.values().length === 1);
  await mkdir(path.join(bench.root, 'new'));
  await rename(bench.folder, path.join(bench.root, 'old'));
  await rename(path.join(bench.root, 'new'), bench.folder);
  for (const second of [2, 3]) {
    await put(`${second}.csv`, rowOf(second));
    await bench.until(() => bench.values().length === second);
  }
});

test("Calypso's table is whole with its END, and may be UTF-16", async () => {
  bench.start({ format: 'calypso', after_reading: 'delete', last_line_after: '1h', quarantine_after: '1h' });
  const half = 'planid\tpartnb\tid\tactual\nHousing\t17\tBore\t8.001\n';
  await writeFile(at('a_chr.txt'), Buffer.from(`\ufeff${half}`, 'utf16le'));
  await writeFile(at('b_chr.txt'), `${half.replace('8.001', '8.002')}END\n`);
  await bench.until(async () => !(await namesIn(bench.folder)).includes('b_chr.txt'));
  assert.deepEqual(bench.values(), [8.002]);
  await writeFile(at('a_chr.txt'), Buffer.from(`\ufeff${half}END\n`, 'utf16le'));
  await bench.until(async () => !(await namesIn(bench.folder)).includes('a_chr.txt'));
  assert.deepEqual(bench.values(), [8.002, 8.001]);
});

/** The driver `files` in a real edge: `kill -9` in the middle of many files and of one that grows, and 10,000 at once. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { nodeFiles } from '../../src/base/node-files.ts';
import { seededRandom } from '../../src/base/random.ts';
import { readAll } from '../../src/log/inspect.ts';
import { decodeMessage } from '../../src/model/frame.ts';
import { kindOf, type Reading } from '../../src/model/reading.ts';
import type { EdgeStatus } from '../../src/model/status.ts';
import { Command, makeFolder, startSystem, type System, waitUntil } from '../support/system.ts';

const HEADER = 'Timestamp,Serial,Length';
const csv = {
  time: { column: 'Timestamp' },
  measurements: [
    { characteristic: 'length', measured_value: { column: 'Length' }, serial_number: { column: 'Serial' } },
  ],
};
const FILES = 2_000;
const ROUNDS = 8;

let folder: string;
before(async () => {
  folder = await makeFolder();
});
after(() => rmSync(folder, { recursive: true, force: true }));

function row(serial: string, number: number): string {
  return `${new Date(Date.UTC(2026, 0, 1) + number * 1000).toISOString()},${serial},${100 + number / 1e6}`;
}

test('kill -9 in the middle of 2,000 files and of a file that grows: every row is stored once', async () => {
  const seed = Number(process.env['MILLWRIGHT_SEED'] ?? Date.now() % 1_000_000);
  console.log(`seed ${seed} (repeat with MILLWRIGHT_SEED)`);
  const random = seededRandom(seed);
  const system: System = await startSystem();
  try {
    const [single, growing] = [path.join(folder, 'single'), path.join(folder, 'growing')];
    for (const made of [single, growing]) mkdirSync(made);
    const common = { type: 'files', machine_id: 'CMM-1', format: 'csv', rescan: '500ms' };
    const config = {
      agent: { machine_id: 'EDGE-F' },
      sensors: [
        { ...common, name: 'single', folder: single, csv, after_reading: 'move' },
        { ...common, name: 'growing', folder: growing, csv: { ...csv, growing: true } },
      ],
      // Segments are closed soon, so that they are also deleted: then the log alone cannot tell what was read.
      buffering: { folder: system.logFolder('f'), segment_size: 65_536 },
    };
    const expected = new Set<string>();
    const log = path.join(growing, 'log.csv');
    writeFileSync(log, `${HEADER}\n`);
    let files = 0;
    let grown = 0;
    let edge = await system.startEdge('f', config);
    for (let round = 0; round < ROUNDS; round += 1) {
      const share = (FILES / ROUNDS) * (round + 1);
      for (; files < share; files += 1) {
        const serial = `S-${files}`;
        writeFileSync(
          path.join(single, `part-${files}.csv`),
          `${HEADER}\n${row(serial, files)}\n${row(`${serial}b`, files)}\n`,
        );
        expected.add(serial).add(`${serial}b`);
        const line = `${row(`G-${grown}`, grown)}\n`;
        // In two writes, as a program with a buffer does.
        appendFileSync(log, line.slice(0, 20));
        appendFileSync(log, line.slice(20));
        expected.add(`G-${grown}`);
        grown += 1;
      }
      if (round === 3) renameSync(log, path.join(growing, 'log-old.csv'));
      if (round === 3) writeFileSync(log, `${HEADER}\n`);
      await waitUntil('some rows', async () => ((await countRows(system)) > share / 2 ? true : undefined));
      await new Promise((resolve) => setTimeout(resolve, random() * 600));
      await edge.end('SIGKILL');
      edge = await system.startEdge('f', config);
    }
    await waitUntil('every row', async () => ((await countRows(system)) >= expected.size ? true : undefined));
    // One more start, at which whatever is not remembered would be read again; its first rescan is over when it is well.
    await edge.end('SIGKILL');
    edge = await system.startEdge('f', config);
    writeFileSync(path.join(single, 'last.csv'), `${HEADER}\n${row('LAST', FILES)}\n`);
    appendFileSync(log, `${row('LAST-G', FILES)}\n`);
    expected.add('LAST').add('LAST-G');
    await waitUntil('the last rows', async () => {
      const last = await system.rows(`select 1 from measurements where serial_number in ('LAST', 'LAST-G')`);
      return last.length >= 2 ? true : undefined;
    });
    assert.equal(await edge.end('SIGTERM'), 0, edge.said);
    const rows = await system.rows<{ serial: string; count: number }>(
      'select serial_number as serial, count(*)::int as count from measurements group by 1',
    );
    const doubled = rows.filter(({ count }) => count !== 1);
    assert.deepEqual(doubled, []);
    assert.deepEqual(new Set(rows.map(({ serial }) => serial)), expected);
    console.log(`${rows.length} rows, ${ROUNDS + 1} kills: none lost, none doubled`);
  } finally {
    await system.stop();
  }
});

test('10,000 files at once are all read once, with bounded memory', async () => {
  const [watched, logFolder] = [path.join(folder, 'many'), path.join(folder, 'log-many')];
  mkdirSync(watched);
  const config = path.join(folder, 'many.yaml');
  const sensors = [{ name: 'many', type: 'files', machine_id: 'CMM-1', format: 'csv', folder: watched, csv }];
  const sinks = [{ type: 'hub', url: 'http://127.0.0.1:9' }];
  const agent = { machine_id: 'EDGE-M' };
  await writeFile(config, stringify({ agent, sensors, sinks, buffering: { folder: logFolder }, status: { port: 0 } }));
  const edge = new Command(['edge', '--config', config]);
  const url = await waitUntil('the edge to run', () => /http:[^\s"]+\/status/.exec(edge.said)?.[0]);
  const status = async (): Promise<EdgeStatus> => (await (await fetch(url)).json()) as EdgeStatus;
  const startedMs = performance.now();
  for (let number = 0; number < 10_000; number += 1) {
    writeFileSync(path.join(watched, `part-${number}.csv`), `${HEADER}\n${row(`M-${number}`, number)}\n`);
  }
  const writtenMs = performance.now();
  let memoryMax = 0;
  await waitUntil(
    'all of them',
    async () => {
      const { memory_bytes, sources } = await status();
      memoryMax = Math.max(memoryMax, memory_bytes);
      return (sources[0]?.readings ?? 0) >= 10_000 ? true : undefined;
    },
    { timeoutMs: 240_000 },
  );
  const readMs = performance.now();
  assert.equal(await edge.end('SIGTERM'), 0, edge.said);
  const counts = new Map<string, number>();
  for await (const { payload } of readAll(nodeFiles, logFolder)) {
    for (const reading of decodeMessage(payload).readings) {
      if (reading.kind !== 'measurement') continue;
      counts.set(reading.serial_number ?? '', (counts.get(reading.serial_number ?? '') ?? 0) + 1);
    }
  }
  assert.equal(counts.size, 10_000);
  assert.ok([...counts.values()].every((count) => count === 1));
  assert.ok(memoryMax < 160 * 1024 * 1024, `${memoryMax} bytes`);
  const seconds = (ms: number): string => (ms / 1000).toFixed(1);
  console.log(
    `10,000 files written in ${seconds(writtenMs - startedMs)} s, all read ${seconds(readMs - startedMs)} s after the ` +
      `first, at most ${Math.round(memoryMax / 2 ** 20)} MB resident`,
  );
});

test('the example of config/ and that of the docs read what the simulated machine writes, with its faults too', async () => {
  const example = parse(readFileSync(new URL('../../config/cmm.example.yaml', import.meta.url), 'utf8'));
  const page = readFileSync(new URL('../../docs/drivers/files.md', import.meta.url), 'utf8');
  const documented = parse(/```yaml\n(.*?)```/s.exec(page)?.[1] ?? '');
  const sensors = [example.sensors[0], { ...documented.sensors[0], name: 'documented', machine_id: 'CMM-DOC' }];
  const [watched, logFolder] = [path.join(folder, 'cmm'), path.join(folder, 'log-cmm')];
  mkdirSync(watched);
  const own = {
    sensors: sensors.map((sensor) => ({
      ...sensor,
      folder: watched,
      quarantine_folder: path.join(folder, `held-${sensor.name}`),
    })),
    sinks: [{ type: 'hub', url: 'http://127.0.0.1:9' }],
    buffering: { folder: logFolder },
    status: { port: 0 },
  };
  const config = path.join(folder, 'cmm.yaml');
  await writeFile(config, stringify({ ...example, ...own }));
  const edge = new Command(['edge', '--config', config]);
  await waitUntil('the edge to run', () => (edge.said.includes('the edge runs') ? true : undefined));
  const simulator = [
    'simulate',
    'cmm',
    '--out',
    watched,
    '--interval',
    '100ms',
    '--count',
    '60',
    '--seed',
    '3',
    '--faults',
  ];
  const machine = new Command([...simulator, '--keep', '0']);
  assert.equal(await machine.exited(), 0, machine.said);
  const commas = Number(/"?decimal_comma"?[=: ]+(\d+)/.exec(machine.said)?.[1]);
  assert.ok(commas > 0, machine.said);
  const readings = async (): Promise<Reading[]> => {
    const found: Reading[] = [];
    for await (const { payload } of readAll(nodeFiles, logFolder)) found.push(...decodeMessage(payload).readings);
    return found;
  };
  // A file with decimal commas makes no sense to either; whatever was half, late or doubled is read once.
  const kinds = (found: readonly Reading[], machineId: string, kind: string): number =>
    found.filter((one) => one.machine_id === machineId && kindOf(one) === kind).length;
  const all = await waitUntil('all readings', async () => {
    const found = await readings();
    return kinds(found, 'CMM-002', 'event') + kinds(found, 'CMM-DOC', 'event') >= 2 * commas &&
      kinds(found, 'CMM-002', 'measurement') + kinds(found, 'CMM-DOC', 'measurement') >= 2 * (60 - commas)
      ? found
      : undefined;
  });
  assert.equal(await edge.end('SIGTERM'), 0, edge.said);
  for (const machineId of ['CMM-002', 'CMM-DOC']) {
    assert.equal(kinds(all, machineId, 'measurement'), 60 - commas);
    assert.equal(kinds(all, machineId, 'event'), commas);
  }
  assert.equal(kinds(all, 'CMM-002', 'sample'), 60 - commas);
});

async function countRows(system: System): Promise<number> {
  return (await system.rows<{ count: number }>('select count(*)::int as count from measurements'))[0]?.count ?? 0;
}

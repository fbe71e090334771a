/**
 * A log that is damaged on purpose, mended, and delivered again to a database that was restored from a backup. Prints what
 * a person would see (docs/log-tools.md shows it).
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { inspectLog } from '../../src/log/inspect.ts';
import { nodeFiles } from '../../src/base/node-files.ts';
import { CLI, Command, startSystem, type System, waitUntil } from '../support/system.ts';

const SEGMENTS = 4;
/** What a backup of the database holds. */
const TABLES = ['sensor_data', 'events', 'settled_logs', 'settled_ranges', 'machine_current'];

let system: System;
let folder = '';
before(async () => {
  system = await startSystem();
  folder = system.logFolder('t');
});
after(() => system.stop());

const config = (): object => ({
  agent: { machine_id: 'GW-1', sampling_rate: '10ms' },
  sensors: ['T-1', 'T-2'].map((id, seed) => ({ name: id, type: 'simulator', machine_id: id, seed })),
  // The second keeps every segment: without it, the log forgets what the hub has.
  sinks: [
    { name: 'hub', type: 'hub', url: system.url },
    { name: 'erp', type: 'hub', url: 'http://127.0.0.1:9' },
  ],
  buffering: { folder, segment_size: 65536 },
});

async function run(...args: string[]): Promise<{ code: number | null; said: string }> {
  const command = new Command(['log', ...args]);
  const code = await command.exited();
  const said = command.said.replaceAll(folder, '/var/lib/millwright/log');
  const line = `npx millwright log ${args.join(' ').replaceAll(folder, '/var/lib/millwright/log')}`;
  if (!args.includes('export')) console.log(`$ ${line}\n${said}$ echo $?\n${code}\n`);
  return { code, said };
}

async function countRows(table: string): Promise<number> {
  return (await system.rows<{ count: number }>(`select count(*)::int as count from ${table}`))[0]?.count ?? 0;
}

/** Readings in the log, by their kind. */
async function exported(): Promise<{ samples: number; events: number }> {
  const { code, said } = await run('export', folder);
  assert.equal(code, 0, said);
  const kinds = said
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as { kind?: string }).kind ?? 'sample');
  const events = kinds.filter((kind) => kind === 'event').length;
  return { samples: kinds.length - events, events };
}

async function segments(): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name.endsWith('.seg')).sort();
}

test('a damaged log is found, mended, and fills a database that was restored from a backup', async () => {
  const edge = await system.startEdge('t', config());
  await waitUntil('some rows', async () => ((await countRows('sensor_data')) > 200 ? true : undefined));
  await system.hub.end('SIGTERM');
  for (const table of TABLES) await system.rows(`create table backup_${table} as table ${table}`);
  await system.startHub();
  await waitUntil('some segments', async () => ((await segments()).length >= SEGMENTS ? true : undefined));

  const open = await run('inspect', folder);
  assert.match(open.said, /in use {4}by process \d+/);
  assert.match(open.said, /sink {6}hub: settled up to \d+; .* behind/);
  assert.match(open.said, /sink {6}erp: has settled nothing yet; .* behind; the oldest unsent for [\d.]+ seconds/);
  assert.match(open.said, /full {6}\d+\.\d % of .*\n.*room for [\d.]+ (hours|days)/);
  const locked = await run('repair', folder);
  assert.deepEqual([locked.code, /in use by process .*: stop the edge first/.test(locked.said)], [2, true]);

  assert.equal(await edge.end('SIGTERM'), 0, edge.said);
  const whole = await exported();
  await waitUntil('every reading', async () =>
    (await countRows('sensor_data')) === whole.samples && (await countRows('events')) === whole.events
      ? true
      : undefined,
  );
  const known = await run('replay', folder, '--sink', 'hub');
  assert.match(
    known.said,
    /hub: (\d+) batches with \d+ readings delivered: 0 stored again, \1 known already, 0 refused/,
  );
  assert.equal(known.code, 0);

  // A bit of an old batch, one of a newer, and the cursor. Both batches have others after them, which tell how many
  // readings they held; of a batch at the very end nobody knows.
  const [first = '', second = '', ...rest] = (await segments()).map((name) => path.join(folder, name));
  for (const [file, at] of [
    [first, 0.7],
    [rest.at(-2) ?? '', 0.5],
    [path.join(folder, 'cursors', 'hub.cursor'), 0.5],
  ] as const) {
    const bytes = await readFile(file);
    const offset = Math.floor(bytes.length * at);
    bytes[offset] = (bytes[offset] ?? 0) ^ 4;
    await writeFile(file, bytes);
  }
  await rm(second);

  const damaged = await run('verify', folder);
  assert.equal(damaged.code, 1);
  assert.match(damaged.said, /missing .*appended after 20.*Z and before 20.*Z/);
  const repaired = await run('repair', folder);
  assert.deepEqual([repaired.code, /^lost /m.test(repaired.said), /^sound /m.test(repaired.said)], [0, true, true]);
  assert.equal((await run('verify', folder)).code, 0);
  assert.match((await run('repair', folder)).said, /nothing had to be/);

  await system.hub.end('SIGTERM');
  for (const table of TABLES) {
    await system.rows(`truncate ${table}`);
    await system.rows(`insert into ${table} table backup_${table}`);
  }
  await system.startHub();
  const restored = await countRows('sensor_data');
  const replayed = await run('replay', folder, '--sink', 'hub');
  assert.equal(replayed.code, 0, replayed.said);
  const [, stored = '', already = ''] =
    /: (\d+) stored again, (\d+) known already, 0 refused/.exec(replayed.said) ?? [];
  assert.ok(Number(stored) > 0 && Number(already) > 0, replayed.said);
  const left = await exported();
  assert.ok(left.samples < whole.samples);
  // What damage took from the log, the backup may still have.
  const rows = await countRows('sensor_data');
  assert.ok(rows >= left.samples && rows <= whole.samples && rows > restored, `${rows}`);
  const [twice] = await system.rows<{ count: number }>(
    'select count(*)::int as count from (select 1 from sensor_data group by machine_id, time having count(*) > 1) as t',
  );
  assert.equal(twice?.count, 0);

  const again = await system.startEdge('t', config());
  const gaps = await waitUntil('the gap events', async () => {
    const found = await system.rows<{ details: { readings: number } }>(
      `select details from events where event_type = 'gap' and machine_id = 'T-1' and details->>'reason' = 'destroyed'`,
    );
    return found.length > 0 ? found : undefined;
  });
  const destroyed = gaps.reduce((sum, { details }) => sum + details.readings, 0);
  assert.equal(
    destroyed,
    whole.samples + whole.events - left.samples - left.events,
    'the edge tells of all that is lost',
  );

  await waitUntil('a saved cursor', async () => {
    const { cursors } = await inspectLog(nodeFiles, folder);
    return cursors.some(({ sink, position }) => sink === 'hub' && (position ?? 0) > 16) ? true : undefined;
  });
  const beside = await run('replay', folder, '--sink', 'hub', '--from', '1');
  assert.equal(beside.code, 0, beside.said);
  assert.match(beside.said, /an edge has the log open.*hub: (\d\d+) batches .* 0 stored again, \1 known already/s);
  assert.equal(await again.end('SIGTERM'), 0, again.said);
  assert.ok((await inspectLog(nodeFiles, folder)).sound);
});

test('replay says which sinks there are, and Ctrl-C ends one that waits for its sink', async () => {
  const unknown = await run('replay', folder, '--sink', 'mes');
  assert.equal(unknown.code, 1);
  assert.match(unknown.said, /no sink named .*mes.* is configured; there is hub, erp/);
  const waiting = new Command(['log', 'replay', folder, '--sink', 'erp']);
  await waitUntil('the word that it waits', () => (waiting.said.includes('takes nothing now') ? true : undefined));
  assert.equal(await waiting.end('SIGINT'), 1, 'not all is delivered');
  assert.match(waiting.said, /erp: 0 batches .*; stopped after sequence 0/);
});

test('an export that is cut off by its reader, as by head, is no error', async () => {
  const child = spawn(process.execPath, [CLI, 'log', 'export', folder, '--format', 'csv']);
  let trouble = '';
  child.stderr.on('data', (chunk: Buffer) => (trouble += chunk.toString()));
  const exit = once(child, 'exit');
  await once(child.stdout, 'data');
  child.stdout.destroy();
  assert.deepEqual([(await exit)[0], trouble], [0, '']);
});

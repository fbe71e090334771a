/** `millwright check --live` against real servers, all well, all wrong, and beside the edge of the same configuration. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import type { Checked } from '../../src/edge/live-check.ts';
import { type Historian, startVictoriaMetrics } from '../support/historians.ts';
import { type ModbusServer, startModbusServer } from '../support/modbus.ts';
import { type NatsServer, startNats } from '../support/nats-server.ts';
import { natsClient } from '../support/nats-client.ts';
import { Command, freePort, makeFolder, startSystem, type System, waitUntil } from '../support/system.ts';

const RECORDING = fileURLToPath(new URL('../data/mtconnect/okuma-multus-u3000.shdr', import.meta.url));

let folder: string;
let system: System;
let nats: NatsServer;
let historian: Historian;
let modbus: ModbusServer;
const commands: Command[] = [];
let mesUrl: string;
let agentUrl: string;

/** A command that tells a URL when it serves. */
async function serving(...args: string[]): Promise<string> {
  const command = new Command(args);
  commands.push(command);
  return await waitUntil(args.join(' '), () => /http:\/\/[\d.:]+/.exec(command.said)?.[0]);
}

before(async () => {
  folder = await makeFolder();
  const registers = [{ function: 3, address: 100, type: 'uint16', value: 7 }];
  [system, nats, historian, modbus, mesUrl, agentUrl] = await Promise.all([
    startSystem(),
    startNats(),
    startVictoriaMetrics(),
    startModbusServer({ units: { 1: registers } }),
    serving('simulate', 'mes', '--port', '0'),
    serving('simulate', 'mtconnect', '--file', RECORDING, '--device', 'OKUMA', '--port', '0', '--speed', 'max'),
  ]);
  const connection = await natsClient(nats.url);
  const config = { name: 'CNC_DATA', subjects: ['CNC_DATA.>'], storage: 'file', retention: 'workqueue' };
  const made = await connection.request('$JS.API.STREAM.CREATE.CNC_DATA', JSON.stringify(config));
  assert.doesNotMatch(made.string(), /"error"/);
  await mkdir(path.join(folder, 'results'));
  await writeFile(
    path.join(folder, 'results', 'part.csv'),
    'time,length\n2026-01-01T08:00:00Z,100.01\n2026-01-01T08:00:05Z,100.02\n',
  );
});
after(async () => {
  for (const command of commands) await command.end('SIGKILL');
  await Promise.all([system?.stop(), nats?.stop(), historian?.stop(), modbus?.stop()]);
  await rm(folder, { recursive: true, force: true });
});

async function check(config: object, ...more: string[]): Promise<{ code: number | null; said: string }> {
  const file = path.join(folder, `${Math.random()}.yaml`);
  await writeFile(file, stringify(config));
  const command = new Command(['check', '--live', file, ...more]);
  const code = await command.exited();
  return { code, said: command.said };
}

function filesSensor(from: string, column = 'length') {
  const measurements = [{ characteristic: 'length', measured_value: { column } }];
  const csv = { time: { column: 'time' }, measurements };
  return { name: 'cmm', type: 'files', machine_id: 'CMM-1', folder: from, format: 'csv', after_reading: 'move', csv };
}

async function goodConfig(): Promise<{ readonly agent: object; readonly sensors: object[]; readonly sinks: object[] }> {
  const place = { type: 'modbus', host: '127.0.0.1', port: modbus.port, unit_id: 1 };
  return {
    agent: { machine_id: 'GW' },
    sensors: [
      { name: 'sim', type: 'simulator', machine_id: 'M-0' },
      { name: 'plc', ...place, machine_id: 'M-1', registers: [{ extra: 'parts', address: 100, type: 'uint16' }] },
      { name: 'okuma', type: 'mtconnect', machine_id: 'M-2', url: agentUrl },
      filesSensor(path.join(folder, 'results')),
    ],
    sinks: [
      { type: 'hub', url: system.url },
      { type: 'nats', url: nats.edgeUrl, confirm: 'published' },
      { type: 'mes', url: mesUrl },
      { type: 'influx', url: historian.url, org: 'shop', bucket: 'cnc', token: 't' },
      { type: 'opcua_server', host: '127.0.0.1', port: await freePort(), anonymous: true },
    ],
  };
}

test('all works: each is reached, read once, and nothing is written, here or there', async () => {
  const config = { ...(await goodConfig()), buffering: { folder: path.join(folder, 'no-log') }, status: { port: 0 } };
  const { code, said } = await check(config);
  assert.equal(code, 0, said);
  assert.match(said, /ok +source +sim +simulator +M-0 +\d+ ms +temperature [\d.]+, spindle_speed /);
  assert.match(said, /ok +source +plc +modbus +M-1 +\d+ ms +parts 7\n/);
  assert.match(
    said,
    /ok +source +okuma +mtconnect .* device OKUMA: \d+ data items hold, observation \d+ is the newest/,
  );
  assert.match(
    said,
    /ok +source +cmm +files .* 1 files in .*results; the newest, .*part\.csv, has 2 rows that give 2 readings/,
  );
  assert.match(said, /ok +sink +hub .* the hub takes batches/);
  assert.match(said, /ok +sink +nats .* the stream CNC_DATA takes CNC_DATA\.edge\.GW; 0 messages wait in it/);
  assert.match(said, /ok +sink +mes .* whether it takes a measurement is known when one is sent/);
  assert.match(said, /ok +sink +influx .* the historian takes writes to cnc/);
  assert.match(said, /ok +sink +opcua_server .* is free; its certificate is made at the first start/);
  assert.match(said, /all 9 work\n$/);
  assert.deepEqual(await readdir(path.join(folder, 'results')), ['part.csv']);
  await assert.rejects(readdir(path.join(folder, 'no-log')));
  const { rows } = await system.database.query('select count(*)::int as count from sensor_data');
  assert.equal(rows[0].count, 0);
  const received = (await (await fetch(`${mesUrl}/received`)).json()) as { readonly measurements?: unknown[] };
  assert.deepEqual(JSON.stringify(received).includes('CMM-1'), false);
});

test('beside the edge that runs with the same configuration', async () => {
  const status = { port: await freePort() };
  const log = path.join(folder, 'log');
  const config = { ...(await goodConfig()), buffering: { folder: log }, status };
  const file = path.join(folder, 'edge.yaml');
  await writeFile(file, stringify(config));
  const edge = new Command(['edge', '--config', file]);
  commands.push(edge);
  const url = `http://127.0.0.1:${status.port}/status`;
  await waitUntil('the OPC UA server', () => /the OPC UA server serves/.test(edge.said) || undefined);
  const position = path.join(log, 'sources', 'okuma', 'position');
  await waitUntil('how far the agent is read', () => readFile(position, 'utf8').catch(() => undefined));
  const { code, said } = await check(config, '--json');
  assert.equal(code, 0, said);
  const found = JSON.parse(said) as Checked[];
  assert.deepEqual(
    found.map(({ name, ok }) => `${name} ${ok}`),
    ['sim', 'plc', 'okuma', 'cmm', 'hub', 'nats', 'mes', 'influx', 'opcua_server'].map((name) => `${name} true`),
  );
  assert.equal(found.at(-1)?.message, 'the edge that runs here has the port, and serves');
  const now = (await (await fetch(url)).json()) as { sources: { state: string; reconnects: number }[] };
  assert.deepEqual(
    now.sources.map(({ state, reconnects }) => [state, reconnects]),
    Array.from({ length: 4 }, () => ['ok', 0]),
  );
  assert.equal(await edge.end('SIGTERM'), 0, edge.said);
});

test('what does not work is told with what to do, one beside the other', async () => {
  const silent = createServer(() => {}).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  const nobody = await freePort();
  const place = { type: 'modbus', host: '127.0.0.1', port: modbus.port, unit_id: 1, machine_id: 'M' };
  const register = { extra: 'parts', address: 100, type: 'uint16' };
  await mkdir(path.join(folder, 'empty'), { recursive: true });
  await mkdir(path.join(folder, 'other'), { recursive: true });
  await writeFile(path.join(folder, 'other', 'a.csv'), 'time,length\n2026-01-01T08:00:00Z,1\n');
  const config = {
    agent: { machine_id: 'GW' },
    sensors: [
      { name: 'off', ...place, port: nobody, registers: [register] },
      { name: 'register', ...place, registers: [register, { extra: 'other', address: 200, type: 'uint16' }] },
      { name: 'quiet', type: 'shdr', host: '127.0.0.1', port },
      { name: 'device', type: 'mtconnect', url: agentUrl, device: 'MAZAK' },
      { ...filesSensor(path.join(folder, 'nowhere')), name: 'folder' },
      { ...filesSensor(path.join(folder, 'other'), 'width'), name: 'column' },
      { ...filesSensor(path.join(folder, 'empty')), name: 'empty' },
    ],
    sinks: [
      { name: 'hub-off', type: 'hub', url: `http://127.0.0.1:${nobody}` },
      { name: 'no-hub', type: 'hub', url: mesUrl },
      { name: 'login', type: 'nats', url: nats.address },
      { name: 'stream', type: 'nats', url: nats.edgeUrl, stream: 'NONE' },
      { name: 'hanging', type: 'influx', url: `http://127.0.0.1:${port}`, org: 'o', bucket: 'b', token: 't' },
      { name: 'taken', type: 'opcua_server', host: '127.0.0.1', port, anonymous: true },
    ],
    status: { port: 0 },
  };
  const { code, said } = await check(config, '--json', '--timeout', '3s');
  silent.close();
  assert.equal(code, 1, said);
  const found = new Map((JSON.parse(said) as Checked[]).map((one) => [one.name, one]));
  const wanted: { readonly [name: string]: RegExp } = {
    off: /cannot connect to 127\.0\.0\.1:\d+.*; nothing listens there: start it, or mend host and port/,
    register: /a part cannot be read: other: unit 1, holding register 200: /,
    quiet: /^no answer within 3 s \(connected, but it gave no reading; with a longer --timeout it may\)/,
    device: /has no device MAZAK; it has OKUMA/,
    folder: /nowhere cannot be read: mend folder, mount it, or let this user read it/,
    column: /a\.csv: .*width.*; look at format/,
    'hub-off': /nothing listens there/,
    'no-hub': /HTTP 404.*; look at url: that is no hub, or not its root/,
    login: /NATS at 127\.0\.0\.1:\d+/,
    stream: /there is no stream NONE at NATS 127\.0\.0\.1:\d+: a hub with the same servers makes it/,
    hanging: /^no answer within 3 s /,
    taken: /port \d+ of 127\.0\.0\.1 cannot be used for OPC UA; set host and port of the sink/,
  };
  for (const [name, pattern] of Object.entries(wanted)) {
    const one = found.get(name);
    assert.equal(one?.ok, false, name);
    assert.match(one.message, pattern, name);
    assert.ok(one.latency_ms < 6_000, `${name}: ${one.latency_ms} ms`);
  }
  assert.deepEqual([found.get('empty')?.ok, found.size], [true, 13]);
  assert.match(found.get('empty')?.message ?? '', /can be read; no file in it is named like/);
});

test('Ctrl-C ends it, a file that is wrong is told first, and a hub has none of it', async () => {
  const silent = createServer(() => {}).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  const file = path.join(folder, 'quiet.yaml');
  const sensors = [{ name: 'quiet', type: 'shdr', host: '127.0.0.1', port }];
  await writeFile(file, stringify({ agent: { machine_id: 'GW' }, sensors, status: { port: 0 } }));
  const command = new Command(['check', '--live', '--timeout', '10m', file]);
  await once(silent, 'connection');
  assert.equal(await command.end('SIGINT'), 1, command.said);
  assert.match(command.said, /PROBLEM +source +quiet +shdr +GW +\d+ ms +was stopped/);
  silent.close();

  const wrong = await check({ agent: {} });
  assert.equal(wrong.code, 2);
  assert.match(wrong.said, /agent\.machine_id: is missing/);
  const hub = await check({ database: { host: 'x' } });
  assert.equal(hub.code, 2);
  assert.match(hub.said, /is of a hub; --live is for an edge/);
});

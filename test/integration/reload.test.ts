/** An edge that is given another configuration while it reads twenty machines from pymodbus, over one line and over twenty. */
import assert from 'node:assert/strict';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { parse, stringify } from 'yaml';
import type { Sample } from '../../src/model/reading.ts';
import type { ConfigurationStatus, EdgeStatus } from '../../src/model/status.ts';
import { HubStandIn } from '../support/hub-stand-in.ts';
import { type ModbusServer, startModbusServer } from '../support/modbus.ts';
import { ModbusProxy } from '../support/modbus-proxy.ts';
import { Command, freePort, makeFolder, waitUntil } from '../support/system.ts';

const UNITS = Array.from({ length: 20 }, (_, index) => index + 1);
/** The one that is configured otherwise. */
const CHANGED = 7;

let folder: string;
let server: ModbusServer;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'millwright-reload-'));
  const registers = (unit: number) => [
    { function: 3, address: 100, type: 'uint16', value: unit },
    { function: 3, address: 101, type: 'uint16', value: 1000 + unit },
  ];
  server = await startModbusServer({ units: Object.fromEntries(UNITS.map((unit) => [String(unit), registers(unit)])) });
});
after(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

interface Shop {
  readonly edge: Command;
  readonly hub: HubStandIn;
  readonly file: string;
  /** By unit: the same one for all, or one each. */
  readonly proxyOf: (unit: number) => ModbusProxy;
  /** The configuration with that register for the one sensor, and what else is given. */
  readonly yaml: (address: number, more?: object) => string;
  readonly status: () => Promise<EdgeStatus>;
  readonly configuration: () => Promise<ConfigurationStatus>;
}

async function openShop(context: TestContext, proxiesCount: 1 | 20): Promise<Shop> {
  const hub = new HubStandIn();
  await hub.open();
  const proxies = Array.from({ length: proxiesCount }, () => new ModbusProxy(server.port));
  const ports = await Promise.all(proxies.map((proxy) => proxy.open()));
  const own = await mkdtemp(path.join(folder, 'shop-'));
  const file = path.join(own, 'edge.yaml');
  const placeOf = (unit: number): number => (proxiesCount === 1 ? 0 : unit - 1);
  const yaml = (address: number, more: object = {}): string => {
    const sensors = UNITS.map((unit) => ({
      name: `sensor-${unit}`,
      type: 'modbus',
      machine_id: `M-${unit}`,
      sampling_rate: '100ms',
      host: '127.0.0.1',
      port: ports[placeOf(unit)],
      parallel: 4,
      unit_id: unit,
      registers: [{ extra: 'value', address: unit === CHANGED ? address : 100, type: 'uint16' }],
    }));
    const sinks = [{ type: 'hub', url: `http://127.0.0.1:${hub.port}` }];
    const buffering = { folder: path.join(own, 'log') };
    return stringify({ agent: { machine_id: 'GW' }, sensors, sinks, buffering, status: { port: 0 }, ...more });
  };
  await writeFile(file, yaml(100));
  const edge = new Command(['edge', '--config', file]);
  context.after(async () => {
    await edge.end('SIGKILL');
    for (const proxy of proxies) proxy.close();
    await hub.close();
  });
  const url = await waitUntil('the edge to run', () => /http:\/\/[\d.:]+\/status/.exec(edge.said)?.[0]);
  const status = async (): Promise<EdgeStatus> => JSON.parse(await (await fetch(url)).text());
  const configuration = async (): Promise<ConfigurationStatus> => {
    const found = (await status()).configuration;
    assert.ok(found !== undefined);
    return found;
  };
  return { edge, hub, file, proxyOf: (unit) => proxies[placeOf(unit)]!, yaml, status, configuration };
}

/** As many editors do it, and whoever cares. */
async function replaceFile(file: string, text: string): Promise<void> {
  await writeFile(`${file}.tmp`, text);
  await rename(`${file}.tmp`, file);
}

function samplesOf({ hub }: Shop, unit: number): Sample[] {
  return hub.all.filter((one): one is Sample => one.kind === undefined && one.machine_id === `M-${unit}`);
}

for (const proxiesCount of [1, 20] as const) {
  const lines = proxiesCount === 1 ? 'one connection to a gateway' : 'a connection each';
  test(`one register of one of twenty sensors is changed: ${lines}`, async (context) => {
    const shop = await openShop(context, proxiesCount);
    const { edge, hub, file, proxyOf, yaml, status, configuration } = shop;
    await waitUntil('all to be read', () => UNITS.every((unit) => samplesOf(shop, unit).length > 5) || undefined);
    const atFirst = await status();
    const connections = UNITS.map((unit) => proxyOf(unit).connections);

    await replaceFile(file, yaml(101));
    const changed = () => samplesOf(shop, CHANGED).find((sample) => sample['value'] === 1000 + CHANGED);
    await waitUntil('the other register', changed);
    assert.notEqual((await configuration()).loaded_at, atFirst.configuration?.loaded_at);

    // Back, by a signal: faster than the file is looked at.
    const loaded = (await configuration()).loaded_at;
    await writeFile(file, yaml(100));
    process.kill(edge.pid, 'SIGHUP');
    await waitUntil('the signal', async () => (await configuration()).loaded_at !== loaded || undefined);
    const count = samplesOf(shop, CHANGED).length;
    await waitUntil('the register as it was', () => samplesOf(shop, CHANGED).length > count + 10 || undefined);
    assert.equal(samplesOf(shop, CHANGED).at(-1)?.['value'], CHANGED);

    const others = UNITS.filter((unit) => unit !== CHANGED);
    const now = await status();
    for (const unit of others) {
      const before = atFirst.sources.find(({ name }) => name === `sensor-${unit}`);
      const source = now.sources.find(({ name }) => name === `sensor-${unit}`);
      assert.deepEqual([source?.state, source?.reconnects], ['ok', 0]);
      assert.ok(source!.readings > before!.readings, 'it counts on');
      assert.equal(proxyOf(unit).connections, connections[unit - 1], 'its server saw no new connection');
    }
    const anew = proxiesCount === 1 ? 0 : 2;
    assert.equal(proxyOf(CHANGED).connections, connections[CHANGED - 1]! + anew);
    assert.equal(now.log.epoch, atFirst.log.epoch);

    assert.equal(await edge.end('SIGTERM'), 0, edge.said);
    assert.equal(/"(warn|error)"/.exec(edge.said), null, edge.said);
    assert.deepEqual(
      hub.sequences.toSorted((a, b) => a - b),
      hub.sequences.map((_, index) => index + 1),
    );
    assert.deepEqual(
      hub.all.filter((one) => one.kind === 'event'),
      [],
      'no gap, nothing disconnected',
    );
    for (const unit of others) {
      const answers = proxyOf(unit).answers.get(unit) ?? 0;
      const samples = samplesOf(shop, unit).length;
      // The last answer may have come when the edge had been stopped.
      assert.ok(samples === answers || samples === answers - 1, `unit ${unit}: ${samples} of ${answers} answers`);
    }
    const gaps = others.map((unit) => longestMs(samplesOf(shop, unit)));
    context.diagnostic(`${hub.all.length} readings; longest time between two samples ${Math.max(...gaps)} ms`);
  });
}

test('a file that cannot be used is refused with file, line and key, and the next good one is taken', async (context) => {
  const { edge, hub, file, yaml, configuration } = await openShop(context, 1);
  const { loaded_at } = await configuration();
  await replaceFile(file, yaml(100).replace('sampling_rate: 100ms', 'sampling_rate: quick'));
  const refused = await waitUntil('the refusal', async () => (await configuration()).refused ?? undefined);
  assert.deepEqual(refused.errors, [
    `${file}:7: sensors[0].sampling_rate: found "quick"; allowed: a duration such as 100ms, 2s, 5m, 1h or 7d, from 1 ms to 86400000 ms`,
  ]);
  assert.match(edge.said, /"level":"error","message":"the configuration is refused; the one before stays in force"/);
  assert.equal((await configuration()).loaded_at, loaded_at);
  const count = hub.all.length;
  await waitUntil('the readings to go on', () => hub.all.length > count + 100 || undefined);

  await rm(file);
  const gone = async () => /cannot read/.test((await configuration()).refused?.errors[0] ?? '') || undefined;
  await waitUntil('that the file is not there', gone);

  const good = { control: { enabled: false }, status: { port: 1 }, agent: { machine_id: 'GW', location: 'Hall B' } };
  await replaceFile(file, yaml(101, good));
  const taken = await waitUntil('the good one', async () => {
    const now = await configuration();
    return now.refused === null ? now : undefined;
  });
  assert.deepEqual(taken.needs_restart, ['status.port']);
  assert.match(edge.said, /a part of the configuration needs a restart","keys":\["status.port"\]/);
  assert.equal(await edge.end('SIGTERM'), 0, edge.said);
  assert.deepEqual(hub.gaps, []);
});

test('a sensor that goes leaves nothing standing, and a sink that comes gets what the log has', async (context) => {
  const shop = await openShop(context, 1);
  const { edge, hub, file, yaml, status } = shop;
  await waitUntil('all to be read', () => UNITS.every((unit) => samplesOf(shop, unit).length > 5) || undefined);
  const copy = new HubStandIn();
  await copy.open();
  context.after(() => copy.close());
  const { sensors, sinks } = parse(yaml(100));
  const without = sensors.filter((sensor: { unit_id: number }) => sensor.unit_id !== CHANGED);
  const more = [...sinks, { name: 'copy', type: 'hub', url: `http://127.0.0.1:${copy.port}` }];
  await replaceFile(file, yaml(100, { sensors: without, sinks: more }));
  await waitUntil('the new sink to have all', () => copy.sequences.length > 10 || undefined);
  const { sources } = await status();
  assert.deepEqual(
    sources.map(({ name }) => name),
    UNITS.filter((unit) => unit !== CHANGED).map((unit) => `sensor-${unit}`),
  );
  const [told] = hub.all.filter((one) => one.kind === 'event');
  assert.ok(told?.event_type === 'connection');
  assert.deepEqual([told.machine_id, told.item, told.details], ['M-7', 'sensor-7', { connected: false }]);
  assert.equal(samplesOf(shop, CHANGED).at(-1)?.['value'], null);

  // Without the first sink, and then with it again: it goes on where it was.
  await replaceFile(file, yaml(100, { sensors: without, sinks: more.slice(1) }));
  await waitUntil('the first sink to be gone', async () => (await status()).sinks.length === 1 || undefined);
  const had = hub.sequences.length;
  await waitUntil('more batches', () => copy.sequences.length > had + 5 || undefined);
  await replaceFile(file, yaml(100, { sensors: without, sinks: more }));
  await waitUntil('the first sink again', () => hub.sequences.length > had + 15 || undefined);
  assert.equal(await edge.end('SIGTERM'), 0, edge.said);
  for (const { sequences } of [hub, copy]) {
    assert.deepEqual(
      sequences.toSorted((a, b) => a - b),
      sequences.map((_, index) => index + 1),
    );
  }
});

test('up follows the file of its edge', async (context) => {
  const file = path.join(folder, 'up.yaml');
  const yaml = (...machines: string[]): string => {
    const sensors = machines.map((machine_id) => ({ name: machine_id, type: 'simulator', machine_id }));
    return stringify({ agent: { machine_id: 'GW' }, sensors, status: { port: 0 } });
  };
  await writeFile(file, yaml('M-A'));
  const port = await freePort();
  const data = await makeFolder();
  const up = new Command(['up', '--config', file, '--data', data, '--port', String(port)]);
  context.after(async () => {
    await up.end('SIGKILL');
    await rm(data, { recursive: true });
  });
  const isThere = async (machine: string): Promise<true | undefined> => {
    const fleet = (await (await fetch(`http://127.0.0.1:${port}/api/v1/fleet`)).json()) as { id: string }[];
    return fleet.some(({ id }) => id === machine) || undefined;
  };
  await waitUntil('the first machine', () => isThere('M-A'));
  await replaceFile(file, yaml('M-A', 'M-B'));
  await waitUntil('the second machine', () => isThere('M-B'));
  assert.equal(await up.end('SIGTERM'), 0, up.said);
});

/** In milliseconds. */
function longestMs(samples: readonly Sample[]): number {
  const times = samples.map(({ timestamp }) => Date.parse(timestamp));
  return Math.max(...times.slice(1).map((time, index) => time - times[index]!));
}

/** One edge with a sensor of each kind that has a process, a thread or a broker of its own: one is changed, the others go on. */
import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readdir, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { stringify } from 'yaml';
import { Board } from '../../src/drivers/gpio/board.test-support.ts';
import type { Checked } from '../../src/edge/live-check.ts';
import type { EdgeStatus, SourceStatus } from '../../src/model/status.ts';
import { HubStandIn } from '../support/hub-stand-in.ts';
import { type Mosquitto, startMosquitto } from '../support/mosquitto.ts';
import { OpcuaTestServer } from '../support/opcua-server.ts';
import { Command, freePort, waitUntil } from '../support/system.ts';

/** A TMP117 that says 25 °C: its identity, its configuration with a value ready, its temperature. */
const I2C_TOOL = `#!/bin/sh
case "$*" in
  *"0x0f r2"*) echo 0x01 0x17 ;;
  *"0x01 r2"*) echo 0x22 0x20 ;;
  *r2*) echo 0x0c 0x80 ;;
esac
`;

interface Shop {
  readonly folder: string;
  readonly file: string;
  readonly edge: Command;
  readonly opcua: OpcuaTestServer;
  readonly broker: Mosquitto;
  readonly board: Board;
  readonly hub: HubStandIn;
  readonly sensors: { readonly [name: string]: object };
  /** The configuration, with other keys for some sensors. */
  readonly yaml: (changed?: { readonly [name: string]: object }) => string;
  readonly status: () => Promise<EdgeStatus>;
}

async function openShop(context: TestContext): Promise<Shop> {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-joined-'));
  const opcua = new OpcuaTestServer({ port: await freePort(), pki: path.join(folder, 'server') });
  const hub = new HubStandIn();
  const board = await Board.start(1, [{ level: false }, { level: true }]);
  const [broker] = await Promise.all([startMosquitto(), opcua.start(), hub.open()]);
  const tool = path.join(folder, 'i2ctransfer');
  await writeFile(tool, I2C_TOOL);
  await chmod(tool, 0o755);
  const temperature = { node: 'Objects/Machines/CNC-001/Temperature', signal: 'temperature' };
  const topics = [{ filter: 'shop/+', machine: '{2}', map: { t: 'temperature' } }];
  const lines = [{ line: 0, lamp: 'green' }];
  const sensors: { readonly [name: string]: object } = {
    opcua: { type: 'opcua', url: opcua.url, policy: 'None', anonymous: true, nodes: [temperature] },
    mqtt: { type: 'mqtt', url: broker.url, client_id: 'gw-1', session: { keep: true }, topics },
    gpio: { type: 'gpio', chip: 'gpiochip0', tools: board.folder, lines },
    i2c: { type: 'i2c', tool, chip: 'TMP117', names: { temperature_c: 'temperature' }, sampling_rate: '1s' },
  };
  const port = await freePort();
  const file = path.join(folder, 'edge.yaml');
  const yaml: Shop['yaml'] = (changed = {}) =>
    stringify({
      agent: { machine_id: 'GW' },
      sensors: Object.entries(sensors).map(([name, keys]) => ({ name, machine_id: name, ...keys, ...changed[name] })),
      sinks: [{ type: 'hub', url: `http://127.0.0.1:${hub.port}` }],
      buffering: { folder: path.join(folder, 'log') },
      status: { port },
    });
  await writeFile(file, yaml());
  const edge = new Command(['edge', '--config', file]);
  context.after(async () => {
    await edge.end('SIGKILL');
    await Promise.all([opcua.kill(), broker.close(), board.stop(), hub.close()]);
    await rm(folder, { recursive: true, force: true });
  });
  const status = async (): Promise<EdgeStatus> =>
    JSON.parse(await (await fetch(`http://127.0.0.1:${port}/status`)).text());
  const isWell = async (): Promise<true | undefined> => {
    const found = await status().catch(() => undefined);
    return found?.sources.every(({ state }) => state === 'ok') || undefined;
  };
  await waitUntil('all to be read', isWell);
  return { folder, file, edge, opcua, broker, board, hub, sensors, yaml, status };
}

async function replace({ file, status }: Shop, text: string): Promise<void> {
  const loaded = (await status()).configuration?.loaded_at;
  await writeFile(`${file}.new`, text);
  await rename(`${file}.new`, file);
  await waitUntil('the configuration', async () => (await status()).configuration?.loaded_at !== loaded || undefined);
  const isWell = async (): Promise<true | undefined> =>
    (await status()).sources.every(({ state }) => state === 'ok') || undefined;
  await waitUntil('all to be read', isWell);
}

/** Connections that the broker took under the name of the sensor. */
function clients({ broker }: Shop): number {
  return broker.said.split(' as gw-1 ').length - 1;
}

/** Told by the wall clock each time, so it strays by microseconds. */
function isSameTime(one: SourceStatus, other: SourceStatus | undefined): boolean {
  return Math.abs(Date.parse(one.state_since) - Date.parse(other?.state_since ?? '')) < 100;
}

test('one edge with a sensor of each kind', async (context) => {
  const shop = await openShop(context);
  await context.test('a check beside it changes nothing, and a storm of signals and broken files neither', () =>
    disturb(shop),
  );
  await context.test('a sensor of each kind is changed, and the three others keep what they have, until it ends', () =>
    changeEach(shop),
  );
});

async function disturb(shop: Shop): Promise<void> {
  const { folder, file, edge, opcua, board, status, yaml } = shop;
  const before = await status();
  const pki = (): Promise<string[]> => readdir(path.join(folder, 'log', 'drivers'), { recursive: true });
  const certificates = await pki();
  const check = new Command(['check', '--live', file, '--json', '--timeout', '60s']);
  assert.equal(await check.exited(), 0, check.said);
  const found = JSON.parse(check.said) as Checked[];
  assert.match(found.find(({ name }) => name === 'gpio')?.message ?? '', /the edge that runs here has the GPIO lines/);
  assert.match(found.find(({ name }) => name === 'opcua')?.message ?? '', /^temperature 21.5/);
  assert.deepEqual(await pki(), certificates);
  await waitUntil('the session of the check to be closed', async () => (await opcua.sessions()) === 1 || undefined);
  assert.equal(board.monitors.size, 1);

  for (let count = 0; count < 100; count += 1) process.kill(edge.pid, 'SIGHUP');
  const loadedAnew = async (): Promise<true | undefined> =>
    (await status()).configuration?.loaded_at !== before.configuration?.loaded_at || undefined;
  await waitUntil('the signals', loadedAnew);

  const refused = async (what: string, why: RegExp): Promise<void> => {
    process.kill(edge.pid, 'SIGHUP');
    const isRefused = async (): Promise<true | undefined> =>
      why.test((await status()).configuration?.refused?.errors.join('\n') ?? '') || undefined;
    await waitUntil(what, isRefused);
  };
  await writeFile(file, Buffer.from([0, 1, 2, 0xff, 0xfe, 0x80, 0]));
  await refused('bytes that are no text', /edge\.yaml/);
  await writeFile(file, '');
  await truncate(file, 3 * 1024 ** 3);
  await refused('a file of 3 GB', /is larger than/);
  await rm(file);
  await mkdir(file);
  await refused('a folder', /cannot read .*EISDIR/);
  await rm(file, { recursive: true });
  await replace(shop, yaml());
  const after = await status();
  assert.equal(after.configuration?.refused, null);
  for (const [index, source] of after.sources.entries()) {
    assert.ok(isSameTime(source, before.sources[index]), source.name);
    assert.equal(source.reconnects, 0, source.name);
  }
}

async function changeEach(shop: Shop): Promise<void> {
  const { opcua, board, hub, status, yaml, edge } = shop;
  const saidBefore = edge.said.length;
  const changes: { readonly [name: string]: object } = {
    i2c: { sampling_rate: '500ms' },
    gpio: { lines: [{ line: 1, lamp: 'red' }] },
    mqtt: { topics: [{ filter: 'shop/+', machine: '{2}', map: { t: { extra: 'other' } } }] },
    opcua: { nodes: [{ node: 'Objects/Machines/CNC-001/Spindle/Speed', signal: 'spindle_speed' }] },
  };
  const changed: { [name: string]: object } = {};
  for (const [name, keys] of Object.entries(changes)) {
    const before = await status();
    const monitors = [...board.monitors];
    const connections = clients(shop);
    changed[name] = keys;
    await replace(shop, yaml(changed));
    const after = await status();
    for (const source of after.sources) {
      const own = before.sources.find((one) => one.name === source.name);
      assert.equal(source.reconnects, 0);
      if (source.name === name) continue;
      assert.ok(isSameTime(source, own), `${source.name} goes on while ${name} is changed`);
      assert.ok(source.readings >= (own?.readings ?? 0), 'it counts on');
    }
    if (name === 'gpio') assert.notDeepEqual([...board.monitors], monitors);
    else assert.ok(monitors.every((one) => board.monitors.has(one)));
    assert.equal(board.monitors.size, 1, 'no gpiomon is left over');
    assert.equal(clients(shop), connections + (name === 'mqtt' ? 1 : 0));
    assert.equal(await opcua.sessions(), 1);
    assert.equal(after.log.epoch, before.log.epoch);
  }
  const client = await shop.broker.client();
  await client.publish({ topic: 'shop/lathe', payload: Buffer.from('{"t": 7}'), qos: 1, retain: false });
  await client.close();
  const heard = (): true | undefined =>
    hub.all.some((one) => one.kind === undefined && one.machine_id === 'lathe' && one['other'] === 7) || undefined;
  await waitUntil('what is published now', heard);
  assert.equal(await edge.end('SIGTERM'), 0, edge.said);
  assert.equal(await opcua.sessions(), 0);
  assert.equal(board.monitors.size, 0);
  assert.equal(/"level":"error"/.exec(edge.said.slice(saidBefore)), null, edge.said);
}

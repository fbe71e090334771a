/** An edge that is given other configurations while its disk is full, or cannot be read: nothing is lost, and it comes back. */
import assert from 'node:assert/strict';
import { appendFileSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { stringify } from 'yaml';
import { systemClock } from '../../src/base/clock.ts';
import { createLogger, silentLogger } from '../../src/base/logger.ts';
import { nodeFiles } from '../../src/base/node-files.ts';
import { seededRandom } from '../../src/base/random.ts';
import { readEdgeConfig } from '../../src/edge/config.ts';
import { runEdge } from '../../src/edge/edge.ts';
import type { Configuration, EdgeSettings } from '../../src/edge/settings.ts';
import type { EdgeStatus } from '../../src/model/status.ts';
import { startModbusMachines } from '../../src/sim/modbus.ts';
import { FailingFiles } from '../oracle/failing-files.ts';
import { HubStandIn } from '../support/hub-stand-in.ts';
import { ModbusProxy } from '../support/modbus-proxy.ts';
import { until } from '../support/until.ts';

const UNITS = [1, 2] as const;
type SinkName = 'stays' | 'other';

interface Given {
  readonly settings: EdgeSettings;
  /** false: it is only tried again. */
  readonly isNew: boolean;
}

/** Hands over what it is given, one after the other. */
class GivenConfiguration implements Configuration {
  #next = Promise.withResolvers<Given>();
  #isOver = false;
  applications = 0;

  /** Resolves when it is in force, or refused. */
  async give(settings: EdgeSettings, isNew = true): Promise<void> {
    this.#isOver = false;
    this.#next.resolve({ settings, isNew });
    await until(() => this.#isOver);
  }

  async changed(signal: AbortSignal): Promise<boolean> {
    this.#isOver = true;
    const stopped = Promise.withResolvers<undefined>();
    signal.addEventListener('abort', () => stopped.resolve(undefined), { once: true });
    const given = await Promise.race([this.#next.promise, stopped.promise]);
    return given?.isNew ?? false;
  }

  async read(): Promise<EdgeSettings> {
    const { settings } = await this.#next.promise;
    this.#next = Promise.withResolvers();
    return settings;
  }

  applied(): void {
    this.applications += 1;
  }
}

interface Shop {
  readonly disk: FailingFiles;
  readonly configuration: GivenConfiguration;
  readonly hubs: { readonly [Name in SinkName]: HubStandIn };
  readonly proxy: ModbusProxy;
  /** What was logged, from warnings on. */
  readonly said: string[];
  /** @param address of the register of unit 1 */
  readonly settings: (address: number, sinks: readonly SinkName[], timeout?: string) => Promise<EdgeSettings>;
  readonly status: () => Promise<EdgeStatus>;
  /** One more row in the file of the measuring machine. */
  readonly measure: () => void;
  rows: number;
  readonly stop: () => Promise<void>;
  /** Their folder. */
  readonly cursors: string;
}

async function openShop(context: TestContext, sinks: readonly SinkName[]): Promise<Shop> {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-reload-disk-'));
  await mkdir(path.join(folder, 'cmm'));
  const csv = path.join(folder, 'cmm/rows.csv');
  appendFileSync(csv, 'time,length\n');
  const outside = { host: '127.0.0.1', port: 0, machines: UNITS.length, clock: systemClock, log: silentLogger };
  const machines = await startModbusMachines(outside);
  const proxy = new ModbusProxy(machines.port);
  const port = await proxy.open();
  const hubs = { stays: new HubStandIn(), other: new HubStandIn() };
  await Promise.all([hubs.stays.open(), hubs.other.open()]);
  const settings: Shop['settings'] = async (address, sinks, timeout = '5s') => {
    const modbus = UNITS.map((unit) => ({
      name: `unit-${unit}`,
      type: 'modbus',
      machine_id: `M-${unit}`,
      host: '127.0.0.1',
      port,
      unit_id: unit,
      sampling_rate: '50ms',
      registers: [{ extra: 'value', address: unit === 1 ? address : 4, type: 'uint32' }],
    }));
    const time = { column: 'time' };
    const measurements = [{ characteristic: 'length', measured_value: { column: 'length' } }];
    // Read otherwise, it is a changed sensor too.
    const files = {
      name: 'cmm',
      type: 'files',
      folder: path.dirname(csv),
      format: 'csv',
      settle: '10ms',
      rescan: address === 4 ? '1s' : '2s',
      csv: { growing: true, time, measurements },
    };
    const yaml = {
      agent: { machine_id: 'GW' },
      sensors: [...modbus, files],
      sinks: sinks.map((name) => ({ name, type: 'hub', url: `http://127.0.0.1:${hubs[name].port}`, timeout })),
      buffering: { folder: path.join(folder, 'log'), batching: { size: 10, timeout: '50ms' } },
      control: { enabled: false },
      status: { port: 0 },
    };
    return (await readEdgeConfig({ file: 'edge.yaml', text: stringify(yaml), environment: {} })).settings;
  };

  const disk = new FailingFiles(seededRandom(1));
  const configuration = new GivenConfiguration();
  const said: string[] = [];
  const log = createLogger({ level: 'warn', pretty: false, write: (line) => said.push(line), now: () => '' });
  const stopping = new AbortController();
  const { promise: listening, resolve: onListening, reject } = Promise.withResolvers<number>();
  const parts = { clock: systemClock, random: Math.random, files: disk.wrap(nodeFiles), log, onListening };
  const running = runEdge(await settings(4, sinks), { ...parts, configuration }, stopping.signal);
  running.catch(reject);
  const stop = async (): Promise<void> => {
    disk.heal();
    stopping.abort();
    await running;
  };
  context.after(async () => {
    await stop();
    proxy.close();
    await Promise.all([machines.close(), hubs.stays.close(), hubs.other.close()]);
    await rm(folder, { recursive: true, force: true });
  });
  const url = `http://127.0.0.1:${await listening}/status`;
  const status = async (): Promise<EdgeStatus> => JSON.parse(await (await fetch(url)).text());
  const shop: Shop = {
    disk,
    configuration,
    hubs,
    proxy,
    said,
    settings,
    status,
    measure: () => {
      shop.rows += 1;
      const time = new Date(Date.UTC(2026, 0, 1) + shop.rows * 1000).toISOString();
      appendFileSync(csv, `${time},${shop.rows}\n`);
    },
    rows: 0,
    stop,
    cursors: path.join(folder, 'log/cursors'),
  };
  return shop;
}

function rowsAt(hub: HubStandIn): number[] {
  return hub.all.flatMap((one) => (one.kind === 'measurement' ? [one.measured_value] : []));
}

/** Resolves when so many answers of each unit have come since. */
async function moreAnswers({ proxy }: Shop, count: number): Promise<void> {
  const before = UNITS.map((unit) => proxy.answers.get(unit) ?? 0);
  await until(() => UNITS.every((unit, index) => (proxy.answers.get(unit) ?? 0) >= before[index]! + count));
}

/** Each batch at each hub; at the one that stays each once, with each row once, and all samples but those under way. */
function assertWhole({ hubs, proxy, rows }: Shop, reloads: number): void {
  const { stays, other } = hubs;
  const sequences = stays.sequences.toSorted((a, b) => a - b);
  assert.deepEqual(
    sequences,
    sequences.map((_, index) => index + 1),
  );
  assert.deepEqual(
    [...new Set(other.sequences)].toSorted((a, b) => a - b),
    sequences,
  );
  assert.deepEqual(
    rowsAt(stays).toSorted((a, b) => a - b),
    Array.from({ length: rows }, (_, index) => index + 1),
  );
  assert.deepEqual(stays.gaps, []);
  for (const unit of UNITS) {
    const answers = proxy.answers.get(unit) ?? 0;
    const samples = stays.timestamps.get(`M-${unit}`)?.length ?? 0;
    const lostMax = (unit === 1 ? reloads : 0) + 1;
    assert.ok(samples <= answers && samples >= answers - lostMax, `unit ${unit}: ${samples} of ${answers} answers`);
  }
}

test('sensors and sinks are changed while the disk is full', async (context) => {
  const shop = await openShop(context, ['stays', 'other']);
  const { disk, configuration, hubs, settings, status, measure } = shop;
  measure();
  await until(() => rowsAt(hubs.stays).length === 1 && hubs.other.sequences.length > 10);
  disk.fail({ calls: 'change', code: 'ENOSPC', times: null });
  await until(async () => (await status()).log.last_error !== null);
  const { last_sequence } = (await status()).log;

  // A register, the reading of files and both sinks; then one sink goes, and comes back.
  for (const [index, next] of [
    await settings(2, ['stays', 'other'], '6s'),
    await settings(4, ['stays']),
    await settings(2, ['other', 'stays']),
  ].entries()) {
    measure();
    await configuration.give(next);
    assert.equal(configuration.applications, index + 1);
    await moreAnswers(shop, 5);
  }
  const full = await status();
  assert.notEqual(full.log.last_error, null);
  assert.equal(full.log.last_sequence, last_sequence, 'the log has taken nothing meanwhile');
  assert.deepEqual(
    full.sinks.map(({ name }) => name),
    ['other', 'stays'],
  );

  disk.heal();
  await until(() => rowsAt(hubs.stays).length === shop.rows);
  measure();
  await until(() => rowsAt(hubs.stays).length === shop.rows && rowsAt(hubs.other).length >= shop.rows);
  const after = await status();
  assert.deepEqual([after.log.last_error, after.losses], [null, 0]);
  assert.equal(after.log.epoch, full.log.epoch);
  assert.ok(after.sources.every(({ state }) => state === 'ok'));
  await shop.stop();
  assertWhole(shop, 3);
  const errors = shop.said.filter((line) => line.includes('"level":"error"'));
  assert.deepEqual(
    errors.map((line) => JSON.parse(line).message),
    ['the log cannot be written'],
  );
});

test('a sink is added while the disk cannot be read: it is refused, told once, and taken when it can', async (context) => {
  const shop = await openShop(context, ['stays']);
  const { disk, configuration, hubs, settings, status, said } = shop;
  const isSaved = (name: string): boolean => !name.endsWith('.tmp');
  // It asks the disk where each sink stood.
  await until(() => hubs.stays.sequences.length > 10 && readdirSync(shop.cursors).some(isSaved));
  const before = await status();
  disk.fail({ calls: 'read', code: 'EIO', times: null });
  const next = await settings(2, ['stays', 'other'], '6s');
  const refusals = (): number => said.filter((line) => line.includes('the configuration is refused')).length;
  for (const isNew of [true, false, false, true]) await configuration.give(next, isNew);
  assert.equal(refusals(), 2, 'what is only tried again, and refused as before, is told already');
  assert.equal(configuration.applications, 0);
  const refused = await status();
  assert.match(refused.configuration?.refused?.errors[0] ?? '', /^the log in .* cannot be read or written: EIO/);
  assert.deepEqual(
    refused.sinks.map(({ name }) => name),
    ['stays'],
  );
  assert.ok(refused.sources.every(({ readings }, index) => readings >= before.sources[index]!.readings));
  await moreAnswers(shop, 5);

  disk.heal();
  await configuration.give(next, false);
  assert.equal(configuration.applications, 1);
  assert.equal((await status()).configuration?.refused, null);
  shop.measure();
  await until(() => rowsAt(hubs.stays).length === 1 && rowsAt(hubs.other).length === 1);
  await shop.stop();
  // It begins with what the log still had.
  const first = Math.min(...hubs.other.sequences);
  hubs.other.sequences.push(...hubs.stays.sequences.filter((sequence) => sequence < first));
  assertWhole(shop, 1);
});

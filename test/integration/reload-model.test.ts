/**
 * Random configurations, one after the other, on a running edge; then what a fresh start would have made of the last.
 *
 * The oracle: every row of the files is delivered once; every answer that the Modbus server gave is a sample, but for the
 * one that may be under way when a sensor is stopped; every batch of the log reaches every sink once, also one that was
 * away; nobody is missing at the end and nobody is left over. `MODEL_SEED=n` runs one alone, `MODEL_RUNS=n` more or fewer.
 */
import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { stringify } from 'yaml';
import { systemClock } from '../../src/base/clock.ts';
import { MillwrightError } from '../../src/base/errors.ts';
import { createLogger, silentLogger } from '../../src/base/logger.ts';
import { nodeFiles } from '../../src/base/node-files.ts';
import { type Random, seededRandom } from '../../src/base/random.ts';
import { readEdgeConfig } from '../../src/edge/config.ts';
import { runEdge } from '../../src/edge/edge.ts';
import type { Configuration, EdgeSettings } from '../../src/edge/settings.ts';
import type { EdgeStatus } from '../../src/model/status.ts';
import { startModbusMachines } from '../../src/sim/modbus.ts';
import { HubStandIn } from '../support/hub-stand-in.ts';
import { ModbusProxy } from '../support/modbus-proxy.ts';
import { until } from '../support/until.ts';

const RUNS = Number(process.env['MODEL_RUNS'] ?? 5);
const SEED = process.env['MODEL_SEED'];
const RELOADS = 25;
const UNITS = [1, 2, 3, 4, 5] as const;
const FOLDERS = ['A', 'B'] as const;
const SINKS = ['first', 'second', 'third'] as const;

/** Hands over what a test gives it, and refuses where it is told to. */
class GivenConfiguration implements Configuration {
  readonly #given: (EdgeSettings | 'refused')[] = [];
  #wake = Promise.withResolvers<void>();
  applications = 0;
  latest: EdgeSettings | undefined;

  give(settings: EdgeSettings | 'refused'): void {
    this.#given.push(settings);
    this.#wake.resolve();
  }

  async changed(signal: AbortSignal): Promise<boolean> {
    const stopped = Promise.withResolvers<void>();
    signal.addEventListener('abort', () => stopped.resolve(), { once: true });
    if (this.#given.length === 0) await Promise.race([this.#wake.promise, stopped.promise]);
    this.#wake = Promise.withResolvers();
    return true;
  }

  async read(): Promise<EdgeSettings> {
    const next = this.#given.shift();
    // What came while the one before was taken: there is one more to be taken.
    if (this.#given.length > 0) this.#wake.resolve();
    if (next === undefined || next === 'refused') throw new MillwrightError('config_invalid', 'refused by the test');
    return next;
  }

  applied(settings: EdgeSettings): void {
    this.applications += 1;
    this.latest = settings;
  }
}

class World {
  readonly #random: Random;
  readonly #folder: string;
  readonly hubs: ReadonlyMap<string, HubStandIn> = new Map(SINKS.map((name) => [name, new HubStandIn()]));
  readonly #modbusPort: number;
  rows = 0;

  constructor(random: Random, folder: string, modbusPort: number) {
    this.#random = random;
    this.#folder = folder;
    this.#modbusPort = modbusPort;
  }

  chance(share: number): boolean {
    return this.#random() < share;
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.#random() * items.length)]!;
  }

  /** @param isWhole all that there can be; else each part only perhaps */
  async settings(isWhole: boolean): Promise<EdgeSettings> {
    const here = (share: number): boolean => isWhole || this.chance(share);
    const modbus = UNITS.filter(() => here(0.8)).map((unit) => ({
      name: `unit-${unit}`,
      type: 'modbus',
      machine_id: `M-${unit}`,
      host: '127.0.0.1',
      port: this.#modbusPort,
      parallel: 5,
      unit_id: unit,
      sampling_rate: this.pick(['20ms', '30ms']),
      priority: this.pick([1, 2]),
      registers: [{ extra: 'parts', address: this.pick([2, 4]), type: 'uint32' }],
    }));
    const files = FOLDERS.filter(() => here(0.8)).map((name) => ({
      name: `rows-${name}`,
      type: 'files',
      machine_id: `CMM-${name}`,
      folder: path.join(this.#folder, name),
      format: 'csv',
      settle: this.pick(['10ms', '20ms']),
      rescan: '1s',
      csv: {
        growing: true,
        time: { column: 'time' },
        measurements: [{ characteristic: 'length', measured_value: { column: 'length' }, temperature_c: 20 }],
      },
    }));
    const sinks = SINKS.filter((name) => name === 'first' || here(0.6)).map((name) => ({
      name,
      type: 'hub',
      url: `http://127.0.0.1:${this.hubs.get(name)?.port}`,
      timeout: this.pick(['5s', '6s']),
    }));
    const thermal = {
      type: 'thermal',
      machines: ['CMM-A'],
      compensation: 'none',
      part: { material: 'aluminium_6061' },
      scale: { coefficient: this.pick([8, 9]), half_width: 0.5 },
      part_temperature: { uncertainty: 0.1 },
      scale_temperature: { fixed: 20, fixed_uncertainty: 0.1, uncertainty: 0.1 },
      cmm: { constant: 1.7 },
    };
    const yaml = {
      agent: { machine_id: 'GW', log_level: 'warn' },
      sensors: this.chance(0.5) ? [...modbus, ...files] : [...files, ...modbus.toReversed()],
      processors: this.chance(0.5) ? [thermal] : [],
      sinks: this.chance(0.5) ? sinks : sinks.toReversed(),
      buffering: {
        folder: path.join(this.#folder, 'log'),
        // So large that nothing is deleted: a sink that was away finds all.
        segment_size: '64MB',
        warm_buffer: { size: this.pick(['100MB', '200MB']) },
        batching: { size: this.pick([5, 50]), timeout: this.pick(['20ms', '100ms']) },
      },
      control: { interval: this.pick(['1s', '2s']), memory_max: '100GB', cpu_max_percent: 10_000 },
      status: { port: 0 },
    };
    return (await readEdgeConfig({ file: 'edge.yaml', text: stringify(yaml), environment: {} })).settings;
  }

  /** A row more in each folder's file. */
  measure(): void {
    this.rows += 1;
    for (const name of FOLDERS) {
      const second = new Date(Date.UTC(2026, 0, 1) + this.rows * 1000).toISOString();
      appendFileSync(path.join(this.#folder, name, 'rows.csv'), `${second},${this.rows}\n`);
    }
  }
}

const seeds = SEED === undefined ? Array.from({ length: RUNS }, (_, index) => index + 1) : [Number(SEED)];
for (const seed of seeds) {
  test(`random configurations one after the other: seed ${seed}`, (context) => runModel(context, seed));
}

async function runModel(context: TestContext, seed: number): Promise<void> {
  const random = seededRandom(seed);
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-reload-model-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  for (const name of FOLDERS) {
    await mkdir(path.join(folder, name));
    appendFileSync(path.join(folder, name, 'rows.csv'), 'time,length\n');
  }
  const outside = { host: '127.0.0.1', port: 0, machines: UNITS.length, clock: systemClock, log: silentLogger };
  const machines = await startModbusMachines(outside);
  const proxy = new ModbusProxy(machines.port);
  const world = new World(random, folder, await proxy.open());
  for (const hub of world.hubs.values()) await hub.open();
  context.after(async () => {
    for (const hub of world.hubs.values()) await hub.close();
    proxy.close();
    await machines.close();
  });

  const errors: string[] = [];
  const configuration = new GivenConfiguration();
  const edge = await started(context, await world.settings(false), { errors, configuration });
  let refusals = 0;
  let reloads = 0;
  for (let number = 1; number <= RELOADS; number += 1) {
    for (let rows = 0; rows < 3; rows += 1) world.measure();
    if (world.chance(0.1)) {
      configuration.give('refused');
      refusals += 1;
    } else {
      configuration.give(await world.settings(false));
      reloads += 1;
    }
    // At times the next comes before this one is taken.
    if (world.chance(0.7)) await until(() => configuration.applications + refusalsIn(errors) === reloads + refusals);
    await systemClock.sleep(random() * 150);
  }
  const last = await world.settings(true);
  configuration.give(last);
  reloads += 1;
  await until(() => configuration.applications === reloads);
  world.measure();

  const [first, ...others] = [...world.hubs.values()];
  const lengths = (name: string): number[] =>
    first!.all.flatMap((one) =>
      one.kind === 'measurement' && one.machine_id === `CMM-${name}` ? [one.measured_value] : [],
    );
  await until(() => FOLDERS.every((name) => lengths(name).length >= world.rows));
  const running = partsOf(await edge.status());
  await edge.stop();
  assert.deepEqual(
    errors.filter((line) => !line.includes('refused by the test')),
    [],
  );
  assert.equal(refusalsIn(errors), refusals);

  const wanted = Array.from({ length: world.rows }, (_, index) => index + 1);
  for (const name of FOLDERS)
    assert.deepEqual(
      lengths(name).toSorted((a, b) => a - b),
      wanted,
      `rows of ${name}`,
    );
  const sequences = first!.sequences.toSorted((a, b) => a - b);
  assert.deepEqual(
    sequences,
    sequences.map((_, index) => index + 1),
  );
  for (const hub of others)
    assert.deepEqual(
      hub.sequences.toSorted((a, b) => a - b),
      sequences,
    );
  let samplesInAll = 0;
  for (const unit of UNITS) {
    const answers = proxy.answers.get(unit) ?? 0;
    const samples = first!.all.filter(
      (one) => one.machine_id === `M-${unit}` && one.kind === undefined && one['parts'] !== null,
    );
    samplesInAll += samples.length;
    assert.ok(
      samples.length <= answers && samples.length >= answers - reloads - 1,
      `${unit}: ${samples.length} of ${answers}`,
    );
  }
  assert.deepEqual(first!.gaps, []);

  const fresh = await started(context, last, { errors });
  assert.deepEqual(running, partsOf(await fresh.status()));
  await fresh.stop();
  context.diagnostic(
    `${reloads} reloads, ${refusals} refusals, ${sequences.length} batches to ${SINKS.length} sinks, ` +
      `${world.rows * FOLDERS.length} rows, ${samplesInAll} samples`,
  );
}

function refusalsIn(lines: readonly string[]): number {
  return lines.filter((line) => line.includes('refused by the test')).length;
}

/** What runs, in its order. */
function partsOf({ sources, sinks }: EdgeStatus): object {
  return {
    sources: sources.map(({ name, type, machine_id }) => [name, type, machine_id]),
    sinks: sinks.map(({ name, type }) => [name, type]),
  };
}

interface RunningEdge {
  status(): Promise<EdgeStatus>;
  stop(): Promise<void>;
}

/** Its warnings and errors go to `errors`. */
async function started(
  context: TestContext,
  settings: EdgeSettings,
  { errors, configuration }: { readonly errors: string[]; readonly configuration?: Configuration },
): Promise<RunningEdge> {
  const stop = new AbortController();
  const log = createLogger({ level: 'warn', pretty: false, write: (line) => errors.push(line), now: () => '' });
  const { promise: listening, resolve: onListening, reject } = Promise.withResolvers<number>();
  const parts = { clock: systemClock, random: Math.random, files: nodeFiles, log, onListening };
  const running = runEdge(settings, { ...parts, ...(configuration && { configuration }) }, stop.signal);
  running.catch(reject);
  const end = async (): Promise<void> => {
    stop.abort();
    await running;
  };
  context.after(end);
  const port = await listening;
  return {
    status: async () => JSON.parse(await (await fetch(`http://127.0.0.1:${port}/status`)).text()),
    stop: end,
  };
}

/**
 * That each query of the dashboard "Machines" shows what is known, on every kind of database; each is given a database
 * with the newest schema, and empty. The readings come from the simulated machine through a hub, as an edge sends them.
 */
import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { stringify } from 'yaml';
import type { Clock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { create } from '../../src/drivers/simulator/driver.ts';
import type { DatabaseSettings } from '../../src/hub/settings.ts';
import { encodeFrame } from '../../src/model/frame.ts';
import type { MachineEvent, Measurement, Reading, Sample } from '../../src/model/reading.ts';
import { microsOf, timestampOf } from '../../src/model/time.ts';
import { assertAllPanels, queriesOf, readDashboard, variableQuery, type View } from './grafana.ts';
import { select } from './hub-database.ts';
import { ask, startHub } from './hub-server.ts';
import { Command, makeFolder, waitUntil } from './system.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** A whole hour, some hours ago: the hub takes no reading to be newer than its own clock. */
const START_MS: number = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - 4 * HOUR_MS;
const SIMULATED_MINUTES = 100;
const END_MS: number = START_MS + SIMULATED_MINUTES * MINUTE_MS;
const MACHINES = [
  { id: 'CNC-001', name: 'Mill 1', phaseSeconds: 20 },
  { id: "CNC'2", name: 'Lathe', phaseSeconds: 75 },
] as const;
const IDS: readonly string[] = MACHINES.map(({ id }) => id);
/** As the panels number them, for their colours. */
const STATES = ['running', 'idle', 'setup', 'hold', 'alarm', 'offline', 'unknown'];
const CHARTS = {
  'Spindle load': 'spindle_load_percent',
  'Spindle speed': 'spindle_speed',
  Temperature: 'temperature',
  Power: 'total_power_kw',
  'Feed rate': 'feed_rate_actual',
} as const;

type Row = Record<string, unknown>;
type Check = (ask: (view?: Partial<View>) => Promise<Row[]>, title: string) => Promise<void>;

export function machinesDashboardCases(database: () => Promise<DatabaseSettings>): void {
  test('Machines: every panel shows what the machines said, from rows, minutes and hours', async (context) => {
    const settings = await database();
    const readings = new Map(await Promise.all(MACHINES.map(simulated)));
    const hub = await startHub(settings);
    for (const { id, name } of MACHINES) {
      const body = JSON.stringify({ id, name, location: 'Hall A' });
      assert.equal((await ask(`${hub.url}/api/v1/machines`, { method: 'POST', body })).status, 201);
    }
    for (const list of [...readings.values(), measurements()]) await ingest(hub.url, list);
    await liveEdge(context, hub.url);
    await waitUntil('the roll-ups', async () => {
      const open = await select(settings, `select from rollup_marks where machine_id <> 'CNC-LIVE'`);
      return open.length === 0 ? true : undefined;
    });
    await waitUntil('the edge to tell of itself', async () => {
      return (await select(settings, 'select from edges')).length > 0 ? true : undefined;
    });

    const reader = await makeReader(settings);
    const dashboard = readDashboard('machines.json');
    const variables = { machine: IDS, signal: ['temperature'] };
    const whole = { fromMs: START_MS, toMs: END_MS, intervalMs: MINUTE_MS, variables };
    const checks = checksOf(readings);
    assertAllPanels(dashboard, Object.keys(checks));
    for (const [title, check] of Object.entries(checks)) {
      await check(async (view = {}) => {
        const [query = ''] = queriesOf(dashboard, title, { ...whole, ...view });
        return await select<Row>(reader, query);
      }, title);
    }

    const values = async (name: string, view: View): Promise<Row[]> =>
      select<Row>(reader, variableQuery(dashboard, name, view));
    assert.deepEqual(
      (await values('machine', whole)).map((row) => [row['__value'], row['__text']]),
      [
        ['CMM-9', 'CMM-9'],
        ['CNC-LIVE', 'CNC-LIVE'],
        ["CNC'2", 'Lathe'],
        ['CNC-001', 'Mill 1'],
      ],
    );
    await assert.rejects(select(reader, `delete from events`), { code: '25006' });
    await assert.rejects(select(reader, `set transaction read write; delete from events`), {
      code: '42501',
    });

    const signals = (await values('signal', whole)).map(({ key }) => key);
    assert.ok(signals.includes('temperature') && !signals.includes('machine_state'), signals.join(', '));
  });
}

function checksOf(readings: ReadonlyMap<string, readonly Reading[]>): { readonly [title: string]: Check } {
  const of = (name: string): readonly Reading[] => readings.get(machineNamed(name).id) ?? [];
  const raised = (name: string): MachineEvent[] =>
    eventsOf(of(name), 'condition').filter(({ level }) => level === 'warning' || level === 'fault');
  const charts = Object.entries(CHARTS).map(([title, signal]): [string, Check] => [
    title,
    async (askPanel) => {
      for (const intervalMs of [10_000, MINUTE_MS, HOUR_MS]) {
        const rows = await askPanel({ intervalMs });
        for (const { name } of MACHINES) {
          const wanted = bucketsOf(of(name), signal, intervalMs);
          const found = rows.filter(({ metric }) => metric === name);
          assert.deepEqual(
            found.map(({ time }) => Number(time) * 1000),
            [...wanted.keys()],
            `${title}, ${intervalMs} ms`,
          );
          for (const row of found) {
            const { mean } = wanted.get(Number(row['time']) * 1000)!;
            assert.ok(
              Math.abs(Number(row['value']) - mean) < 1e-6,
              `${title}: ${String(row['value'])}, wanted ${mean}`,
            );
          }
        }
      }
    },
  ]);
  return {
    'Machines now': async (askPanel) => {
      const rows = await askPanel();
      assert.deepEqual(
        rows.map((row) => row['Machine']),
        ['Lathe', 'Mill 1'],
      );
      for (const row of rows) {
        const name = String(row['Machine']);
        const newest = samplesOf(of(name)).at(-1);
        const state = eventsOf(of(name), 'state').at(-1);
        assert.deepEqual(
          [row['Location'], row['State'], row['Temperature'], row['Spindle load'], row['Program line']],
          ['Hall A', state?.state, newest?.temperature, newest?.spindle_load_percent, newest?.active_program_line],
        );
        assert.deepEqual([row['Spindle speed'], row['Power']], [newest?.spindle_speed, newest?.total_power_kw]);
        assertAge(row['In state for'], state?.timestamp);
        assertAge(row['Silent for'], of(name).at(-1)?.timestamp);
      }
      const [live] = await askPanel({ variables: { machine: ['CNC-LIVE'], signal: [] } });
      assert.ok(Number(live?.['Silent for']) < 30, JSON.stringify(live));
    },
    State: async (askPanel) => {
      for (const intervalMs of [MINUTE_MS, HOUR_MS]) {
        const rows = await askPanel({ intervalMs });
        for (const { name } of MACHINES) {
          const wanted = secondsOf(of(name), intervalMs);
          const found = rows.filter(({ metric }) => metric === name);
          assert.deepEqual(
            found.map(({ time }) => Number(time) * 1000),
            [...wanted.keys()],
          );
          for (const { time, state } of found) {
            const seconds = wanted.get(Number(time) * 1000) ?? new Map<string, number>();
            const shown = seconds.get(STATES[Number(state) - 1] ?? '') ?? 0;
            // Over an hour the states of the simulated machine are equally long.
            assert.ok(shown > Math.max(...seconds.values()) - 0.01, `${name}: ${String(state)} at ${String(time)}`);
          }
        }
      }
    },
    Utilisation: async (askPanel) => {
      for (const intervalMs of [MINUTE_MS, HOUR_MS]) {
        for (const row of await askPanel({ intervalMs })) {
          const total = totalsOf(of(String(row['Machine'])));
          const wanted = (total.get('running') ?? 0) / [...total.values()].reduce((sum, seconds) => sum + seconds, 0);
          assert.ok(wanted > 0.2 && Math.abs(Number(row['Utilisation']) - wanted) < 1e-6, JSON.stringify(row));
        }
      }
    },
    'Time in each state': async (askPanel) => {
      const rows = [...(await askPanel()), ...(await askPanel({ intervalMs: HOUR_MS }))];
      assert.equal(rows.length, 2 * MACHINES.length);
      for (const { Machine, ...row } of rows) {
        const total = totalsOf(of(String(Machine)));
        for (const state of STATES) {
          const wanted = total.get(state) ?? 0;
          assert.ok(Math.abs(Number(row[state]) - wanted) < 1e-3, `${state}: ${String(row[state])}, wanted ${wanted}`);
        }
      }
    },
    ...Object.fromEntries(charts),
    'Any signal': async (askPanel, title) => {
      for (const intervalMs of [MINUTE_MS, HOUR_MS]) {
        const rows = await askPanel({ intervalMs });
        for (const { name } of MACHINES) {
          const found = rows.filter(({ metric }) => metric === name);
          const wanted = bucketsOf(of(name), 'temperature', intervalMs);
          assert.equal(found.length, wanted.size, title);
          for (const row of found) {
            const { mean, lowest, highest } = wanted.get(Number(row['time']) * 1000)!;
            assert.ok(Math.abs(Number(row['mean']) - mean) < 1e-6);
            assert.deepEqual([row['lowest'], row['highest']], [lowest, highest]);
          }
        }
      }
    },
    'Active alarms': async (askPanel) => {
      const wanted = MACHINES.flatMap(({ name }) => {
        const newest = new Map(eventsOf(of(name), 'condition').map((event) => [event.native_code, event]));
        const active = [...newest.values()].filter(({ level }) => level === 'warning' || level === 'fault');
        return active.map(({ timestamp, level, item, native_code, text }) => {
          return [name, microsOf(timestamp), level, item, native_code, text];
        });
      });
      assert.ok(wanted.length > 0, 'one of the machines ends in an alarm');
      const rows = await askPanel();
      assert.deepEqual(
        rows.map((row) => [
          row['Machine'],
          microsOf(String(row['Since'])),
          ...['Level', 'Item', 'Code', 'Text'].map((name) => row[name]),
        ]),
        wanted,
      );
    },
    'Alarms raised': async (askPanel) => {
      const rows = await askPanel({ intervalMs: HOUR_MS });
      for (const { name } of MACHINES) {
        const counts = new Map<number, number>();
        for (const { timestamp } of raised(name)) {
          const second = (Math.floor(microsOf(timestamp) / 1000 / HOUR_MS) * HOUR_MS) / 1000;
          counts.set(second, (counts.get(second) ?? 0) + 1);
        }
        assert.equal(counts.size, 2);
        const found = rows.filter(({ metric }) => metric === name);
        assert.deepEqual(
          found.map(({ time, alarms }) => [Number(time), Number(alarms)]),
          [...counts],
        );
      }
    },
    'Most frequent alarms': async (askPanel) => {
      const rows = await askPanel();
      for (const { name } of MACHINES) {
        const byCode = Map.groupBy(raised(name), ({ native_code }) => native_code ?? '');
        const found = rows.filter((row) => row['Machine'] === name);
        assert.deepEqual(
          new Set(found.map((row) => `${String(row['Code'])} ${String(row['Text'])} ${String(row['Raised'])}`)),
          new Set([...byCode].map(([code, list]) => `${code} ${list[0]?.text} ${list.length}`)),
        );
      }
    },
    'Parts finished': async (askPanel) => {
      const rows = await askPanel();
      assert.deepEqual(
        rows.map((row) => [row['Machine'], Number(row['Parts'])]),
        ['Lathe', 'Mill 1'].map((name) => [name, eventsOf(of(name), 'part').length]),
      );
      assert.ok(rows.every((row) => Number(row['Parts']) > 10));
    },
    Inspections: async (askPanel) => {
      const [row, ...more] = await askPanel({ variables: { machine: ['CMM-9'], signal: [] } });
      assert.deepEqual(more, []);
      const { 'Mean deviation': deviation, ...counts } = row ?? {};
      assert.ok(Math.abs(Number(deviation) - 0.0045) < 1e-9, String(deviation));
      assert.deepEqual(
        Object.entries(counts).map(([name, value]) => [name, String(value)]),
        [
          ['Machine', 'CMM-9'],
          ['Feature', 'bore'],
          ['Measured', '10'],
          ['Conform', '7'],
          ['Indeterminate', '2'],
          ['Nonconform', '1'],
          ['Unit', 'mm'],
        ],
      );
    },
    'Gateways and their sinks': async (askPanel) => {
      const [row, ...more] = await askPanel();
      assert.deepEqual(more, []);
      assert.deepEqual([row?.['Gateway'], row?.['Sink']], ['EDGE-G', 'hub']);
      assert.match(String(row?.["Sink's state"]), /^(ok|connecting)$/);
      assert.ok(Number(row?.['Told']) < 30 && Number(row?.['Waiting']) < 1_000, JSON.stringify(row));
    },
  };
}

/** The user of deploy/grafana/reader.sql. That is for psql, so what psql does beside SQL is done here. */
async function makeReader(settings: DatabaseSettings): Promise<DatabaseSettings> {
  const password = "reader's secret";
  const file = new URL('../../deploy/grafana/reader.sql', import.meta.url);
  const text = (await readFile(file, 'utf8'))
    .replaceAll(/^--.*$/gm, '')
    .replace('\\getenv password GRAFANA_DATABASE_PASSWORD', '')
    .replace(":'password'", `'${password.replaceAll("'", "''")}'`);
  const [, made = '', rest = ''] = /^(.*)\\gexec$(.*)/ms.exec(text) ?? assert.fail('no statement that makes the role');
  for (const statement of await select<Record<string, string>>(settings, made)) {
    await select(settings, Object.values(statement).join());
  }
  await select(settings, rest);
  return { ...settings, user: 'grafana', password };
}

/** What the simulated machine says in that time, a sample a second. */
async function simulated({ id, phaseSeconds }: (typeof MACHINES)[number]): Promise<[string, Reading[]]> {
  const stop = new AbortController();
  let elapsedMs = 0;
  const clock: Clock = {
    nowMicros: () => (START_MS + elapsedMs) * 1000,
    monotonicMs: () => elapsedMs,
    sleep: async (ms) => {
      elapsedMs += ms;
      if (START_MS + elapsedMs >= END_MS) stop.abort();
    },
  };
  const readings: Reading[] = [];
  const context = {
    machineId: id,
    emit: (reading: Reading) => void readings.push(reading),
    connected: () => {},
    alive: () => {},
    answered: () => {},
    problem: () => {},
    room: () => undefined,
    samplingIntervalMs: () => 1_000,
    random: () => 0.5,
    log: silentLogger,
    clock,
  };
  await create({ phaseSeconds }).run(context, stop.signal);
  return [id, readings.filter(({ timestamp }) => microsOf(timestamp) / 1000 < END_MS)];
}

function measurements(): Measurement[] {
  return Array.from({ length: 10 }, (_, number) => ({
    kind: 'measurement',
    machine_id: 'CMM-9',
    timestamp: timestampOf((START_MS + number * MINUTE_MS) * 1000),
    characteristic: 'bore',
    measured_value: 40.1,
    compensated_value: 40 + number / 1000,
    nominal_value: 40,
    unit: 'mm',
    verdict: number < 7 ? 'conform' : number < 9 ? 'indeterminate' : 'nonconform',
  }));
}

async function ingest(url: string, readings: readonly Reading[]): Promise<void> {
  const headers = { 'content-type': 'application/vnd.millwright.frames' };
  for (let first = 0; first < readings.length; first += 2_000) {
    const body = Buffer.concat(readings.slice(first, first + 2_000).map((reading) => encodeFrame(reading)));
    assert.equal((await ask(`${url}/api/v1/ingest`, { method: 'POST', headers, body })).status, 200);
  }
}

/** One that runs while the panels are asked. */
async function liveEdge(context: TestContext, url: string): Promise<void> {
  const folder = await makeFolder();
  const file = path.join(folder, 'edge.yaml');
  const sensors = [{ name: 'live', type: 'simulator', machine_id: 'CNC-LIVE' }];
  const config = { agent: { machine_id: 'EDGE-G' }, sensors, sinks: [{ type: 'hub', url }], status: { port: 0 } };
  await writeFile(file, stringify({ ...config, buffering: { folder: path.join(folder, 'log') } }));
  const edge = new Command(['edge', '--config', file]);
  context.after(async () => {
    await edge.end('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  });
}

function machineNamed(name: string): (typeof MACHINES)[number] {
  return MACHINES.find((machine) => machine.name === name) ?? assert.fail(name);
}

function samplesOf(readings: readonly Reading[]): Sample[] {
  return readings.filter((reading): reading is Sample => reading.kind === undefined || reading.kind === 'sample');
}

function eventsOf(readings: readonly Reading[], type: string): MachineEvent[] {
  return readings.filter((one): one is MachineEvent => one.kind === 'event' && one.event_type === type);
}

interface Bucket {
  readonly mean: number;
  readonly lowest: number;
  readonly highest: number;
}

/** By the beginnings of the intervals, in milliseconds. */
function bucketsOf(readings: readonly Reading[], signal: string, intervalMs: number): Map<number, Bucket> {
  const groups = Map.groupBy(samplesOf(readings), ({ timestamp }) => {
    return Math.floor(microsOf(timestamp) / 1000 / intervalMs) * intervalMs;
  });
  return new Map(
    [...groups].map(([start, samples]) => {
      const values = samples.map((sample) => Number(sample[signal]));
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      return [start, { mean, lowest: Math.min(...values), highest: Math.max(...values) }];
    }),
  );
}

/** Seconds in each state, by the beginnings of the intervals: each word holds until the next one, or the last reading. */
function secondsOf(readings: readonly Reading[], intervalMs: number): Map<number, Map<string, number>> {
  const found = new Map<number, Map<string, number>>();
  const words = eventsOf(readings, 'state');
  const endMs = Math.max(...readings.map(({ timestamp }) => microsOf(timestamp) / 1000));
  for (const [index, { timestamp, state = '' }] of words.entries()) {
    const untilMs = index + 1 < words.length ? microsOf(words[index + 1]!.timestamp) / 1000 : endMs;
    for (let fromMs = microsOf(timestamp) / 1000; fromMs < untilMs; ) {
      const start = Math.floor(fromMs / intervalMs) * intervalMs;
      const partMs = Math.min(untilMs, start + intervalMs) - fromMs;
      const states = found.get(start) ?? new Map<string, number>();
      found.set(start, states.set(state, (states.get(state) ?? 0) + partMs / 1000));
      fromMs += partMs;
    }
  }
  return found;
}

function totalsOf(readings: readonly Reading[]): Map<string, number> {
  const [whole] = secondsOf(readings, 1e15).values();
  return whole ?? new Map<string, number>();
}

/** Seconds since then, as the database's clock has it. */
function assertAge(found: unknown, since: string | undefined): void {
  const wanted = (Date.now() - microsOf(since ?? '') / 1000) / 1000;
  assert.ok(Math.abs(Number(found) - wanted) < 5, `${String(found)}, wanted ${wanted}`);
}

/**
 * The dashboards for InfluxDB: each query of each panel is put to a real InfluxDB, and what it answers is compared with what
 * was measured and with what the edge told of itself. The data come through the product: the files of the simulated
 * measuring machine, an edge with the sections of deploy/edge.grafana.yaml, an outage of the MES, and one of InfluxDB itself.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { parse, stringify } from 'yaml';
import type { Clock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { nodeFiles } from '../../src/base/node-files.ts';
import { readEdgeConfig } from '../../src/edge/config.ts';
import { createStage, Pipeline } from '../../src/edge/pipeline/pipeline.ts';
import type { Measurement, Reading } from '../../src/model/reading.ts';
import type { EdgeStatus, SinkStatus } from '../../src/model/status.ts';
import { microsOf } from '../../src/model/time.ts';
import { CMM_DEFAULTS, type CmmOptions, runCmm } from '../../src/sim/cmm.ts';
import { TcpProxy } from '../oracle/tcp-proxy.ts';
import { assertAllPanels, queriesOf, readDashboard, type View, variableQuery } from '../support/grafana.ts';
import { type Historian, startInfluxdb } from '../support/historians.ts';
import { Command, freePort, makeFolder, waitUntil } from '../support/system.ts';

const START_MS = Date.UTC(2026, 0, 1, 8);
const HOUR_MS = 3_600_000;
const INTERVAL_MS = 5 * 60_000;
/** A name with what has a meaning in regular expressions and in InfluxQL. */
const OTHER = "CMM/2 (Hall+) 'B'";
const GATEWAY = 'EDGE-001';

let folder: string;
let historian: Historian;
/** Between the edge and InfluxDB. */
let line: TcpProxy;
/** By machine, in the order of time, as the processors leave them. */
let measured: ReadonlyMap<string, readonly Measurement[]>;
/** When the edge ran, and what it told of itself: all read and the MES down, just before that started, all delivered. */
let startedMs: number;
let stoppedMs: number;
let down: EdgeStatus;
let beforeMes: EdgeStatus;
let drained: EdgeStatus;
/** An outage of InfluxDB: when it began and ended, and what the edge told of itself towards its end. */
let cut: { readonly fromMs: number; readonly toMs: number; readonly status: EdgeStatus };

before(async () => {
  folder = await makeFolder();
  historian = await startInfluxdb('millwright');
  const [folders, mesPort] = [{ first: path.join(folder, 'cmm'), other: path.join(folder, 'other') }, await freePort()];
  await makeFiles(folders.first, 720, CMM_DEFAULTS);
  const features = [
    { name: 'length', nominalMm: 100 },
    { name: 'bore.x', nominalMm: 40 },
  ];
  await makeFiles(folders.other, 60, {
    ...CMM_DEFAULTS,
    features,
    toleranceMm: 0.01,
    toolWearMm: 0.0004,
    serialNumbers: true,
  });

  const influxPort = await freePort();
  line = new TcpProxy({ port: influxPort, targetPort: Number(new URL(historian.url).port) });
  await line.start();
  const text = stringify(await edgeConfig(folders, { mesPort, influxPort }));
  measured = await processed(text, folders);
  const config = path.join(folder, 'edge.yaml');
  await writeFile(config, text);
  startedMs = Date.now();
  const edge = new Command(['edge', '--config', config], { SINKS_INFLUX_TOKEN: 'not asked for by this InfluxDB' });
  const url = await waitUntil('the edge to run', () => /http:[^\s"]+\/status/.exec(edge.said)?.[0]);
  const status = async (): Promise<EdgeStatus> => (await (await fetch(url)).json()) as EdgeStatus;
  const total = [...measured.values()].reduce((count, list) => count + list.length, 0);
  down = await waitUntil('all read and in InfluxDB, and the MES known to be down', async () => {
    const now = await status();
    // A row is a measurement, and of the first machine a sample as well.
    const read = now.sources.reduce((count, { readings }) => count + readings, 0);
    const [influx, mes] = [sinkOf(now, 'influx'), sinkOf(now, 'mes')];
    const isAll = read >= total + 720 && influx.lag_readings === 0 && mes.lag_readings >= total + 720;
    return isAll && mes.state === 'failing' ? now : undefined;
  });
  await pointWith(`"lag_readings" >= ${sinkOf(down, 'mes').lag_readings} and "sink" = 'mes'`);
  beforeMes = await status();
  const mes = new Command(['simulate', 'mes', '--port', String(mesPort)]);
  drained = await waitUntil('the MES to have all', async () => {
    const now = await status();
    return sinkOf(now, 'mes').lag_readings === 0 ? now : undefined;
  });
  await pointWith(`"lag_readings" = 0 and "sink" = 'mes' and "up" = 1`);
  cut = await whileCut(status);
  await pointWith(`time > ${cut.toMs}ms and "lag_readings" < 50 and "sink" = 'influx' and "up" = 1`);
  assert.equal(await edge.end('SIGTERM'), 0, edge.said);
  stoppedMs = Date.now();
  await mes.end('SIGKILL');
});

after(async () => {
  await line?.stop();
  await historian?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function whileCut(status: () => Promise<EdgeStatus>): Promise<typeof cut> {
  const fromMs = Date.now();
  const restore = await line.add({ kind: 'cut' });
  const deep = await waitUntil('a hundred readings for InfluxDB', async () => {
    const now = await status();
    return sinkOf(now, 'influx').lag_readings > 100 && sinkOf(now, 'influx').state === 'failing' ? now : undefined;
  });
  const toMs = Date.now();
  await restore();
  return { fromMs, toMs, status: deep };
}

test('Thermal correlation: every panel shows what was measured, and the variables what there is', async () => {
  const dashboard = readDashboard('thermal-correlation.json');
  const one = measured.get('CMM-001') ?? [];
  const view: View = {
    fromMs: START_MS,
    toMs: START_MS + HOUR_MS,
    intervalMs: INTERVAL_MS,
    variables: { machine: ['CMM-001'], feature: ['length'], sensor: ['CMM-001'] },
  };
  const both = { ...view, variables: { ...view.variables, machine: [OTHER], feature: ['length', 'bore.x'] } };
  const ask = (title: string, of: View = view): Promise<Series[][]> =>
    Promise.all(queriesOf(dashboard, title, of).map(asked));
  const scatter = (value: (one: Measurement) => number): number => deviationOf(one.map(value)) * 1000;
  const slope = (value: (one: Measurement) => number): number => {
    const xs = one.map((each) => each.temperature_c ?? Number.NaN);
    const ys = one.map(value);
    const [x, y] = [meanOf(xs), meanOf(ys)];
    const products = xs.map((each, index) => (each - x) * ((ys[index] ?? Number.NaN) - y));
    return (meanOf(products) / meanOf(xs.map((each) => (each - x) ** 2))) * 1000;
  };
  const compare = async (title: string, columns: readonly Column[]): Promise<void> => {
    const [[series]] = (await ask(title)) as [[Series]];
    assertBuckets(series, one, columns, title);
  };
  const checks: { readonly [title: string]: (title: string) => Promise<void> } = {
    'Scatter as measured': async (title) => {
      const value = single(await ask(title), 'scatter', 'length');
      assertNear(value, scatter(raw), 1e-6, title);
      assert.ok(value > 8, `the raw scatter is ${value} µm`);
      assert.deepEqual(tagsOf((await ask(title, both))[0], 'characteristic'), ['bore.x', 'length']);
    },
    'Scatter at 20 °C': async (title) => {
      const value = single(await ask(title), 'scatter', 'length');
      assertNear(value, scatter(corrected), 1e-6, title);
      assert.ok(Math.abs(value - 1) < 0.1, `what is left is the noise of 1 µm, and not ${value} µm`);
    },
    'Expansion as measured': async (title) => {
      const value = single(await ask(title), 'slope', 'length');
      assertNear(value, slope(raw), 1e-5, title);
      assertNear(value, 2.36, 0.05, '100 mm of aluminium');
    },
    'Expansion left at 20 °C': async (title) => {
      const value = single(await ask(title), 'slope', 'length');
      assertNear(value, slope(corrected), 1e-5, title);
      assertNear(value, 0, 0.05, title);
    },
    'Part temperature': async (title) =>
      assert.equal(single(await ask(title), 'temperature'), one.at(-1)?.temperature_c),
    'Length and temperature': async (title) => {
      const [lengths, temperatures] = (await ask(title)) as [[Series], [Series]];
      const columns: Column[] = [
        ['as measured', raw],
        ['at 20 °C', corrected],
      ];
      assertBuckets(lengths[0], one, columns, title);
      assertBuckets(temperatures[0], one, [['part temperature', temperature]], title);
    },
    'Deviation over temperature': async (title) => {
      const [[series]] = (await ask(title)) as [[Series]];
      assert.equal(series.values.length, one.length);
      const rows = rowsOf(series).toReversed();
      for (const [index, each] of one.entries()) {
        assert.equal(rows[index]?.['temperature'], each.temperature_c);
        assertNear(rows[index]?.['as measured'], (raw(each) - 100) * 1000, 1e-6, title);
        assertNear(rows[index]?.['at 20 °C'], (corrected(each) - 100) * 1000, 1e-6, title);
      }
    },
    Temperatures: async (title) => {
      const [parts, sensors] = (await ask(title)) as [[Series], [Series]];
      const columns: Column[] = [
        ['part', temperature],
        ['scale', (each) => each.scale_temperature_c],
      ];
      assertBuckets(parts[0], one, columns, title);
      assert.deepEqual(tagsOf(sensors, 'machine_id'), ['CMM-001']);
      assertBuckets(sensors[0], one, [['temperature', temperature]], title);
    },
    'Deviation and limits': (title) =>
      compare(title, [
        ['deviation', (each) => (corrected(each) - 100) * 1000],
        ['deviation + U', (each) => (corrected(each) - 100 + expanded(each)) * 1000],
        ['deviation − U', (each) => (corrected(each) - 100 - expanded(each)) * 1000],
        ['upper limit', () => 10],
        ['lower limit', () => -10],
      ]),
    'Correction and uncertainty': (title) =>
      compare(title, [
        ['correction', (each) => (each.correction ?? Number.NaN) * 1000],
        ['U', (each) => expanded(each) * 1000],
      ]),
    Verdicts: async (title) => {
      const found = (await ask(title, both)).map((series) => sumOf(series[0]));
      const all = measured.get(OTHER) ?? [];
      const counts = ['conform', 'indeterminate', 'nonconform'].map(
        (verdict) => all.filter((each) => each.verdict === verdict).length,
      );
      assert.ok(
        counts.every((count) => count > 0),
        counts.join(', '),
      );
      assert.deepEqual(found, counts);
    },
    'Probability of conformance': async (title) => {
      const [[series]] = (await ask(title)) as [[Series]];
      const lowest = Math.min(...rowsOf(series).map((row) => Number(row['probability'])));
      assert.equal(lowest, Math.min(...one.map((each) => each.conformance_probability ?? Number.NaN)));
    },
    'Newest measurements': async (title) => {
      const [[series]] = (await ask(title, both)) as [[Series]];
      const rows = rowsOf(series);
      assert.equal(rows.length, 100);
      const newest = (measured.get(OTHER) ?? []).filter(({ characteristic }) => characteristic === 'bore.x').at(-1)!;
      const row = rows.find((each) => each['Feature'] === 'bore.x');
      assert.deepEqual(row, {
        time: Math.floor(microsOf(newest.timestamp) / 1000),
        Feature: 'bore.x',
        'Serial number': 'SN-000060',
        'As measured': raw(newest),
        'At 20 °C': corrected(newest),
        U: expanded(newest),
        Temperature: newest.temperature_c,
        Verdict: newest.verdict,
        Probability: newest.conformance_probability,
        Distrust: newest.distrust === undefined ? null : JSON.stringify(newest.distrust),
      });
    },
  };
  assertAllPanels(dashboard, Object.keys(checks));
  for (const [title, check] of Object.entries(checks)) await check(title);

  const values = async (name: string, of: View): Promise<unknown[]> =>
    (await asked(variableQuery(dashboard, name, of))).flatMap((series) => rowsOf(series).map(({ value }) => value));
  assert.deepEqual(await values('machine', view), ['CMM-001', OTHER]);
  assert.deepEqual(await values('feature', view), ['length']);
  assert.deepEqual(await values('feature', both), ['bore.x', 'length']);
  assert.deepEqual(await values('sensor', view), ['CMM-001', 'CNC-001']);
});

test('Network buffer: every panel shows the outage of the MES, and that of InfluxDB too', async () => {
  const dashboard = readDashboard('network-buffer.json');
  const machines = [...measured.keys()];
  const view: View = {
    fromMs: startedMs,
    toMs: stoppedMs,
    intervalMs: 1_000,
    variables: { gateway: [GATEWAY], sink: ['influx', 'mes'], machine: machines },
  };
  const ask = (title: string, of: View = view): Promise<Series[][]> =>
    Promise.all(queriesOf(dashboard, title, of).map(asked));
  const ofSink = (answer: readonly Series[] | undefined, sink: string): Series =>
    answer?.find(({ tags }) => tags?.['sink'] === sink && tags['gateway_id'] === GATEWAY) ?? assert.fail(sink);
  const course = (series: Series | undefined, column: string): number[] =>
    rowsOf(series).flatMap((row) => (typeof row[column] === 'number' ? [row[column]] : []));
  const waited = sinkOf(down, 'mes').lag_readings;
  assert.ok(waited > 1_500, `${waited} readings`);
  /** Highest of the course, in what was told between the two moments; the machine tool went on meanwhile. */
  const assertPeak = (values: readonly number[], least: number, most: number, what: string): void => {
    const peak = Math.max(...values);
    assert.ok(peak >= least && peak <= most, `${what}: ${peak}, wanted ${least} to ${most}`);
  };
  const checks: { readonly [title: string]: (title: string) => Promise<void> } = {
    'Readings waiting now': async (title) => {
      const [answer] = await ask(title);
      assert.deepEqual(tagsOf(answer, 'sink'), ['influx', 'mes']);
      assert.ok(Number(course(ofSink(answer, 'mes'), 'waiting')[0]) < 100);
    },
    'Oldest waiting now': async (title) => {
      const [age] = course(ofSink((await ask(title))[0], 'mes'), 'age');
      assert.ok(age !== undefined && age < 2, `${age} s`);
    },
    Sinks: async (title) => {
      assert.deepEqual(course(ofSink((await ask(title))[0], 'mes'), 'up'), [1]);
      const meanwhile = { ...view, toMs: Math.floor(microsOf(beforeMes.sent_at) / 1000) };
      assert.deepEqual(course(ofSink((await ask(title, meanwhile))[0], 'mes'), 'up'), [0]);
    },
    'Lost readings': async (title) => assert.deepEqual(course((await ask(title))[0]?.[0], 'lost'), [0]),
    'Readings waiting for each sink': async (title) => {
      const [answer] = await ask(title);
      const depths = course(ofSink(answer, 'mes'), 'waiting');
      assertPeak(depths, waited, sinkOf(beforeMes, 'mes').lag_readings + 200, title);
      assert.ok(Number(depths.at(-1)) < 100, `${depths.at(-1)} at the end`);
      assert.ok(Number(course(ofSink(answer, 'influx'), 'waiting').at(-1)) < 100);
      // Its own outage is there as well: what the edge remembered was written afterwards.
      const [during] = await ask(title, { ...view, fromMs: cut.fromMs, toMs: cut.toMs });
      const own = course(ofSink(during, 'influx'), 'waiting');
      assert.ok(own.length >= 3, `${own.length} moments`);
      // Told every two seconds, so the last word of the outage may be that much older.
      assertPeak(own, sinkOf(cut.status, 'influx').lag_readings / 2, 5_000, title);
      const [only] = await ask(title, { ...view, variables: { ...view.variables, sink: ['influx'] } });
      assert.deepEqual(tagsOf(only, 'sink'), ['influx']);
    },
    'Oldest waiting': async (title) => {
      const ages = course(ofSink((await ask(title))[0], 'mes'), 'age');
      const told = sinkOf(down, 'mes').oldest_unsent_age_seconds ?? Number.NaN;
      assertPeak(ages, told, (stoppedMs - startedMs) / 1000, title);
      assert.ok(Number(ages.at(-1)) < 2);
    },
    'Read and delivered': async (title) => {
      const [read, delivered] = await ask(title);
      assert.deepEqual(tagsOf(read, 'gateway_id'), [GATEWAY]);
      assertPeak(course(read?.[0], 'read'), 10, waited, title);
      const taken = course(ofSink(delivered, 'mes'), 'delivered');
      // While the MES is away: a few readings of the start that it has no need of, before the first measurement came.
      assert.ok(Number(taken[0]) < 2, taken.join(', '));
      assertPeak(taken, 20, 10 * waited, title);
    },
    'Log on the disk': async (title) => {
      const [[series]] = (await ask(title)) as [[Series]];
      assertPeak(course(series, 'log'), down.log.bytes, down.log.bytes_max, title);
      assert.deepEqual([...new Set(course(series, 'allowed'))], [down.log.bytes_max]);
      assert.ok(course(series, 'possible').every((bytes) => bytes > 0));
    },
    'Measurements, and what waited when they were sent': async (title) => {
      const past = { ...view, fromMs: START_MS, toMs: START_MS + HOUR_MS, intervalMs: INTERVAL_MS };
      const [counts, waiting] = await ask(title, past);
      assert.deepEqual(tagsOf(counts, 'machine_id'), machines.toSorted());
      const byMachine = new Map((counts ?? []).map((series) => [series.tags?.['machine_id'], sumOf(series)]));
      for (const [machine, list] of measured) assert.equal(byMachine.get(machine), list.length);
      const depths = (waiting ?? []).flatMap((series) => course(series, 'waiting'));
      assertPeak(depths, 1, sinkOf(beforeMes, 'mes').lag_readings, title);
    },
    'Retries and dead letters': async (title) => {
      const series = ofSink((await ask(title))[0], 'mes');
      const retries = course(series, 'retries');
      assertPeak(retries, sinkOf(down, 'mes').retries, sinkOf(drained, 'mes').retries, title);
      assert.ok(sinkOf(down, 'mes').retries > 0 && retries.at(-1) === sinkOf(drained, 'mes').retries);
      assert.equal(Math.max(...course(series, 'dead letters')), 0);
    },
    'Thinned and dropped': async (title) => {
      const [[series]] = (await ask(title)) as [[Series]];
      assert.ok(course(series, 'thinned').length > 2);
      assert.deepEqual([...new Set([...course(series, 'thinned'), ...course(series, 'dropped')])], [0]);
    },
    'Sampling factor': async (title) => {
      const factors = course((await ask(title))[0]?.[0], 'factor');
      assert.ok(factors.length > 2 && factors.every((factor) => factor >= 1), factors.join(' '));
    },
    'Sinks in numbers': async (title) => {
      const [answer] = await ask(title);
      assert.deepEqual(tagsOf(answer, 'sink'), ['influx', 'mes']);
      const [row] = rowsOf(ofSink(answer, 'mes'));
      const { Retries, State } = row ?? {};
      assert.deepEqual([State, Retries, row?.['Dead letters']], ['ok', sinkOf(drained, 'mes').retries, 0]);
      // The first point was written before anything was delivered.
      assert.ok(Number(row?.['Batches taken']) >= sinkOf(down, 'influx').cursor - 10, JSON.stringify(row));
    },
    'Newest word': async (title) => {
      const [answer] = await ask(title);
      const [row] = rowsOf(answer?.[0]);
      assert.deepEqual([row?.['Gateway'], row?.['Sources up'], row?.['Sources']], [GATEWAY, 3, 3]);
      assert.ok(['online', 'draining'].includes(String(row?.['State'])), String(row?.['State']));
      assert.ok(Number(row?.['time']) > microsOf(beforeMes.sent_at) / 1000);
    },
  };
  assertAllPanels(dashboard, Object.keys(checks));
  for (const [title, check] of Object.entries(checks)) await check(title);

  const values = async (name: string): Promise<unknown[]> =>
    (await asked(variableQuery(dashboard, name, view))).flatMap((series) => rowsOf(series).map(({ value }) => value));
  assert.deepEqual(await values('gateway'), [GATEWAY]);
  assert.deepEqual(await values('sink'), ['influx', 'mes']);
  assert.deepEqual(await values('machine'), machines.toSorted());
});

type Column = readonly [name: string, value: (measurement: Measurement) => number | undefined];

function raw({ measured_value }: Measurement): number {
  return measured_value;
}

function corrected({ compensated_value }: Measurement): number {
  return compensated_value ?? Number.NaN;
}

function expanded({ expanded_uncertainty }: Measurement): number {
  return expanded_uncertainty ?? Number.NaN;
}

function temperature({ temperature_c }: Measurement): number {
  return temperature_c ?? Number.NaN;
}

function sinkOf(status: EdgeStatus, name: string): SinkStatus {
  return status.sinks.find((sink) => sink.name === name) ?? assert.fail(`no sink ${name}`);
}

/** An hour of the machine, or less, at once: its clock jumps to the end of each sleep. */
async function makeFiles(into: string, count: number, options: Omit<CmmOptions, 'seed'>): Promise<void> {
  await mkdir(into);
  let elapsedMs = 0;
  const clock: Clock = {
    nowMicros: () => (START_MS + elapsedMs) * 1000,
    monotonicMs: () => elapsedMs,
    sleep: async (ms) => {
      elapsedMs += ms;
    },
  };
  const parts = { folder: into, files: nodeFiles, clock, log: silentLogger };
  const run = { intervalMs: 5_000, count, keep: null, faults: false };
  await runCmm({ ...options, ...parts, ...run, seed: 11 }, new AbortController().signal);
}

interface EdgeYaml {
  readonly sensors: readonly { readonly name: string; readonly csv?: object }[];
  readonly processors: readonly object[];
  readonly sinks: readonly object[];
  readonly [section: string]: unknown;
}

/** That of deploy/, with folders and addresses of this test, a second measuring machine, and a MES. */
async function edgeConfig(
  { first, other }: { first: string; other: string },
  { mesPort, influxPort }: { mesPort: number; influxPort: number },
): Promise<object> {
  const file = new URL('../../deploy/edge.grafana.yaml', import.meta.url);
  const deployed = parse(await readFile(file, 'utf8')) as EdgeYaml;
  const { nats: _nats, ...sections } = deployed;
  const sensors = deployed.sensors.map((sensor) => (sensor.name === 'cmm' ? { ...sensor, folder: first } : sensor));
  const value = {
    characteristic: { column: 'Feature' },
    measured_value: { column: 'Observed_Part_Length_mm' },
    serial_number: { column: 'Serial_Number' },
    nominal_value: { column: 'Nominal_mm' },
    lower_limit: { column: 'Lower_Limit_mm' },
    upper_limit: { column: 'Upper_Limit_mm' },
    temperature_c: { column: 'Simulated_Temperature_C' },
  };
  const csv = { time: { column: 'Timestamp' }, measurements: [value] };
  const second = {
    name: 'other',
    type: 'files',
    machine_id: OTHER,
    folder: other,
    format: 'csv',
    compensation: 'none',
    csv,
  };
  return {
    ...sections,
    sensors: [...sensors, second],
    processors: deployed.processors.map((each) => ({ ...each, machines: ['CMM-001', OTHER] })),
    sinks: [
      ...deployed.sinks.map((sink) => ({ ...sink, url: `http://127.0.0.1:${influxPort}` })),
      { type: 'mes', url: `http://127.0.0.1:${mesPort}` },
    ],
    buffering: { folder: path.join(folder, 'log') },
    status: { port: 0 },
  };
}

/** What the edge's processors make of the rows of the files, worked out here from the files themselves. */
async function processed(
  text: string,
  folders: { first: string; other: string },
): Promise<Map<string, readonly Measurement[]>> {
  const { settings } = await readEdgeConfig({ file: 'edge.yaml', text, environment: {} });
  const stages = await Promise.all(settings.processors.map(createStage));
  const found: Reading[] = [];
  const pipeline = new Pipeline(stages, { accept: (reading) => void found.push(reading) });
  for (const [machine_id, from] of [
    ['CMM-001', folders.first],
    [OTHER, folders.other],
  ] as const) {
    for (const name of readdirSync(from).sort()) {
      const [header = [], ...rows] = readFileSync(path.join(from, name), 'utf8')
        .trim()
        .split('\n')
        .map((line) => line.split(','));
      for (const row of rows) {
        const field = (column: string): string | undefined => row[header.indexOf(column)];
        const nominal = Number(field('Nominal_mm') ?? 100);
        pipeline.accept({
          kind: 'measurement',
          machine_id,
          timestamp: field('Timestamp') ?? '',
          characteristic: field('Feature') ?? 'length',
          measured_value: Number(field('Observed_Part_Length_mm')),
          unit: 'mm',
          nominal_value: nominal,
          lower_limit: nominal - 0.01,
          upper_limit: nominal + 0.01,
          temperature_c: Number(field('Simulated_Temperature_C')),
          compensation: 'none',
        });
      }
    }
  }
  return Map.groupBy(found as Measurement[], ({ machine_id }) => machine_id);
}

interface Series {
  readonly name: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly columns: readonly string[];
  readonly values: readonly (readonly unknown[])[];
}

/** Times are in milliseconds, as Grafana asks for them. */
async function asked(query: string): Promise<Series[]> {
  const parameters = new URLSearchParams({ db: 'millwright', epoch: 'ms', q: query });
  const answer = await fetch(`${historian.queryUrl}/query`, { method: 'POST', body: parameters });
  const { results, error } = (await answer.json()) as {
    results?: [{ series?: Series[]; error?: string }];
    error?: string;
  };
  assert.equal(error ?? results?.[0].error, undefined, query);
  return results?.[0].series ?? [];
}

async function pointWith(condition: string): Promise<void> {
  await waitUntil(`a point with ${condition}`, async () => {
    const found = await asked(`SELECT * FROM "millwright_sink" WHERE ${condition}`);
    return found.length > 0 ? true : undefined;
  });
}

function rowsOf(series: Series | undefined): Record<string, unknown>[] {
  return (series?.values ?? []).map((row) =>
    Object.fromEntries(row.map((value, index) => [series?.columns[index], value])),
  );
}

function tagsOf(answer: readonly Series[] | undefined, tag: string): string[] {
  return (answer ?? []).map(({ tags }) => tags?.[tag] ?? '').sort();
}

/** Of an answer with one series and one row. */
function single(answers: readonly (readonly Series[])[], column: string, characteristic?: string): number {
  assert.equal(answers.length, 1);
  assert.equal(answers[0]?.length, 1);
  const [series] = answers[0] ?? [];
  if (characteristic !== undefined) assert.deepEqual(series?.tags, { characteristic });
  const rows = rowsOf(series);
  assert.equal(rows.length, 1);
  return Number(rows[0]?.[column]);
}

function sumOf(series: Series | undefined): number {
  return (series?.values ?? []).reduce((sum, row) => sum + Number(row[1]), 0);
}

/** That each bucket has the mean of what was measured in it, and that none is missing. */
function assertBuckets(
  series: Series | undefined,
  measurements: readonly Measurement[],
  columns: readonly Column[],
  what: string,
): void {
  const buckets = Map.groupBy(measurements, ({ timestamp }) => {
    return Math.floor(microsOf(timestamp) / 1000 / INTERVAL_MS) * INTERVAL_MS;
  });
  const rows = rowsOf(series);
  assert.deepEqual(
    rows.map(({ time }) => time),
    [...buckets.keys()],
    what,
  );
  for (const row of rows) {
    for (const [name, value] of columns) {
      const wanted = meanOf((buckets.get(Number(row['time'])) ?? []).map((each) => value(each) ?? Number.NaN));
      assertNear(row[name], wanted, 1e-6, `${what}: ${name}`);
    }
  }
}

function assertNear(found: unknown, wanted: number, tolerance: number, what: string): void {
  assert.ok(
    typeof found === 'number' && Math.abs(found - wanted) <= tolerance,
    `${what}: ${String(found)}, wanted ${wanted} ± ${tolerance}`,
  );
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Of a sample. */
function deviationOf(values: readonly number[]): number {
  const mean = meanOf(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}

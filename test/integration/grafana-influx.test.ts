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
import type { EdgeStatus } from '../../src/model/status.ts';
import { CMM_DEFAULTS, type CmmOptions, runCmm } from '../../src/sim/cmm.ts';
import { type Historian, startInfluxdb } from '../support/historians.ts';
import { type InfluxRun, OTHER, type Series, sinkOf, START_MS } from '../support/influx-answers.ts';
import { assertNetworkBuffer } from '../support/network-buffer.ts';
import { TcpProxy } from '../oracle/tcp-proxy.ts';
import { Command, freePort, makeFolder, waitUntil } from '../support/system.ts';
import { assertThermalCorrelation } from '../support/thermal-correlation.ts';

let folder: string;
let historian: Historian;
/** Between the edge and InfluxDB. */
let line: TcpProxy;
let run: InfluxRun;

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
  const measured = await processed(text, folders);
  const config = path.join(folder, 'edge.yaml');
  await writeFile(config, text);
  const startedMs = Date.now();
  const edge = new Command(['edge', '--config', config], { SINKS_INFLUX_TOKEN: 'not asked for by this InfluxDB' });
  const url = await waitUntil('the edge to run', () => /http:[^\s"]+\/status/.exec(edge.said)?.[0]);
  const status = async (): Promise<EdgeStatus> => (await (await fetch(url)).json()) as EdgeStatus;
  const total = [...measured.values()].reduce((count, list) => count + list.length, 0);
  const down = await waitUntil('all read and in InfluxDB, and the MES known to be down', async () => {
    const now = await status();
    // A row is a measurement, and of the first machine a sample as well.
    const read = now.sources.reduce((count, { readings }) => count + readings, 0);
    const [influx, mes] = [sinkOf(now, 'influx'), sinkOf(now, 'mes')];
    const isAll = read >= total + 720 && influx.lag_readings === 0 && mes.lag_readings >= total + 720;
    return isAll && mes.state === 'failing' ? now : undefined;
  });
  await pointWith(`"lag_readings" >= ${sinkOf(down, 'mes').lag_readings} and "sink" = 'mes'`);
  const beforeMes = await status();
  const mes = new Command(['simulate', 'mes', '--port', String(mesPort)]);
  const drained = await waitUntil('the MES to have all', async () => {
    const now = await status();
    return sinkOf(now, 'mes').lag_readings === 0 ? now : undefined;
  });
  await pointWith(`"lag_readings" = 0 and "sink" = 'mes' and "up" = 1`);
  const cut = await whileCut(status);
  await pointWith(`time > ${cut.toMs}ms and "lag_readings" < 50 and "sink" = 'influx' and "up" = 1`);
  assert.equal(await edge.end('SIGTERM'), 0, edge.said);
  run = { ask: asked, measured, startedMs, stoppedMs: Date.now(), down, beforeMes, drained, cut };
  await mes.end('SIGKILL');
});

after(async () => {
  await line?.stop();
  await historian?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function whileCut(status: () => Promise<EdgeStatus>): Promise<InfluxRun['cut']> {
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

test('Thermal correlation: every panel shows what was measured, and the variables what there is', () =>
  assertThermalCorrelation(run));

test('Network buffer: every panel shows the outage of the MES, and that of InfluxDB too', () =>
  assertNetworkBuffer(run));

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
  const times = { intervalMs: 5_000, count, keep: null, faults: false };
  await runCmm({ ...options, ...parts, ...times, seed: 11 }, new AbortController().signal);
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

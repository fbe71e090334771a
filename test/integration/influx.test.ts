/** The sink `influx` with real historians, asked back value by value; and beside a MES, of which either may be down. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { seededRandom } from '../../src/base/random.ts';
import type { Batch } from '../../src/model/batch.ts';
import { encodeFrame } from '../../src/model/frame.ts';
import type { Measurement } from '../../src/model/reading.ts';
import type { EdgeStatus, SinkStatus } from '../../src/model/status.ts';
import { microsOf } from '../../src/model/time.ts';
import type { MesReport } from '../../src/sim/mes.ts';
import { schema } from '../../src/sinks/influx/config.ts';
import { create } from '../../src/sinks/influx/sink.ts';
import { startInfluxdb, startVictoriaMetrics } from '../support/historians.ts';
import { appendToLog, measurementOf } from '../support/measurements.ts';
import { Command, freePort, makeFolder, waitUntil } from '../support/system.ts';

const MACHINES = 3;
const MEASUREMENTS = 500;
const measurements: readonly Measurement[] = Array.from({ length: MEASUREMENTS }, (_, number) =>
  measurementOf(number, MACHINES),
);

interface Edge {
  readonly command: Command;
  readonly sink: (name: string) => Promise<SinkStatus>;
}

/** An edge with these sinks, on a log that has the measurements. */
async function startEdge(
  context: TestContext,
  sinks: readonly { readonly type: string; readonly url: string }[],
): Promise<Edge> {
  const folder = await makeFolder();
  const log = path.join(folder, 'log');
  const common = { folder: log, gatewayId: 'EDGE-I', random: seededRandom(1), batchMax: 20 };
  await appendToLog(measurements, { ...common, sinks: sinks.map(({ type }) => type) });
  const port = await freePort();
  const file = path.join(folder, 'edge.yaml');
  const sensors = [{ name: 'CNC-1', type: 'simulator', seed: 1 }];
  const config = { agent: { machine_id: 'CNC-1', gateway_id: 'EDGE-I' }, sensors, sinks, buffering: { folder: log } };
  await writeFile(file, stringify({ ...config, status: { port } }));
  const command = new Command(['edge', '--config', file]);
  context.after(async () => {
    await command.end('SIGKILL');
    await rm(folder, { recursive: true });
  });
  const sink = async (name: string): Promise<SinkStatus> => {
    if (!command.running) throw new Error(command.said);
    const status = (await (await fetch(`http://127.0.0.1:${port}/status`)).json()) as EdgeStatus;
    return status.sinks.find((one) => one.name === name)!;
  };
  return { command, sink };
}

interface Series {
  readonly metric: { readonly __name__: string; readonly machine_id: string };
  readonly values: readonly number[];
  readonly timestamps: readonly number[];
}

/** Everything of a name, as `machine value milliseconds`, sorted. */
async function exported(url: string, name: string): Promise<string[]> {
  await fetch(`${url}/internal/force_flush`);
  const text = await (await fetch(`${url}/api/v1/export?match[]=${name}`)).text();
  const series = text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Series]));
  return series
    .flatMap(({ metric, values, timestamps }) =>
      values.map((value, index) => `${metric.machine_id} ${value} ${timestamps[index]}`),
    )
    .toSorted();
}

function expected(value: (measurement: Measurement) => number | undefined): string[] {
  return measurements
    .map((one) => `${one.machine_id} ${value(one)} ${Math.floor(microsOf(one.timestamp) / 1000)}`)
    .toSorted();
}

test('VictoriaMetrics has every value of the log at its time, by the example of the page', async (context) => {
  const historian = await startVictoriaMetrics();
  context.after(() => historian.stop());
  const page = readFileSync(new URL('../../docs/sinks/influx.md', import.meta.url), 'utf8');
  const example = parse(/```yaml\n(.*?)```/s.exec(page)?.[1] ?? '') as { sinks: { type: string; url: string }[] };
  const { command, sink } = await startEdge(context, [{ ...example.sinks[0]!, url: historian.url }]);
  await waitUntil('the log to be delivered', async () => {
    const { lag_readings, cursor } = await sink('influx');
    return lag_readings < 100 && cursor > 60 ? true : undefined;
  });
  // How the edge fares has the names of its metrics.
  for (const name of ['millwright_sink_lag_readings', 'millwright_log_bytes', 'millwright_edge_memory_bytes']) {
    await waitUntil(name, async () => (await exported(historian.url, name)).length > 0 || undefined);
  }
  assert.equal(await command.end('SIGTERM'), 0, command.said);
  const lengths = expected(({ measured_value }) => measured_value);
  await waitUntil('all lengths', async () =>
    (await exported(historian.url, 'cmm_metrology_measured_length_mm')).length >= lengths.length ? true : undefined,
  );
  assert.deepEqual(await exported(historian.url, 'cmm_metrology_measured_length_mm'), lengths);
  assert.deepEqual(
    await exported(historian.url, 'cmm_metrology_temperature_c'),
    expected(({ temperature_c }) => temperature_c),
  );
  assert.equal((await exported(historian.url, 'cmm_metrology_buffer_queue_size')).length, MEASUREMENTS);
  const speeds = await exported(historian.url, 'cnc_spindle_speed');
  assert.ok(speeds.length > 0 && speeds.every((line) => line.startsWith('CNC-1 ')), 'samples come too');
});

interface Answer {
  readonly results: readonly {
    readonly series?: readonly {
      readonly columns: readonly string[];
      readonly values: readonly (readonly unknown[])[];
    }[];
  }[];
}

const STRANGE = ['a b,c=d', 'back\\slash', 'two\\\\n', 'C:\\ =\\\\,\\"x\\', '"quoted"', 'Prüfraum ½', '#1', "it's"];

test('InfluxDB reads names, texts and microseconds as they were, and refuses just the line with another type', async (context) => {
  const historian = await startInfluxdb('shop');
  context.after(() => historian.stop());
  const sink = create(schema.parse({ url: historian.url, bucket: 'shop' }), {
    gatewayId: 'EDGE-I',
    clock: systemClock,
    random: Math.random,
    log: silentLogger,
    backlogReadings: () => 3,
  });
  context.after(() => sink.close());
  const readings: object[] = STRANGE.map((name, index) => ({
    machine_id: name,
    timestamp: `2026-01-01T08:00:00.00000${index}Z`,
    note: `${name} \\" ,= \\`,
    [name]: index + 0.1,
  }));
  readings.push({ ...readings[0], timestamp: '2026-01-01T08:00:01Z', note: 12 });
  readings.push(measurementOf(1, MACHINES));
  const payload = Buffer.concat(readings.map((reading) => encodeFrame(reading)));
  const batch: Batch = { gatewayId: 'EDGE-I', epoch: 'e', sequence: 4, readings: readings.length, payload };
  const { refused } = await sink.deliver([batch], new AbortController().signal);
  assert.deepEqual(
    refused.map(({ sequence, index }) => [sequence, index]),
    [[4, STRANGE.length]],
  );
  assert.match(refused[0]?.reason ?? '', /^HTTP 400: .*field type conflict/);
  const rows = async (query: string): Promise<Record<string, unknown>[]> => {
    const url = `${historian.queryUrl}/query?db=shop&epoch=u&q=${encodeURIComponent(query)}`;
    const [series] = ((await (await fetch(url)).json()) as Answer).results[0]?.series ?? [];
    return (series?.values ?? []).map((values) =>
      Object.fromEntries(values.flatMap((value, index) => (value === null ? [] : [[series?.columns[index], value]]))),
    );
  };
  assert.deepEqual(
    await rows('select * from cnc'),
    STRANGE.map((name, index) => {
      const there = name === 'C:\\ =\\\\,\\"x\\' ? 'C:/ =//,/"x/' : name;
      const time = 1_767_254_400_000_000 + index;
      return { time, machine_id: there, note: `${name} \\" ,= \\`, [there]: index + 0.1 };
    }),
  );
  const { machine_id, measured_value, temperature_c, serial_number, timestamp } = measurementOf(1, MACHINES);
  assert.deepEqual(await rows('select * from cmm_metrology'), [
    {
      time: microsOf(timestamp),
      machine_id,
      characteristic: 'length',
      measured_length_mm: measured_value,
      nominal_length_mm: 100,
      temperature_c,
      serial_number,
      buffer_queue_size: 3,
    },
  ]);
});

test('a historian that is down does not hold up the MES, nor a MES the historian', async (context) => {
  const [mesPort, historianPort] = [await freePort(), await freePort()];
  const mesUrl = `http://127.0.0.1:${mesPort}`;
  const startMes = async (): Promise<Command> => {
    const mes = new Command(['simulate', 'mes', '--port', String(mesPort)]);
    context.after(() => mes.end('SIGKILL'));
    await waitUntil('the MES to serve', async () => ((await fetch(`${mesUrl}/received`)).ok ? true : undefined));
    return mes;
  };
  const received = async (): Promise<number> =>
    ((await (await fetch(`${mesUrl}/received?newest=0`)).json()) as MesReport).count;
  const influx = { type: 'influx', url: `http://127.0.0.1:${historianPort}` };
  const sinks = [{ type: 'mes', url: mesUrl }, influx];
  const mes = await startMes();
  const first = await startEdge(context, sinks);
  await waitUntil('all at the MES', async () => ((await received()) === MEASUREMENTS ? true : undefined));
  const { state, cursor } = await first.sink('influx');
  assert.deepEqual([state, cursor], ['failing', 0]);
  await first.command.end('SIGKILL');

  await mes.end('SIGKILL');
  const historian = await startVictoriaMetrics(historianPort);
  context.after(() => historian.stop());
  const second = await startEdge(context, sinks);
  await waitUntil('all at the historian', async () => {
    const { length } = await exported(historian.url, 'cmm_metrology_measured_length_mm');
    return length === MEASUREMENTS ? true : undefined;
  });
  assert.equal((await second.sink('mes')).cursor, 0);
  // And when it is back, it gets all.
  await startMes();
  await waitUntil('all at the MES', async () => ((await received()) === MEASUREMENTS ? true : undefined));
});

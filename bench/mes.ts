/**
 * `npm run bench -- mes`: how fast a real edge delivers 10,000 measurements that have waited in its log to a MES that
 * answers at once (`millwright simulate mes`, in a process of its own); and how long a measurement takes from being handed
 * to the log until the MES has it, while the historian beside it is down.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { now, systemClock } from '../src/base/clock.ts';
import { silentLogger } from '../src/base/logger.ts';
import { seededRandom } from '../src/base/random.ts';
import { Delivery } from '../src/edge/delivery.ts';
import { encodeFrame } from '../src/model/frame.ts';
import type { EdgeStatus } from '../src/model/status.ts';
import { microsOf } from '../src/model/time.ts';
import type { SinkContext } from '../src/ports/sink.ts';
import type { MesReport } from '../src/sim/mes.ts';
import type { Received } from '../src/sim/mes-memory.ts';
import { schema as influxSchema } from '../src/sinks/influx/config.ts';
import { create as createInflux } from '../src/sinks/influx/sink.ts';
import { schema as mesSchema } from '../src/sinks/mes/config.ts';
import { create as createMes } from '../src/sinks/mes/sink.ts';
import { appendToLog, measurementOf, openLog } from '../test/support/measurements.ts';
import { freePort, makeFolder, waitUntil } from '../test/support/system.ts';

const MEASUREMENTS = 10_000;
const PER_SECOND_MIN = 500;
const CPU_TICKS_PER_SECOND = 100;

const sinkContext: SinkContext = {
  gatewayId: 'EDGE-M',
  clock: systemClock,
  random: Math.random,
  log: silentLogger,
  backlogReadings: () => undefined,
};

const CASES = [
  { name: 'one machine, one measurement a request', machines: 1, keys: {} },
  { name: 'four machines, one measurement a request', machines: 4, keys: {} },
  { name: 'four machines, lists of 50', machines: 4, keys: { list_size: 50 } },
];

const LATENCY = { measurements: 500, everyMs: 20, p99MsMax: 500 } as const;

for (const { name, machines, keys } of CASES) await bench(name, machines, keys);
await benchLatency();

async function bench(name: string, machines: number, keys: object): Promise<void> {
  const folder = await makeFolder();
  const log = path.join(folder, 'log');
  const [mesPort, statusPort] = [await freePort(), await freePort()];
  const mesUrl = `http://127.0.0.1:${mesPort}`;
  const numbers = Array.from({ length: MEASUREMENTS }, (_, number) => measurementOf(number, machines));
  const parts = { folder: log, gatewayId: 'EDGE-M', sinks: ['mes'], random: seededRandom(1), batchMax: 20 };
  await appendToLog(numbers, parts);
  const file = path.join(folder, 'edge.yaml');
  const sinks = [{ type: 'mes', url: mesUrl, ...keys }];
  const config = { agent: { machine_id: 'EDGE-M', log_level: 'warn' }, sinks, buffering: { folder: log } };
  await writeFile(file, stringify({ ...config, status: { port: statusPort } }));
  const mes = millwright('simulate', 'mes', '--port', String(mesPort));
  const count = async (): Promise<number> =>
    ((await (await fetch(`${mesUrl}/received?newest=0`)).json()) as MesReport).count;
  await waitUntil('the MES to serve', async () => ((await count()) === 0 ? true : undefined));
  const edge = millwright('edge', '--config', file);
  await waitUntil('the first one', async () => ((await count()) > 0 ? true : undefined), { pollMs: 2 });
  const startedMs = performance.now();
  await waitUntil('all', async () => ((await count()) === MEASUREMENTS ? true : undefined), { pollMs: 5 });
  const seconds = (performance.now() - startedMs) / 1000;
  const { memory_bytes } = (await (await fetch(`http://127.0.0.1:${statusPort}/status`)).json()) as EdgeStatus;
  const cpu = cpuSeconds(edge.pid ?? 0);
  for (const child of [edge, mes]) {
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
  await rm(folder, { recursive: true });
  const perSecond = MEASUREMENTS / seconds;
  const isMet = perSecond >= PER_SECOND_MIN;
  const figures = `${perSecond.toFixed(0)} measurements/s (at least ${PER_SECOND_MIN}: ${isMet ? 'met' : 'MISSED'})`;
  const edgeUse = `edge ${((cpu * 1e3) / MEASUREMENTS).toFixed(2)} ms CPU each, ${(memory_bytes / 1e6).toFixed(0)} MB`;
  console.log(`${name}: ${figures}; ${edgeUse}`);
  if (!isMet) process.exitCode = 1;
}

/** The log and both deliveries as an edge puts them together, in this process; the MES tells when it got what. */
async function benchLatency(): Promise<void> {
  const folder = await makeFolder();
  const [mesPort, deadPort] = [await freePort(), await freePort()];
  const mesUrl = `http://127.0.0.1:${mesPort}`;
  const mes = millwright('simulate', 'mes', '--port', String(mesPort));
  await waitUntil('the MES to serve', async () => (await fetch(`${mesUrl}/received`)).ok || undefined);
  const sinks = {
    mes: createMes(mesSchema.parse({ url: mesUrl }), sinkContext),
    influx: createInflux(influxSchema.parse({ url: `http://127.0.0.1:${deadPort}` }), sinkContext),
  };
  const log = await openLog({
    folder,
    gatewayId: 'EDGE-M',
    sinks: Object.keys(sinks),
    random: Math.random,
    sync: 'batch',
  });
  const stop = new AbortController();
  const running = Object.entries(sinks).map(([name, sink]) => {
    const parts = { name, type: name, maxRate: null, gatewayId: 'EDGE-M', sink, log, logger: silentLogger };
    const deadLetters = { keep: () => Promise.reject(new Error('nothing is refused here')) };
    return new Delivery({ ...parts, deadLetters, clock: systemClock, random: Math.random }).run(stop.signal);
  });
  for (let number = 0; number < LATENCY.measurements; number += 1) {
    await systemClock.sleep(LATENCY.everyMs);
    const measurement = { ...measurementOf(number, 1), timestamp: now(systemClock) };
    await log.append(encodeFrame(measurement), 1);
  }
  const all = await waitUntil('all', async () => {
    const received = (await (await fetch(`${mesUrl}/received?all=1`)).json()) as Received[];
    return received.length === LATENCY.measurements ? received : undefined;
  });
  const backlog = log.backlog('influx').readings;
  stop.abort();
  await Promise.all(running);
  await log.close();
  mes.kill('SIGTERM');
  await once(mes, 'exit');
  await rm(folder, { recursive: true });
  const latencies = all
    .map(({ received_at, body }) => (microsOf(received_at) - microsOf(String(body['timestamp']))) / 1000)
    .toSorted((a, b) => a - b);
  const at = (part: number): number => latencies[Math.floor(part * (latencies.length - 1))] ?? Number.NaN;
  const isMet = at(0.99) < LATENCY.p99MsMax && backlog === LATENCY.measurements;
  console.log(
    `historian down (${backlog} wait for it): to the MES p50 ${at(0.5).toFixed(1)} ms, p99 ${at(0.99).toFixed(1)} ms ` +
      `(less than ${LATENCY.p99MsMax} ms: ${isMet ? 'met' : 'MISSED'})`,
  );
  if (!isMet) process.exitCode = 1;
}

function millwright(...args: string[]): ChildProcess {
  const cli = new URL('../dist/cli.js', import.meta.url).pathname;
  return spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'inherit', 'inherit'] });
}

/** User and system time, from its start on. */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / CPU_TICKS_PER_SECOND;
}

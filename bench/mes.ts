/**
 * `npm run bench -- mes`: how fast a real edge delivers 10,000 measurements that have waited in its log to a MES that
 * answers at once (`millwright simulate mes`, in a process of its own).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { seededRandom } from '../src/base/random.ts';
import type { EdgeStatus } from '../src/model/status.ts';
import type { MesReport } from '../src/sim/mes.ts';
import { appendToLog, measurementOf } from '../test/support/measurements.ts';
import { freePort, makeFolder, waitUntil } from '../test/support/system.ts';

const MEASUREMENTS = 10_000;
const PER_SECOND_MIN = 500;
const CPU_TICKS_PER_SECOND = 100;

const CASES = [
  { name: 'one machine, one measurement a request', machines: 1, keys: {} },
  { name: 'four machines, one measurement a request', machines: 4, keys: {} },
  { name: 'four machines, lists of 50', machines: 4, keys: { list_size: 50 } },
];

for (const { name, machines, keys } of CASES) await bench(name, machines, keys);

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

/**
 * `npm run bench -- metrology`: how long a result file takes from being closed until the MES has its measurement, and until
 * the historian has it, through a real edge: driver `files`, processor `thermal`, log, sinks `mes` and `influx`. Both are up, or
 * one of them is away: it refuses connections, or it takes requests and never answers. The other must not notice.
 *
 * Edge and MES (`millwright simulate mes`) are processes of their own; the files are written here, and the historian is
 * here too. All of them stamp by the same clock. The settings are those of `npm start`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, writeSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { loadavg } from 'node:os';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { stringify } from 'yaml';
import { now, systemClock } from '../src/base/clock.ts';
import { seededRandom } from '../src/base/random.ts';
import type { EdgeStatus } from '../src/model/status.ts';
import { microsOf } from '../src/model/time.ts';
import { CMM_DEFAULTS, SimulatedCmm } from '../src/sim/cmm.ts';
import type { Received } from '../src/sim/mes-memory.ts';
import { simulatedMetrology } from '../src/up/simulated-shop.ts';
import { freePort, makeFolder, waitUntil } from '../test/support/system.ts';

const FILES = Number(process.argv[2] ?? 400);
/** 5 to 20 files a second, 8 on average. */
const PAUSES_MS = { min: 50, max: 200 } as const;
const P99_MS_MAX = 500;

type Standing = 'up' | 'refuses' | 'hangs';
const SITUATIONS: readonly { readonly mes: Standing; readonly historian: Standing }[] = [
  { mes: 'up', historian: 'up' },
  { mes: 'up', historian: 'refuses' },
  { mes: 'up', historian: 'hangs' },
  { mes: 'refuses', historian: 'up' },
  { mes: 'hangs', historian: 'up' },
];

for (const situation of SITUATIONS) await bench(situation);

async function bench({ mes, historian }: (typeof SITUATIONS)[number]): Promise<void> {
  const folder = await makeFolder();
  const resultsFolder = path.join(folder, 'cmm');
  await mkdir(resultsFolder);
  const [mesPort, historianPort, statusPort] = [await freePort(), await freePort(), await freePort()];
  const historianHas = new Map<number, number>();
  const closing: (() => Promise<void>)[] = [];
  if (mes === 'up') closing.push(await startMes(mesPort));
  if (mes === 'hangs') closing.push(await listen(hanging(), mesPort));
  if (historian === 'up') closing.push(await listen(historianInto(historianHas), historianPort));
  if (historian === 'hangs') closing.push(await listen(hanging(), historianPort));

  const mesUrl = `http://127.0.0.1:${mesPort}`;
  const shop = { hubUrl: 'http://127.0.0.1:9', mesUrl, resultsFolder, logFolder: path.join(folder, 'log') };
  const sinks = [
    { type: 'mes', url: mesUrl },
    { type: 'influx', url: `http://127.0.0.1:${historianPort}` },
  ];
  const file = path.join(folder, 'edge.yaml');
  await writeFile(file, stringify({ ...simulatedMetrology(shop), sinks, status: { port: statusPort } }));
  const edge = millwright('edge', '--config', file);
  const status = async (): Promise<EdgeStatus> =>
    (await (await fetch(`http://127.0.0.1:${statusPort}/status`)).json()) as EdgeStatus;
  await waitUntil('the edge to watch', async () => ((await status()).sources[0]?.state === 'ok' ? true : undefined));

  const load = loadavg()[0] ?? Number.NaN;
  const closed = await writeFiles(resultsFolder);
  const received = async (): Promise<Map<number, number>> => {
    if (mes !== 'up') return new Map();
    const all = (await (await fetch(`${mesUrl}/received?all=1`)).json()) as Received[];
    return new Map(all.map(({ body, received_at }) => [microsOf(String(body['timestamp'])), microsOf(received_at)]));
  };
  const mesHas = await waitUntil('every measurement', async () => {
    const has = await received();
    const isThere = (mes !== 'up' || has.size === FILES) && (historian !== 'up' || historianHas.size === FILES);
    return isThere ? has : undefined;
  });
  const waiting = new Map((await status()).sinks.map(({ name, lag_readings }) => [name, lag_readings]));
  edge.kill('SIGKILL');
  await once(edge, 'exit');
  for (const close of closing) await close();
  await rm(folder, { recursive: true });

  console.log(`MES ${mes}, historian ${historian} (load ${load.toFixed(1)} before):`);
  if (mes === 'up') tell('MES', latencies(closed, mesHas));
  else console.log(`  ${waiting.get('mes')} readings wait for the MES`);
  if (historian === 'up') tell('historian', latencies(closed, historianHas));
  else console.log(`  ${waiting.get('influx')} readings wait for the historian`);
}

function tell(where: string, latenciesMs: readonly number[]): void {
  const at = (part: number): number => latenciesMs[Math.floor(part * (latenciesMs.length - 1))] ?? Number.NaN;
  const isMet = at(0.99) < P99_MS_MAX;
  console.log(
    `  at the ${where}: p50 ${at(0.5).toFixed(0)} ms, p99 ${at(0.99).toFixed(0)} ms, max ${at(1).toFixed(0)} ms of ` +
      `${latenciesMs.length} files (p99 less than ${P99_MS_MAX} ms: ${isMet ? 'met' : 'MISSED'})`,
  );
  if (!isMet) process.exitCode = 1;
}

/** In milliseconds, rising. */
function latencies(closed: ReadonlyMap<number, number>, arrived: ReadonlyMap<number, number>): number[] {
  return [...closed]
    .map(([measured, closedMicros]) => ((arrived.get(measured) ?? Number.NaN) - closedMicros) / 1000)
    .toSorted((a, b) => a - b);
}

/** As the simulated machine does it, in place. @returns when each was closed, by its time of measurement */
async function writeFiles(folder: string): Promise<Map<number, number>> {
  const random = seededRandom(1);
  const cmm = new SimulatedCmm({ ...CMM_DEFAULTS, serialNumbers: true, seed: 1 });
  const closed = new Map<number, number>();
  const startMs = performance.now();
  for (let number = 0; number < FILES; number += 1) {
    await systemClock.sleep(PAUSES_MS.min + random() * (PAUSES_MS.max - PAUSES_MS.min));
    const timestamp = now(systemClock);
    const text = cmm.csv(cmm.measure((performance.now() - startMs) / 1000, timestamp));
    const descriptor = openSync(path.join(folder, `part-${number}.csv`), 'wx');
    writeSync(descriptor, text);
    closeSync(descriptor);
    closed.set(microsOf(timestamp), systemClock.nowMicros());
  }
  return closed;
}

async function startMes(port: number): Promise<() => Promise<void>> {
  const mes = millwright('simulate', 'mes', '--port', String(port));
  await waitUntil('the MES to serve', async () => (await fetch(`http://127.0.0.1:${port}/received`)).ok || undefined);
  return async () => {
    mes.kill('SIGTERM');
    await once(mes, 'exit');
  };
}

/** Takes line protocol, and stamps the arrival of each measurement, by its time. */
function historianInto(has: Map<number, number>): Server {
  return createServer((request, response) => {
    void buffer(request).then((body) => {
      const arrivedMicros = systemClock.nowMicros();
      const text = (request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString();
      for (const line of text.trimEnd().split('\n')) {
        if (!line.includes('measured_length_mm=')) continue;
        const micros = Number(BigInt(line.slice(line.lastIndexOf(' ') + 1)) / 1000n);
        has.set(micros, has.get(micros) ?? arrivedMicros);
      }
      response.writeHead(204).end();
    });
  });
}

/** Takes requests, and never answers. */
function hanging(): Server {
  return createServer((request) => void request.resume());
}

async function listen(server: Server, port: number): Promise<() => Promise<void>> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
}

function millwright(...args: string[]): ChildProcess {
  const cli = new URL('../dist/cli.js', import.meta.url).pathname;
  return spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'inherit', 'ignore'] });
}

/**
 * `node bench/edge.ts [SECONDS] [SENSORS]`: what one edge costs that reads 100 simulated machines at 10 Hz, keeps all of
 * it in its log and delivers it to a hub.
 *
 * The edge is a child process with nothing else in it; its log is in a temporary folder. The hub is a real one with a real
 * PostgreSQL on the same machine, and at the end its rows are compared with what the edge says it has read.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { EDGE_NODE_FLAGS } from '../src/edge/flags.ts';
import type { EdgeSettings } from '../src/edge/settings.ts';
import { readAll } from '../src/log/inspect.ts';
import { nodeFiles } from '../src/base/node-files.ts';
import { freePort, startSystem, type System } from '../test/support/system.ts';

const MEMORY_MB_MAX = 70;
const CPU_PERCENT_MAX = 15;
const WARM_UP_SECONDS = 5;
const TICKS_PER_SECOND = 100;

const seconds = Number(process.argv[2] ?? 60);
const sensors = Number(process.argv[3] ?? 100);

const folder = mkdtempSync(join(tmpdir(), 'millwright-bench-'));
try {
  await bench();
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function bench(): Promise<void> {
  const system = await startSystem();
  const statusPort = await freePort();
  const settingsFile = join(folder, 'resolved.json');
  writeFileSync(settingsFile, JSON.stringify(settingsFor(system.url, statusPort)));
  const built = new URL('../dist/edge/main.js', import.meta.url);
  const main = existsSync(built) ? built : new URL('../src/edge/main.ts', import.meta.url);
  if (main !== built) print('dist/ is not there: the sources run as they are, which costs memory for stripping types');
  const floorMb = await bareNodeMb();
  const edge = spawn(process.execPath, [...EDGE_NODE_FLAGS, main.pathname, settingsFile], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const exited = new Promise<number | null>((resolve) => edge.on('exit', resolve));
  const pid = edge.pid ?? 0;
  await sleep(WARM_UP_SECONDS * 1000);
  const rssMb: number[] = [];
  const cpuBefore = cpuSeconds(pid);
  const startedMs = performance.now();
  while (performance.now() - startedMs < seconds * 1000) {
    await sleep(500);
    rssMb.push(statusKb(pid, 'VmRSS') / 1024);
  }
  const cpuPercent = ((cpuSeconds(pid) - cpuBefore) / ((performance.now() - startedMs) / 1000)) * 100;
  const memory = memoryParts(pid);
  const metrics = await getText(statusPort, '/metrics');
  edge.kill('SIGTERM');
  const exitCode = await exited;
  report({ rssMb, cpuPercent, memory, metrics, floorMb });
  await compare(system);
  print(`exit code             ${exitCode}`);
  await system.stop();
}

/** What the log holds and what the database holds are the same readings. */
async function compare(system: System): Promise<void> {
  let appended = 0;
  for await (const batch of readAll(nodeFiles, join(folder, 'log'))) appended += batch.readings;
  const [row] = await system.rows<{ stored: number }>(
    'select ((select count(*) from sensor_data) + (select count(*) from events))::int as stored',
  );
  print(`readings              ${appended} in the log, ${row?.stored} in the database`);
}

interface Measured {
  readonly rssMb: readonly number[];
  readonly cpuPercent: number;
  readonly memory: { readonly fileMb: number; readonly anonymousMb: number };
  readonly metrics: string;
  readonly floorMb: { readonly bare: number; readonly http: number };
}

function report({ rssMb, cpuPercent, memory, metrics, floorMb }: Measured): void {
  const sorted = rssMb.toSorted((a, b) => a - b);
  const peakMb = sorted.at(-1) ?? 0;
  const mb = (bytes: number): string => (bytes / 1024 / 1024).toFixed(1);
  const heap = metric(metrics, 'nodejs_heap_size_total_bytes');
  const heapUsed = metric(metrics, 'nodejs_heap_size_used_bytes');
  const external = metric(metrics, 'nodejs_external_memory_bytes');
  const restMb = memory.anonymousMb - heap / 1024 / 1024;
  print(`load                  ${sensors} sensors at 10 Hz for ${seconds} s`);
  print(`flags                 ${EDGE_NODE_FLAGS.join(' ')}`);
  print(
    `resident memory       median ${(sorted[sorted.length >> 1] ?? 0).toFixed(1)} MB, peak ${peakMb.toFixed(1)} MB`,
  );
  print(`  limit               ${MEMORY_MB_MAX} MB: ${peakMb < MEMORY_MB_MAX ? 'met' : 'EXCEEDED'}`);
  print(`  pages of the binary ${memory.fileMb.toFixed(1)} MB (file-backed, shared between processes)`);
  print(`  JavaScript heap     ${mb(heap)} MB reserved, ${mb(heapUsed)} MB used`);
  print(
    `  rest                ${restMb.toFixed(1)} MB (buffers, code, stacks, allocator; external: ${mb(external)} MB)`,
  );
  print(
    `  bare node           ${floorMb.bare.toFixed(1)} MB; with a node:http server and client ${floorMb.http.toFixed(1)} MB`,
  );
  print(`CPU                   ${cpuPercent.toFixed(1)} % of one core`);
  print(`  limit               ${CPU_PERCENT_MAX} %: ${cpuPercent < CPU_PERCENT_MAX ? 'met' : 'EXCEEDED'}`);
  const quantile = (share: number): string => `${(quantileOf(metrics, share) * 1000).toFixed(0)} ms`;
  print(`emit to durable       p50 ${quantile(0.5)}, p99 ${quantile(0.99)}`);
}

/** That quantile in seconds, as `histogram_quantile` of Prometheus has it: linear within its bucket. */
function quantileOf(metrics: string, share: number): number {
  const lines = metrics.matchAll(/millwright_append_latency_seconds_bucket\{le="([^"]+)"\} (\d+)/g);
  const buckets = [...lines].map(([, bound, count]) => ({ bound: Number(bound), count: Number(count) }));
  const wanted = (buckets.at(-1)?.count ?? 0) * share;
  const index = buckets.findIndex(({ count }) => count >= wanted);
  const below = buckets[index - 1] ?? { bound: 0, count: 0 };
  const bucket = buckets[index];
  if (bucket === undefined || Number.isNaN(bucket.bound)) return below.bound;
  return below.bound + ((bucket.bound - below.bound) * (wanted - below.count)) / (bucket.count - below.count);
}

function metric(metrics: string, name: string): number {
  return Number(new RegExp(`^${name} (.*)$`, 'm').exec(metrics)?.[1]);
}

/** Resident and proportional sizes by their kind, from the kernel. */
function memoryParts(pid: number): Measured['memory'] {
  return { fileMb: statusKb(pid, 'RssFile') / 1024, anonymousMb: statusKb(pid, 'RssAnon') / 1024 };
}

function statusKb(pid: number, key: string): number {
  return Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

/** User and system time of all threads (proc(5), fields 14 and 15 of `stat`). */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** What the same binary takes with nothing to do, and with a server and a client that have each spoken once. */
async function bareNodeMb(): Promise<Measured['floorMb']> {
  const httpUse = `const http = process.getBuiltinModule('node:http');
    const server = http.createServer((request, response) => response.end('x')).listen(0, '127.0.0.1', () =>
      http.get({ port: server.address().port, host: '127.0.0.1' }, (response) => response.resume()));`;
  const measure = async (script: string): Promise<number> => {
    const child = spawn(process.execPath, [...EDGE_NODE_FLAGS, '-e', `${script};setInterval(() => {}, 1000)`]);
    await sleep(1_500);
    const mb = statusKb(child.pid ?? 0, 'VmRSS') / 1024;
    child.kill();
    return mb;
  };
  return { bare: await measure(''), http: await measure(httpUse) };
}

function settingsFor(hubUrl: string, statusPort: number): EdgeSettings {
  return {
    gatewayId: 'bench',
    location: null,
    logLevel: 'warn',
    sensors: Array.from({ length: sensors }, (_, index) => ({
      name: `sim-${index}`,
      type: 'simulator',
      machineId: `CNC-${String(index).padStart(3, '0')}`,
      samplingIntervalMs: 100,
      options: { phaseSeconds: index * 1.2 },
    })),
    sinks: [
      {
        name: 'hub',
        type: 'hub',
        from: 'oldest',
        maxRate: null,
        options: { url: hubUrl, timeoutMs: 30_000, token: null, tlsCaFile: null },
      },
    ],
    // One segment for the whole run: a settled one would be deleted, and could not be compared at the end.
    log: { folder: join(folder, 'log'), segmentBytesMax: 64 * 1024 * 1024, hotBytesMax: 1024 * 1024 },
    batching: { readingsMax: 100, delayMs: 200 },
    status: { host: '127.0.0.1', port: statusPort },
  };
}

async function getText(port: number, path: string): Promise<string> {
  return text(
    await new Promise<http.IncomingMessage>((resolve, reject) => {
      http.get({ host: '127.0.0.1', port, path }, resolve).on('error', reject);
    }),
  );
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

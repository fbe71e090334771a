/**
 * `node bench/edge.ts [SECONDS] [SENSORS] [hub|nats]`: what one edge costs that reads 100 simulated machines at 10 Hz,
 * keeps all of it in its log and delivers it to a hub, over HTTP or over NATS JetStream.
 *
 * The edge is a child process with nothing else in it; its log is in a temporary folder. The hub is a real one with a real
 * PostgreSQL, and where it is asked for a real nats-server, on the same machine; at the end its rows are compared with what
 * the edge says it has read.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { EDGE_NODE_FLAGS } from '../src/edge/flags.ts';
import type { EdgeSettings } from '../src/edge/settings.ts';
import { readAll } from '../src/log/inspect.ts';
import { nodeFiles } from '../src/base/node-files.ts';
import { schema as natsSinkSchema } from '../src/sinks/nats/config.ts';
import { startNats } from '../test/support/nats-server.ts';
import { freePort, startSystem } from '../test/support/system.ts';
import { cpuSeconds, statusKb } from './process.support.ts';

/** Of the peak, by the type of the sink. */
const MEMORY_MB_MAX: { readonly [type: string]: number } = { hub: 60, nats: 70 };
const CPU_PERCENT_MAX = 10;
const WARM_UP_SECONDS = 5;

const seconds = Number(process.argv[2] ?? 60);
const sensors = Number(process.argv[3] ?? 100);
const sinkType = process.argv[4] ?? 'hub';

const folder = mkdtempSync(join(tmpdir(), 'millwright-bench-'));
try {
  await bench();
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function bench(): Promise<void> {
  const target = await startTarget();
  const statusPort = await freePort();
  const settingsFile = join(folder, 'resolved.json');
  writeFileSync(settingsFile, JSON.stringify(settingsFor(target.options, statusPort)));
  const built = new URL('../dist/edge/main.js', import.meta.url);
  const main = existsSync(built) ? built : new URL('../src/edge/main.ts', import.meta.url);
  if (main !== built) print('dist/ is not there: the sources run as they are, which costs memory for stripping types');
  const floor = await measureFloor();
  const edge = spawn(process.execPath, [...EDGE_NODE_FLAGS, main.pathname, settingsFile], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const exited = new Promise<number | null>((resolve) => edge.on('exit', resolve));
  const pid = edge.pid ?? 0;
  await sleep(WARM_UP_SECONDS * 1000);
  const warmUpPeakMb = statusKb(pid, 'VmHWM') / 1024;
  // From here on the kernel keeps the peak anew (proc(5), clear_refs), so that none is missed between two looks.
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
  const rssMb: number[] = [];
  const cpuBefore = cpuSeconds(pid);
  const startedMs = performance.now();
  while (performance.now() - startedMs < seconds * 1000) {
    await sleep(500);
    rssMb.push(statusKb(pid, 'VmRSS') / 1024);
  }
  const cpuPercent = ((cpuSeconds(pid) - cpuBefore) / ((performance.now() - startedMs) / 1000)) * 100;
  const peakMb = statusKb(pid, 'VmHWM') / 1024;
  const metrics = await getText(statusPort, '/metrics');
  const edgeParts = memoryParts(pid, {
    heapTotal: metric(metrics, 'nodejs_heap_size_total_bytes'),
    external: metric(metrics, 'nodejs_external_memory_bytes'),
  });
  edge.kill('SIGTERM');
  const exitCode = await exited;
  report({ rssMb, peakMb, warmUpPeakMb, cpuPercent, metrics, steps: [...floor, { name: 'the edge', ...edgeParts }] });
  let appended = 0;
  for await (const batch of readAll(nodeFiles, join(folder, 'log'))) appended += batch.readings;
  print(`readings              ${appended} in the log, ${await target.stored()} in the database`);
  print(`exit code             ${exitCode}`);
  await target.stop();
}

/** Where the edge delivers to. */
interface Target {
  /** Of the sink. */
  readonly options: unknown;
  /** How many readings have arrived in the database. */
  stored(): Promise<number>;
  stop(): Promise<void>;
}

async function startTarget(): Promise<Target> {
  const nats = sinkType === 'nats' ? await startNats() : undefined;
  const system = await startSystem(nats === undefined ? {} : { hub: { nats: { url: nats.url } } });
  return {
    options:
      nats === undefined
        ? { url: system.url, timeoutMs: 30_000, token: null, tlsCaFile: null }
        : natsSinkSchema.parse({ url: nats.edgeUrl }),
    stored: async () => {
      const [row] = await system.rows<{ stored: number }>(
        'select ((select count(*) from sensor_data) + (select count(*) from events))::int as stored',
      );
      return row?.stored ?? 0;
    },
    stop: async () => {
      await system.stop();
      await nats?.stop();
    },
  };
}

/** Resident memory by its kind. */
interface MemoryParts {
  readonly residentMb: number;
  /** File-backed: of the Node binary and the C libraries, shared between processes. */
  readonly binaryMb: number;
  /** As V8 has reserved it. */
  readonly heapMb: number;
  /** Held by JavaScript objects outside the heap: buffers, but also the text of Node's own modules, which is no memory. */
  readonly externalMb: number;
}

interface Step extends MemoryParts {
  readonly name: string;
}

interface Measured {
  readonly rssMb: readonly number[];
  readonly peakMb: number;
  readonly warmUpPeakMb: number;
  readonly cpuPercent: number;
  readonly metrics: string;
  /** From bare Node to the edge, each with what the one before it has. */
  readonly steps: readonly Step[];
}

function report({ rssMb, peakMb, warmUpPeakMb, cpuPercent, metrics, steps }: Measured): void {
  const medianMb = rssMb.toSorted((a, b) => a - b)[rssMb.length >> 1] ?? 0;
  const memoryMbMax = MEMORY_MB_MAX[sinkType] ?? 0;
  print(`load                  ${sensors} sensors at 10 Hz for ${seconds} s, sink ${sinkType}`);
  print(`flags                 ${EDGE_NODE_FLAGS.join(' ')}`);
  print(`resident memory       median ${medianMb.toFixed(1)} MB, peak ${peakMb.toFixed(1)} MB`);
  print(`  limit of the peak   ${memoryMbMax} MB: ${peakMb < memoryMbMax ? 'met' : 'EXCEEDED'}`);
  print(`  before, at start    peak ${warmUpPeakMb.toFixed(1)} MB`);
  printSteps(steps);
  print(`JavaScript heap       ${(metric(metrics, 'nodejs_heap_size_used_bytes') / 1024 / 1024).toFixed(1)} MB used`);
  print(`CPU                   ${cpuPercent.toFixed(1)} % of one core`);
  print(`  limit               ${CPU_PERCENT_MAX} %: ${cpuPercent < CPU_PERCENT_MAX ? 'met' : 'EXCEEDED'}`);
  const quantile = (share: number): string => `${(quantileOf(metrics, share) * 1000).toFixed(0)} ms`;
  print(`emit to durable       p50 ${quantile(0.5)}, p99 ${quantile(0.99)}`);
}

/** What each step takes in all, in MB, and of which kind it is. */
function printSteps(steps: readonly Step[]): void {
  const row = (name: string, cells: readonly (string | number)[]): void => {
    const texts = cells.map((cell) => (typeof cell === 'number' ? cell.toFixed(1) : cell).padStart(9));
    print(`  ${name.padEnd(32)}${texts.join('')}`);
  };
  const [bare] = steps;
  row('what the rest is, in MB', ['resident', 'binary', 'JS heap', 'buffers', 'rest']);
  for (const { name, residentMb, binaryMb, heapMb, externalMb } of steps) {
    const buffersMb = externalMb - (bare?.externalMb ?? 0);
    row(name, [residentMb, binaryMb, heapMb, buffersMb, residentMb - binaryMb - heapMb - buffersMb]);
  }
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

function memoryParts(pid: number, { heapTotal, external }: { heapTotal: number; external: number }): MemoryParts {
  return {
    residentMb: statusKb(pid, 'VmRSS') / 1024,
    binaryMb: statusKb(pid, 'RssFile') / 1024,
    heapMb: heapTotal / 1024 / 1024,
    externalMb: external / 1024 / 1024,
  };
}

/** What the same binary takes with nothing to do, and with the parts of Node that the edge cannot do without. */
async function measureFloor(): Promise<Step[]> {
  const http = `const http = process.getBuiltinModule('node:http');
    const server = http.createServer((request, response) => response.end('x')).listen(0, '127.0.0.1', () =>
      http.get({ port: server.address().port, host: '127.0.0.1' }, (response) => response.resume()));`;
  const zlib = `process.getBuiltinModule('node:zlib');`;
  return [
    await measureScript('bare Node', ''),
    await measureScript('+ an HTTP server and client', http),
    await measureScript('+ node:zlib', http + zlib),
  ];
}

/** The script's process an instant after its start; only then does it tell what takes memory to tell. */
async function measureScript(name: string, script: string): Promise<Step> {
  const tell = `process.on('SIGUSR2', () => {
    require('node:fs').writeSync(1, JSON.stringify(process.memoryUsage()));
    process.exit();
  });setInterval(() => {}, 1000)`;
  const child = spawn(process.execPath, [...EDGE_NODE_FLAGS, '-e', `${script};${tell}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await sleep(1_500);
  const pid = child.pid ?? 0;
  const before = memoryParts(pid, { heapTotal: 0, external: 0 });
  child.kill('SIGUSR2');
  const { heapTotal, external }: NodeJS.MemoryUsage = JSON.parse(await text(child.stdout));
  return { name, ...before, heapMb: heapTotal / 1024 / 1024, externalMb: external / 1024 / 1024 };
}

function settingsFor(sinkOptions: unknown, statusPort: number): EdgeSettings {
  return {
    gatewayId: 'bench',
    location: null,
    logLevel: 'warn',
    sensors: Array.from({ length: sensors }, (_, index) => ({
      name: `sim-${index}`,
      type: 'simulator',
      machineId: `CNC-${String(index).padStart(3, '0')}`,
      samplingIntervalMs: 100,
      priority: 1,
      options: { phaseSeconds: index * 1.2 },
    })),
    processors: [],
    sinks: [{ name: sinkType, type: sinkType, from: 'oldest', maxRate: null, options: sinkOptions }],
    // One segment for the whole run: a settled one would be deleted, and could not be compared at the end.
    log: {
      folder: join(folder, 'log'),
      segmentBytesMax: 64 * 1024 * 1024,
      hotBytesMax: 1024 * 1024,
      sync: { kind: 'batch', intervalMs: 1000 },
      limits: {
        warmBytesMax: 128 * 1024 * 1024,
        bytesMax: 1024 * 1024 * 1024,
        ageMsMax: null,
        reserveBytes: 0,
        whenFull: { samples: 'thin', measurements: 'drop_oldest', events: 'drop_oldest' },
      },
    },
    cardEnduranceBytes: 1e13,
    batching: { readingsMax: 100, delayMs: 200 },
    control: {
      enabled: true,
      intervalMs: 5_000,
      horizonMs: 600_000,
      fidelityWeight: 1,
      cpuPercentMax: 100,
      memoryBytesMax: 256 * 1024 * 1024,
    },
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

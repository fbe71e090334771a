/**
 * `npm run bench -- outage [1m 1h 12h 24h]`: a hub that was away for so long, and what its return is like.
 *
 * The backlog is what ten simulated machines at 10 Hz have said in that time, in batches of 200 ms, put into a log with the
 * limits that an edge has if it is not told others; it is made at full speed, with timestamps as if the time had passed.
 * Then a real edge with the same machines starts on that log, beside a real hub and a PostgreSQL that syncs what it commits.
 * In the end every reading must be in the database, once.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { silentLogger } from '../src/base/logger.ts';
import { nodeFiles } from '../src/base/node-files.ts';
import { EDGE_NODE_FLAGS } from '../src/edge/flags.ts';
import type { EdgeSettings, LogSettings } from '../src/edge/settings.ts';
import { decodeSegmentHeader } from '../src/log/format.ts';
import { inspectLog } from '../src/log/inspect.ts';
import { DurableLog } from '../src/log/log.ts';
import type { MachineNow } from '../src/model/api.ts';
import { encodeFrame } from '../src/model/frame.ts';
import type { EdgeStatus } from '../src/model/status.ts';
import { timestampOf } from '../src/model/time.ts';
import { freePort, startSystem, type System } from '../test/support/system.ts';
import { clockOf, sensorsOf, Shop } from './shop.support.ts';

/** How long the hub was away, and within what the edge must have made up for it. */
interface Outage {
  readonly name: string;
  readonly seconds: number;
  readonly drainSecondsMax: number;
}

const OUTAGES: readonly Outage[] = [
  { name: '1m', seconds: 60, drainSecondsMax: 5 },
  { name: '1h', seconds: 3_600, drainSecondsMax: 30 },
  { name: '12h', seconds: 12 * 3_600, drainSecondsMax: 120 },
  { name: '24h', seconds: 24 * 3_600, drainSecondsMax: 300 },
];
const FRESH_SECONDS_MAX = 2;
/** The pages are looked at from then on, since the edge must start first; */
const LOOK_AFTER_MS = 2_000;
/** and at least for so long. */
const LOOK_MS_MIN = 6_000;
const LOOK_EVERY_MS = 250;

const GATEWAY = 'bench';
const BYTES_MAX = 522_000_000;
const MACHINES = 10;
const TICKS_PER_SECOND = 10;
const TICKS_PER_BATCH = 2;
const CPU_TICKS_PER_SECOND = 100;

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !OUTAGES.some((outage) => outage.name === name));
if (unknown.length > 0) throw new Error(`there is no outage ${unknown.join(', ')}`);
for (const outage of OUTAGES) if (wanted.length === 0 || wanted.includes(outage.name)) await bench(outage);

async function bench(outage: Outage): Promise<void> {
  const system = await startSystem({ durable: true });
  try {
    const backlog = await fillLog(logSettings(system), outage.seconds);
    const drain = await drainInto(system, backlog);
    report({ outage, backlog, drain, stored: await whatIsStored(system, backlog) });
  } finally {
    await system.stop();
  }
}

interface Backlog {
  readonly readings: number;
  readonly lastSequence: number;
  /** When its newest readings were made. */
  readonly newestMicros: number;
  readonly bytes: number;
  readonly bytesAppended: number;
  readonly readingsGivenUp: number;
  readonly seconds: number;
}

/** What an edge has in its log that has read its machines for so long. */
async function fillLog(settings: LogSettings, seconds: number): Promise<Backlog> {
  const startedMs = performance.now();
  const shop = new Shop(MACHINES, (Date.now() - seconds * 1000) * 1000);
  const common = { files: nodeFiles, clock: clockOf(shop), log: silentLogger, gatewayId: GATEWAY, sinks: ['hub'] };
  // Nobody cuts the power here; the bytes are the same.
  const sync = { kind: 'never', intervalMs: 0 } as const;
  const log = await DurableLog.open({ ...settings, ...common, sync, newId: () => 'backlog-1' });
  let readings = 0;
  for (let tick = 0; tick < seconds * TICKS_PER_SECOND; tick += TICKS_PER_BATCH) {
    const frames: Uint8Array[] = [];
    for (let one = 0; one < TICKS_PER_BATCH; one += 1) frames.push(...(await shop.tick()).map(encodeFrame));
    await log.append(Buffer.concat(frames), frames.length);
    readings += frames.length;
  }
  await keptWithinLimits(log, settings);
  const status = log.status();
  await log.close();
  return {
    readings,
    lastSequence: status.last_sequence,
    newestMicros: shop.nowMicros(),
    bytes: status.bytes,
    bytesAppended: status.bytes_appended,
    readingsGivenUp: status.readings_thinned + status.readings_dropped,
    seconds: (performance.now() - startedMs) / 1000,
  };
}

/** A day in two minutes leaves the log no time to compress; it is given that here. */
async function keptWithinLimits(log: DurableLog, { limits }: LogSettings): Promise<void> {
  for (;;) {
    const { bytes, bytes_appended: appended, bytes_written: written } = log.status();
    // Nothing has been deleted, so what was not appended was compressed.
    if (bytes - (written - appended) <= limits.warmBytesMax) return;
    await sleep(20);
  }
}

interface Drain {
  readonly seconds: number;
  /** Of the newest reading of any machine, as the hub tells; the greatest seen. */
  readonly ageSecondsMax: number;
  /** From the edge's start until the hub told of a fresh reading of every machine. */
  readonly freshAfterSeconds: number;
  readonly edgePeakMb: number;
  readonly cpuSeconds: { readonly edge: number; readonly hub: number; readonly postgres: number };
  /** Ever, by what the log says in the end. */
  readonly readingsAppended: number;
}

async function drainInto(system: System, { lastSequence }: Backlog): Promise<Drain> {
  const statusPort = await freePort();
  const before = { hub: cpuSeconds(system.hub.pid), postgres: postgresCpuSeconds(system) };
  const startedMs = performance.now();
  const edge = startEdge(system, statusPort);
  const look = lookAtPages(system, startedMs);
  const edgeStatus = `http://127.0.0.1:${statusPort}/status`;
  while ((await cursorOf(edgeStatus)) < lastSequence) {
    if (edge.exitCode !== null) throw new Error(`the edge ended with ${edge.exitCode}`);
    await sleep(50);
  }
  const seconds = (performance.now() - startedMs) / 1000;
  const cpu = {
    edge: cpuSeconds(edge.pid ?? 0),
    hub: cpuSeconds(system.hub.pid) - before.hub,
    postgres: postgresCpuSeconds(system) - before.postgres,
  };
  await sleep(Math.max(0, startedMs + LOOK_MS_MIN - performance.now()));
  const { ageSecondsMax, freshAfterSeconds } = await look.end();
  const edgePeakMb = peakMb(edge.pid ?? 0);
  edge.kill('SIGTERM');
  if (edge.exitCode === null) await once(edge, 'exit');
  if (edge.exitCode !== 0) throw new Error(`the edge ended with ${edge.exitCode}`);
  const readingsAppended = await readingsAppendedTo(logSettings(system).folder);
  return { seconds, ageSecondsMax, freshAfterSeconds, edgePeakMb, cpuSeconds: cpu, readingsAppended };
}

function startEdge(system: System, statusPort: number): ChildProcess {
  const file = path.join(system.folder, 'resolved.json');
  writeFileSync(file, JSON.stringify(edgeSettings(system, statusPort)));
  const main = new URL('../dist/edge/main.js', import.meta.url).pathname;
  const profile = process.env['PROFILE'];
  const profiling = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
  const args = [...EDGE_NODE_FLAGS, ...profiling, main, file];
  return spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] });
}

/** 0 until the edge answers. */
async function cursorOf(url: string): Promise<number> {
  try {
    const status = (await (await fetch(url)).json()) as EdgeStatus;
    return status.sinks[0]?.cursor ?? 0;
  } catch {
    return 0;
  }
}

/** Looks at what the pages show, again and again until `end`. */
function lookAtPages(
  system: System,
  startedMs: number,
): { end: () => Promise<Pick<Drain, 'ageSecondsMax' | 'freshAfterSeconds'>> } {
  const ending = new AbortController();
  let ageSecondsMax = 0;
  let freshAfterSeconds = Number.POSITIVE_INFINITY;
  const run = async (): Promise<void> => {
    while (!ending.signal.aborted) {
      const machines = await system.get<MachineNow[]>('/api/v1/fleet');
      const elapsedMs = performance.now() - startedMs;
      const oldestMs = Math.min(...machines.map(({ last_seen }) => Date.parse(last_seen ?? '')));
      const ageSeconds = machines.length < MACHINES ? Number.POSITIVE_INFINITY : (Date.now() - oldestMs) / 1000;
      if (ageSeconds < FRESH_SECONDS_MAX) freshAfterSeconds = Math.min(freshAfterSeconds, elapsedMs / 1000);
      if (elapsedMs > LOOK_AFTER_MS) ageSecondsMax = Math.max(ageSecondsMax, ageSeconds);
      await sleep(LOOK_EVERY_MS);
    }
  };
  const running = run();
  return {
    end: async () => {
      ending.abort();
      await running;
      return { ageSecondsMax, freshAfterSeconds };
    },
  };
}

/** The newest segment tells how many there were before it. */
async function readingsAppendedTo(folder: string): Promise<number> {
  const newest = (await inspectLog(nodeFiles, folder)).segments.at(-1);
  if (newest === undefined) throw new Error('the log is empty');
  const decoded = decodeSegmentHeader(readFileSync(path.join(folder, newest.name)));
  if (decoded.kind !== 'good') throw new Error(`${newest.name} is damaged`);
  return decoded.header.readingsBefore + newest.readings;
}

interface Stored {
  readonly readings: number;
  readonly twice: number;
  /** The least number of samples that one machine has of the time of the outage. */
  readonly samplesOfMachine: number;
}

async function whatIsStored(system: System, { newestMicros }: Backlog): Promise<Stored> {
  const [counts] = await system.rows<{ readings: number }>(
    'select ((select count(*) from sensor_data) + (select count(*) from events))::int as readings',
  );
  const [samples] = await system.rows<{ twice: number; least: number }>(
    `select sum(twice)::int as twice, min(in_backlog)::int as least from (
       select count(*) - count(distinct time) as twice, count(*) filter (where time <= $1) as in_backlog
       from sensor_data group by machine_id) as machines`,
    [timestampOf(newestMicros)],
  );
  return { readings: counts?.readings ?? 0, twice: samples?.twice ?? 0, samplesOfMachine: samples?.least ?? 0 };
}

interface Outcome {
  readonly outage: Outage;
  readonly backlog: Backlog;
  readonly drain: Drain;
  readonly stored: Stored;
}

function report({ outage, backlog, drain, stored }: Outcome): void {
  const { readings, readingsGivenUp, bytes, bytesAppended } = backlog;
  const lost = drain.readingsAppended - stored.readings;
  const samplesMissing = outage.seconds * TICKS_PER_SECOND - stored.samplesOfMachine;
  const { edge, hub, postgres } = drain.cpuSeconds;
  say(`\n${outage.name}: ${readings} readings, made in ${backlog.seconds.toFixed(0)} s`);
  row('lost, stored twice', `${lost}, ${stored.twice}`, lost === 0 && stored.twice === 0 && samplesMissing === 0);
  row('given up by the log', `${readingsGivenUp}`, readingsGivenUp === 0);
  const size = `${(bytes / 1e6).toFixed(1)} MB of ${(BYTES_MAX / 1e6).toFixed(0)} MB, ${(bytes / readings).toFixed(1)} bytes a reading`;
  row('the log', `${size}; ${(bytesAppended / readings).toFixed(0)} before compression`, bytes <= BYTES_MAX);
  const rate = `${(readings / drain.seconds / 1000).toFixed(1)} k readings/s`;
  const isDrained = drain.seconds < outage.drainSecondsMax;
  row('drained in', `${drain.seconds.toFixed(1)} s of ${outage.drainSecondsMax} s, ${rate}`, isDrained);
  const fresh = `${drain.ageSecondsMax.toFixed(2)} s old at most, from ${drain.freshAfterSeconds.toFixed(1)} s after the start on`;
  row('newest reading on the hub', fresh, drain.ageSecondsMax < FRESH_SECONDS_MAX);
  row("the edge's memory", `peak ${drain.edgePeakMb.toFixed(1)} MB`);
  row('CPU of the drain', `edge ${edge.toFixed(1)} s, hub ${hub.toFixed(1)} s, PostgreSQL ${postgres.toFixed(1)} s`);
}

/** The limits are those of an edge that is told none. */
function logSettings(system: System): LogSettings {
  return {
    folder: system.logFolder(GATEWAY),
    segmentBytesMax: 4_000_000,
    hotBytesMax: 1_000_000,
    sync: { kind: 'batch', intervalMs: 1000 },
    limits: {
      warmBytesMax: 10_000_000,
      bytesMax: BYTES_MAX,
      ageMsMax: null,
      reserveBytes: 256_000_000,
      whenFull: { samples: 'thin', measurements: 'drop_oldest', events: 'drop_oldest' },
    },
  };
}

function edgeSettings(system: System, statusPort: number): EdgeSettings {
  const options = { url: system.url, timeoutMs: 30_000, token: null, tlsCaFile: null };
  return {
    gatewayId: GATEWAY,
    location: null,
    logLevel: 'warn',
    sensors: sensorsOf(MACHINES),
    processors: [],
    sinks: [{ name: 'hub', type: 'hub', from: 'oldest', maxRate: null, options }],
    log: logSettings(system),
    cardEnduranceBytes: 1e13,
    batching: { readingsMax: 100, delayMs: 200 },
    control: {
      enabled: true,
      intervalMs: 5_000,
      horizonMs: 600_000,
      fidelityWeight: 1,
      cpuPercentMax: 100,
      memoryBytesMax: 256_000_000,
    },
    status: { host: '127.0.0.1', port: statusPort },
  };
}

function peakMb(pid: number): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

/** Of the server and all its processes, those that have ended included. */
function postgresCpuSeconds({ postgres: { pid } }: System): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean);
  return [pid, ...children.map(Number)].reduce((sum, each) => sum + cpuSeconds(each), 0);
}

/** User and system time, also of children that have ended (proc(5), fields 14 to 17 of `stat`). */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0) / CPU_TICKS_PER_SECOND;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function row(what: string, value: string, isMet?: boolean): void {
  const verdict = isMet === undefined ? '' : isMet ? 'met' : 'SHORT';
  say(`  ${what.padEnd(28)}${value.padEnd(68)}${verdict}`.trimEnd());
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

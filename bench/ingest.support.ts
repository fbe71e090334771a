/**
 * What the benchmarks of ingestion share: the rows, the peer (`psql \\copy` of the same rows into the same server), a hub
 * as a process of its own, and what each process took.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { silentLogger } from '../src/base/logger.ts';
import { seededRandom } from '../src/base/random.ts';
import { timestampOf } from '../src/model/time.ts';
import { type EmbeddedPostgres, freePort, startPostgres } from '../src/up/postgres.ts';

export const MACHINES = 100;
const START_MICROS: number = Date.UTC(2026, 0, 1) * 1000;
/** Of `/proc/PID/stat`. */
const TICKS_PER_SECOND = 100;

export interface BenchReading {
  readonly machine_id: string;
  readonly timestamp: string;
  readonly [signal: string]: string | number | undefined;
}

/** Readings of {@link MACHINES} machines at 10 Hz, in turn. */
export function* readings(count: number): Generator<BenchReading> {
  const random = seededRandom(42);
  for (let row = 0; row < count; row += 1) {
    const tick = Math.floor(row / MACHINES);
    const timestamp = timestampOf(START_MICROS + tick * 100_000 + (row % MACHINES) * 37);
    yield readingOf(row % MACHINES, timestamp, tick, random);
  }
}

/** As a line of CSV in the order of {@link runCopy}'s columns. */
export function csvLine({ machine_id, timestamp, ...values }: BenchReading): string {
  return `${[timestamp, machine_id, ...Object.values(values)].join(',')}\n`;
}

function readingOf(machine: number, timestamp: string, tick: number, random: () => number): BenchReading {
  const round = (value: number, decimals: number): number => Number(value.toFixed(decimals));
  return {
    machine_id: `CNC-${String(machine + 1).padStart(3, '0')}`,
    timestamp,
    temperature: round(25 + 15 * Math.sin(tick / 16) + random(), 2),
    spindle_speed: round(2500 + 500 * Math.sin(tick / 32) + 100 * random(), 1),
    x_pos_mm: round(100 + 50 * Math.cos(tick / 10), 4),
    y_pos_mm: round(100 + 50 * Math.sin(tick / 10), 4),
    z_pos_mm: round(10 + 5 * Math.sin(tick / 5), 4),
    feed_rate_actual: round(800 + 20 * random(), 1),
    spindle_load_percent: round(40 + 10 * random(), 1),
    machine_state: ['running', 'idle', 'alarm', 'hold'][Math.floor(tick / 300) % 4],
    active_program_line: tick % 5000,
    total_power_kw: round(5 + random(), 2),
  };
}

/** A folder and a database server with its usual durability, for as long as `work` takes. */
export async function withServer(work: (server: EmbeddedPostgres, folder: string) => Promise<void>): Promise<void> {
  if (spawnSync('psql', ['--version']).status !== 0) {
    process.stderr.write('psql is missing; install it with `apt-get install postgresql-client`\n');
    process.exit(1);
  }
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-bench-'));
  // Started by root, the database server runs as another user, who must be able to enter.
  await chmod(folder, 0o755);
  const server = await startPostgres({ folder: path.join(folder, 'pg'), log: silentLogger });
  try {
    await work(server, folder);
  } finally {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

export interface CopyRun {
  readonly perSecond: number;
  readonly postgresCpu: number;
}

/** `psql \\copy` of the rows of the file into a table as a hub has it. */
export async function runCopy(
  server: EmbeddedPostgres,
  { database, csv, rows }: { database: string; csv: string; rows: number },
): Promise<CopyRun> {
  await createDatabase(server, database);
  const migration = fileURLToPath(new URL('../src/hub/store/migrations/0001_foundation.sql', import.meta.url));
  psql(server, database, ['-q', '-f', migration]);
  const columns =
    'time, machine_id, temperature, spindle_speed, x_pos_mm, y_pos_mm, z_pos_mm, feed_rate_actual, ' +
    'spindle_load_percent, machine_state, active_program_line, total_power_kw';
  const before = await postgresCpuSeconds(server);
  const started = performance.now();
  psql(server, database, ['-c', `\\copy sensor_data (${columns}) from '${csv}' with (format csv)`]);
  const seconds = (performance.now() - started) / 1000;
  const postgresCpu = (await postgresCpuSeconds(server)) - before;
  await dropDatabase(server, database);
  return { perSecond: rows / seconds, postgresCpu };
}

export interface HubProcess {
  readonly url: string;
  readonly pid: number;
  /** CPU seconds that hub and database took since the hub served. */
  cpu(): Promise<{ hub: number; postgres: number }>;
  /** Peak of the resident memory, in bytes. */
  peakBytes(): number;
  stop(): Promise<void>;
}

/** The built hub on a database of its own; `nats` is that section of its configuration. */
export async function startHubProcess(
  server: EmbeddedPostgres,
  { database, folder, name = 'hub', nats }: { database: string; folder: string; name?: string; nats?: object },
): Promise<HubProcess> {
  const port = await freePort();
  const { host, port: databasePort, user, password } = server;
  const config = {
    server: { host: '127.0.0.1', port },
    database: { host, port: databasePort, dbname: database, user, password },
    ...(nats !== undefined && { nats }),
  };
  const file = path.join(folder, `${name}.json`);
  await writeFile(file, JSON.stringify(config));
  const program = fileURLToPath(new URL('../dist/cli.js', import.meta.url));
  const profile = process.env['PROFILE'];
  const flags = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
  const hub = spawn(process.execPath, [...flags, program, 'hub', '--config', file], {
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  await said(hub, 'the hub serves');
  const before = { postgres: await postgresCpuSeconds(server), hub: cpuSeconds(hub.pid ?? 0) };
  return {
    url: `http://127.0.0.1:${port}`,
    pid: hub.pid ?? 0,
    cpu: async () => ({
      hub: cpuSeconds(hub.pid ?? 0) - before.hub,
      postgres: (await postgresCpuSeconds(server)) - before.postgres,
    }),
    peakBytes: () => peakBytes(hub.pid ?? 0),
    stop: async () => {
      hub.kill('SIGTERM');
      await new Promise((resolve) => hub.once('exit', resolve));
    },
  };
}

export function peakBytes(pid: number): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}

export function psql(server: EmbeddedPostgres, database: string, args: string[]): string {
  const url = `postgresql://${server.user}@${server.host}:${server.port}/${database}`;
  const env = { ...process.env, PGPASSWORD: server.password };
  return execFileSync('psql', [url, '-v', 'ON_ERROR_STOP=1', ...args], { env, encoding: 'utf8' });
}

export async function createDatabase(server: EmbeddedPostgres, name: string): Promise<void> {
  await admin(server, [`create database ${name}`, 'checkpoint']);
}

export async function dropDatabase(server: EmbeddedPostgres, name: string): Promise<void> {
  await admin(server, [`drop database ${name} with (force)`, 'checkpoint']);
}

async function admin(server: EmbeddedPostgres, statements: readonly string[]): Promise<void> {
  const client = new pg.Client({ ...server, database: server.database });
  await client.connect();
  for (const statement of statements) await client.query(statement);
  await client.end();
}

/** Of the server and all its processes, those that have ended included. */
async function postgresCpuSeconds(server: EmbeddedPostgres): Promise<number> {
  const children = readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, 'utf8').trim().split(' ');
  return [String(server.pid), ...children].filter(Boolean).reduce((sum, pid) => sum + cpuSeconds(Number(pid)), 0);
}

export function cpuSeconds(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0) / TICKS_PER_SECOND;
  } catch {
    return 0;
  }
}

function said(child: ChildProcess, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let all = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      all += chunk.toString();
      if (all.includes(text)) resolve();
    });
    child.once('exit', () => reject(new Error(`the hub ended: ${all}`)));
  });
}

export async function lastLine(child: ChildProcess): Promise<string> {
  let all = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    all += chunk.toString();
  });
  await new Promise((resolve) => child.once('close', resolve));
  return all.trim().split('\n').at(-1) ?? '';
}

export function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

export function thousands(value: number): string {
  return `${(value / 1000).toFixed(0)} k`;
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

/**
 * `npm run bench -- ingest-http`: readings per second from encoded batches over HTTP to committed rows, beside
 * `psql \copy` of the same rows into the same server, in pairs that alternate.
 *
 * The hub and the sender are processes of their own; the server is the embedded PostgreSQL with its usual durability.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import pg from 'pg';
import { silentLogger } from '../src/base/logger.ts';
import { seededRandom } from '../src/base/random.ts';
import { BATCHES_MEDIA_TYPE, encodeBatchHeader } from '../src/model/batch.ts';
import { encodeFrame } from '../src/model/frame.ts';
import { timestampOf } from '../src/model/time.ts';
import { type EmbeddedPostgres, startPostgres } from '../src/up/postgres.ts';

const ROWS = Number(process.env['ROWS'] ?? 1_000_000);
const PAIRS = Number(process.env['PAIRS'] ?? 3);
const MACHINES = 100;
const READINGS_PER_BATCH = 100;
const BATCHES_PER_REQUEST = 20;
const CONNECTIONS = 8;
/** Of `/proc/PID/stat`. */
const TICKS_PER_SECOND = 100;

if (process.argv[2] === 'send') await send(process.argv[3] ?? '', Number(process.argv[4]));
else await compare();

async function compare(): Promise<void> {
  if (spawnSync('psql', ['--version']).status !== 0) {
    process.stderr.write('psql is missing; install it with `apt-get install postgresql-client`\n');
    process.exit(1);
  }
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-bench-'));
  // Started by root, the database server runs as another user, who must be able to enter.
  await chmod(folder, 0o755);
  const csv = path.join(folder, 'rows.csv');
  const bodies = path.join(folder, 'bodies');
  say(`${ROWS} readings of ${MACHINES} machines at 10 Hz, ${READINGS_PER_BATCH} in a batch`);
  await writeInputs(csv, bodies);
  const server = await startPostgres({ folder: path.join(folder, 'pg'), log: silentLogger });
  const ratios: number[] = [];
  try {
    for (let pair = 1; pair <= PAIRS; pair += 1) {
      const copied = await runCopy(server, `copy_${pair}`, csv);
      const ingested = await runHub(server, { database: `hub_${pair}`, folder, bodies });
      ratios.push(ingested.perSecond / copied.perSecond);
      say(
        `pair ${pair}: psql \\copy ${thousands(copied.perSecond)}/s (postgres ${copied.postgresCpu.toFixed(1)} s CPU) · ` +
          `hub ${thousands(ingested.perSecond)}/s (postgres ${ingested.postgresCpu.toFixed(1)} s, hub ` +
          `${ingested.hubCpu.toFixed(1)} s CPU, peak ${(ingested.hubBytesMax / 1e6).toFixed(0)} MB) · ratio ` +
          (ratios.at(-1) ?? 0).toFixed(2),
      );
    }
  } finally {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
  const median = ratios.toSorted((a, b) => a - b)[Math.floor(ratios.length / 2)] ?? 0;
  say(`median ratio ${median.toFixed(2)} (goal 0.50)`);
}

/** The same rows twice: as CSV, and as requests' bodies behind their lengths (4 bytes each). */
async function writeInputs(csv: string, bodies: string): Promise<void> {
  const random = seededRandom(42);
  const csvFile = await open(csv, 'w');
  const bodyFile = await open(bodies, 'w');
  const start = Date.UTC(2026, 0, 1) * 1000;
  const rowsPerRequest = READINGS_PER_BATCH * BATCHES_PER_REQUEST;
  for (let first = 0; first < ROWS; first += rowsPerRequest) {
    let lines = '';
    const body: Uint8Array[] = [];
    let frames: Uint8Array[] = [];
    const end = Math.min(ROWS, first + rowsPerRequest);
    for (let row = first; row < end; row += 1) {
      const tick = Math.floor(row / MACHINES);
      const timestamp = timestampOf(start + tick * 100_000 + (row % MACHINES) * 37);
      const reading = readingOf(row % MACHINES, timestamp, tick, random);
      const { machine_id, timestamp: time, ...values } = reading;
      lines += `${[time, machine_id, ...Object.values(values)].join(',')}\n`;
      frames.push(encodeFrame(reading));
      if (frames.length < READINGS_PER_BATCH && row + 1 < end) continue;
      const payload = Buffer.concat(frames);
      const sequence = Math.floor(row / READINGS_PER_BATCH) + 1;
      const batch = { gatewayId: 'bench', epoch: 'bench', sequence, readings: frames.length, payload };
      body.push(encodeBatchHeader(batch, crc32(payload)), payload);
      frames = [];
    }
    const bytes = Buffer.concat(body);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    await bodyFile.writeFile(Buffer.concat([length, bytes]));
    await csvFile.writeFile(lines);
  }
  await csvFile.close();
  await bodyFile.close();
}

function readingOf(machine: number, timestamp: string, tick: number, random: () => number) {
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

interface Run {
  readonly perSecond: number;
  readonly postgresCpu: number;
}

async function runCopy(server: EmbeddedPostgres, database: string, csv: string): Promise<Run> {
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
  return { perSecond: ROWS / seconds, postgresCpu };
}

interface HubRun extends Run {
  readonly hubCpu: number;
  readonly hubBytesMax: number;
}

async function runHub(
  server: EmbeddedPostgres,
  { database, folder, bodies }: { database: string; folder: string; bodies: string },
): Promise<HubRun> {
  await createDatabase(server, database);
  const port = 20_000 + Math.floor(Math.random() * 20_000);
  const { host, port: databasePort, user, password } = server;
  const config = {
    server: { host: '127.0.0.1', port },
    database: { host, port: databasePort, dbname: database, user, password },
  };
  const file = path.join(folder, 'hub.json');
  await writeFile(file, JSON.stringify(config));
  const program = fileURLToPath(new URL('../dist/cli.js', import.meta.url));
  const profile = process.env['PROFILE'];
  const flags = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
  const hub = spawn(process.execPath, [...flags, program, 'hub', '--config', file], {
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  await said(hub, 'the hub serves');
  const before = { postgres: await postgresCpuSeconds(server), hub: cpuSeconds(hub.pid ?? 0) };
  const sender = spawn(process.execPath, [fileURLToPath(import.meta.url), 'send', bodies, String(port)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const result = await lastLine(sender);
  const { seconds, stored } = JSON.parse(result) as { seconds: number; stored: number };
  const hubCpu = cpuSeconds(hub.pid ?? 0) - before.hub;
  const postgresCpu = (await postgresCpuSeconds(server)) - before.postgres;
  const hubBytesMax = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${hub.pid}/status`, 'utf8'))?.[1]) * 1024;
  hub.kill('SIGTERM');
  await new Promise((resolve) => hub.once('exit', resolve));
  const rows = Number(psql(server, database, ['-Atc', 'select count(*) from sensor_data']));
  if (rows !== ROWS || stored !== ROWS)
    throw new Error(`${rows} rows are there and ${stored} were answered, of ${ROWS}`);
  await dropDatabase(server, database);
  return { perSecond: ROWS / seconds, postgresCpu, hubCpu, hubBytesMax };
}

/** The sender's process: a number of connections, each with one request under way. */
async function send(file: string, port: number): Promise<void> {
  const bytes = readFileSync(file);
  const bodies: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 4 + bytes.readUInt32BE(at)) {
    bodies.push(bytes.subarray(at + 4, at + 4 + bytes.readUInt32BE(at)));
  }
  const agent = new http.Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  let stored = 0;
  const started = performance.now();
  const work = async (): Promise<void> => {
    for (let body = bodies.shift(); body !== undefined; body = bodies.shift()) {
      const answered = await post(agent, port, body);
      stored += answered;
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, work));
  say(JSON.stringify({ seconds: (performance.now() - started) / 1000, stored }));
  agent.destroy();
}

function post(agent: http.Agent, port: number, body: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': BATCHES_MEDIA_TYPE, 'content-length': body.length };
    const request = http.request({ agent, port, host: '127.0.0.1', method: 'POST', path: '/api/v1/ingest', headers });
    request.once('error', reject);
    request.once('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.once('end', () => {
        if (response.statusCode === 200) resolve((JSON.parse(text) as { stored: number }).stored);
        else reject(new Error(`${response.statusCode}: ${text}`));
      });
    });
    request.end(body);
  });
}

function psql(server: EmbeddedPostgres, database: string, args: string[]): string {
  const url = `postgresql://${server.user}@${server.host}:${server.port}/${database}`;
  const env = { ...process.env, PGPASSWORD: server.password };
  return execFileSync('psql', [url, '-v', 'ON_ERROR_STOP=1', ...args], { env, encoding: 'utf8' });
}

async function createDatabase(server: EmbeddedPostgres, name: string): Promise<void> {
  await admin(server, [`create database ${name}`, 'checkpoint']);
}

async function dropDatabase(server: EmbeddedPostgres, name: string): Promise<void> {
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

function cpuSeconds(pid: number): number {
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

async function lastLine(child: ChildProcess): Promise<string> {
  let all = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    all += chunk.toString();
  });
  await new Promise((resolve) => child.once('close', resolve));
  return all.trim().split('\n').at(-1) ?? '';
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function thousands(value: number): string {
  return `${(value / 1000).toFixed(0)} k`;
}

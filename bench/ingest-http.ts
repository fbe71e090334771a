/**
 * `npm run bench -- ingest-http`: readings per second from encoded batches over HTTP to committed rows, beside
 * `psql \\copy` of the same rows into the same server, in pairs that alternate.
 *
 * The hub and the sender are processes of their own; the server is the embedded PostgreSQL with its usual durability.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import { BATCHES_MEDIA_TYPE, encodeBatchHeader } from '../src/model/batch.ts';
import { encodeFrame } from '../src/model/frame.ts';
import type { EmbeddedPostgres } from '../src/up/postgres.ts';
import {
  type CopyRun,
  createDatabase,
  csvLine,
  dropDatabase,
  lastLine,
  MACHINES,
  median,
  psql,
  readings,
  runCopy,
  say,
  startHubProcess,
  thousands,
  withServer,
} from './ingest.support.ts';

const ROWS = Number(process.env['ROWS'] ?? 1_000_000);
const PAIRS = Number(process.env['PAIRS'] ?? 3);
const READINGS_PER_BATCH = 100;
const BATCHES_PER_REQUEST = 20;
const CONNECTIONS = 8;

if (process.argv[2] === 'send') await send(process.argv[3] ?? '', process.argv[4] ?? '');
else await withServer(compare);

async function compare(server: EmbeddedPostgres, folder: string): Promise<void> {
  const csv = path.join(folder, 'rows.csv');
  const bodies = path.join(folder, 'bodies');
  say(`${ROWS} readings of ${MACHINES} machines at 10 Hz, ${READINGS_PER_BATCH} in a batch`);
  await writeInputs(csv, bodies);
  const ratios: number[] = [];
  for (let pair = 1; pair <= PAIRS; pair += 1) {
    const copied = await runCopy(server, { database: `copy_${pair}`, csv, rows: ROWS });
    const ingested = await runHub(server, { database: `hub_${pair}`, folder, bodies });
    ratios.push(ingested.perSecond / copied.perSecond);
    say(
      `pair ${pair}: psql \\copy ${thousands(copied.perSecond)}/s (postgres ${copied.postgresCpu.toFixed(1)} s CPU) · ` +
        `hub ${thousands(ingested.perSecond)}/s (postgres ${ingested.postgresCpu.toFixed(1)} s, hub ` +
        `${ingested.hubCpu.toFixed(1)} s CPU, peak ${(ingested.hubBytesMax / 1e6).toFixed(0)} MB) · ratio ` +
        (ratios.at(-1) ?? 0).toFixed(2),
    );
  }
  say(`median ratio ${median(ratios).toFixed(2)} (goal 0.50)`);
}

/** The same rows twice: as CSV, and as requests' bodies behind their lengths (4 bytes each). */
async function writeInputs(csv: string, bodies: string): Promise<void> {
  const csvFile = await open(csv, 'w');
  const bodyFile = await open(bodies, 'w');
  let lines = '';
  let body: Uint8Array[] = [];
  let frames: Uint8Array[] = [];
  let row = 0;
  for (const reading of readings(ROWS)) {
    row += 1;
    lines += csvLine(reading);
    frames.push(encodeFrame(reading));
    if (frames.length === READINGS_PER_BATCH || row === ROWS) {
      const payload = Buffer.concat(frames);
      const sequence = Math.ceil(row / READINGS_PER_BATCH);
      const batch = { gatewayId: 'bench', epoch: 'bench', sequence, readings: frames.length, payload };
      body.push(encodeBatchHeader(batch, crc32(payload)), payload);
      frames = [];
    }
    if (body.length < 2 * BATCHES_PER_REQUEST && row < ROWS) continue;
    const bytes = Buffer.concat(body);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    await bodyFile.writeFile(Buffer.concat([length, bytes]));
    await csvFile.writeFile(lines);
    body = [];
    lines = '';
  }
  await csvFile.close();
  await bodyFile.close();
}

interface HubRun extends CopyRun {
  readonly hubCpu: number;
  readonly hubBytesMax: number;
}

async function runHub(
  server: EmbeddedPostgres,
  { database, folder, bodies }: { database: string; folder: string; bodies: string },
): Promise<HubRun> {
  await createDatabase(server, database);
  const hub = await startHubProcess(server, { database, folder });
  const sender = spawn(process.execPath, [fileURLToPath(import.meta.url), 'send', bodies, hub.url], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const { seconds, stored } = JSON.parse(await lastLine(sender)) as { seconds: number; stored: number };
  const cpu = await hub.cpu();
  const hubBytesMax = hub.peakBytes();
  await hub.stop();
  const rows = Number(psql(server, database, ['-Atc', 'select count(*) from sensor_data']));
  if (rows !== ROWS || stored !== ROWS)
    throw new Error(`${rows} rows are there and ${stored} were answered, of ${ROWS}`);
  await dropDatabase(server, database);
  return { perSecond: ROWS / seconds, postgresCpu: cpu.postgres, hubCpu: cpu.hub, hubBytesMax };
}

/** The sender's process: a number of connections, each with one request under way. */
async function send(file: string, url: string): Promise<void> {
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
      const answered = await post(agent, url, body);
      stored += answered;
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, work));
  say(JSON.stringify({ seconds: (performance.now() - started) / 1000, stored }));
  agent.destroy();
}

function post(agent: http.Agent, url: string, body: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': BATCHES_MEDIA_TYPE, 'content-length': body.length };
    const request = http.request(`${url}/api/v1/ingest`, { agent, method: 'POST', headers });
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

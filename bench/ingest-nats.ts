/**
 * `npm run bench -- ingest-nats`: readings per second from published messages by way of JetStream to committed rows, all
 * on this machine: ten publishers, one server, one hub, one database, each a process of its own. Identities, validation
 * and deduplication are on; every row is counted at the end.
 *
 *     one reading a message: 10,000 messages, then 1,000,000
 *     100 readings a message, compressed as edges do: 1,000,000 readings, beside `psql \copy` of the same rows, in pairs
 *     that alternate
 *
 * The time is that from the first publish to the last commit. The stream's file store is the server's own, with its usual
 * sync interval; `SYNC=always` has it sync each message before it acknowledges, as deploy/nats/ does.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { zstdCompressSync } from 'node:zlib';
import { systemClock } from '../src/base/clock.ts';
import { connectNats } from '../src/base/nats.ts';
import { natsConnectionOf } from '../src/base/nats-config.ts';
import { startNatsPublisher } from '../src/load/nats-publisher.ts';
import { encodeFrame } from '../src/model/frame.ts';
import { EDGE_SUBJECT_PREFIX, natsMessageId, subjectToken, ZSTD_ENCODING } from '../src/model/nats-wire.ts';
import { type EmbeddedPostgres, freePort } from '../src/up/postgres.ts';
import { natsServerProgram } from '../test/support/nats-server.ts';
import {
  cpuSeconds,
  createDatabase,
  csvLine,
  dropDatabase,
  MACHINES,
  median,
  peakBytes,
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
const PUBLISHERS = 10;
const WARM_UP_ROWS = 10_000;
const COUNT_INTERVAL_MS = 100;
let runs = 0;

if (process.argv[2] === 'publish')
  await publish(process.argv[3] ?? '', Number(process.argv[4]), Number(process.argv[5]));
else await withServer(compare);

async function compare(server: EmbeddedPostgres, folder: string): Promise<void> {
  say(`readings of ${MACHINES} machines at 10 Hz from ${PUBLISHERS} publishers`);
  for (const rows of [WARM_UP_ROWS, ROWS]) {
    const run = await runNats(server, { folder, rows, readingsPerMessage: 1 });
    say(`one reading a message, ${rows} messages: ${textOf(run)}`);
  }
  const csv = path.join(folder, 'rows.csv');
  await writeCsv(csv);
  const ratios: number[] = [];
  for (let pair = 1; pair <= PAIRS; pair += 1) {
    const copied = await runCopy(server, { database: `copy_${pair}`, csv, rows: ROWS });
    const run = await runNats(server, { folder, rows: ROWS, readingsPerMessage: 100 });
    ratios.push(run.perSecond / copied.perSecond);
    say(
      `100 readings a message, pair ${pair}: psql \\copy ${thousands(copied.perSecond)}/s (postgres ` +
        `${copied.postgresCpu.toFixed(1)} s CPU) · ${textOf(run)} · ratio ${(ratios.at(-1) ?? 0).toFixed(2)}`,
    );
  }
  say(`median ratio ${median(ratios).toFixed(2)} (at least 0.60, goal 0.80)`);
}

async function writeCsv(file: string): Promise<void> {
  const csv = await open(file, 'w');
  let lines = '';
  for (const reading of readings(ROWS)) {
    lines += csvLine(reading);
    if (lines.length < 1_000_000) continue;
    await csv.writeFile(lines);
    lines = '';
  }
  await csv.writeFile(lines);
  await csv.close();
}

interface Run {
  readonly perSecond: number;
  readonly publishedPerSecond: number;
  /** CPU seconds by process. */
  readonly cpu: { readonly [process: string]: number };
  readonly peak: { readonly [process: string]: number };
}

function textOf({ perSecond, publishedPerSecond, cpu, peak }: Run): string {
  const seconds = Object.entries(cpu).map(([name, value]) => `${name} ${value.toFixed(1)}`);
  const bytes = Object.entries(peak).map(([name, value]) => `${name} ${(value / 1e6).toFixed(0)}`);
  return (
    `${thousands(perSecond)} readings/s stored (published at ${thousands(publishedPerSecond)}/s); ` +
    `CPU s: ${seconds.join(', ')}; peak MB: ${bytes.join(', ')}`
  );
}

async function runNats(
  server: EmbeddedPostgres,
  { folder, rows, readingsPerMessage }: { folder: string; rows: number; readingsPerMessage: number },
): Promise<Run> {
  runs += 1;
  const database = `nats_${runs}`;
  await createDatabase(server, database);
  const nats = await startNats(path.join(folder, `nats-${runs}`));
  const hub = await startHubProcess(server, { database, folder, nats: { url: nats.url } });
  const publisher = spawn(
    process.execPath,
    [fileURLToPath(import.meta.url), 'publish', nats.url, String(rows), String(readingsPerMessage)],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  await saidLine(publisher, 'ready');
  const before = { publisher: cpuSeconds(publisher.pid ?? 0), nats: cpuSeconds(nats.pid), ...(await hub.cpu()) };
  const started = performance.now();
  publisher.stdin?.write('go\n');
  let publishedSeconds = 0;
  void saidLine(publisher, 'published').then(() => {
    publishedSeconds = (performance.now() - started) / 1000;
  });
  while ((await storedBy(hub.url)) < rows) await sleep(COUNT_INTERVAL_MS);
  const seconds = (performance.now() - started) / 1000;
  const after = { publisher: cpuSeconds(publisher.pid ?? 0), nats: cpuSeconds(nats.pid), ...(await hub.cpu()) };
  const peak = {
    publisher: peakBytes(publisher.pid ?? 0),
    nats: peakBytes(nats.pid),
    hub: hub.peakBytes(),
  };
  publisher.stdin?.end();
  await once(publisher, 'close');
  await hub.stop();
  await nats.stop();
  const found = Number(psql(server, database, ['-Atc', 'select count(*) from sensor_data']));
  if (found !== rows) throw new Error(`${found} rows are there, of ${rows}`);
  await dropDatabase(server, database);
  const cpu = Object.fromEntries(
    Object.entries(after).map(([name, value]) => [name, value - before[name as keyof typeof before]]),
  );
  return { perSecond: rows / seconds, publishedPerSecond: rows / (publishedSeconds || seconds), cpu, peak };
}

async function storedBy(hubUrl: string): Promise<number> {
  const metrics = await (await fetch(`${hubUrl}/metrics`)).text();
  return Number(/^millwright_hub_readings_stored_total (\d+)/m.exec(metrics)?.[1]);
}

async function startNats(folder: string): Promise<{ url: string; pid: number; stop(): Promise<void> }> {
  const port = await freePort();
  const config = `${folder}.conf`;
  const sync = process.env['SYNC'] === 'always' ? 'sync_interval: always' : '';
  await writeFile(
    config,
    `listen: "127.0.0.1:${port}"\nmax_payload: 8MB\njetstream { store_dir: ${JSON.stringify(folder)}, ${sync} }\n`,
  );
  const server = spawn(await natsServerProgram(), ['-c', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  await new Promise<void>((resolve, reject) => {
    server.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes('Server is ready')) resolve();
    });
    server.once('exit', () => reject(new Error(`nats-server ended: ${said}`)));
  });
  return {
    url: `nats://127.0.0.1:${port}`,
    pid: server.pid ?? 0,
    stop: async () => {
      server.kill('SIGTERM');
      await once(server, 'exit');
    },
  };
}

/** The publishers' process: builds all messages, says `ready`, waits for a line, publishes, says `published`. */
async function publish(url: string, rows: number, readingsPerMessage: number): Promise<void> {
  // As an edge does by default; a message of one reading would not become smaller.
  const isCompressed = readingsPerMessage > 1;
  const messages = Array.from({ length: PUBLISHERS }, (): { id: string; payload: Uint8Array }[] => []);
  let frames: Uint8Array[] = [];
  let count = 0;
  let row = 0;
  for (const reading of readings(rows)) {
    row += 1;
    frames.push(encodeFrame(reading));
    if (frames.length < readingsPerMessage && row < rows) continue;
    const own = messages[count % PUBLISHERS] ?? [];
    const id = natsMessageId({ gatewayId: `bench-${count % PUBLISHERS}`, epoch: 'bench', sequence: own.length + 1 });
    const payload = Buffer.concat(frames);
    own.push({ id, payload: isCompressed ? zstdCompressSync(payload) : payload });
    frames = [];
    count += 1;
  }
  const signal = new AbortController().signal;
  const publishers = await Promise.all(
    messages.map(async (own, index) => {
      const connection = await connectNats(natsConnectionOf({ url }), { name: `bench ${index}`, random: Math.random });
      const encoding = isCompressed ? ZSTD_ENCODING : undefined;
      const common = { connection, clock: systemClock, random: Math.random };
      const publisher = startNatsPublisher({ ...common, ...(encoding && { encoding }) });
      return async (): Promise<void> => {
        const subject = `${EDGE_SUBJECT_PREFIX}.${subjectToken(`bench-${index}`)}`;
        for (const { id, payload } of own) {
          if (!publisher.hasRoom) await publisher.room(signal);
          publisher.publish(subject, payload, id);
        }
        await publisher.settled(signal);
      };
    }),
  );
  say('ready');
  await once(process.stdin, 'data');
  await Promise.all(publishers.map((run) => run()));
  say('published');
  await once(process.stdin, 'end');
  process.exit();
}

function saidLine(child: ChildProcess, line: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let all = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      all += chunk.toString();
      if (all.split('\n').includes(line)) resolve();
    });
    child.once('exit', () => reject(new Error(`the publishers ended: ${all}`)));
  });
}

/**
 * `npm run bench -- ingest-nats`: readings per second from published messages by way of JetStream to committed rows, all
 * on this machine: ten publishers, one server, one hub, one database, each a process of its own. Identities, validation
 * and deduplication are on; every row is counted at the end.
 *
 *     one reading a message: 10,000 messages, then 1,000,000 in a stream as hubs make it and in one with
 *     `stream_persist_mode: async`, each beside what the server alone carries: publishers and a consumer that acknowledges
 *     100 readings a message, compressed as edges do: 1,000,000 readings, beside `psql \copy` of the same rows, in pairs
 *     that alternate
 *
 * The time is that from the first publish to the last commit. The stream's file store is the server's own, with its usual
 * sync interval; `SYNC=always` has it sync each message before it acknowledges, as deploy/nats/ does.
 */
import { open } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectNats } from '../src/base/nats.ts';
import { natsConnectionOf } from '../src/base/nats-config.ts';
import type { PERSIST_MODES } from '../src/hub/settings.ts';
import { DATA_STREAM } from '../src/model/nats-wire.ts';
import type { EmbeddedPostgres } from '../src/up/postgres.ts';
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
import { PUBLISHERS, startNats, startPublishers, storedBy } from './nats.support.ts';

type PersistMode = (typeof PERSIST_MODES)[number];

const ROWS = Number(process.env['ROWS'] ?? 1_000_000);
const PAIRS = Number(process.env['PAIRS'] ?? 3);
const WARM_UP_ROWS = 10_000;
const COUNT_INTERVAL_MS = 100;
/** Of the consumer beside which a hub is measured: what it has under way. */
const BARE_CONSUMER_MESSAGES = 8_000;
let runs = 0;

await withServer(compare);

async function compare(server: EmbeddedPostgres, folder: string): Promise<void> {
  say(`readings of ${MACHINES} machines at 10 Hz from ${PUBLISHERS} publishers`);
  const warm = await runNats(server, { folder, rows: WARM_UP_ROWS, readingsPerMessage: 1, persistMode: 'default' });
  say(`one reading a message, ${WARM_UP_ROWS} messages: ${textOf(warm)}`);
  for (const persistMode of ['default', 'async'] as const) {
    const bare = await runBare({ folder, rows: ROWS, persistMode });
    say(`one reading a message, persist mode ${persistMode}: the server alone ${bare.text}`);
    const run = await runNats(server, { folder, rows: ROWS, readingsPerMessage: 1, persistMode });
    const ratio = (run.perSecond / bare.perSecond).toFixed(2);
    say(`one reading a message, persist mode ${persistMode}, ${ROWS} messages: ${textOf(run)} · ratio ${ratio}`);
  }
  const csv = path.join(folder, 'rows.csv');
  if (PAIRS > 0) await writeCsv(csv);
  const ratios: number[] = [];
  for (let pair = 1; pair <= PAIRS; pair += 1) {
    const copied = await runCopy(server, { database: `copy_${pair}`, csv, rows: ROWS });
    const run = await runNats(server, { folder, rows: ROWS, readingsPerMessage: 100, persistMode: 'default' });
    ratios.push(run.perSecond / copied.perSecond);
    say(
      `100 readings a message, pair ${pair}: psql \\copy ${thousands(copied.perSecond)}/s (postgres ` +
        `${copied.postgresCpu.toFixed(1)} s CPU) · ${textOf(run)} · ratio ${(ratios.at(-1) ?? 0).toFixed(2)}`,
    );
  }
  if (PAIRS > 0) say(`median ratio ${median(ratios).toFixed(2)} (at least 0.60, goal 0.80)`);
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

/** Publishers, the server, and a consumer that does nothing but acknowledge. */
async function runBare({ folder, rows, persistMode }: { folder: string; rows: number; persistMode: PersistMode }) {
  runs += 1;
  const nats = await startNats(path.join(folder, `nats-${runs}`));
  const connection = await connectNats(natsConnectionOf({ url: nats.url }), { name: 'bench', random: Math.random });
  const { jetstream, jetstreamManager } = await import('@nats-io/jetstream');
  const manager = await jetstreamManager(connection);
  await manager.streams.add({
    name: DATA_STREAM,
    subjects: [`${DATA_STREAM}.>`],
    retention: 'workqueue',
    discard: 'new',
    ...(persistMode === 'async' && { persist_mode: persistMode }),
  });
  await manager.consumers.add(DATA_STREAM, { durable_name: 'bare', ack_policy: 'explicit', max_ack_pending: 65_536 });
  const consumer = await jetstream(connection).consumers.get(DATA_STREAM, 'bare');
  const publishers = await startPublishers(nats.url, { rows, readingsPerMessage: 1 });
  const before = { nats: cpuSeconds(nats.pid), publisher: publishers.cpu() };
  const started = performance.now();
  let count = 0;
  const consumed = new Promise<void>((resolve) => {
    void consumer.consume({
      max_messages: BARE_CONSUMER_MESSAGES,
      callback: (message) => {
        message.ack();
        count += 1;
        if (count === rows) resolve();
      },
    });
  });
  await Promise.all([publishers.publish(), consumed]);
  const perSecond = rows / ((performance.now() - started) / 1000);
  const cpu = { nats: cpuSeconds(nats.pid) - before.nats, publisher: publishers.cpu() - before.publisher };
  await publishers.stop();
  await connection.close();
  await nats.stop();
  const text = `${thousands(perSecond)}/s; CPU s: publisher ${cpu.publisher.toFixed(1)}, nats ${cpu.nats.toFixed(1)}`;
  return { perSecond, text };
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
  given: { folder: string; rows: number; readingsPerMessage: number; persistMode: PersistMode },
): Promise<Run> {
  const { folder, rows, readingsPerMessage, persistMode } = given;
  runs += 1;
  const database = `nats_${runs}`;
  await createDatabase(server, database);
  const nats = await startNats(path.join(folder, `nats-${runs}`));
  const hub = await startHubProcess(server, {
    database,
    folder,
    nats: { url: nats.url, stream_persist_mode: persistMode },
  });
  const publishers = await startPublishers(nats.url, { rows, readingsPerMessage });
  const cpuNow = async (): Promise<Run['cpu']> => {
    return { publisher: publishers.cpu(), nats: cpuSeconds(nats.pid), ...(await hub.cpu()) };
  };
  const before = await cpuNow();
  const started = performance.now();
  let publishedSeconds = 0;
  void publishers.publish().then(() => {
    publishedSeconds = (performance.now() - started) / 1000;
  });
  while ((await storedBy(hub.url)) < rows) await sleep(COUNT_INTERVAL_MS);
  const seconds = (performance.now() - started) / 1000;
  const after = await cpuNow();
  const peak = { publisher: publishers.peakBytes(), nats: peakBytes(nats.pid), hub: hub.peakBytes() };
  await publishers.stop();
  await hub.stop();
  await nats.stop();
  const found = Number(psql(server, database, ['-Atc', 'select count(*) from sensor_data']));
  if (found !== rows) throw new Error(`${found} rows are there, of ${rows}`);
  await dropDatabase(server, database);
  const cpu = Object.fromEntries(Object.entries(after).map(([name, value]) => [name, value - (before[name] ?? 0)]));
  return { perSecond: rows / seconds, publishedPerSecond: rows / (publishedSeconds || seconds), cpu, peak };
}

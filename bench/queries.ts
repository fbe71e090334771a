/**
 * `npm run bench -- queries`: what pages and other programs ask, over HTTP from a hub that is a process of its own: charts
 * and state timelines of a day and of thirty days, and the export of a day.
 *
 * The database holds what a shop of 100 machines leaves. CNC-001 and CNC-002 spoke at 10 Hz for the last day, the others at
 * OTHERS_HZ; rows lie in turns of ten seconds a machine, as batches of edges do. The last day is rolled up by the hub's own
 * job, for CNC-001 and CNC-002, and in the job's form by SQL for the others; so are the 29 days before it, of which there
 * are roll-ups and state events only. CNC-002 sends no state events: its timeline comes from its samples.
 *
 * `OTHERS_HZ=0.2 npm run bench -- queries` is a small run.
 */
import http from 'node:http';
import {
  createDatabase,
  type HubProcess,
  median,
  say,
  startHubProcess,
  thousands,
  withServer,
} from './ingest.support.ts';
import { DAY_MS, END_MS, fillDatabase, timeOf } from './queries.support.ts';

const REQUESTS = Number(process.env['REQUESTS'] ?? 60);
const EXPORTS = 3;
const DATABASE = 'queries';
const DAY_START = timeOf(END_MS - DAY_MS);
const SIGNALS = 'temperature,spindle_speed,spindle_load_percent';
/** A page of a wide screen. */
const POINTS = 2_000;

await withServer(async (server, folder) => {
  await createDatabase(server, DATABASE);
  const filled = performance.now();
  const rows = await fillDatabase(server, { database: DATABASE, othersHz: Number(process.env['OTHERS_HZ'] ?? 2.5) });
  say(
    `${(rows / 1e6).toFixed(1)} million samples, filled and rolled up in ${((performance.now() - filled) / 1000).toFixed(0)} s\n`,
  );
  const hub = await startHubProcess(server, { database: DATABASE, folder });
  try {
    await askAll(hub);
    await exportAll(hub);
  } finally {
    await hub.stop();
  }
});

async function askAll(hub: HubProcess): Promise<void> {
  say(`| ${REQUESTS} requests each, the window a little later each time | p50 | p95 | answer | limit |`);
  say('|---|---|---|---|---|');
  const series = `series?signals=${SIGNALS}&points=${POINTS}`;
  await ask(hub, 'chart of three signals, 24 h', `CNC-001/${series}`, DAY_MS);
  await ask(hub, 'state timeline, 24 h', `CNC-001/states?points=${POINTS}`, DAY_MS);
  await ask(hub, 'state timeline from samples, 24 h', `CNC-002/states?points=${POINTS}`, DAY_MS);
  await ask(hub, 'chart of three signals, 30 days', `CNC-001/${series}`, 30 * DAY_MS);
  await ask(hub, 'state timeline, 30 days', `CNC-001/states?points=${POINTS}`, 30 * DAY_MS);
  await ask(hub, 'chart of three signals, 1 h, from the rows', `CNC-001/${series}`, DAY_MS / 24, false);
  say('');
}

async function ask(hub: HubProcess, name: string, address: string, lengthMs: number, hasLimit = true): Promise<void> {
  const agent = new http.Agent({ keepAlive: true });
  const times: number[] = [];
  let items = '';
  let bytes = 0;
  for (let round = 0; round < REQUESTS; round += 1) {
    const endMs = END_MS - (REQUESTS - round) * 1_234;
    const url = `${hub.url}/api/v1/machines/${address}&start_time=${timeOf(endMs - lengthMs)}&end_time=${timeOf(endMs)}`;
    const started = performance.now();
    const text = await get(agent, url);
    times.push(performance.now() - started);
    items = countOf(text);
    bytes = text.length;
  }
  agent.destroy();
  const p95 = times.toSorted((a, b) => a - b)[Math.floor(times.length * 0.95)] ?? 0;
  const limit = hasLimit ? `100 ms: ${p95 < 100 ? 'met' : 'missed'}` : '';
  say(
    `| ${name} | ${median(times).toFixed(0)} ms | ${p95.toFixed(0)} ms | ${items}, ${thousands(bytes)}B | ${limit} |`,
  );
}

function countOf(text: string): string {
  const answer = JSON.parse(text) as
    | unknown[]
    | { bucket_seconds: number; signals: Record<string, { time: number[] }> };
  if (Array.isArray(answer)) return `${answer.length} intervals`;
  const [first] = Object.values(answer.signals);
  return `${first?.time.length} buckets of ${answer.bucket_seconds} s`;
}

async function exportAll(hub: HubProcess): Promise<void> {
  say(
    `| export of 24 h, 864,000 rows, median of ${EXPORTS} | rows/s | answer | CPU: hub, PostgreSQL | hub: peak memory before, after | limit |`,
  );
  say('|---|---|---|---|---|---|');
  const path = `/api/v1/machines/CNC-001/data?start_time=${DAY_START}&end_time=${timeOf(END_MS)}`;
  for (const [format, coding] of [
    ['json', 'identity'],
    ['ndjson', 'identity'],
    ['csv', 'identity'],
    ['ndjson', 'zstd'],
    ['ndjson', 'gzip'],
  ] as const) {
    const peakBefore = hub.peakBytes();
    const before = await hub.cpu();
    const rates: number[] = [];
    let bytes = 0;
    for (let round = 0; round < EXPORTS; round += 1) {
      const started = performance.now();
      const answer = await download(`${hub.url}${path}&format=${format}`, coding);
      if (coding === 'identity' && answer.lines < 864_000) throw new Error(`${answer.lines} lines came`);
      rates.push(864_000 / ((performance.now() - started) / 1000));
      bytes = answer.bytes;
    }
    const cpu = await hub.cpu();
    const rate = median(rates);
    const limit = coding === 'identity' ? `200 k/s: ${rate >= 200_000 ? 'met' : 'missed'}` : '';
    const seconds = [cpu.hub - before.hub, cpu.postgres - before.postgres].map(
      (sum) => `${(sum / EXPORTS).toFixed(1)} s`,
    );
    const peaks = [peakBefore, hub.peakBytes()].map((peak) => (peak / 1e6).toFixed(0));
    const name = coding === 'identity' ? format : `${format}, ${coding}`;
    say(
      `| ${name} | ${thousands(rate)} | ${(bytes / 1e6).toFixed(0)} MB | ${seconds.join(', ')} | ${peaks.join(', ')} MB | ${limit} |`,
    );
  }
}

function get(agent: http.Agent, url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    http
      .get(url, { agent }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (piece: string) => {
          text += piece;
        });
        response.once('end', () => {
          if (response.statusCode === 200) resolve(text);
          else reject(new Error(`${response.statusCode}: ${text}`));
        });
      })
      .once('error', reject);
  });
}

function download(url: string, coding: string): Promise<{ bytes: number; lines: number }> {
  return new Promise((resolve, reject) => {
    http
      .get(url, { headers: { 'accept-encoding': coding } }, (response) => {
        let bytes = 0;
        let lines = 0;
        response.on('data', (piece: Buffer) => {
          bytes += piece.length;
          if (coding !== 'identity') return;
          for (let at = piece.indexOf(0x0a); at !== -1; at = piece.indexOf(0x0a, at + 1)) lines += 1;
        });
        response.once('end', () => resolve({ bytes, lines }));
        response.once('error', reject);
      })
      .once('error', reject);
  });
}

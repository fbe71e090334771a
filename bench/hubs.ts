/**
 * `npm run bench -- hubs`: how much two hubs on one consumer store beside one, where the database is not the limit.
 *
 * The database is kept out of the way: a trigger discards the rows of `sensor_data` (identities, current values and all
 * else are written). The stream is full before the hubs begin, so that publishers take nothing from them, and the clock
 * runs from the moment at which each hub has stored something. One and two hubs alternate. What the hubs say they stored
 * is counted, and the batches in the database.
 *
 * Hubs, NATS and database share this machine, and one hub with its database takes most of two cores: two hubs then show
 * what the machine has left, not what a second hub brings. So each hub is also held to a part of a core, as if each had a
 * small machine of its own; the processor time of each is told, and how much of the whole machine was at work.
 */
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HubStatus } from '../src/model/api.ts';
import type { EmbeddedPostgres } from '../src/up/postgres.ts';
import { canHold, holdToCores } from './cpu-quota.support.ts';
import {
  cpuSeconds,
  createDatabase,
  dropDatabase,
  type HubProcess,
  MACHINES,
  median,
  psql,
  say,
  startHubProcess,
  thousands,
  withServer,
} from './ingest.support.ts';
import { startNats, startPublishers, storedBy } from './nats.support.ts';

const ROWS = Number(process.env['ROWS'] ?? 2_000_000);
const PAIRS = Number(process.env['PAIRS'] ?? 3);
const READINGS_PER_MESSAGE = Number(process.env['READINGS_PER_MESSAGE'] ?? 100);
/** Of a core, for each hub that is held. */
const HUB_CORES = Number(process.env['HUB_CORES'] ?? 0.5);
const COUNT_INTERVAL_MS = 50;
const DISCARD = `
  create function discard() returns trigger language plpgsql as 'begin return null; end';
  create trigger discard before insert on sensor_data for each row execute function discard()`;
const COUNT_BATCHES = `
  select sum(upper(range) - lower(range)) from settled_logs, unnest(sequences) as range`;
let runs = 0;

await withServer(async (server, folder) => {
  say(
    `${ROWS} readings of ${MACHINES} machines, ${READINGS_PER_MESSAGE} in a message, into a table that discards them`,
  );
  await compare(server, folder, undefined);
  if (canHold()) await compare(server, folder, HUB_CORES);
  else say('hubs held to a part of a core: needs Linux and root');
});

async function compare(server: EmbeddedPostgres, folder: string, cores: number | undefined): Promise<void> {
  const held = cores === undefined ? 'hubs not held' : `each hub held to ${cores} of a core`;
  const ratios: number[] = [];
  for (let pair = 1; pair <= PAIRS; pair += 1) {
    const one = await run(server, folder, { count: 1, cores });
    const two = await run(server, folder, { count: 2, cores });
    ratios.push(two.perSecond / one.perSecond);
    say(`${held}, pair ${pair}: ${one.text} · ${two.text} · ratio ${(ratios.at(-1) ?? 0).toFixed(2)}`);
  }
  say(`${held}: median ratio ${median(ratios).toFixed(2)} (at least 1.50)`);
}

async function run(
  server: EmbeddedPostgres,
  folder: string,
  { count, cores }: { readonly count: number; readonly cores: number | undefined },
): Promise<{ perSecond: number; text: string }> {
  runs += 1;
  const database = `hubs_${runs}`;
  await createDatabase(server, database);
  const nats = await startNats(path.join(folder, `nats-${runs}`));
  const start = (name: string): Promise<HubProcess> =>
    startHubProcess(server, { database, folder, name, nats: { url: nats.url } });
  // The first one makes the tables and the stream.
  const first = await start('first');
  while (!(await isReading(first))) await sleep(COUNT_INTERVAL_MS);
  await first.stop();
  psql(server, database, ['-q', '-c', DISCARD]);
  const publishers = await startPublishers(nats.url, { rows: ROWS, readingsPerMessage: READINGS_PER_MESSAGE });
  await publishers.publish();
  await publishers.stop();
  const hubs = await Promise.all(Array.from({ length: count }, (_, index) => start(`hub-${index + 1}`)));
  const releases = cores === undefined ? [] : hubs.map(({ pid }) => holdToCores(pid, cores));
  const storedByEach = (): Promise<number[]> => Promise.all(hubs.map((hub) => storedBy(hub.url)));
  const cpuNow = async (): Promise<{ hubs: number; postgres: number; nats: number }> => {
    const cpu = await Promise.all(hubs.map((hub) => hub.cpu()));
    return {
      hubs: cpu.reduce((sum, { hub }) => sum + hub, 0),
      postgres: Math.max(...cpu.map(({ postgres }) => postgres)),
      nats: cpuSeconds(nats.pid),
    };
  };
  while ((await storedByEach()).includes(0)) await sleep(COUNT_INTERVAL_MS);
  const [storedBefore, before, started] = [sum(await storedByEach()), await cpuNow(), performance.now()];
  while (sum(await storedByEach()) < ROWS) await sleep(COUNT_INTERVAL_MS);
  const seconds = (performance.now() - started) / 1000;
  const after = await cpuNow();
  for (const hub of hubs) await hub.stop();
  for (const release of releases) release();
  await nats.stop();
  const messages = ROWS / READINGS_PER_MESSAGE;
  const found = Number(psql(server, database, ['-Atc', COUNT_BATCHES]));
  if (found !== messages) throw new Error(`${found} batches are stored, of ${messages}`);
  await dropDatabase(server, database);
  const used = [after.hubs - before.hubs, after.postgres - before.postgres, after.nats - before.nats];
  const perSecond = (ROWS - storedBefore) / seconds;
  const [hubSeconds, postgresSeconds, natsSeconds] = used.map((value) => value.toFixed(1));
  const busy = (sum(used) / seconds / availableParallelism()) * 100;
  const text =
    `${count === 1 ? 'one hub' : `${count} hubs`} ${thousands(perSecond)}/s (CPU s: hubs ${hubSeconds}, postgres ` +
    `${postgresSeconds}, nats ${natsSeconds}; ${busy.toFixed(0)} % of the machine)`;
  return { perSecond, text };
}

async function isReading({ url }: HubProcess): Promise<boolean> {
  const { nats } = (await (await fetch(`${url}/api/v1/status`)).json()) as HubStatus;
  return nats?.state === 'ok';
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

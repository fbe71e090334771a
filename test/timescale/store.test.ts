/** The store on hypertables: everything it must hold on plain PostgreSQL, and the same answers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DatabaseError } from 'pg';
import { silentLogger } from '../../src/base/logger.ts';
import { seededRandom } from '../../src/base/random.ts';
import { type DatabaseSettings, DEFAULT_STORE } from '../../src/hub/settings.ts';
import { migrate } from '../../src/hub/store/migrations.ts';
import { compressOldChunks, READING_TABLES, useTimescale } from '../../src/hub/store/timescale.ts';
import { encodeFrame } from '../../src/model/frame.ts';
import { microsOf } from '../../src/model/time.ts';
import { select, startTestServer, withClient } from '../support/hub-database.ts';
import { ask, startHub } from '../support/hub-server.ts';
import { machinesDashboardCases } from '../support/machines-dashboard-cases.ts';
import { retentionCases } from '../support/retention-cases.ts';
import { rollupCases } from '../support/rollup-cases.ts';
import { RANDOM_MACHINES, randomReadings, storeReadings } from '../support/rollup-data.ts';
import { startTimescale } from '../support/timescale.ts';
import { upgradeCases } from '../support/upgrade-cases.ts';

const server = await startTimescale();
const plain = await startTestServer();
const database = async (): Promise<DatabaseSettings> => {
  const settings = await server.database();
  // Otherwise all of this would prove nothing.
  assert.equal((await hypertables(settings)).length, READING_TABLES.length);
  return settings;
};

rollupCases(database);
retentionCases(database);
upgradeCases(server);
machinesDashboardCases(database);

test('tables with rows become hypertables, once, and a new interval counts for new chunks', async () => {
  const settings = await server.emptyDatabase();
  const readings = randomReadings(seededRandom(8), microsOf('2026-01-01T22:00:00Z'), 240);
  await withClient(settings, async (client) => {
    await migrate(client, silentLogger);
    await storeReadings(client, readings);
    const rows = async (): Promise<unknown> => {
      const counted = 'select (select count(*) from sensor_data), (select count(*) from events)';
      return (await client.query(counted)).rows;
    };
    const before = await rows();
    assert.equal(await useTimescale(client, DEFAULT_STORE, silentLogger), 'apache');
    assert.deepEqual(await rows(), before);
    const chunks = `select from timescaledb_information.chunks where hypertable_name = 'sensor_data'`;
    assert.equal((await client.query(chunks)).rows.length, 2);
    await useTimescale(client, DEFAULT_STORE, silentLogger);
    await useTimescale(client, { ...DEFAULT_STORE, chunkIntervalMs: 6 * 3_600_000 }, silentLogger);
    await storeReadings(client, [{ machine_id: 'M', timestamp: '2026-02-01T05:00:00Z', temperature: 1 }]);
    const newest = await client.query(`select extract(epoch from max(range_end - range_start))::integer as seconds
      from timescaledb_information.chunks where range_start > '2026-01-31'`);
    assert.deepEqual(newest.rows, [{ seconds: 6 * 3_600 }]);
  });
  assert.deepEqual(await hypertables(settings), [...READING_TABLES].sort());
});

test('what only the community edition can do is refused by the database with a code, and can be gone without', async () => {
  const settings = await database();
  await withClient(settings, async (client) => {
    await assert.rejects(compressOldChunks(client, 'sensor_data', 86_400_000), (error) => {
      return error instanceof DatabaseError && error.code === '0A000';
    });
  });
});

test('a user who may not create the extension has a hub on plain tables', async () => {
  const settings = await server.emptyDatabase();
  await select(settings, `create role worker login password 'worker'`);
  await select(settings, 'grant all on schema public to worker');
  await withClient({ ...settings, user: 'worker', password: 'worker' }, async (client) => {
    await migrate(client, silentLogger);
    assert.equal(await useTimescale(client, DEFAULT_STORE, silentLogger), 'plain');
  });
});

test('the API gives the same answers as on plain PostgreSQL', async () => {
  const readings = randomReadings(seededRandom(9), microsOf('2026-01-01T20:00:00Z'), 360);
  const hubs = await Promise.all([await server.database(), await plain.database()].map((each) => startHub(each)));
  const body = Buffer.concat(readings.map((reading) => encodeFrame(reading)));
  const headers = { 'content-type': 'application/vnd.millwright.frames' };
  const stored = await Promise.all(
    hubs.map(async ({ url }) => (await ask(`${url}/api/v1/ingest`, { method: 'POST', headers, body })).json),
  );
  assert.deepEqual(stored[0], stored[1]);
  const window = 'start_time=2026-01-01T20:00:00Z&end_time=2026-01-02T02:00:00Z';
  for (const machine of RANDOM_MACHINES.map(encodeURIComponent)) {
    for (const path of [
      `data?${window}`,
      `series?signals=temperature&points=20&${window}`,
      `series?signals=temperature&points=2000&${window}`,
      `states?${window}`,
      'events?limit=1000',
      'signals',
    ]) {
      const [one, other] = await Promise.all(hubs.map(({ url }) => ask(`${url}/api/v1/machines/${machine}/${path}`)));
      assert.equal(one?.status, 200, path);
      assert.deepEqual(unordered(one.json), unordered(other?.json), path);
    }
  }
});

/** Rows of one instant come in any order. */
function unordered(json: unknown): unknown {
  return Array.isArray(json) ? json.map((row) => JSON.stringify(row)).sort() : json;
}

async function hypertables(settings: DatabaseSettings): Promise<string[]> {
  const rows = await select<{ name: string }>(
    settings,
    `select hypertable_name as name from timescaledb_information.hypertables order by 1`,
  );
  return rows.map(({ name }) => name);
}

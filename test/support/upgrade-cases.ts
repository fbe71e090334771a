/** A database of an older version, with data in it, under this version; for every kind of database server. */
import assert from 'node:assert/strict';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { Client } from 'pg';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { seededRandom } from '../../src/base/random.ts';
import type { DatabaseSettings } from '../../src/hub/settings.ts';
import { migrate } from '../../src/hub/store/migrations.ts';
import { rollUpAll } from '../../src/hub/store/rollup.ts';
import type { IngestAnswer } from '../../src/model/api.ts';
import { encodeFrame } from '../../src/model/frame.ts';
import type { Reading } from '../../src/model/reading.ts';
import { microsOf } from '../../src/model/time.ts';
import { select, type TestServer, withClient } from './hub-database.ts';
import { ask, startHub } from './hub-server.ts';
import { checkRollups } from './rollup-cases.ts';
import { randomReadings, storeReadings } from './rollup-data.ts';

const MIGRATIONS = new URL('../../src/hub/store/migrations/', import.meta.url);
const START_MICROS = microsOf('2026-01-01T06:13:00Z');

export function upgradeCases(server: TestServer): void {
  test('a database of the first version keeps its data and its identities, and its roll-ups are made', async () => {
    const settings = await server.emptyDatabase();
    const readings = randomReadings(seededRandom(6), START_MICROS, 200);
    await withClient(settings, async (client) => {
      await migrateTo(client, ['0001_foundation.sql', '0002_newest_word_of_each_state.sql']);
      await storeReadings(client, readings, { marks: false });
      await client.query(IDENTITIES);
    });
    const before = await contents(settings);

    const hub = await startHub(settings);
    assert.deepEqual(await contents(settings), before);
    const results = 'select measured_value, compensated_value, verdict, distrust from measurements';
    assert.deepEqual(await select(settings, results), [
      { measured_value: 10, compensated_value: null, verdict: null, distrust: null },
    ]);
    const again = async (key: string): Promise<number> => {
      const body = encodeFrame({ machine_id: 'again', timestamp: '2026-01-02T00:00:00Z', temperature: 1 });
      const headers = { 'idempotency-key': key, 'content-type': 'application/vnd.millwright.frames' };
      const { json } = await ask(`${hub.url}/api/v1/ingest`, { method: 'POST', headers, body });
      return (json as IngestAnswer).stored;
    };
    for (const sequence of [1, 2, 3, 7, 10, 15, 20]) assert.equal(await again(`edge-1/e1/${sequence}`), 0);
    for (const key of ['edge-2/e9/5', 'a key']) assert.equal(await again(key), 0);
    for (const sequence of [4, 9, 21]) assert.equal(await again(`edge-1/e1/${sequence}`), 1);
    for (const key of ['edge-2/e8/5', 'edge-2/e9/6', 'another key']) assert.equal(await again(key), 1);
    const { json } = await ask(`${hub.url}/api/v1/machines/polled/data`);
    const samples = readings.filter(({ machine_id }) => machine_id === 'polled');
    assert.equal((json as Reading[]).length, samples.length);
    await hub.stop();

    await withClient(settings, async (client) => {
      await rollUpAll(client, { clock: systemClock, log: silentLogger });
      await client.query(`delete from rollup_minutes where machine_id = 'again'; delete from rollup_hours
        where machine_id = 'again'`);
      await checkRollups(client, readings);
    });
  });
}

/** As a hub of then left them: some collapsed to ranges, some not yet. */
const IDENTITIES = `
  insert into settled_batches (gateway_id, epoch, sequence)
    values ('edge-1', 'e1', 1), ('edge-1', 'e1', 2), ('edge-1', 'e1', 3), ('edge-1', 'e1', 7), ('edge-2', 'e9', 5);
  insert into settled_ranges (gateway_id, epoch, first_sequence, last_sequence)
    values ('edge-1', 'e1', 10, 20), ('edge-2', 'e9', 1, 4);
  insert into settled_keys (key, expires_at) values ('sender a key', now() + interval '1 day');
  insert into dead_letters (reason, bytes, bytes_length) values ('no sense', 'x', 1);
  insert into measurements (time, machine_id, characteristic, measured_value, unit)
    values ('2026-01-01', 'CMM', 'bore', 10, 'mm');
  insert into machines (id, name) select distinct machine_id, machine_id from sensor_data;
  insert into machine_current (machine_id) select id from machines`;

async function migrateTo(client: Client, names: readonly string[]): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-steps-'));
  try {
    for (const name of names) await cp(new URL(name, MIGRATIONS), path.join(folder, name));
    await migrate(client, silentLogger, pathToFileURL(`${folder}/`));
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** What later versions have given columns: those of the first. */
const FIRST_MEASUREMENTS = `(select time, machine_id, characteristic, measured_value, unit, part_id, serial_number,
  nominal_value, lower_limit, upper_limit, temperature_c, details, gateway_time, clock_quality from measurements)`;

/** A digest of each table that grows, whatever the order of its rows. */
async function contents(settings: DatabaseSettings): Promise<object[]> {
  const tables = { sensor_data: 'sensor_data', events: 'events', machines: 'machines', dead_letters: 'dead_letters' };
  const digests = Object.entries({ ...tables, measurements: FIRST_MEASUREMENTS }).map(([table, rows]) => {
    return `select '${table}' as table, count(*)::integer as rows, md5(string_agg(md5(t::text), '' order by md5(t::text))) as digest
      from ${rows} as t`;
  });
  return select(settings, digests.join(' union all '));
}

/** What roll-ups must hold on every kind of database; each is given a database with the newest schema, and empty. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Client } from 'pg';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { type Random, seededRandom } from '../../src/base/random.ts';
import type { DatabaseSettings } from '../../src/hub/settings.ts';
import { createClient } from '../../src/hub/store/connection.ts';
import { rollUpAll } from '../../src/hub/store/rollup.ts';
import type { Reading } from '../../src/model/reading.ts';
import { microsOf } from '../../src/model/time.ts';
import { withClient } from './hub-database.ts';
import { expectedRollups, randomReadings, storedRollups, storeReadings } from './rollup-data.ts';

const parts = { clock: systemClock, log: silentLogger };
const START_MICROS = microsOf('2026-01-01T06:13:00Z');
const BATCHES = 25;

export function rollupCases(database: () => Promise<DatabaseSettings>): void {
  for (const seed of [1, 2, 3]) {
    test(`roll-ups are those of all rows, in whatever order they come (seed ${seed})`, async () => {
      const settings = await database();
      const random = seededRandom(seed);
      const readings = randomReadings(random, START_MICROS, 200);
      await withClient(settings, async (client) => {
        for (const batch of inBatches(random, readings)) {
          await storeReadings(client, batch);
          if (random() < 0.7) await rollUpAll(client, parts);
        }
        await rollUpAll(client, parts);
        await checkRollups(client, readings);
      });
    });
  }

  test('roll-ups are those of all rows when they are worked out while writers write, and are killed', async () => {
    const settings = await database();
    const random = seededRandom(4);
    const readings = randomReadings(random, START_MICROS, 200);
    const batches = inBatches(random, readings);
    let stored = 0;
    const write = async (): Promise<void> => {
      await withClient(settings, async (client) => {
        for (let batch = batches.shift(); batch !== undefined; batch = batches.shift()) {
          await storeReadings(client, batch);
          stored += 1;
        }
      });
    };
    const writers = Promise.all([write(), write()]);
    let kills = 0;
    for (let seen = 0; seen < BATCHES; seen = stored) if (await killedWork(settings, random)) kills += 1;
    await writers;
    while (kills < 3) if (await killedWork(settings, random)) kills += 1;
    await withClient(settings, async (client) => {
      await rollUpAll(client, parts);
      await checkRollups(client, readings);
    });
  });

  test('rows that are not committed yet, or come while a minute is worked out, leave their mark', async () => {
    const settings = await database();
    const [first, second, third] = ['00', '10', '20'].map((second): Reading[] => {
      return [{ machine_id: 'M', timestamp: `2026-01-01T08:00:${second}Z`, temperature: Number(second) }];
    });
    await withClient(settings, async (writer) => {
      await storeReadings(writer, first ?? []);
      await withClient(settings, async (worker) => {
        await writer.query('begin');
        await storeReadings(writer, second ?? [], { isOpen: true });
        await rollUpAll(worker, parts);
        await writer.query('commit');
        assert.deepEqual(await marks(worker), ['M 2026-01-01T08:00:00.000000Z']);
        await rollUpAll(worker, parts);
        assert.deepEqual(await marks(worker), []);
        await checkRollups(worker, [...(first ?? []), ...(second ?? [])]);
        await storeReadings(writer, third ?? []);
        await rollUpAll(worker, parts);
        await checkRollups(worker, [...(first ?? []), ...(second ?? []), ...(third ?? [])]);
      });
    });
  });

  test('rows from before there were marks get theirs, and machines that have none cost nothing', async () => {
    const settings = await database();
    const readings = randomReadings(seededRandom(5), START_MICROS, 200);
    await withClient(settings, async (client) => {
      await storeReadings(client, readings, { marks: false });
      await client.query(`insert into rollup_backfill (machine_id, before)
        select machine_id, 'infinity' from (select machine_id from sensor_data union select 'silent') as machine`);
      await rollUpAll(client, parts);
      await checkRollups(client, readings);
      const { rows } = await client.query('select from rollup_backfill');
      assert.equal(rows.length, 0);
    });
  });

  test('numbers that overflow, and what other programs have stored, hold up neither their minute nor others', async () => {
    const settings = await database();
    await withClient(settings, async (client) => {
      await client.query(`insert into sensor_data (time, machine_id, temperature, spindle_speed, extra) values
        ('2026-01-01 08:00:01Z', 'M', 1.7e308, 1, '{"sampling_factor": 3, "a": 1e999, "b": 7}'),
        ('2026-01-01 08:00:02Z', 'M', 1.7e308, 2, '[]'), ('2026-01-01 08:00:03Z', 'M', 5, 'NaN', '{"sampling_factor": "x"}'),
        ('2026-01-01 08:00:03Z', 'N', 6, 6, null)`);
      await client.query(
        `insert into rollup_marks select distinct machine_id, date_trunc('minute', time) from sensor_data`,
      );
      await rollUpAll(client, parts);
      assert.deepEqual(await marks(client), []);
      const { rows } = await client.query<{ text: string }>(
        `select concat_ws(' ', machine_id, signal, samples, weight, weighted_sum) as text from rollup_minutes order by 1`,
      );
      const found = rows.map(({ text }) => text);
      assert.deepEqual(
        found.filter((text) => !text.includes('spindle_speed')),
        ['M b 1 3 21', 'M temperature 1 1 5', 'N temperature 1 1 6'],
      );
    });
  });
}

/** Mostly in order, as they come from a machine; some pieces come late. */
function inBatches(random: Random, readings: readonly Reading[]): Reading[][] {
  const batches = Array.from({ length: BATCHES }, (): Reading[] => []);
  for (const [index, reading] of readings.entries()) {
    const inOrder = Math.floor((BATCHES * index) / readings.length);
    batches[random() < 0.8 ? inOrder : Math.floor(random() * BATCHES)]?.push(reading);
  }
  return batches;
}

/** Nothing is left to be done, and all roll-ups are those of the readings. */
export async function checkRollups(client: Client, readings: readonly Reading[]): Promise<void> {
  assert.deepEqual(await storedRollups(client), expectedRollups(readings));
  assert.deepEqual(await marks(client), []);
}

async function marks(client: Client): Promise<string[]> {
  const { rows } = await client.query<{ machine_id: string; minute: string }>(
    'select machine_id, minute from rollup_marks order by 1, 2',
  );
  return rows.map(({ machine_id, minute }) => `${machine_id} ${minute}`);
}

/** Ends the job's connection after a few of its statements; resolves to whether it was still at work. */
async function killedWork(settings: DatabaseSettings, random: Random): Promise<boolean> {
  const client = createClient(settings, 'test', () => {});
  await client.connect();
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  const statements = 5 + Math.floor(random() * 25);
  let said = 0;
  const query = client.query.bind(client) as (...args: unknown[]) => unknown;
  const counted = (...args: unknown[]): unknown => {
    said += 1;
    if (said === statements) {
      void withClient(settings, (other) => other.query('select pg_terminate_backend($1)', [rows[0]?.pid]));
    }
    return query(...args);
  };
  Object.assign(client, { query: counted });
  try {
    await rollUpAll(client, parts);
    return false;
  } catch {
    return true;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** What retention must hold on every kind of database; each case is given one with the newest schema, and empty. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Client } from 'pg';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { type DatabaseSettings, DEFAULT_STORE, type RetentionSettings } from '../../src/hub/settings.ts';
import { applyRetention } from '../../src/hub/store/retention.ts';
import { rollUpAll } from '../../src/hub/store/rollup.ts';
import type { Reading } from '../../src/model/reading.ts';
import { microsOf, timestampOf } from '../../src/model/time.ts';
import { withClient } from './hub-database.ts';
import { expectedRollups, storedRollups, storeReadings } from './rollup-data.ts';

const parts = { clock: systemClock, log: silentLogger };
const DAYS = ['2026-01-01', '2026-01-02', '2026-01-03'] as const;
const MACHINES = ['A', 'B'] as const;

export function retentionCases(database: () => Promise<DatabaseSettings>): void {
  test('readings that are too old go when the roll-ups know them, and the roll-ups stay', async () => {
    await withClient(await database(), async (client) => {
      const readings = threeDays();
      await storeReadings(client, readings);
      await rollUpAll(client, parts);
      const late = sample('A', '2026-01-02T10:00:30Z');
      await storeReadings(client, [late]);

      await retain(client, { rawMs: keptFrom('2026-01-03T00:00:00Z'), eventsMs: keptFrom('2026-01-02T00:00:00Z') });
      assert.deepEqual(await count(client, 'sensor_data', '2026-01-01'), 0);
      // Of a hypertable the whole chunk stays while there is a mark on one of its minutes.
      assert.ok((await count(client, 'sensor_data', '2026-01-02')) > 0);
      const { rows } = await client.query(`select from sensor_data where time = '2026-01-02T10:00:30Z'`);
      assert.equal(rows.length, 1);

      await rollUpAll(client, parts);
      await retain(client, { rawMs: keptFrom('2026-01-03T00:00:00Z'), eventsMs: keptFrom('2026-01-02T00:00:00Z') });
      for (const [index, day] of DAYS.entries()) {
        assert.equal(await count(client, 'sensor_data', day), [0, 0, 2 * 24][index]);
        assert.equal(await count(client, 'events', day), [0, 2 * 24, 2 * 24][index]);
      }
      assert.deepEqual(await storedRollups(client), expectedRollups([...readings, late]));
    });
  });

  test('what comes after its time is rolled up where nothing was known, and never replaces what knew more', async () => {
    await withClient(await database(), async (client) => {
      const readings = threeDays();
      await storeReadings(client, readings);
      await rollUpAll(client, parts);
      const kept = { rawMs: keptFrom('2026-01-03T00:00:00Z'), eventsMs: keptFrom('2026-01-03T00:00:00Z') };
      await retain(client, kept);
      const known = sample('A', '2026-01-01T10:00:05Z');
      const unknown = sample('A', '2026-01-01T10:30:00Z');
      await storeReadings(client, [known, unknown]);
      await rollUpAll(client, parts);
      await retain(client, kept);
      assert.equal(await count(client, 'sensor_data', '2026-01-01'), 0);
      assert.deepEqual(await storedRollups(client), expectedRollups([...readings, unknown]));
    });
  });

  test('roll-ups by the minute that are too old go, and the hours stay as they were', async () => {
    await withClient(await database(), async (client) => {
      const readings = threeDays();
      await storeReadings(client, readings);
      await rollUpAll(client, parts);
      const hours = async (): Promise<string[]> => {
        return (await storedRollups(client)).filter((line) => /^\w+_hours .* 2026-01-0[12]T/.test(line));
      };
      const before = await hours();
      const kept = { rollupMinutesMs: keptFrom('2026-01-03T00:00:00Z') };
      await retain(client, kept);
      const minutes = (await storedRollups(client)).filter((line) => /^\w+_minutes/.test(line));
      assert.ok(minutes.length > 0 && minutes.every((line) => line.includes('2026-01-03T')));
      await storeReadings(client, [sample('A', '2026-01-01T10:40:00Z')]);
      await rollUpAll(client, parts);
      await retain(client, kept);
      assert.deepEqual(await hours(), before);
      await retain(client, { rollupHoursMs: keptFrom('2026-01-03T00:00:00Z') });
      assert.deepEqual(await hours(), []);
    });
  });

  test('readings from before there were marks wait for theirs', async () => {
    await withClient(await database(), async (client) => {
      const readings = threeDays(2);
      await storeReadings(client, readings, { marks: false });
      await client.query(
        `insert into rollup_backfill (machine_id, before) values ('A', 'infinity'), ('B', 'infinity')`,
      );
      const kept = { rawMs: keptFrom('2026-01-03T00:00:00Z') };
      await retain(client, kept);
      assert.ok((await count(client, 'sensor_data', '2026-01-01')) > 0);
      await rollUpAll(client, parts);
      await retain(client, kept);
      assert.equal(await count(client, 'sensor_data', '2026-01-01'), 0);
      assert.deepEqual(await storedRollups(client), expectedRollups(readings));
    });
  });
}

/** Each of the first hours of three days, of each machine: a sample and an event of one minute. */
function threeDays(hours = 24): Reading[] {
  const readings: Reading[] = [];
  for (const machine_id of MACHINES) {
    for (const day of DAYS) {
      for (let hour = 0; hour < hours; hour += 1) {
        const time = `${day}T${String(hour).padStart(2, '0')}:00:00Z`;
        const at = (second: number): string => timestampOf(microsOf(time) + second * 1e6);
        readings.push(
          { machine_id, timestamp: at(0), temperature: hour, machine_state: 'running' },
          { machine_id, timestamp: at(20), kind: 'event', event_type: 'state', state: 'idle' },
        );
      }
    }
  }
  return readings;
}

function sample(machine_id: string, timestamp: string): Reading {
  return { machine_id, timestamp, temperature: 99 };
}

/** A little less than from then until now: ages are cut to the minute. */
function keptFrom(time: string): number {
  return Date.now() - Date.parse(time) - 30_000;
}

async function retain(client: Client, kept: Partial<RetentionSettings>): Promise<void> {
  const signal = new AbortController().signal;
  while (!(await applyRetention(client, { ...DEFAULT_STORE.retention, ...kept }, { ...parts, signal })));
}

async function count(client: Client, table: string, day: string): Promise<number> {
  const { rows } = await client.query<{ rows: number }>(
    `select count(*)::integer as rows from ${table} where time >= $1::date and time < $1::date + 1`,
    [day],
  );
  return rows[0]?.rows ?? 0;
}

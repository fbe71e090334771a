import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import { seededRandom } from '../../base/random.ts';
import { microsOf } from '../../model/time.ts';
import { startTestServer, withClient } from '../../../test/support/hub-database.ts';
import { expectedRollups, randomReadings, storedRollups, storeReadings } from '../../../test/support/rollup-data.ts';
import { rollUpAll } from './rollup.ts';

const server = await startTestServer();
const parts = { clock: systemClock, log: silentLogger };
const START_MICROS = microsOf('2026-01-01T06:13:00Z');

for (const seed of [1, 2, 3]) {
  test(`roll-ups are those of all rows, in whatever order they come (seed ${seed})`, async () => {
    const settings = await server.database();
    const random = seededRandom(seed);
    const readings = randomReadings(random, START_MICROS, 200);
    const batches = Array.from({ length: 25 }, () => [] as typeof readings);
    // Mostly in order, as they come from a machine; some pieces come late.
    for (const [index, reading] of readings.entries()) {
      const inOrder = Math.floor((25 * index) / readings.length);
      batches[random() < 0.8 ? inOrder : Math.floor(random() * 25)]?.push(reading);
    }
    await withClient(settings, async (client) => {
      for (const batch of batches) {
        await storeReadings(client, batch);
        if (random() < 0.7) await rollUpAll(client, parts);
      }
      await rollUpAll(client, parts);
      const expected = expectedRollups(readings);
      assert.ok(expected.length > 1_000);
      assert.deepEqual(await storedRollups(client), expected);
      const { rows } = await client.query('select from rollup_marks');
      assert.equal(rows.length, 0);
    });
  });
}

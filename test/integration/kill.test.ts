/** `kill -9` of hub, edge, and both at random times: afterwards every batch of the log is in the database, once. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { nodeFiles } from '../../src/base/node-files.ts';
import { seededRandom } from '../../src/base/random.ts';
import { readAll } from '../../src/log/inspect.ts';
import { decodeMessage } from '../../src/model/frame.ts';
import { startSystem, type System, waitUntil } from '../support/system.ts';

const ROUNDS = 9;
const KILLED = ['hub', 'edge', 'both'] as const;
const config = {
  agent: { machine_id: 'EDGE-K', sampling_rate: '20ms' },
  sensors: ['K-1', 'K-2', 'K-3'].map((id, index) => ({ name: id, type: 'simulator', machine_id: id, seed: index })),
};

let system: System;
before(async () => {
  system = await startSystem();
});
after(() => system.stop());

test('nothing is lost or doubled by kill -9 at random times', async () => {
  const seed = Number(process.env['MILLWRIGHT_SEED'] ?? Date.now() % 1_000_000);
  console.log(`seed ${seed} (repeat with MILLWRIGHT_SEED)`);
  const random = seededRandom(seed);
  // A second sink that never works keeps every segment, so that the log can be compared at the end.
  const sinks = [
    { name: 'hub', type: 'hub', url: system.url },
    { name: 'nowhere', type: 'hub', url: 'http://127.0.0.1:9' },
  ];
  let edge = await system.startEdge('k', { ...config, sinks });
  let stored = 0;
  const moreRows = async (): Promise<void> => {
    stored = await waitUntil('more rows', async () => {
      const count = await countRows();
      return count > stored ? count : undefined;
    });
  };
  for (let round = 0; round < ROUNDS; round += 1) {
    await moreRows();
    await new Promise((resolve) => setTimeout(resolve, random() * 700));
    const killed = KILLED[round % KILLED.length]!;
    if (killed !== 'edge') await system.hub.end('SIGKILL');
    if (killed !== 'hub') await edge.end('SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, random() * 300));
    if (killed !== 'hub') edge = await system.startEdge('k', { ...config, sinks });
    if (killed !== 'edge') await system.startHub();
  }
  // More rows may still be of the edge that was killed, and one that is starting has no handler of signals yet.
  await waitUntil('the edge to run', () => edge.said.includes('the edge runs') || undefined);
  await moreRows();
  assert.equal(await edge.end('SIGTERM'), 0, edge.said);

  const expected = new Map<string, number>();
  let batches = 0;
  for await (const batch of readAll(nodeFiles, system.logFolder('k'))) {
    batches += 1;
    assert.equal(batch.sequence, batches, 'sequences have no gap');
    for (const reading of decodeMessage(batch.payload).readings) {
      if (reading.kind === 'event' || reading.kind === 'measurement') continue;
      const key = `${reading.machine_id} ${reading.timestamp} ${JSON.stringify(reading['program'])} ${reading.x_pos_mm}`;
      expected.set(key, (expected.get(key) ?? 0) + 1);
    }
  }
  assert.ok(batches > ROUNDS, `${batches} batches`);
  const total = [...expected.values()].reduce((sum, count) => sum + count, 0);
  // A stop waits three seconds for its sinks, and the hub may just be starting: what is left is sent by the next start.
  await system.startEdge('k', { ...config, sensors: [], sinks });
  await waitUntil('every reading of the log in the database', async () =>
    (await countRows()) >= total ? true : undefined,
  );
  const rows = await system.rows<{ key: string; count: number }>(
    `select machine_id || ' ' || to_char(time at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || ' ' ||
       (extra->'program')::text || ' ' || x_pos_mm as key, count(*)::int as count from sensor_data group by 1`,
  );
  assert.deepEqual(new Map(rows.map(({ key, count }) => [key, count])), expected);
  console.log(`${batches} batches, ${total} samples, ${ROUNDS} kills: none lost, none doubled`);
});

async function countRows(): Promise<number> {
  return (await system.rows<{ count: number }>('select count(*)::int as count from sensor_data'))[0]?.count ?? 0;
}

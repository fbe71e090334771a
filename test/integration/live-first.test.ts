/** A backlog drains into a real hub while a machine goes on: the page sees the present all the time, and nothing is doubled. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { nodeFiles } from '../../src/base/node-files.ts';
import { DurableLog } from '../../src/log/log.ts';
import type { MachineNow } from '../../src/model/api.ts';
import { encodeFrame } from '../../src/model/frame.ts';
import { timestampOf } from '../../src/model/time.ts';
import { startSystem, type System, waitUntil } from '../support/system.ts';
import { ROOMY } from '../../src/log/options.test-support.ts';

const BATCHES = 300;
const READINGS = 20;
const HOUR_MICROS = 3_600_000_000;
const FRESH_MS_MAX = 2_000;

let system: System;
before(async () => {
  system = await startSystem();
});
after(() => system.stop());

test('while a backlog of an hour ago drains, the newest values on the hub are fresh', async () => {
  await fillLog(system.logFolder('d'));
  const edge = await system.startEdge('d', {
    agent: { machine_id: 'EDGE-D', sampling_rate: '50ms' },
    sensors: [{ name: 'sim', type: 'simulator', machine_id: 'D-1' }],
    // So the drain takes three seconds at least.
    sinks: [{ type: 'hub', url: system.url, max_rate: 2_000 }],
  });
  const agesMs: number[] = [];
  await waitUntil('all of the backlog', async () => {
    const [{ count } = { count: 0 }] = await system.rows<{ count: number }>(
      `select count(*)::int as count from sensor_data where time < now() - interval '30 minutes'`,
    );
    const machine = (await system.get<MachineNow[]>('/api/v1/fleet')).find(({ id }) => id === 'D-1');
    const ageMs = Date.now() - Date.parse(machine?.last_seen ?? '');
    // Until the first fresh reading is there, the machine was last seen an hour ago.
    const isDraining = count > 0 && count < BATCHES * READINGS;
    if (isDraining && (agesMs.length > 0 || ageMs < FRESH_MS_MAX)) agesMs.push(ageMs);
    return count === BATCHES * READINGS ? true : undefined;
  });
  assert.ok(agesMs.length > 5, `${agesMs.length} looks while the backlog drained`);
  assert.ok(Math.max(...agesMs) < FRESH_MS_MAX, `the newest reading was ${Math.max(...agesMs)} ms old`);
  assert.equal(await edge.end('SIGTERM'), 0, edge.said);
  const [twice] = await system.rows<{ count: number }>(
    'select count(*)::int as count from (select 1 from sensor_data group by machine_id, time having count(*) > 1) as t',
  );
  assert.equal(twice?.count, 0);
});

/** What an edge that was cut off for a while has in its log. */
async function fillLog(folder: string): Promise<void> {
  const log = await DurableLog.open({
    folder,
    files: nodeFiles,
    clock: systemClock,
    log: silentLogger,
    gatewayId: 'EDGE-D',
    sinks: ['hub'],
    segmentBytesMax: 4_000_000,
    hotBytesMax: 100_000,
    ...ROOMY,
    newId: () => 'epoch-d',
  });
  const start = systemClock.nowMicros() - HOUR_MICROS;
  for (let batch = 0; batch < BATCHES; batch += 1) {
    const frames = Array.from({ length: READINGS }, (_, index) => {
      const timestamp = timestampOf(start + (batch * READINGS + index) * 1_000);
      return encodeFrame({ machine_id: 'D-1', timestamp, machine_state: 'idle', spindle_speed: batch });
    });
    await log.append(Buffer.concat(frames), READINGS);
  }
  await log.close();
}

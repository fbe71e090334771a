import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../base/random.ts';
import { decodeMessage } from '../model/frame.ts';
import type { JsonValue } from '../model/reading.ts';
import { microsOf } from '../model/time.ts';
import { indexOfRow, type LoadSettings, payloadOf, planOf, timeOf } from './plan.ts';

const START = microsOf('2026-01-01T08:00:00.000000Z');
const SETTINGS: LoadSettings = {
  run: 'RUN',
  seed: 1,
  machines: 5,
  publishers: 2,
  batch: 3,
  rate: null,
  extent: { count: 20 },
  malformed: 7,
};
const plan = (more: Partial<LoadSettings> = {}): ReturnType<typeof planOf> => {
  return planOf({ ...SETTINGS, ...more }, START, seededRandom(3));
};

test('machines and malformed messages are shared among the gateways; nobody is without a machine', () => {
  const { gateways, machines, malformedMachine } = plan();
  assert.deepEqual(
    gateways.map((gateway) => gateway.machines.map(({ id }) => id)),
    [
      ['RUN-001', 'RUN-003', 'RUN-005'],
      ['RUN-002', 'RUN-004'],
    ],
  );
  assert.equal(machines.length, 5);
  assert.equal(malformedMachine, 'RUN-MALFORMED');
  assert.deepEqual(
    gateways.map(({ malformed }) => malformed.length),
    [4, 3],
  );
  for (const { malformed } of gateways) {
    assert.deepEqual(
      malformed,
      malformed.toSorted((one, other) => one.at - other.at),
    );
  }
  assert.equal(plan({ machines: 1, publishers: 10 }).gateways.length, 1);
});

test('the hub understands every reading, and each tells its number twice', () => {
  const machine = plan().machines[1];
  assert.ok(machine !== undefined);
  machine.sent = 1_300;
  const { readings, faults } = decodeMessage(payloadOf(machine, 3));
  assert.deepEqual(faults, []);
  assert.deepEqual(
    readings.map((reading) => indexOfRow(machine, reading as { [key: string]: JsonValue })),
    [1300, 1301, 1302],
  );
  const row = readings[0] as { [key: string]: JsonValue };
  assert.equal(row['timestamp'], timeOf(machine, 1_300));
  assert.equal(typeof row['spindle_speed'], 'number');
  assert.equal(indexOfRow(machine, { ...row, timestamp: timeOf(machine, 1_301) }), undefined);
  assert.equal(indexOfRow(machine, { ...row, active_program_line: 1_301 }), undefined);
  assert.equal(indexOfRow(machine, { timestamp: timeOf(machine, 0) }), undefined);
});

test('the hub refuses every malformed message for the reason that is expected', () => {
  const messages = plan().gateways.flatMap(({ malformed }) => malformed);
  for (const { payload, reason } of messages) {
    const { readings, faults } = decodeMessage(payload);
    assert.deepEqual(readings, []);
    assert.equal(faults.length, 1);
    assert.match(faults[0]?.reason ?? '', reason);
  }
  assert.equal(new Set(messages.map(({ reason }) => reason.source)).size, 3);
});

test('no reading is of the future: a count ends now, a rate follows the clock', () => {
  const counted = plan({ extent: { count: 1_000 } }).machines[0];
  assert.ok(counted !== undefined);
  assert.equal(timeOf(counted, 999), '2026-01-01T07:59:59.900000Z');
  const paced = plan({ rate: 50, batch: 2 }).machines[0];
  assert.ok(paced !== undefined);
  assert.equal(paced.stepMicros, 100_000);
  assert.equal(timeOf(paced, 1), '2026-01-01T08:00:00.000000Z');
  const timed = plan({ extent: { durationMs: 1_000 } }).machines[0];
  assert.equal(timed?.baseMicros, START);
  assert.equal(timed?.count, null);
});

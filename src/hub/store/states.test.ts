import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import { type Random, seededRandom } from '../../base/random.ts';
import type { StateInterval } from '../../model/api.ts';
import type { MachineEvent, Reading } from '../../model/reading.ts';
import { MACHINE_STATES, type MachineState } from '../../model/signals.ts';
import { microsOf, timestampOf } from '../../model/time.ts';
import { startTestServer, withClient } from '../../../test/support/hub-database.ts';
import { storeReadings } from '../../../test/support/rollup-data.ts';
import { createReadPool } from './connection.ts';
import { rollUpAll } from './rollup.ts';
import { readStates } from './states.ts';

const server = await startTestServer();
const START = microsOf('2026-01-01T06:00:10Z');
const HOURS = 36;
const END = START + HOURS * 3600e6;
const window = { start: timestampOf(START), end: timestampOf(END), openEnd: false };

for (const source of ['events', 'samples'] as const) {
  test(`over a long window what is short merges, what is long stays, and alarms never vanish (${source})`, async (t) => {
    const settings = await server.database();
    const pool = createReadPool(settings, silentLogger);
    t.after(() => pool.end());
    const readings = randomStates(seededRandom(4), source);
    const late = readings.filter((_, index) => index % 200 === 0);
    await withClient(settings, async (client) => {
      await storeReadings(
        client,
        readings.filter((one) => !late.includes(one)),
      );
      await rollUpAll(client, { clock: systemClock, log: silentLogger });
      await storeReadings(client, late);
    });
    const exact = await readStates(pool, { ...window, machineId: 'M' });
    assert.deepEqual(exact, expectedStates(readings));
    assert.ok(exact.length > 700);
    for (const points of [5_000, 720, 100, 1]) {
      const pointSeconds = (END - START) / 1e6 / points;
      const merged = await readStates(pool, { ...window, machineId: 'M', points });
      assert.ok(merged.length <= 4 * points + 2, `${merged.length} of ${points}`);
      checkWhole(merged);
      // Of a minute from the roll-ups the order is not always known.
      const toleranceSeconds = source === 'samples' && pointSeconds >= 10 ? 60 : 0;
      for (const { state, start_time, end_time } of exact) {
        const seconds = secondsOf({ start_time, end_time });
        const same = merged.filter((one) => one.state === state);
        const isNear = (a: string | null, b: string | null): boolean =>
          Math.abs(microsOf(a ?? '') - microsOf(b ?? '')) <= toleranceSeconds * 1e6;
        const overlap = same.some((one) => {
          const isBefore = microsOf(one.start_time) - toleranceSeconds * 1e6 < microsOf(end_time ?? '');
          return isBefore && microsOf(one.end_time ?? '') + toleranceSeconds * 1e6 > microsOf(start_time);
        });
        if (state === 'alarm') assert.ok(overlap, `alarm at ${start_time}, ${points} points`);
        if (seconds < pointSeconds + 2 * toleranceSeconds) continue;
        const holds = same.some((one) => {
          const begins = one.start_time <= start_time || isNear(one.start_time, start_time);
          return begins && ((one.end_time ?? '') >= (end_time ?? '') || isNear(one.end_time, end_time));
        });
        assert.ok(holds, `${state} from ${start_time} for ${seconds} s, ${points} points`);
      }
    }
  });
}

test('of a machine that never tells its state nothing is said, and what is unknown is a gap', async (t) => {
  const settings = await server.database();
  const pool = createReadPool(settings, silentLogger);
  t.after(() => pool.end());
  assert.deepEqual(await readStates(pool, { ...window, machineId: 'NONE', points: 100 }), []);
  const word = (second: number, fields: Partial<MachineEvent>): Reading => ({
    kind: 'event',
    machine_id: 'M',
    timestamp: timestampOf(START + second * 1e6),
    event_type: 'state',
    ...fields,
  });
  await withClient(settings, (client) =>
    storeReadings(client, [word(0, { state: 'idle' }), word(10, {}), word(20, { state: 'running', text: 'x' })]),
  );
  assert.deepEqual(await readStates(pool, { ...window, machineId: 'M' }), [
    { state: 'idle', start_time: window.start, end_time: timestampOf(START + 10e6), reason: null },
    { state: 'running', start_time: timestampOf(START + 20e6), end_time: window.end, reason: 'x' },
  ]);
});

test('of two words of one instant the same one counts, whatever the order in which they were stored', async (t) => {
  const settings = await server.database();
  const pool = createReadPool(settings, silentLogger);
  t.after(() => pool.end());
  const words = (machine_id: string, states: readonly MachineState[]): Reading[] =>
    [-5, 60].flatMap((second) =>
      states.map((state): Reading => {
        const timestamp = timestampOf(START + second * 1e6);
        return machine_id.startsWith('E')
          ? { kind: 'event', machine_id, timestamp, event_type: 'state', state }
          : { machine_id, timestamp, machine_state: state };
      }),
    );
  const [once, other] = [
    ['idle', 'running'],
    ['running', 'idle'],
  ] as const;
  await withClient(settings, (client) =>
    storeReadings(client, [...words('E1', once), ...words('E2', other), ...words('S1', once), ...words('S2', other)]),
  );
  for (const machineId of ['E1', 'E2', 'S1', 'S2']) {
    const states = await readStates(pool, { ...window, machineId });
    assert.deepEqual(
      states.map(({ state, start_time }) => [state, start_time]),
      [['running', window.start]],
      machineId,
    );
  }
});

test('of more states than an answer holds the newest are told', async (t) => {
  const settings = await server.database();
  const pool = createReadPool(settings, silentLogger);
  t.after(() => pool.end());
  await withClient(settings, (client) =>
    client.query(
      `insert into events (time, machine_id, event_type, state)
        select $1::timestamptz + n * interval '1 second', 'M', 'state', case n % 2 when 0 then 'idle' else 'running' end
        from generate_series(0, 24999) as n`,
      [window.start],
    ),
  );
  const states = await readStates(pool, { ...window, machineId: 'M' });
  assert.equal(states.length, 20_000);
  for (const [index, { state, start_time, end_time }] of states.entries()) {
    const second = 5_000 + index;
    assert.equal(state, second % 2 === 0 ? 'idle' : 'running');
    assert.equal(start_time, timestampOf(START + second * 1e6));
    assert.equal(end_time, second === 24_999 ? window.end : timestampOf(START + (second + 1) * 1e6));
  }
  const drawn = await readStates(pool, { ...window, machineId: 'M', points: 36 });
  // Half of each hour each; a second more of idle in the last, before the state that stays.
  assert.deepEqual(
    drawn.map(({ state }) => state),
    ['running', 'idle', 'running'],
  );
});

/** From seconds to an hour in a state; a sample each five seconds, or an event for each change. */
function randomStates(random: Random, source: 'events' | 'samples'): Reading[] {
  const readings: Reading[] = [];
  let state: MachineState = 'idle';
  for (let micros = START; micros < END; ) {
    const others = MACHINE_STATES.filter((one) => one !== state);
    state = others[Math.floor(random() * others.length)] ?? 'idle';
    const until = micros + 5e6 * Math.ceil(random() ** 25 * 700);
    if (source === 'events') {
      const timestamp = timestampOf(micros);
      readings.push({ kind: 'event', machine_id: 'M', timestamp, event_type: 'state', state, text: `at ${timestamp}` });
      micros = until;
    } else {
      for (; micros < until && micros < END; micros += 5e6) {
        readings.push({ machine_id: 'M', timestamp: timestampOf(micros), machine_state: state });
      }
    }
  }
  return readings;
}

function expectedStates(readings: readonly Reading[]): StateInterval[] {
  const intervals: { state: MachineState; start_time: string; end_time: string; reason: string | null }[] = [];
  for (const reading of readings) {
    if (reading.kind === 'measurement') continue;
    const state = reading.kind === 'event' ? reading.state : reading.machine_state;
    const last = intervals.at(-1);
    if (last?.state === state || state === undefined || state === null) continue;
    if (last !== undefined) last.end_time = reading.timestamp;
    const reason = reading.kind === 'event' ? (reading.text ?? null) : null;
    intervals.push({ state, start_time: reading.timestamp, end_time: window.end, reason });
  }
  return intervals;
}

/** No hole, and never the same state twice in a row. */
function checkWhole(intervals: readonly StateInterval[]): void {
  assert.equal(intervals[0]?.start_time, window.start);
  assert.equal(intervals.at(-1)?.end_time, window.end);
  for (const [index, { state, start_time }] of intervals.entries()) {
    const before = intervals[index - 1];
    if (before === undefined) continue;
    assert.equal(before.end_time, start_time);
    assert.notEqual(before.state, state);
  }
}

function secondsOf({ start_time, end_time }: Pick<StateInterval, 'start_time' | 'end_time'>): number {
  return (microsOf(end_time ?? '') - microsOf(start_time)) / 1e6;
}

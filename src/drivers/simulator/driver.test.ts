import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import { decodeReading, type MachineEvent, type Reading } from '../../model/reading.ts';
import { microsOf } from '../../model/time.ts';
import type { Driver, DriverContext } from '../../ports/driver.ts';
import { schema } from './config.ts';
import { create } from './driver.ts';

const START_MICROS = microsOf('2026-01-01T08:00:00.000000Z');

/** A clock that jumps to the end of each sleep; every sleep oversleeps by `lateMs()`. */
function steppedClock(lateMs: () => number = () => 0): Clock & { ms: number } {
  const clock = {
    ms: 0,
    nowMicros: () => START_MICROS + Math.round(clock.ms * 1000),
    monotonicMs: () => clock.ms,
    sleep: async (ms: number) => {
      clock.ms += ms + lateMs();
    },
  };
  return clock;
}

/** Runs the driver until the clock has gone that far; each call is one connection. */
async function run(driver: Driver, clock: Clock, untilMs: number, intervalMs = 100): Promise<Reading[]> {
  const stop = new AbortController();
  const readings: Reading[] = [];
  const context: DriverContext = {
    machineId: 'CNC-001',
    emit: (reading) => {
      readings.push(reading);
      if (clock.monotonicMs() >= untilMs) stop.abort();
    },
    connected: () => {},
    alive: () => {},
    answered: () => {},
    problem: () => {},
    room: () => undefined,
    samplingIntervalMs: () => intervalMs,
    clock,
    random: () => 0.5,
    log: silentLogger,
  };
  await driver.run(context, stop.signal);
  return readings;
}

function events(readings: readonly Reading[], type: string): MachineEvent[] {
  return readings.filter((one): one is MachineEvent => one.kind === 'event' && one.event_type === type);
}

test('every reading is valid on the wire', async () => {
  const readings = await run(create({ phaseSeconds: 0 }), steppedClock(), 125_000);
  for (const reading of readings) {
    const decoded = decodeReading(JSON.parse(JSON.stringify(reading)));
    assert.ok('reading' in decoded, JSON.stringify(decoded));
    assert.deepEqual(decoded.reading, reading);
  }
});

test('samples stand on a fixed grid, whatever each sleep is late by', async () => {
  let turn = 0;
  const clock = steppedClock(() => [0, 3.2, 0.4, 7.9, 1.1][(turn += 1) % 5] ?? 0);
  const samples = (await run(create({ phaseSeconds: 0 }), clock, 60_000)).filter((one) => one.kind !== 'event');
  assert.ok(Math.abs(samples.length - 600) <= 1, `${samples.length} samples in 60 s`);
  for (const [index, sample] of samples.entries()) {
    const lateMs = (microsOf(sample.timestamp) - START_MICROS) / 1000 - index * 100;
    assert.ok(lateMs >= 0 && lateMs < 8, `sample ${index} is ${lateMs} ms late`);
  }
});

test('ticks that were missed are skipped, not made up for', async () => {
  let turn = 0;
  const clock = steppedClock(() => ((turn += 1) === 10 ? 1_050 : 0));
  const samples = (await run(create({ phaseSeconds: 0 }), clock, 5_000)).filter((one) => one.kind !== 'event');
  const times = samples.map((sample) => (microsOf(sample.timestamp) - START_MICROS) / 1000);
  assert.deepEqual(times.slice(8, 13), [800, 900, 2_050, 2_100, 2_200]);
  assert.equal(new Set(times).size, times.length);
});

test('a state event is sent at each change, with its reason', async () => {
  const states = events(await run(create({ phaseSeconds: 0 }), steppedClock(), 125_000), 'state');
  assert.deepEqual(
    states.map(({ state, previous_state, timestamp }) => [state, previous_state, timestamp.slice(14, 19)]),
    [
      ['running', undefined, '00:00'],
      ['idle', 'running', '00:30'],
      ['alarm', 'idle', '01:00'],
      ['hold', 'alarm', '01:30'],
      ['running', 'hold', '02:00'],
    ],
  );
  assert.match(states[0]?.text ?? '', /ACTIVE.*O1001/);
});

test('an alarm is a condition that begins with its code and ends with the same', async () => {
  const conditions = events(await run(create({ phaseSeconds: 0, seed: 1 }), steppedClock(), 100_000), 'condition');
  assert.deepEqual(
    conditions.map(({ level, native_code, timestamp }) => [level, native_code, timestamp.slice(14, 19)]),
    [
      ['normal', undefined, '00:00'],
      ['fault', conditions[1]?.native_code, '01:00'],
      ['normal', conditions[1]?.native_code, '01:30'],
    ],
  );
  assert.ok(conditions[1]?.native_code !== undefined && conditions[1].text !== undefined);
});

test('a finished part is an event', async () => {
  const parts = events(await run(create({ phaseSeconds: 0 }), steppedClock(), 160_000), 'part');
  assert.deepEqual(
    parts.map(({ details, timestamp }) => [details?.['part_count'], timestamp.slice(14, 19)]),
    [
      [1, '00:30'],
      [2, '02:30'],
    ],
  );
});

test('machine time goes on over a lost connection, and the state is said again', async () => {
  const driver = create({ phaseSeconds: 0 });
  const clock = steppedClock();
  await run(driver, clock, 10_000);
  clock.ms = 35_000;
  const states = events(await run(driver, clock, 36_000), 'state');
  assert.deepEqual(
    states.map(({ state, previous_state }) => [state, previous_state]),
    [['idle', undefined]],
  );
});

test('the options have defaults, and a bad one is told', () => {
  assert.deepEqual(schema.parse({}), { phaseSeconds: 0 });
  assert.deepEqual(schema.parse({ seed: 7, phase: '40s' }), { seed: 7, phaseSeconds: 40 });
  assert.throws(() => schema.parse({ phase: '-1s' }));
  assert.throws(() => schema.parse({ sed: 1 }), /sed/);
});

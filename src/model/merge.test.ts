import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../base/random.ts';
import { mergeSamples, samplingFactorOf, thinSamples } from './merge.ts';
import { decodeReading, type MachineEvent, type Reading, type Sample } from './reading.ts';
import { MACHINE_STATES } from './signals.ts';
import { timestampOf } from './time.ts';

const START_MICROS = 1_767_254_400_000_000;
const SECOND_MICROS = 1_000_000;

function sample(seconds: number, fields: Partial<Sample> = {}, machine_id = 'CNC-001'): Sample {
  return { machine_id, timestamp: timestampOf(START_MICROS + seconds * SECOND_MICROS), ...fields };
}

function event(seconds: number, machine_id = 'CNC-001'): MachineEvent {
  const { timestamp } = sample(seconds);
  return { machine_id, timestamp, kind: 'event', event_type: 'message', text: 'tool change' };
}

function thin(
  readings: readonly Reading[],
  widthSeconds = 10,
): { kept: Reading[]; merged: ReturnType<typeof thinSamples>['merged'] } {
  const { places, merged } = thinSamples(readings, { widthMicros: widthSeconds * SECOND_MICROS });
  assert.equal(places.length, readings.length);
  return { kept: places.filter((reading) => reading !== undefined), merged };
}

test('a merged sample has the later time and the last value of each field, null among them', () => {
  const earlier = sample(0, { temperature: 20, spindle_speed: 1000, total_power_kw: 4, coolant: 'on' });
  const later = sample(1, { temperature: 21, total_power_kw: null });
  assert.deepEqual(
    mergeSamples(earlier, later),
    sample(1, { temperature: 21, spindle_speed: 1000, total_power_kw: null, coolant: 'on', sampling_factor: 2 }),
  );
});

test('the time by the gateway and its quality are never those of another time', () => {
  const earlier = sample(0, { gateway_time: sample(5).timestamp, clock_quality: 'unsynchronized', x_pos_mm: 1 });
  assert.deepEqual(mergeSamples(earlier, sample(1)), sample(1, { x_pos_mm: 1, sampling_factor: 2 }));
});

test('the factors of what is merged add up', () => {
  const merged = mergeSamples(sample(0, { sampling_factor: 4 }), sample(1, { sampling_factor: 2 }));
  assert.equal(samplingFactorOf(merged), 6);
  assert.ok('reading' in decodeReading(structuredClone(merged)));
});

test('the samples of one interval become the last of them, machine by machine', () => {
  const { kept, merged } = thin([
    sample(1, { temperature: 20 }),
    sample(2, { temperature: 5 }, 'CNC-002'),
    sample(3, { spindle_speed: 900 }),
    sample(9.999999, { temperature: 22 }),
    sample(10, { temperature: 23 }),
  ]);
  assert.deepEqual(kept, [
    sample(2, { temperature: 5 }, 'CNC-002'),
    sample(9.999999, { temperature: 22, spindle_speed: 900, sampling_factor: 3 }),
    sample(10, { temperature: 23 }),
  ]);
  const gone = { startTime: sample(1).timestamp, endTime: sample(3).timestamp, readings: 2 };
  assert.deepEqual([...merged], [['CNC-001', gone]]);
});

test('what was read before an event stays before it; an event of another machine parts nothing', () => {
  const measurement: Reading = {
    ...sample(6),
    kind: 'measurement',
    characteristic: 'bore_1.diameter',
    measured_value: 12,
    unit: 'mm',
  };
  const { kept } = thin([
    sample(1, { temperature: 20 }),
    event(2, 'CNC-002'),
    sample(3, { temperature: 21 }),
    event(4),
    sample(5, { temperature: 22 }),
    measurement,
    sample(7, { temperature: 23 }),
  ]);
  assert.deepEqual(kept, [
    event(2, 'CNC-002'),
    sample(3, { temperature: 21, sampling_factor: 2 }),
    event(4),
    sample(5, { temperature: 22 }),
    measurement,
    sample(7, { temperature: 23 }),
  ]);
});

test('a change of state in a sample keeps its time and is merged with nothing', () => {
  const { kept } = thin([
    sample(0, { machine_state: 'running' }),
    sample(1, { machine_state: 'running', temperature: 20 }),
    sample(2, { temperature: 21 }),
    sample(3, { machine_state: 'idle' }),
    sample(4, { machine_state: 'idle', temperature: 22 }),
    sample(5, { machine_state: 'idle' }),
    sample(6, { machine_state: null }),
  ]);
  assert.deepEqual(kept, [
    sample(0, { machine_state: 'running' }),
    sample(2, { machine_state: 'running', temperature: 21, sampling_factor: 2 }),
    sample(3, { machine_state: 'idle' }),
    sample(5, { machine_state: 'idle', temperature: 22, sampling_factor: 2 }),
    sample(6, { machine_state: null }),
  ]);
});

test('who thins piece by piece carries the states on', () => {
  const states = new Map([['CNC-001', 'running' as const]]);
  const options = { widthMicros: 10 * SECOND_MICROS, states };
  const same = thinSamples([sample(1, { machine_state: 'running' }), sample(2, { machine_state: 'running' })], options);
  assert.deepEqual(same.places, [undefined, sample(2, { machine_state: 'running', sampling_factor: 2 })]);
  const changed = thinSamples([sample(3, { machine_state: 'idle' }), sample(4, { machine_state: 'idle' })], options);
  assert.ok(changed.places.every((reading) => reading !== undefined));
});

test('a time that runs backwards is not merged', () => {
  const readings = [sample(5, { temperature: 20 }), sample(4, { temperature: 19 })];
  assert.deepEqual(thin(readings).kept, readings);
});

test('nothing that can be known at the end of an interval is lost, and no time is counted twice', () => {
  const random = seededRandom(7);
  const signals = ['temperature', 'spindle_speed', 'x_pos_mm', 'feed_rate_actual'];
  const readings = Array.from({ length: 5_000 }, (_, index): Reading => {
    const machineId = `CNC-${Math.floor(random() * 3)}`;
    if (random() < 0.02) return event(index / 7, machineId);
    const state = MACHINE_STATES[Math.floor(random() * MACHINE_STATES.length)]!;
    const fields = signals.filter(() => random() < 0.4).map((name) => [name, random() < 0.1 ? null : index] as const);
    const stated = random() < 0.05 ? { machine_state: state } : {};
    return sample(index / 7, { ...Object.fromEntries(fields), ...stated }, machineId);
  });
  const { kept, merged } = thin(readings);
  assert.ok(kept.length < readings.length / 2, `${kept.length} kept`);
  assert.deepEqual(newestValues(kept), newestValues(readings));
  assert.equal(weight(kept), weight(readings));
  const gone = [...merged.values()].reduce((sum, { readings: count }) => sum + count, 0);
  assert.equal(gone, readings.length - kept.length);
  assert.deepEqual(stateChanges(kept), stateChanges(readings));
  assert.deepEqual(kept.filter(isEvent), readings.filter(isEvent));
});

function newestValues(readings: readonly Reading[]): Map<string, unknown> {
  const values = new Map<string, unknown>();
  for (const { timestamp: _, sampling_factor: _factor, machine_id, ...fields } of readings.filter(isSample)) {
    for (const [name, value] of Object.entries(fields)) values.set(`${machine_id} ${name}`, value);
  }
  return new Map([...values].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function weight(readings: readonly Reading[]): number {
  return readings.filter(isSample).reduce((sum, one) => sum + samplingFactorOf(one), 0);
}

function stateChanges(readings: readonly Reading[]): string[] {
  const last = new Map<string, unknown>();
  return readings.filter(isSample).flatMap(({ machine_id, machine_state, timestamp }) => {
    if (machine_state === undefined || last.get(machine_id) === machine_state) return [];
    last.set(machine_id, machine_state);
    return [`${timestamp} ${machine_id} ${machine_state}`];
  });
}

function isEvent(reading: Reading): boolean {
  return reading.kind === 'event';
}

function isSample(reading: Reading): reading is Sample {
  return reading.kind === undefined || reading.kind === 'sample';
}

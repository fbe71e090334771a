import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../base/manual-clock.test-support.ts';
import { seededRandom } from '../../base/random.ts';
import { samplingFactorOf } from '../../model/merge.ts';
import type { MachineEvent, Reading, Sample } from '../../model/reading.ts';
import { microsOf, timestampOf } from '../../model/time.ts';
import { SampleMerger } from './sample-merger.ts';

const START = '2026-01-01T08:00:00Z';
const WIDTH_MS = 1_000;

function open(): { clock: ManualClock; merger: SampleMerger; out: Reading[] } {
  const clock = new ManualClock(START);
  const out: Reading[] = [];
  const merger = new SampleMerger({ clock, accept: (reading) => void out.push(reading) });
  return { clock, merger, out };
}

function sample(ms: number, fields: Partial<Sample> = {}, machine_id = 'CNC-001'): Sample {
  return { machine_id, timestamp: timestampOf(microsOf(START) + ms * 1000), ...fields };
}

function message(ms: number, machine_id = 'CNC-001'): MachineEvent {
  return { machine_id, timestamp: sample(ms).timestamp, kind: 'event', event_type: 'message', text: 'door open' };
}

test('with no width everything passes as it is, and nothing is held', () => {
  const { clock, merger, out } = open();
  const readings = [sample(0), message(1), sample(2)];
  for (const reading of readings) merger.accept(reading);
  assert.ok(out.every((reading, index) => reading === readings[index]) && out.length === 3);
  assert.equal(clock.sleepers, 0);
});

test('the samples of an interval leave as one when the next interval begins', () => {
  const { merger, out } = open();
  merger.setWidth(WIDTH_MS);
  merger.accept(sample(100, { temperature: 20, coolant: 'on' }));
  merger.accept(sample(900, { temperature: 21 }));
  merger.accept(sample(900, { temperature: 5 }, 'CNC-002'));
  assert.deepEqual(out, []);
  merger.accept(sample(1_000, { temperature: 22 }));
  assert.deepEqual(out, [sample(900, { temperature: 21, coolant: 'on', sampling_factor: 2 })]);
  merger.flush();
  assert.deepEqual(out.slice(1), [sample(900, { temperature: 5 }, 'CNC-002'), sample(1_000, { temperature: 22 })]);
});

test('a burst of old samples is thinned as evenly as live ones', () => {
  const { merger, out } = open();
  merger.setWidth(WIDTH_MS);
  for (let ms = -10_000; ms < 0; ms += 100) merger.accept(sample(ms, { x_pos_mm: ms }));
  merger.flush();
  assert.deepEqual(
    out.map(({ timestamp }) => timestamp),
    Array.from({ length: 10 }, (_, index) => sample(-9_100 + index * 1_000).timestamp),
  );
});

test('a machine that falls silent does not keep its last sample', async () => {
  const { clock, merger, out } = open();
  merger.setWidth(WIDTH_MS);
  merger.accept(sample(0, { temperature: 20 }));
  await clock.step(400);
  merger.accept(sample(-86_400_000, { temperature: 5 }, 'CNC-002'));
  await clock.step(WIDTH_MS - 401);
  assert.equal(out.length, 0);
  await clock.step(1);
  assert.deepEqual(out, [sample(0, { temperature: 20 })]);
  await clock.step(400);
  assert.equal(out.length, 2);
  assert.equal(clock.sleepers, 0);
});

test('an event of the machine sends its samples out first; one of another machine does not', () => {
  const { merger, out } = open();
  merger.setWidth(WIDTH_MS);
  merger.accept(sample(0, { temperature: 20 }));
  merger.accept(message(1, 'CNC-002'));
  assert.deepEqual(out, [message(1, 'CNC-002')]);
  merger.accept(message(2));
  assert.deepEqual(out.slice(1), [sample(0, { temperature: 20 }), message(2)]);
});

test('a change of state goes out at once and alone', () => {
  const { merger, out } = open();
  merger.setWidth(WIDTH_MS);
  const samples = (['running', 'running', 'running', 'hold', 'hold', 'hold'] as const).map((machine_state, index) =>
    sample(index * 10, { machine_state }),
  );
  for (const one of samples) merger.accept(one);
  merger.flush();
  assert.deepEqual(out, [
    samples[0],
    { ...samples[2], sampling_factor: 2 },
    samples[3],
    { ...samples[5], sampling_factor: 2 },
  ]);
});

test('a change of the width and a flush lose nothing and leave no timer', async () => {
  const { clock, merger, out } = open();
  merger.setWidth(WIDTH_MS);
  merger.accept(sample(0, { temperature: 20 }));
  merger.setWidth(2 * WIDTH_MS);
  merger.accept(sample(100, { temperature: 21 }));
  merger.setWidth(0);
  merger.accept(sample(200, { temperature: 22 }));
  assert.deepEqual(
    out.map((reading) => (reading as Sample).temperature),
    [20, 21, 22],
  );
  await clock.step(0);
  assert.equal(clock.sleepers, 0);
});

test('whatever comes, the newest value of every field and every event come out, in order', async () => {
  const { clock, merger, out } = open();
  const random = seededRandom(11);
  const newest = new Map<string, unknown>();
  let samples = 0;
  for (let ms = 0; ms < 60_000; ms += 20) {
    if (ms % 7_000 === 0) merger.setWidth([0, 200, 1_600][Math.floor(random() * 3)]!);
    const machineId = random() < 0.5 ? 'CNC-001' : 'CNC-002';
    if (random() < 0.02) merger.accept(message(ms, machineId));
    const field = ['temperature', 'spindle_speed', 'coolant'][Math.floor(random() * 3)]!;
    const one = sample(random() < 0.02 ? ms - 50 : ms, { [field]: random() < 0.05 ? null : ms }, machineId);
    newest.set(`${machineId} ${field}`, one[field]);
    samples += 1;
    merger.accept(one);
    await clock.step(20);
  }
  merger.flush();
  const told = new Map<string, unknown>();
  let weight = 0;
  for (const reading of out) {
    if (reading.kind !== undefined) continue;
    const { machine_id, timestamp: _, sampling_factor: _factor, ...fields } = reading;
    for (const [name, value] of Object.entries(fields)) told.set(`${machine_id} ${name}`, value);
    weight += samplingFactorOf(reading);
  }
  assert.deepEqual(Object.fromEntries(told), Object.fromEntries(newest));
  assert.equal(weight, samples);
  assert.ok(out.length < 0.7 * samples, `${out.length} of ${samples}`);
});

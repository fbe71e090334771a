import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../base/random.ts';
import type { MachineEvent, Reading, Sample } from '../../model/reading.ts';
import type { MachineState } from '../../model/signals.ts';
import { isAtLeast } from '../../model/time.ts';
import {
  type CurrentState,
  emptyCurrent,
  isRaised,
  MachineChange,
  settleBeginning,
  type SoughtBeginning,
  soughtBeginning,
} from './current.ts';

const NOW = '2026-01-02T00:00:00.000000Z';
const at = (seconds: number): string => `2026-01-01T08:00:${seconds.toFixed(6).padStart(9, '0')}Z`;
const sample = (second: number, fields: Partial<Sample>): Sample => ({
  machine_id: 'M',
  timestamp: at(second),
  ...fields,
});
const state = (second: number, to: MachineState, text: string): MachineEvent => {
  return { kind: 'event', event_type: 'state', machine_id: 'M', timestamp: at(second), state: to, text };
};
type Condition = Pick<MachineEvent, 'item' | 'level' | 'native_code'>;
const condition = (second: number, fields: Condition): MachineEvent => {
  return { kind: 'event', event_type: 'condition', machine_id: 'M', timestamp: at(second), ...fields };
};

/** Each inner list is one batch, stored by a transaction of its own where `commits` says nothing else. */
function merge(batches: readonly (readonly Reading[])[], now = NOW, commits = (): boolean => true): CurrentState {
  const current = emptyCurrent();
  const stored: Reading[] = [];
  for (const [index, readings] of batches.entries()) {
    const change = new MachineChange();
    for (const reading of readings) change.add(reading);
    stored.push(...readings);
    change.applyTo(current, now);
    const sought = index === batches.length - 1 || commits() ? soughtBeginning(current) : undefined;
    if (sought !== undefined) settleBeginning(current, firstWord(stored, sought));
  }
  return current;
}

/** As the database answers. */
function firstWord(readings: readonly Reading[], { state, after, before }: SoughtBeginning): string | null {
  const times = readings.flatMap((reading) => {
    const said = reading.kind === 'event' ? reading.state : (reading as Sample).machine_state;
    return said === state && isAtLeast(reading.timestamp, after) ? [reading.timestamp] : [];
  });
  return times.filter((time) => !isAtLeast(time, before)).toSorted()[0] ?? null;
}

const raised = (current: CurrentState): string[] => {
  return current.conditions
    .filter(isRaised)
    .map(({ item, code, level }) => `${item} ${code} ${level}`)
    .sort();
};

test('per signal the newest time wins; between equals, what arrived later; null is a value', () => {
  const current = merge([
    [sample(2, { temperature: 22, coolant: 'on' }), sample(1, { temperature: 21, spindle_speed: 100 })],
    [sample(2, { temperature: 23 }), sample(1.5, { coolant: 'off' })],
    [sample(3, { spindle_speed: null })],
  ]);
  assert.deepEqual(Object.fromEntries(current.signals), {
    temperature: [at(2), 23],
    coolant: [at(2), 'on'],
    spindle_speed: [at(3), null],
  });
});

test('a machine whose clock runs ahead is seen now, not tomorrow', () => {
  assert.equal(merge([[sample(30, { temperature: 1 })]], at(10)).lastSeen, at(10));
  assert.equal(merge([[sample(5, { temperature: 1 })], [sample(4, { temperature: 1 })]], at(10)).lastSeen, at(5));
});

test('the state is the same whatever the order in which the batches arrive', () => {
  const batches = [
    [state(1, 'idle', 'READY'), sample(2, { machine_state: 'idle' })],
    [state(3, 'running', 'ACTIVE')],
    [sample(4, { machine_state: 'running' }), sample(5, { machine_state: 'running' })],
    [state(6, 'alarm', 'FAULT'), state(7, 'running', 'ACTIVE again'), sample(8, { machine_state: 'running' })],
  ];
  const expected = merge(batches);
  const reason = [at(7), 'ACTIVE again'];
  assert.deepEqual(expected.states.at(-1), { state: 'running', from: at(7), to: at(8), reason });
  const random = seededRandom(3);
  for (let round = 0; round < 50; round += 1) {
    const shuffled = batches.toSorted(() => random() - 0.5);
    assert.deepEqual(merge(shuffled).states.at(-1), expected.states.at(-1));
  }
});

test('"in this state since" is right once a backlog has arrived, whatever the order of its batches', () => {
  for (let seed = 1; seed <= 300; seed += 1) {
    const random = seededRandom(seed);
    const batches = history(random);
    const words = batches.flat();
    const last = words.at(-1);
    const begin = words.findLastIndex(({ machine_state }) => machine_state !== last?.machine_state) + 1;
    const expected = { state: last?.machine_state, from: words[begin]?.timestamp, to: last?.timestamp };
    for (const order of [batches, drained(batches, random), batches.toSorted(() => random() - 0.5)]) {
      const { state, from, to } = merge(order, NOW, () => random() < 0.5).states.at(-1) ?? {};
      assert.deepEqual({ state, from, to }, expected, `seed ${seed}`);
    }
  }
});

/** Words on the state in batches of a few; states that last for long and short ones. */
function history(random: () => number): Sample[][] {
  const batches: Sample[][] = [];
  let machine_state: MachineState | null = 'idle';
  for (let second = 0; second < 55; ) {
    const batch: Sample[] = [];
    const size = 1 + Math.floor(random() * 5);
    while (batch.length < size) {
      if (random() < 0.2) machine_state = STATES[Math.floor(random() * STATES.length)] ?? null;
      batch.push(sample(second, { machine_state }));
      second += random();
    }
    batches.push(batch);
  }
  return batches;
}

const STATES: readonly (MachineState | null)[] = ['running', 'idle', 'alarm', null];

/** As a sink sends them after an outage: fresh ones as they come, and between them those that waited, oldest first. */
function drained<Batch>(batches: readonly Batch[], random: () => number): Batch[] {
  const waiting = batches.slice(0, Math.floor(batches.length * random()));
  const fresh = batches.slice(waiting.length);
  const order: Batch[] = [];
  while (waiting.length + fresh.length > 0) {
    const next = (random() < 0.3 ? fresh.shift() : waiting.shift()) ?? fresh.shift();
    if (next !== undefined) order.push(next);
  }
  return order;
}

test('the reason is that of the newest event of the interval, however late it comes', () => {
  const batches = [
    [state(1, 'running', 'ACTIVE')],
    [state(2, 'idle', 'READY')],
    [sample(3, { machine_state: 'running' })],
    [state(4, 'running', 'ACTIVE again'), sample(5, { machine_state: 'running' })],
    [state(6, 'running', 'ACTIVE still')],
    [sample(7, { machine_state: 'running' })],
  ];
  const random = seededRandom(5);
  for (let round = 0; round < 100; round += 1) {
    const run = merge(batches.toSorted(() => random() - 0.5)).states.at(-1);
    assert.deepEqual([run?.from, run?.to, run?.reason], [at(3), at(7), [at(6), 'ACTIVE still']]);
  }
  const before = merge([
    [state(1, 'running', 'ACTIVE'), sample(3, { machine_state: 'running' })],
    [state(2, 'idle', '')],
  ]);
  assert.equal(before.states.at(-1)?.reason, null);
});

test('a late word on the state that is already known moves its beginning and tells its reason', () => {
  const current = merge([[sample(2, { machine_state: 'running' })], [state(1.9, 'running', 'ACTIVE')]]);
  assert.deepEqual(current.states, [{ state: 'running', from: at(1.9), to: at(2), reason: [at(1.9), 'ACTIVE'] }]);
  assert.equal(merge([[sample(3, { machine_state: null })]]).states.at(-1)?.state, null);
});

test('conditions: a code clears that code, none clears the item, and a late word raises nothing again', () => {
  const servo7: Condition = { item: 'servo', level: 'fault', native_code: '7' };
  const servo8: Condition = { item: 'servo', level: 'warning', native_code: '8' };
  const coolant: Condition = { item: 'coolant', level: 'warning' };
  const all = [condition(1, servo7), condition(2, servo8), condition(2, coolant)];
  assert.deepEqual(raised(merge([all])), ['coolant null warning', 'servo 7 fault', 'servo 8 warning']);
  const cleared7 = condition(3, { ...servo7, level: 'normal' });
  assert.deepEqual(raised(merge([all, [cleared7]])), ['coolant null warning', 'servo 8 warning']);
  assert.deepEqual(raised(merge([[cleared7], all])), ['coolant null warning', 'servo 8 warning']);
  const clearedAll = condition(4, { item: 'servo', level: 'normal' });
  assert.deepEqual(raised(merge([all, [clearedAll]])), ['coolant null warning']);
  assert.deepEqual(raised(merge([[clearedAll], all])), ['coolant null warning']);
  assert.deepEqual(raised(merge([[clearedAll], all, [condition(5, servo7)]])), [
    'coolant null warning',
    'servo 7 fault',
  ]);
  assert.deepEqual(raised(merge([all, [condition(6, { item: 'coolant', level: 'unavailable' })]])).length, 2);
});

test('what a machine invents without end is kept within limits', () => {
  const signals = Array.from({ length: 700 }, (_, index) => sample(1, { [`s${index}`]: index }));
  const codes = Array.from({ length: 300 }, (_, index) => {
    return condition(index / 10, { item: 'servo', level: 'normal', native_code: String(index) });
  });
  const current = merge([signals, codes]);
  assert.equal(current.signals.size, 500);
  assert.equal(current.conditions.length, 200);
});

test('a clock that was once far ahead hides nothing that comes after', () => {
  const future = '2100-01-01T00:00:00.000000Z';
  const ahead: Reading[] = [
    { machine_id: 'M', timestamp: future, temperature: 1 },
    { ...state(0, 'alarm', 'clock'), timestamp: future },
    { ...condition(0, { item: 'servo', level: 'fault', native_code: '7' }), timestamp: future },
  ];
  const current = merge([ahead]);
  assert.equal(current.lastSeen, NOW);
  const later = new MachineChange();
  const second = '2026-01-02T00:00:01.000000Z';
  later.add({ machine_id: 'M', timestamp: second, temperature: 2 });
  later.add({ ...state(0, 'running', ''), timestamp: second });
  later.add({ ...condition(0, { item: 'servo', level: 'normal', native_code: '7' }), timestamp: second });
  later.applyTo(current, '2026-01-02T00:00:02.000000Z');
  assert.deepEqual(current.signals.get('temperature'), [second, 2]);
  assert.equal(current.states.at(-1)?.state, 'running');
  assert.deepEqual(raised(current), []);
});

test('a machine that invents signals without end still has its standard ones', () => {
  const invented = Object.fromEntries(Array.from({ length: 2_000 }, (_, index) => [`item_${index}`, index]));
  const current = merge([[sample(1, invented)], [sample(2, { temperature: 3 })]]);
  assert.equal(current.signals.size, 501);
  assert.deepEqual(current.signals.get('temperature'), [at(2), 3]);
});

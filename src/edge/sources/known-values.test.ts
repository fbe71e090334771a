import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Reading } from '../../model/reading.ts';
import { KnownValues } from './known-values.ts';

const AT = '2026-01-01T08:00:00.000000Z';
const LATER = { text: 'taken away', timestamp: '2026-01-01T09:00:00.000000Z' };

function knowing(...readings: Partial<Reading>[]): KnownValues {
  const known = new KnownValues();
  for (const reading of readings) known.note({ machine_id: 'M', timestamp: AT, ...reading } as Reading);
  return known;
}

test('what a source said and did not take back is unknown when it goes', () => {
  const known = knowing(
    { temperature: 20, coolant: true, sampling_factor: 2, gateway_time: AT, machine_state: 'running' },
    { kind: 'event', event_type: 'state', state: 'running' },
    { coolant: null },
    { kind: 'measurement', characteristic: 'length', measured_value: 1, unit: 'mm' },
    { kind: 'event', event_type: 'message', text: 'hello' },
    { machine_id: 'OTHER', feed_rate_actual: 1 },
  );
  assert.deepEqual(known.farewell([], LATER), [
    {
      machine_id: 'M',
      timestamp: LATER.timestamp,
      kind: 'event',
      event_type: 'state',
      state: 'offline',
      previous_state: 'running',
      text: 'taken away',
    },
    { machine_id: 'M', timestamp: LATER.timestamp, temperature: null, machine_state: 'offline' },
    { machine_id: 'OTHER', timestamp: LATER.timestamp, feed_rate_actual: null },
  ]);
});

test('what another source of the machine knows stays', () => {
  const state = { kind: 'event', event_type: 'state', state: 'idle' } as const;
  const known = knowing({ temperature: 20, machine_state: 'idle', pressure: 5 }, state);
  const other = knowing({ temperature: 21, machine_state: 'idle' }, state);
  assert.deepEqual(known.farewell([other], LATER), [{ machine_id: 'M', timestamp: LATER.timestamp, pressure: null }]);
  assert.deepEqual(known.farewell([knowing({ temperature: null, machine_id: 'N' })], LATER).length, 2);
});

test('a machine that was said to be offline is not said so again', () => {
  const known = knowing({ machine_state: 'offline' }, { kind: 'event', event_type: 'state', state: 'offline' });
  assert.deepEqual(known.farewell([], LATER), []);
});

test('what several have known is joined, with the state of the last', () => {
  const state = (state: 'idle' | 'hold') => ({ kind: 'event', event_type: 'state', state }) as const;
  const joined = KnownValues.joined(knowing({ a: 1 }, state('idle')), undefined, knowing({ b: 2 }, state('hold')));
  const [event, sample] = joined.farewell([], LATER);
  assert.equal(event?.kind === 'event' && event.previous_state, 'hold');
  assert.deepEqual(Object.keys(sample ?? {}), ['machine_id', 'timestamp', 'a', 'b']);
});

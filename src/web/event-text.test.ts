import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MachineEventRow } from '../model/api.ts';
import { eventText } from './event-text.ts';
import { plantTime } from './format.ts';

const PLANT = plantTime('Europe/Berlin');

function gap(details: MachineEventRow['details'], text = 'as the gateway says it'): string {
  const nothing = { item: null, state: null, previous_state: null, level: null, qualifier: null };
  const codes = { native_code: null, native_severity: null };
  const time = '2026-01-02T08:00:00Z';
  return eventText({ time, machine_id: 'M', event_type: 'gap', ...nothing, ...codes, text, details }, PLANT);
}

const sameDay = { start_time: '2026-01-02T06:30:00Z', end_time: '2026-01-02T07:00:00Z', sinks: ['hub'] };

test('a gap says what happened, when by the clock of the plant, and why', () => {
  assert.equal(
    gap({ ...sameDay, reason: 'thinned', readings: 12_000 }),
    'Gap · 12\u202f000 samples from 07:30:00 to 08:00:00 were merged into wider intervals before they reached hub: the gateway’s log was at its limit.',
  );
  assert.equal(
    gap({ ...sameDay, reason: 'dropped', readings: 1, sinks: ['hub', 'archive'] }),
    'Gap · 1 reading from 07:30:00 to 08:00:00 was dropped before it reached hub and archive: the gateway’s log was at its limit.',
  );
  assert.equal(
    gap({ ...sameDay, reason: 'destroyed', readings: 300, sinks: [] }),
    'Gap · 300 readings of this gateway’s machines from 07:30:00 to 08:00:00 were destroyed: the gateway’s disk is damaged.',
  );
});

test('a gap that is told on another day bears the dates', () => {
  const long = { start_time: '2025-12-30T22:59:00Z', end_time: '2025-12-30T23:01:00Z' };
  assert.match(
    gap({ ...long, reason: 'dropped', readings: 7 }),
    /^Gap · 7 readings from 2025-12-30 23:59:00 to 2025-12-31 00:01:00 were dropped: /,
  );
  const night = { start_time: '2026-01-01T21:00:00Z', end_time: '2026-01-01T22:00:00Z' };
  assert.match(gap({ ...night, reason: 'dropped', readings: 7 }), /from 2026-01-01 22:00:00 to 23:00:00 were/);
});

test('a gap of which less is known', () => {
  assert.equal(
    gap({ ...sameDay, reason: 'destroyed', readings: 0 }),
    'Gap · Readings of this gateway’s machines from 07:30:00 to 08:00:00 may be lost: the gateway’s disk is damaged.',
  );
  const { sinks: _, ...times } = sameDay;
  assert.equal(
    gap({ ...times, readings: 5 }),
    'Gap · 5 readings from 07:30:00 to 08:00:00 were lost · as the gateway says it',
  );
  assert.equal(gap(null), 'Gap · Readings were lost · as the gateway says it');
  assert.equal(gap({ reason: 'constructor', readings: 2 }), 'Gap · 2 readings were lost · as the gateway says it');
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EdgeReport, MachineNow } from '../model/api.ts';
import { attentionOf } from './attention.ts';
import { standingOf } from './standing.ts';

const NOW = Date.parse('2026-01-01T08:00:00Z');
const ago = (seconds: number): string => new Date(NOW - seconds * 1000).toISOString();

function machine(said: Partial<MachineNow>): MachineNow {
  return {
    id: 'M-1',
    name: 'M-1',
    location: null,
    state: 'running',
    state_since: ago(120),
    state_reason: 'execution ACTIVE',
    last_measurement: null,
    last_seen: ago(0),
    source_state: 'ok',
    source_error: null,
    gateway_id: 'EDGE-1',
    values: {},
    active_conditions: [],
    ...said,
  };
}

const kindOf = (said: Partial<MachineNow>): string => {
  const { kind, state } = standingOf(machine(said), NOW);
  return `${kind} ${state}`;
};

test('a state is shown as now for 10 s, as stale for 60 s, and is unknown after that', () => {
  assert.equal(kindOf({ last_seen: ago(10) }), 'now running');
  assert.equal(kindOf({ last_seen: ago(10.1) }), 'stale running');
  assert.equal(kindOf({ last_seen: ago(60) }), 'stale running');
  assert.equal(kindOf({ last_seen: ago(60.1) }), 'unknown unknown');
});

test('offline only when the gateway says so, also while it tries again', () => {
  assert.equal(kindOf({ source_state: 'failing' }), 'offline offline');
  assert.equal(kindOf({ source_state: 'stopped' }), 'offline offline');
  assert.equal(kindOf({ source_state: 'connecting', source_error: 'refused' }), 'offline offline');
  assert.equal(kindOf({ source_state: 'connecting' }), 'now running');
  assert.equal(kindOf({ source_state: 'silent', source_error: 'no sign of life for 5 s' }), 'now running');
  assert.equal(kindOf({ source_state: 'silent', last_seen: ago(61) }), 'unknown unknown');
  assert.equal(kindOf({ source_state: 'misconfigured', state: 'offline' }), 'unknown unknown');
  assert.match(
    standingOf(machine({ source_state: 'misconfigured', source_error: 'illegal address' }), NOW).reason ?? '',
    /^Misconfigured: illegal address$/,
  );
  assert.equal(kindOf({ source_state: null, last_seen: ago(3600) }), 'unknown unknown');
});

test('data of years ago is not now, even when something still answers', () => {
  const old = { state_since: '2017-04-26T15:00:00Z', values: { a: { value: 1, time: '2017-04-26T15:12:44Z' } } };
  const standing = standingOf(machine(old), NOW);
  assert.equal(standing.kind, 'dated');
  assert.equal(standing.newestDataMs, Date.parse('2017-04-26T15:12:44Z'));
});

test('a machine that was never heard of is neither offline nor idle', () => {
  assert.equal(kindOf({ state: null, state_since: null, last_seen: null, source_state: null }), 'never unknown');
});

test('a live machine that has told no state says so', () => {
  const { kind, state, reason } = standingOf(machine({ state: null, state_since: null, state_reason: null }), NOW);
  assert.deepEqual([kind, state, reason], ['now', 'unknown', 'It tells no state']);
});

test('attention: the worst first, then the longest waiting; a fault explains its alarm', () => {
  const condition = {
    time: ago(30),
    machine_id: 'M-1',
    event_type: 'condition',
    item: 'servo',
    state: null,
    previous_state: null,
    level: 'fault',
    native_code: 'SV0401',
    native_severity: null,
    qualifier: null,
    text: 'Servo off',
    details: null,
  } as const;
  const machines = [
    machine({ id: 'M-0', name: 'M-0', state: 'hold', state_reason: null, state_since: ago(900) }),
    machine({ id: 'M-1', state: 'alarm', active_conditions: [condition] }),
    machine({ id: 'M-2', name: 'M-2', last_seen: ago(300) }),
    machine({ id: 'M-3', name: 'M-3', state: 'alarm', state_since: ago(600), state_reason: 'emergency stop' }),
  ];
  const items = attentionOf({ machines, edges: [], status: null }, NOW);
  assert.deepEqual(
    items.map(({ subject, text }) => `${subject}: ${text}`),
    ['M-3: emergency stop', 'M-1: SV0401 Servo off', 'M-2: Silent', 'M-0: Hold'],
  );
});

test('attention: a misconfigured machine, and a source that fails beside one that works', () => {
  const source = (name: string, machine_id: string, said: object): object => {
    return { ...{ name, machine_id, state: 'ok', state_since: ago(100), last_error: null, problems: [] }, ...said };
  };
  const status = {
    gateway_id: 'EDGE-1',
    sinks: [],
    sources: [
      source('adapter', 'M-1', {}),
      source('meter', 'M-1', { state: 'silent', last_error: 'no sign of life for 42 s' }),
      source('plc', 'M-2', { state: 'misconfigured', last_error: 'illegal data address' }),
      source('sdm', 'M-3', { problems: [{ item: 'r4', reason: 'no' }] }),
    ],
  };
  const edge = { status, received_at: ago(1), clock_offset_seconds: 0 } as unknown as EdgeReport;
  const machines = [
    machine({ id: 'M-1', name: 'M-1' }),
    machine({ id: 'M-2', name: 'M-2', source_state: 'misconfigured', source_error: 'illegal data address' }),
    machine({ id: 'M-3', name: 'M-3' }),
  ];
  const items = attentionOf({ machines, edges: [edge], status: null }, NOW);
  assert.deepEqual(
    items.map(({ severity, subject, text, href }) => [severity, subject, text, href]),
    [
      [2, 'M-1', 'meter is silent: no sign of life for 42 s', '/pipeline'],
      [2, 'M-2', 'Misconfigured: illegal data address', '/machine/M-2'],
      [3, 'M-3', '1 part of sdm cannot be read: r4 (no)', '/pipeline'],
    ],
  );
});

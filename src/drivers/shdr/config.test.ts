import assert from 'node:assert/strict';
import { test } from 'node:test';
import { schema } from './config.ts';

/** `place: message` of each fault. */
function faultsOf(options: object): string[] {
  const result = schema.safeParse({ host: 'lathe', ...options });
  return result.success ? [] : result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
}

test('a host is enough', () => {
  assert.deepEqual(schema.parse({ host: 'lathe' }), {
    host: 'lathe',
    port: 7878,
    device: null,
    items: {},
    state: {
      execution: null,
      controller_mode: null,
      emergency_stop: null,
      functional_mode: null,
      availability: null,
    },
    program: null,
    conditions: 'all',
    takeAll: false,
    heartbeatMs: 10_000,
    connectTimeoutMs: 10_000,
    assumeZone: 'Z',
  });
});

test('an item fills a signal, a name of one’s own, or three signals', () => {
  const plain = { scale: 1, offset: 0, index: null };
  const { items } = schema.parse({
    host: 'lathe',
    map: {
      S: 'spindle_speed',
      L: { signal: 'active_program_line', index: 1 },
      T: { extra: 'tool', type: 'text' },
      F: { signal: 'temperature', scale: 0.5, offset: -17 },
      P: { axes: ['x_pos_mm', 'y_pos_mm', 'depth'], scale: 25.4 },
      C: { condition: true },
      M: { message: true },
      V: { extra: 'vibration', time_series: true },
    },
    extra: ['S2'],
    state: { execution: 'exec', controller_mode: 'mode' },
    program: 'prog',
    conditions: ['sys'],
  });
  assert.deepEqual(items, {
    S: { kind: 'value', fields: [{ name: 'spindle_speed', type: 'number', ...plain }] },
    L: { kind: 'value', fields: [{ name: 'active_program_line', type: 'integer', ...plain, index: 1 }] },
    T: { kind: 'value', fields: [{ name: 'tool', type: 'text', ...plain }] },
    F: { kind: 'value', fields: [{ name: 'temperature', type: 'number', scale: 0.5, offset: -17, index: null }] },
    P: {
      kind: 'value',
      fields: [
        { name: 'x_pos_mm', type: 'number', scale: 25.4, offset: 0, index: 0 },
        { name: 'y_pos_mm', type: 'number', scale: 25.4, offset: 0, index: 1 },
        { name: 'depth', type: 'number', scale: 25.4, offset: 0, index: 2 },
      ],
    },
    C: { kind: 'condition', fields: [] },
    M: { kind: 'message', fields: [] },
    V: { kind: 'time_series', fields: [{ name: 'vibration', type: 'auto', ...plain }] },
    S2: { kind: 'value', fields: [{ name: 'S2', type: 'auto', ...plain }] },
    exec: { kind: 'value', fields: [] },
    mode: { kind: 'value', fields: [{ name: 'controller_mode', type: 'text', ...plain }] },
    prog: { kind: 'value', fields: [{ name: 'program', type: 'text', ...plain }] },
    sys: { kind: 'condition', fields: [] },
  });
});

test('times have units, zones have names', () => {
  const options = schema.parse({ host: 'l', heartbeat: '0.5s', connect_timeout: '1m', assume_zone: '+02:00' });
  assert.deepEqual([options.heartbeatMs, options.connectTimeoutMs, options.assumeZone], [500, 60_000, '+02:00']);
  assert.deepEqual(faultsOf({ heartbeat: 10 }).length, 1);
  for (const wrong of ['10', '1ms', 'soon'])
    assert.match(faultsOf({ heartbeat: wrong }).join(), /^heartbeat: allowed: a duration such as 100ms/);
  assert.deepEqual(faultsOf({ assume_zone: 'Europe/Berlin' }), ['assume_zone: is UTC or an offset such as +02:00']);
});

test('what cannot be meant is refused with the place', () => {
  const cases: [object, RegExp][] = [
    [{ map: { S: 'spindel_speed' } }, /^map\.S: .*is one of the signals temperature, .*write \{extra: name\}/s],
    [{ map: { S: 'machine_state' } }, /^map\.S: /],
    [{ map: { S: { extra: 'timestamp' } } }, /^map\.S.*keys of a reading are taken/s],
    [{ map: { S: { signal: 'temperature', extra: 't' } } }, /^map\.S: has exactly one of/],
    [{ map: { S: {} } }, /^map\.S: has exactly one of/],
    [{ map: { S: { signal: 'temperature', type: 'text' } } }, /^map\.S(\.type|: type)/],
    [{ map: { S: { axes: ['x_pos_mm'] } } }, /^map\.S/],
    [{ map: { A: 'temperature', B: 'temperature' } }, /^map\.B: fills temperature, as A does/],
    [{ map: { A: { extra: 'a' } }, extra: ['a'] }, /^map\.a: fills a, as A does/],
    [{ map: { A: 'temperature' }, conditions: ['A'] }, /^map\.A: is a value and cannot be a condition as well/],
    [{ map: { M: { message: true } }, program: 'M' }, /^map\.M: is a message and cannot be a value as well/],
    [{ map: { S: { signal: 'spindel_speed' } } }, /^map\.S: signal is one of the signals/],
    [{ map: { S: 5 } }, /^map\.S: /],
    [{ extra: ['temperature'] }, /^extra: temperature is a key with a meaning/],
    [{ port: 70_000 }, /^port: /],
    [{ speed: 1 }, /Unrecognized key: "speed"/],
    [{ map: { 'a|b': 'temperature' } }, /^map\.a\|b: /],
  ];
  for (const [options, expected] of cases)
    assert.match(faultsOf(options).join('\n'), expected, JSON.stringify(options));
});

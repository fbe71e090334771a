import assert from 'node:assert/strict';
import { test } from 'node:test';
import { READ_FROM_KEY } from './read-from.ts';
import { decodeReading, DEPTH_MAX, isSignalKey, kindOf, NAME_LENGTH_MAX, TEXT_LENGTH_MAX } from './reading.ts';

const ORIGIN = { machine_id: 'CNC-001', timestamp: '2026-01-01T08:00:00.123456Z' };
const EVENT = { ...ORIGIN, kind: 'event', event_type: 'message' };
const MEASUREMENT = { ...ORIGIN, kind: 'measurement', characteristic: 'bore', measured_value: 1, unit: 'mm' };

/** `path: reason` of the fault, or `ok`. */
function verdict(value: unknown): string {
  const decoded = decodeReading(value);
  return 'fault' in decoded ? `${decoded.fault.path}: ${decoded.fault.reason}` : 'ok';
}

test('the whole sample of the design is a reading', () => {
  const sample = {
    ...ORIGIN,
    temperature: 45.5,
    spindle_speed: 1200,
    x_pos_mm: 100.1,
    y_pos_mm: 99.2,
    z_pos_mm: 10.1,
    feed_rate_actual: 800,
    spindle_load_percent: 40.2,
    machine_state: 'running',
    active_program_line: 120,
    total_power_kw: 5.1,
    tool: 'T4',
    offsets: { a: [1, null, true] },
    clock_quality: 'synchronized',
  };
  const decoded = decodeReading(structuredClone(sample));
  assert.ok('reading' in decoded);
  assert.deepEqual(decoded.reading, sample);
  assert.equal(kindOf(decoded.reading), 'sample');
});

test('a null is kept: not known from now on', () => {
  const sample = { ...ORIGIN, temperature: null, machine_state: null, active_program_line: null, tool: null };
  assert.deepEqual(decodeReading({ ...sample }), { reading: sample });
});

test('timestamps come out canonical', () => {
  const decoded = decodeReading({
    machine_id: 'M',
    timestamp: '2026-01-01T09:00:00.1234567+01:00',
    gateway_time: '2026-01-01 08:00:00Z',
  });
  assert.ok('reading' in decoded);
  assert.equal(decoded.reading.timestamp, '2026-01-01T08:00:00.123456Z');
  assert.equal(decoded.reading.gateway_time, '2026-01-01T08:00:00.000000Z');
});

test('what is wrong is told with its place', () => {
  const long = 'x'.repeat(NAME_LENGTH_MAX + 1);
  const cases: [unknown, string][] = [
    [null, ': a reading is a JSON object, found null'],
    [[], ': a reading is a JSON object, found an array'],
    ['text', ': a reading is a JSON object, found string'],
    [{}, 'machine_id: is required'],
    [{ ...ORIGIN, machine_id: 7 }, 'machine_id: is text, found 7'],
    [{ ...ORIGIN, machine_id: '' }, 'machine_id: is empty'],
    [{ ...ORIGIN, machine_id: long }, 'machine_id: is longer than 128 characters'],
    [
      { ...ORIGIN, machine_id: 'a\0' },
      'machine_id: has a character that cannot be stored (U+0000 or half a surrogate pair)',
    ],
    [{ machine_id: 'M' }, 'timestamp: is required'],
    [{ machine_id: 'M', timestamp: 5 }, 'timestamp: is an RFC 3339 time, found 5'],
    [
      { machine_id: 'M', timestamp: '2026-01-01T08:00:00' },
      'timestamp: is an RFC 3339 time with a zone (2026-01-01T08:00:00.123456Z), found "2026-01-01T08:00:00"',
    ],
    [{ ...ORIGIN, kind: 'reading' }, 'kind: is sample, measurement or event, found "reading"'],
    [{ ...ORIGIN, temperature: 'not-a-float' }, 'temperature: is a number, found "not-a-float"'],
    [{ ...ORIGIN, temperature: Number.POSITIVE_INFINITY }, 'temperature: is a number, found null'],
    [{ ...ORIGIN, active_program_line: 1.5 }, 'active_program_line: is a whole number of 32 bits, found 1.5'],
    [
      { ...ORIGIN, active_program_line: 2 ** 31 },
      'active_program_line: is a whole number of 32 bits, found 2147483648',
    ],
    [
      { ...ORIGIN, machine_state: 'RUNNING' },
      'machine_state: is one of running, idle, hold, alarm, setup, offline, found "RUNNING"',
    ],
    [
      { ...ORIGIN, clock_quality: 'good' },
      'clock_quality: is one of synchronized, unsynchronized, unknown, found "good"',
    ],
    [{ ...ORIGIN, sampling_factor: 4 }, 'ok'],
    [{ ...ORIGIN, sampling_factor: 0.5 }, 'sampling_factor: is a number of 1 or more, found 0.5'],
    [{ ...ORIGIN, sampling_factor: null }, 'sampling_factor: is a number of 1 or more, found null'],
    [{ ...ORIGIN, gateway_time: null }, 'gateway_time: is an RFC 3339 time, found null'],
    [{ ...ORIGIN, extra: '\ud800' }, 'extra: has a character that cannot be stored (U+0000 or half a surrogate pair)'],
    [
      { ...ORIGIN, extra: { deep: ['\0'] } },
      'extra.deep.0: has a character that cannot be stored (U+0000 or half a surrogate pair)',
    ],
    [{ ...ORIGIN, extra: Number.NaN }, 'extra: is a number too large to keep'],
    [{ ...ORIGIN, '': 1 }, ': is empty'],
    [EVENT, 'ok'],
    [
      { ...EVENT, event_type: 'alarm' },
      'event_type: is one of state, condition, message, program, part, connection, gap, found "alarm"',
    ],
    [{ ...EVENT, event_type: 'state' }, 'state: is required in a state event'],
    [
      { ...EVENT, event_type: 'state', state: null },
      'state: is one of running, idle, hold, alarm, setup, offline, found null',
    ],
    [{ ...EVENT, event_type: 'condition' }, 'level: is required in a condition event'],
    [
      { ...EVENT, event_type: 'condition', level: 'FAULT' },
      'level: is one of normal, warning, fault, unavailable, found "FAULT"',
    ],
    [{ ...EVENT, text: 'x'.repeat(TEXT_LENGTH_MAX + 1) }, 'text: is longer than 4096 characters'],
    [{ ...EVENT, text: 'x'.repeat(TEXT_LENGTH_MAX) }, 'ok'],
    [{ ...EVENT, item: 5 }, 'item: is text, found 5'],
    [{ ...EVENT, temperature: 5 }, 'temperature: is not a key of a event'],
    [{ ...EVENT, details: [] }, 'details: is an object, found an array'],
    [MEASUREMENT, 'ok'],
    [{ ...MEASUREMENT, measured_value: undefined }, 'measured_value: is required'],
    [{ ...MEASUREMENT, measured_value: null }, 'measured_value: is a number, found null'],
    [{ ...MEASUREMENT, unit: undefined }, 'unit: is required'],
    [{ ...MEASUREMENT, lower_limit: '1' }, 'lower_limit: is a number, found "1"'],
    [{ ...MEASUREMENT, part_id: long }, 'part_id: is longer than 128 characters'],
    [{ ...MEASUREMENT, scale_temperature_c: 'warm' }, 'scale_temperature_c: is a number, found "warm"'],
    [{ ...MEASUREMENT, compensation: 'half' }, 'compensation: is one of none, scale, full, found "half"'],
    [{ ...MEASUREMENT, remark: 'x' }, 'remark: is not a key of a measurement'],
    [{ ...MEASUREMENT, details: { a: { b: 1 } } }, 'ok'],
    [{ ...MEASUREMENT, scale_temperature_c: '20' }, 'scale_temperature_c: is a number, found "20"'],
    [{ ...MEASUREMENT, compensated_value: null }, 'compensated_value: is a number, found null'],
    [{ ...MEASUREMENT, correction: Number.NaN }, 'correction: is a number, found null'],
    [{ ...MEASUREMENT, compensation: 'part' }, 'compensation: is one of none, scale, full, found "part"'],
    [{ ...MEASUREMENT, expanded_uncertainty: -1 }, 'expanded_uncertainty: is a number of 0 or more, found -1'],
    [{ ...MEASUREMENT, guard_band: Number.POSITIVE_INFINITY }, 'guard_band: is a number of 0 or more, found null'],
    [{ ...MEASUREMENT, conformance_probability: 1.01 }, 'conformance_probability: is a number from 0 to 1, found 1.01'],
    [{ ...MEASUREMENT, verdict: 'pass' }, 'verdict: is one of conform, nonconform, indeterminate, found "pass"'],
    [{ ...MEASUREMENT, decision_rule: true }, 'decision_rule: is one of iso_14253_1, simple_acceptance, found true'],
    [{ ...MEASUREMENT, uncertainty_contributions: [1] }, 'uncertainty_contributions: is an object, found an array'],
    [
      { ...MEASUREMENT, uncertainty_contributions: { cmm: '1' } },
      'uncertainty_contributions.cmm: is a number of 0 or more, found "1"',
    ],
    [{ ...MEASUREMENT, uncertainty_contributions: { '': 1 } }, 'uncertainty_contributions.: is empty'],
    [
      { ...MEASUREMENT, uncertainty_contributions: Object.fromEntries([...Array(65).keys()].map((n) => [`u${n}`, 1])) },
      'uncertainty_contributions: has more than 64 keys',
    ],
    [{ ...MEASUREMENT, distrust: 'cold' }, 'distrust: is an array, found string'],
    [{ ...MEASUREMENT, distrust: ['cold', 7] }, 'distrust.1: is text, found 7'],
    [{ ...MEASUREMENT, distrust: Array(65).fill('cold') }, 'distrust: has more than 64 items'],
    [{ ...ORIGIN, verdict: 'conform' }, 'ok'],
    [{ ...EVENT, verdict: 'conform' }, 'verdict: is not a key of a event'],
  ];
  for (const [value, expected] of cases) assert.equal(verdict(value), expected);
});

test('a measurement may have all that is worked out of it', () => {
  const measurement = {
    ...MEASUREMENT,
    temperature_c: 23.5,
    scale_temperature_c: 22,
    compensation: 'none',
    compensated_value: 0.9999,
    correction: -0.0001,
    expanded_uncertainty: 0.0032,
    uncertainty_contributions: { part_expansion: 0.001, cmm: 0 },
    verdict: 'indeterminate',
    decision_rule: 'iso_14253_1',
    guard_band: 0.0026,
    conformance_probability: 1,
    distrust: ['the part temperature changed by 0.8 K in 10 min; 0.5 K allowed'],
  };
  assert.deepEqual(decodeReading(structuredClone(measurement)), { reading: measurement });
});

test('extra may nest so deep and no deeper', () => {
  const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);
  assert.equal(verdict({ ...ORIGIN, extra: nested(DEPTH_MAX) }), 'ok');
  assert.match(verdict({ ...ORIGIN, extra: nested(DEPTH_MAX + 1) }), /: nests deeper than 8 levels$/);
});

test('what is told of a fault can be stored and is short, whatever the publisher sent', () => {
  for (const key of ['a\0b', 'x'.repeat(500_000), '\ud800', '\0'.repeat(500), '😀'.repeat(300)]) {
    const decoded = decodeReading({ ...ORIGIN, [key]: 1 });
    assert.ok('fault' in decoded);
    const told = `${decoded.fault.path} ${decoded.fault.reason}`;
    assert.ok(!told.includes('\0') && told.isWellFormed() && told.length < 400, told.slice(0, 100));
  }
  const decoded = decodeReading({ ...ORIGIN, temperature: `${'x'.repeat(55)}😀😀😀😀` });
  assert.ok('fault' in decoded && decoded.fault.reason.isWellFormed());
});

test('keys of a prototype are keys like others', () => {
  const decoded = decodeReading(
    JSON.parse('{"machine_id":"M","timestamp":"2026-01-01T08:00:00Z","__proto__":{"a":1}}'),
  );
  assert.ok('reading' in decoded);
  assert.equal('a' in decoded.reading, false);
});

test('signals are told from where and when they were taken', () => {
  const origin = ['machine_id', 'timestamp', 'kind', 'gateway_time', 'clock_quality', 'sampling_factor', READ_FROM_KEY];
  assert.deepEqual(origin.filter(isSignalKey), []);
  assert.equal(isSignalKey('temperature') && isSignalKey('tool'), true);
});

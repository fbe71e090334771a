import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Measurement, Reading } from '../../model/reading.ts';
import { pointOf } from './points.ts';

const MEASURED: Measurement = {
  kind: 'measurement',
  machine_id: 'CMM-1',
  timestamp: '2026-01-01T08:00:00.123456Z',
  characteristic: 'bore.diameter',
  measured_value: 100.0012,
  unit: 'mm',
};
const MICROS = 1_767_254_400_123_456;

test('a measurement is a point with its length in millimetres, its temperature and how much waits', () => {
  assert.deepEqual(pointOf({ ...MEASURED, temperature_c: 21.5 }, 42), {
    measurement: 'cmm_metrology',
    tags: [
      ['characteristic', 'bore.diameter'],
      ['machine_id', 'CMM-1'],
    ],
    fields: [
      ['measured_length_mm', 100.0012],
      ['temperature_c', 21.5],
      ['buffer_queue_size', { integer: 42 }],
    ],
    micros: MICROS,
  });
  assert.deepEqual(pointOf(MEASURED, undefined)?.fields, [['measured_length_mm', 100.0012]]);
});

test('what thermal compensation adds comes along, as lengths in millimetres where it is one', () => {
  const compensated = {
    ...MEASURED,
    unit: 'µm',
    nominal_value: 100_000,
    compensated_value: 99_969,
    correction: -31.5,
    expanded_uncertainty: 3.2,
    guard_band: 2.6,
    conformance_probability: 0.98,
    verdict: 'conform',
    distrust: ['soak'],
  } as Reading;
  const fields = Object.fromEntries(pointOf(compensated, undefined)?.fields ?? []);
  const near = (name: string, value: number): void => {
    assert.ok(Math.abs(Number(fields[name]) - value) < 1e-9, `${name} ${JSON.stringify(fields[name])}`);
  };
  near('measured_length_mm', 0.1000012);
  near('nominal_length_mm', 100);
  near('compensated_length_mm', 99.969);
  near('correction_mm', -0.0315);
  near('expanded_uncertainty_mm', 0.0032);
  near('guard_band_mm', 0.0026);
  assert.equal(fields['conformance_probability'], 0.98);
  assert.equal(fields['verdict'], 'conform');
  assert.equal(fields['distrust'], '["soak"]');
});

test('what is no length keeps its value and unit', () => {
  const fields = pointOf({ ...MEASURED, unit: 'deg', measured_value: 45, upper_limit: 46 }, undefined)?.fields;
  assert.deepEqual(fields, [
    ['measured_value', 45],
    ['upper_limit', 46],
    ['unit', 'deg'],
  ]);
});

test('a sample is a point with its signals, of which those that are not known are left out', () => {
  const sample: Reading = {
    machine_id: 'CNC-1',
    timestamp: MEASURED.timestamp,
    temperature: 45.5,
    spindle_speed: null,
    machine_state: 'running',
    active_program_line: 120,
    coolant: true,
    axes: { x: 1 },
    sampling_factor: 4,
  };
  assert.deepEqual(pointOf(sample, 7), {
    measurement: 'cnc',
    tags: [['machine_id', 'CNC-1']],
    fields: [
      ['temperature', 45.5],
      ['machine_state', 'running'],
      ['active_program_line', { integer: 120 }],
      ['coolant', true],
      ['axes', '{"x":1}'],
      ['sampling_factor', 4],
    ],
    micros: MICROS,
  });
});

test('events are no points', () => {
  const event: Reading = { kind: 'event', machine_id: 'CNC-1', timestamp: MEASURED.timestamp, event_type: 'part' };
  assert.equal(pointOf(event, 0), undefined);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JsonValue, Measurement } from '../../model/reading.ts';
import { DEFAULT_TEMPLATE, fill, type Meaning, type Template, unknownFields } from './template.ts';

const MEANING: Meaning = {
  gatewayId: 'EDGE-1',
  idempotencyKey: 'EDGE-1/e/7/0',
  length: 'compensated',
  failAboveC: 24,
  failVerdicts: [],
};

const MEASURED: Measurement = {
  kind: 'measurement',
  machine_id: 'CMM-1',
  timestamp: '2026-01-01T08:00:00.123456Z',
  characteristic: 'length',
  measured_value: 100.0012,
  unit: 'mm',
  nominal_value: 100,
  temperature_c: 21.5,
  serial_number: 'SN-7',
  details: { operator: 'Meier', probes: 3 },
};

function filled(
  template: Template,
  more: { [field: string]: JsonValue } = {},
  meaning: Partial<Meaning> = {},
): unknown {
  return fill(template, { ...MEASURED, ...more }, { ...MEANING, ...meaning });
}

test('the usual shape has five fields, of which one that is not known is left out', () => {
  const { machine_id, timestamp } = MEASURED;
  assert.deepEqual(filled(DEFAULT_TEMPLATE), {
    machine_id,
    timestamp,
    temperature: 21.5,
    length: 100.0012,
    status: 'ACTIVE',
  });
  const { temperature_c: _temperature, ...without } = MEASURED;
  const expected = { machine_id, timestamp, length: 100.0012, status: 'ACTIVE' };
  assert.deepEqual(fill(DEFAULT_TEMPLATE, without, MEANING), expected);
});

test('the status is FAIL above the temperature, and with the verdicts that are named', () => {
  const status = (more: { [field: string]: JsonValue }, meaning: Partial<Meaning> = {}): unknown =>
    filled({ status: '{status}' }, more, meaning);
  assert.deepEqual(status({ temperature_c: 24 }), { status: 'ACTIVE' });
  assert.deepEqual(status({ temperature_c: 24.001 }), { status: 'FAIL' });
  assert.deepEqual(status({ temperature_c: 24.001 }, { failAboveC: 30 }), { status: 'ACTIVE' });
  assert.deepEqual(status({ verdict: 'nonconform' }), { status: 'ACTIVE' });
  assert.deepEqual(status({ verdict: 'nonconform' }, { failVerdicts: ['nonconform'] }), { status: 'FAIL' });
  assert.deepEqual(status({ verdict: 'conform' }, { failVerdicts: ['nonconform'] }), { status: 'ACTIVE' });
});

test('the length is the compensated one where there is one, unless the measured one is wanted', () => {
  const template = { length: '{length}', raw: '{measured_value}', off: '{deviation}' };
  const more = { compensated_value: 99.5 };
  assert.deepEqual(filled(template, more), { length: 99.5, raw: 100.0012, off: -0.5 });
  assert.deepEqual(filled({ length: '{length}' }, more, { length: 'measured' }), { length: 100.0012 });
});

test('a lone placeholder keeps its type, in a text it is written, elsewhere nothing changes', () => {
  const template: Template = {
    part: { serial: '{serial_number}', label: 'No. {serial_number} at {temperature} °C{part_id}' },
    values: ['{length}', '{part_id}', 1, null, true],
    missing: '{part_id}',
    operator: '{details.operator}',
    probes: '{details.probes}',
    all: '{details.none}',
    inherited: '{details.constructor}{details.__proto__}',
    text: 'not {a placeholder} {}',
    key: '{idempotency_key}',
    from: '{gateway_id}',
  };
  assert.deepEqual(filled(template), {
    part: { serial: 'SN-7', label: 'No. SN-7 at 21.5 °C' },
    values: [100.0012, null, 1, null, true],
    operator: 'Meier',
    probes: 3,
    inherited: '',
    text: 'not {a placeholder} {}',
    key: 'EDGE-1/e/7/0',
    from: 'EDGE-1',
  });
});

test('fields that no measurement has are told, however deep they stand', () => {
  assert.deepEqual(unknownFields(DEFAULT_TEMPLATE), []);
  const template = { a: { b: ['{lenght}', 'x{Machine}y{unit}'] }, c: '{details.anything}' };
  assert.deepEqual(unknownFields(template), ['lenght', 'Machine']);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import { decodeReading, type Reading } from '../../model/reading.ts';
import { schema } from './config.ts';
import type { Device, Observation } from './document.ts';
import { mappingOf } from './mapping.ts';
import { ObservationReader } from './reader.ts';

const DEVICE: Device = {
  name: 'M',
  uuid: 'm',
  isAgent: false,
  dataItems: ['temp', 'own', 'prog', 'mode'].map((id) => ({
    id,
    name: id,
    category: 'event',
    type: { prog: 'PROGRAM', mode: 'FUNCTIONAL_MODE' }[id] ?? 'X',
    subType: '',
    units: '',
    representation: '',
    component: 'Linear',
    componentName: 'X',
  })),
};

function read(...observations: (Partial<Observation> & { readonly dataItemId: string })[]): {
  readings: Reading[];
  faults: string[];
  saved: ReturnType<ObservationReader['saved']>;
} {
  const readings: Reading[] = [];
  const faults: string[] = [];
  const log = { ...silentLogger, warn: (_: string, fields?: object) => void faults.push(JSON.stringify(fields)) };
  let nowMs = 0;
  const clock = { ...systemClock, monotonicMs: () => (nowMs += 60_000) };
  const reader = new ObservationReader('agent');
  const options = schema.parse({ url: 'http://agent:5000', map: { temp: 'temperature', own: { extra: 'own' } } });
  reader.setMapping(mappingOf(DEVICE, options));
  const blank = {
    deviceName: 'M',
    deviceUuid: 'm',
    name: '',
    category: 'event',
    element: 'X',
    text: '',
    attributes: {},
  } as const;
  const all = observations.map(
    (one, index): Observation => ({
      ...blank,
      sequence: index + 1,
      timestamp: `2026-01-01T08:00:0${index}Z`,
      entries: undefined,
      ...one,
    }),
  );
  reader.read('1', all, { machineId: 'M-1', emit: (one) => void readings.push(one), problem: () => {}, clock, log });
  for (const one of readings) assert.ok('reading' in decodeReading(structuredClone(one)), JSON.stringify(one));
  return { readings, faults, saved: reader.saved() };
}

test('a set or a series is no value of a standard signal, whatever the configuration maps', () => {
  const series = { text: '1 2 3', attributes: { sampleCount: '3', sampleRate: '10' } };
  const { readings, faults } = read(
    { dataItemId: 'temp', entries: { a: 1 } },
    { dataItemId: 'temp', ...series },
    { dataItemId: 'own', entries: { a: 1 } },
    { dataItemId: 'own', ...series },
  );
  assert.deepEqual(
    readings.map((one) => ('own' in one ? one['own'] : one)),
    [{ a: 1 }, { rate: 10, values: [1, 2, 3] }],
  );
  assert.equal(faults.length, 2);
});

test('a set that is longer than a reading can be is told and left out', () => {
  const entries = Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`register_${index}`, index]));
  const { readings, faults } = read({ dataItemId: 'own', entries }, { dataItemId: 'own', text: 'x' });
  assert.equal(readings.length, 1);
  assert.match(faults.join(), /says more than a reading can hold/);
});

test('a program with a very long name is told once, and a very long word is not remembered', () => {
  const text = 'x'.repeat(100_000);
  const { readings, saved } = read(
    { dataItemId: 'prog', text },
    { dataItemId: 'prog', text },
    { dataItemId: 'mode', text },
  );
  assert.equal(readings.filter((one) => one.kind === 'event' && one.event_type === 'program').length, 1);
  assert.ok(JSON.stringify(saved).length < 10_000);
});

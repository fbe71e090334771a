import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Reading } from '../../model/reading.ts';
import type { Observer, Processor } from '../../ports/processor.ts';
import { readEdgeConfig } from '../config.ts';
import { createStage, Pipeline, type Stage } from './pipeline.ts';

const TIMESTAMP = '2026-01-01T08:00:00.000000Z';

function stage(processor: Processor, machines: readonly string[] | null = null, observed: string[] = []): Stage {
  return { processor, machines: machines === null ? null : new Set(machines), observed: new Set(observed) };
}

/** What comes out of the end for readings with these machine ids. */
function through(stages: readonly Stage[], ...readings: readonly Reading[]): Reading[] {
  const out: Reading[] = [];
  const pipeline = new Pipeline(stages, { accept: (reading) => void out.push(reading) });
  for (const reading of readings) pipeline.accept(reading);
  return out;
}

const sample = (machine_id: string, fields: object = {}): Reading => ({ machine_id, timestamp: TIMESTAMP, ...fields });
/** What markers have written. */
const marksOf = (reading: Reading): string => {
  return 'marks' in reading && typeof reading['marks'] === 'string' ? reading['marks'] : '';
};
/** Writes its name behind those that are there. */
const marker = (name: string): Processor => ({
  process: (reading) => [{ ...reading, marks: `${marksOf(reading)}${name}` } as Reading],
});

test('readings go through the processors in their order, none, one or several at a time', () => {
  const doubling: Processor = { process: (reading) => [reading, reading] };
  const dropping: Processor = {
    process: ({ machine_id, ...rest }) => (machine_id === 'X' ? [] : [{ machine_id, ...rest }]),
  };
  const out = through(
    [stage(marker('a')), stage(doubling), stage(dropping), stage(marker('b'))],
    sample('M'),
    sample('X'),
  );
  assert.deepEqual(out, [sample('M', { marks: 'ab' }), sample('M', { marks: 'ab' })]);
  assert.deepEqual(through([], sample('M')), [sample('M')]);
});

test('a processor has the readings of its machines; those of others pass by it', () => {
  const out = through([stage(marker('a'), ['M']), stage(marker('b'))], sample('M'), sample('N'));
  assert.deepEqual(out, [sample('M', { marks: 'ab' }), sample('N', { marks: 'b' })]);
});

test('one that observes a machine sees its readings as they are at its place, and they go on', () => {
  const seen: Reading[] = [];
  const observer: Processor & Observer = {
    ...marker('o'),
    observedMachines: ['ROOM', 'M'],
    observe: (reading) => void seen.push(reading),
  };
  const stages = [stage(marker('a')), stage(observer, ['M'], ['ROOM', 'M'])];
  const out = through(stages, sample('M'), sample('ROOM'), sample('N'));
  assert.deepEqual(seen, [sample('ROOM', { marks: 'a' })]);
  assert.deepEqual(out, [sample('M', { marks: 'ao' }), sample('ROOM', { marks: 'a' }), sample('N', { marks: 'a' })]);
});

const THERMAL = '{ type: thermal, compensation: full, part_temperature: { uncertainty: 1 }, cmm: { constant: 1 }';

async function settingsOf(...processors: readonly string[]): ReturnType<typeof readEdgeConfig> {
  const lines = processors.map((processor) => `  - ${processor}`).join('\n');
  const text = `agent: { machine_id: M }\nprocessors:\n${lines}\n`;
  return readEdgeConfig({ file: 'edge.yaml', text, environment: {} });
}

test('what the configuration names is made, with its options and its machines', async () => {
  const { settings, warnings } = await settingsOf(
    `${THERMAL}, machines: [CMM-1, 007] }`,
    `${THERMAL}, enabled: false }`,
  );
  assert.deepEqual(
    settings.processors.map(({ type, machines }) => [type, machines]),
    [['thermal', ['CMM-1', '007']]],
  );
  assert.equal(warnings[1], 'processors[0].machines: no sensor is of CMM-1, 007');
  const stages = await Promise.all(settings.processors.map(createStage));
  const length = { kind: 'measurement', characteristic: 'l', measured_value: 5, unit: 'mm' };
  const [first, second] = through(stages, sample('CMM-1', length), sample('CMM-2', length));
  assert.deepEqual(
    [first, second].map((one) => one?.kind === 'measurement' && one.compensated_value),
    [5, undefined],
  );
});

test('a processor that there is not, a wrong key, and work that would be done twice are refused', async () => {
  await assert.rejects(createStage({ type: 'abacus', machines: null, options: {} }), { code: 'config_invalid' });
  const cases: [readonly string[], RegExp][] = [
    [['{ type: abacus }'], /^edge\.yaml:3: processors\[0\]\.type: found "abacus"; allowed: plausibility, thermal$/],
    [
      [`${THERMAL}, machines: [] }`],
      /^edge\.yaml:3: processors\[0\]\.machines: found \[\]; allowed: a list of machines$/,
    ],
    [[`${THERMAL}, colour: red }`], /^edge\.yaml:3: processors\[0\]\.colour: there is no such key; allowed: compens/],
    [
      [`${THERMAL}, machines: [A, B] }`, `${THERMAL}, machines: [C] }`, `${THERMAL}, machines: [D, B] }`],
      /^edge\.yaml:5: processors\[2\]: is for a machine that processors\[0\] of type thermal is for already; allowed: one/,
    ],
    [[`${THERMAL}, machines: [A] }`, `${THERMAL} }`], /^edge\.yaml:4: processors\[1\]: is for a machine/],
  ];
  for (const [processors, message] of cases) {
    await assert.rejects(settingsOf(...processors), { code: 'config_invalid', message });
  }
  await settingsOf(`${THERMAL}, machines: [A] }`, `${THERMAL}, machines: [B] }`, `${THERMAL}, enabled: false }`);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkConfig, parseConfig } from '../../base/config.ts';
import { schema } from './config.ts';
import { MATERIALS } from './materials.ts';
import type { ThermalOptions } from './options.ts';

const WHOLE = `
compensation: none
part: { material: aluminium_6061 }
scale: { coefficient: 8, half_width: 0.5 }
part_temperature: { uncertainty: 0.1 }
scale_temperature: { uncertainty: 0.1 }
cmm: { constant: 1.7, per_metre: 3 }
`;

function read(text: string): ThermalOptions {
  return checkConfig(parseConfig({ file: 'thermal.yaml', text, environment: {} }), schema);
}

/** The whole example with some of its lines taken out and others put in. */
function changed(without: RegExp, ...lines: string[]): string {
  return [...WHOLE.split('\n').filter((line) => !without.test(line)), ...lines].join('\n');
}

test('materials, temperatures and limits of error come out as numbers', () => {
  const options = read(WHOLE);
  assert.deepEqual(options.part, { coefficient: 23.6, halfWidth: 2.4 });
  assert.deepEqual(options.scale, { coefficient: 8, halfWidth: 0.5 });
  assert.deepEqual(options.partTemperature, { kind: 'own', sensor: null, fixed: null, uncertaintyK: 0.1 });
  const per = (value: number): string => value.toExponential(6);
  assert.equal(per(options.cmm.constantMm), per(0.0017 / Math.sqrt(3)));
  assert.equal(per(options.cmm.perLength), per(3e-6 / Math.sqrt(3)));
  assert.deepEqual(options.decision, { rule: 'iso_14253_1', guardFactor: 1.65 });
  assert.equal(JSON.stringify(options), JSON.stringify(JSON.parse(JSON.stringify(options))), 'it is plain JSON');
});

test('every key has its place', () => {
  const options = read(`
compensation: scale
correct: part
part: { material: steel_4140, half_width: 0.4 }
parts:
  - { characteristic: "bore_*", material: brass_c360 }
  - { part_id: 007, coefficient: 10, half_width: 1 }
part_temperature:
  { machine_id: ROOM, signal: part_c, max_age: 5m, fixed: 21, fixed_uncertainty: 1.5, uncertainty: 0.2 }
cmm: { given_as: standard_uncertainty, constant: 1 }
decision: { rule: simple_acceptance }
except: [flatness]
gates:
  { temperature_min: 18, temperature_max: 22, change_max: 0.5, change_over: 5m, sensor_age_max: 30s, soak_time: 1h }
`);
  assert.deepEqual(options, {
    compensation: 'scale',
    correct: 'part',
    part: { coefficient: 12.3, halfWidth: 0.4 },
    parts: [
      { characteristic: 'bore_*', partId: null, material: { coefficient: 20.5, halfWidth: 2.1 } },
      { characteristic: null, partId: '007', material: { coefficient: 10, halfWidth: 1 } },
    ],
    scale: null,
    partTemperature: {
      kind: 'own',
      sensor: { machineId: 'ROOM', signal: 'part_c', ageMsMax: 300_000 },
      fixed: { temperatureC: 21, uncertaintyK: 1.5 },
      uncertaintyK: 0.2,
    },
    scaleTemperature: null,
    cmm: { constantMm: 0.001, perLength: 0 },
    decision: { rule: 'simple_acceptance', guardFactor: 1.65 },
    except: ['flatness'],
    gates: {
      temperatureCMin: 18,
      temperatureCMax: 22,
      change: { maxK: 0.5, overMs: 300_000 },
      differenceKMax: null,
      sensorAgeMsMax: 30_000,
      soak: { timeMs: 3_600_000, machineId: null },
    },
  });
});

test('one sensor for both is said, with what the two may differ by', () => {
  const text = changed(/^scale_temperature/, 'scale_temperature: { as_part: true, difference: 0.2 }');
  assert.deepEqual(read(text).scaleTemperature, { kind: 'part', differenceHalfWidthK: 0.2 });
});

test('compensating what is compensated is refused, and so is what does not fit together', () => {
  const source = 'part_temperature: { machine_id: R, signal: t, uncertainty: 0.1 }';
  const cases: [string, RegExp][] = [
    [
      changed(/^compensation/, 'compensation: full', 'correct: scale_and_part'),
      /^thermal\.yaml:9: correct: found "scale_and_part"; allowed: no such key, where compensation is full$/,
    ],
    [
      changed(/^compensation/, 'compensation: scale', 'correct: scale_and_part'),
      /correct: found "scale_and_part"; allowed: part, where compensation is scale$/,
    ],
    [changed(/^$/, 'correct: part'), /correct: found "part"; allowed: scale_and_part, where compensation is none$/],
    [changed(/^scale/), /scale: is missing; allowed: a material, which compensation: none needs$/],
    [changed(/^part:/), /part: is missing; allowed: a material, which compensation: none needs$/],
    [changed(/^cmm/), /cmm: is missing; allowed: a section/],
    [changed(/^part:/, 'part: { material: wood }'), /part\.material: found "wood"; allowed: aluminium_6061, alum/],
    [changed(/^part:/, 'part: { half_width: 1 }'), /part: found .*; allowed: either a material or a coefficient$/],
    [changed(/^part:/, 'part: { coefficient: 9 }'), /part\.half_width: is missing; allowed: a number .* needs$/],
    [changed(/^part_t/, 'part_temperature: {}'), /part_temperature\.uncertainty: is missing/],
    [
      changed(/^part_t/, 'part_temperature: { signal: t, uncertainty: 0.1 }'),
      /part_temperature: found .*; allowed: both machine_id and signal, or neither$/,
    ],
    [
      changed(/^part_t/, 'part_temperature: { fixed: 20, uncertainty: 0.1 }'),
      /part_temperature: found .*; allowed: both fixed and fixed_uncertainty, or neither$/,
    ],
    [changed(/^scale_t/), /scale_temperature: is missing; allowed: a section, which a scale needs$/],
    [
      changed(/^scale_t/, 'scale_temperature: { as_part: true }'),
      /scale_temperature: found .*; allowed: with as_part: difference, and no other$/,
    ],
    [
      changed(/^(part|scale)_t/, source, source.replace('part', 'scale')),
      /scale_temperature: found .*; allowed: a sensor of its own, or as_part where one sensor serves both$/,
    ],
    [
      changed(/^scale_t/, 'scale_temperature: { as_part: true, difference: 0.1 }', 'gates: { difference_max: 1 }'),
      /gates\.difference_max: found 1; allowed: where the scale has a temperature of its own$/,
    ],
    [changed(/^$/, 'gates: { temperature_min: 22, temperature_max: 18 }'), /temperature_min: found 22; allowed: less/],
    [changed(/^$/, 'gates: { soak_machine_id: M }'), /gates\.soak_machine_id: found "M"; allowed: with soak_time$/],
    [
      changed(/^$/, 'gates: { change_over: 2h }'),
      /gates\.change_over: found "2h"; allowed: a duration .* to 3600000 ms$/,
    ],
    [changed(/^$/, 'colour: red'), /colour: there is no such key; allowed: compensation, correct, part,/],
  ];
  for (const [text, message] of cases) assert.throws(() => read(text), { code: 'config_invalid', message }, text);
});

test('every material has a coefficient and a half-width', () => {
  for (const [name, { coefficient, halfWidth }] of Object.entries(MATERIALS)) {
    assert.ok(coefficient >= 0 && coefficient < 30 && halfWidth > 0 && halfWidth < 3, name);
  }
  assert.deepEqual(MATERIALS['gauge_steel'], { coefficient: 11.5, halfWidth: 1 });
});

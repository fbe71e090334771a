import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gaussian, seededRandom } from '../../base/random.ts';
import type { Measurement, Reading } from '../../model/reading.ts';
import { microsOf, timestampOf } from '../../model/time.ts';
import { measured, processed, START, thermal } from './thermal.test-support.ts';

/** The 500 mm of aluminium of the field guide. */
const ALUMINIUM = `
compensation: none
part: { coefficient: 22.6, half_width: 1 }
scale: { coefficient: 8, half_width: 0.5 }
part_temperature: { uncertainty: 0.1 }
scale_temperature: { uncertainty: 0.1 }
cmm: { constant: 0 }
`;
const WARM = { temperature_c: 23.5, scale_temperature_c: 22 };

function at(second: number): string {
  return timestampOf(microsOf(START) + second * 1e6);
}

function without(text: string, key: RegExp, ...lines: string[]): string {
  return [...text.split('\n').filter((line) => !key.test(line)), ...lines].join('\n');
}

test('a length is corrected, and its uncertainty is told term by term', () => {
  const measurement = measured(WARM);
  const result = processed(thermal(ALUMINIUM), measurement);
  assert.equal(((result.correction ?? Number.NaN) * 1000).toFixed(3), '-31.548');
  assert.equal(result.compensated_value, 500 + (result.correction ?? Number.NaN));
  assert.equal((((result.expanded_uncertainty ?? Number.NaN) / 2) * 1000).toFixed(2), '1.59');
  const { uncertainty_contributions: contributions = {} } = result;
  assert.deepEqual(
    Object.entries(contributions).map(([name, u]) => [name, (u * 1000).toFixed(2)]),
    [
      ['part_expansion', '1.01'],
      ['scale_expansion', '0.29'],
      ['part_temperature', '1.13'],
      ['scale_temperature', '0.40'],
      ['cmm', '0.00'],
    ],
  );
  const { correction, compensated_value, expanded_uncertainty, uncertainty_contributions, ...rest } = result;
  assert.deepEqual(rest, { ...measurement, compensation: 'none' }, 'all else is as it was');
});

test('JCGM 100, H.1, by the configuration: 50.000838 mm with u = 32 nm', () => {
  const processor = thermal(`
compensation: none
part: { material: gauge_steel }
scale: { coefficient: 11.5, half_width: 0 }
part_temperature: { uncertainty: 0.41 }
scale_temperature: { as_part: true, difference: 0.05 }
cmm: { given_as: standard_uncertainty, constant: ${Math.hypot(0.025, 0.0097)} }
`);
  const result = processed(processor, measured({ measured_value: 50.000623 + 0.000215, temperature_c: 19.9 }));
  assert.equal(result.compensated_value?.toFixed(6), '50.000838');
  assert.equal(((result.expanded_uncertainty ?? Number.NaN) * 5e5).toFixed(0), '32');
  assert.equal(result.scale_temperature_c, 19.9);
});

test('the result is the same in every unit of length', () => {
  const processor = thermal(without(ALUMINIUM, /^cmm/, 'cmm: { constant: 1.7, per_metre: 3 }'));
  const limits = { lower_limit: 499.9, upper_limit: 500.1 };
  const inMm = processed(processor, measured({ ...WARM, ...limits }));
  for (const [unit, factor] of [['µm', 1000] as const, ['inch', 1 / 25.4] as const]) {
    const fields = { unit, measured_value: 500 * factor, lower_limit: 499.9 * factor, upper_limit: 500.1 * factor };
    const result = processed(processor, measured({ ...WARM, ...fields }));
    const numbers = ['compensated_value', 'correction', 'expanded_uncertainty', 'guard_band'] as const;
    for (const key of numbers) {
      const expected = (inMm[key] ?? Number.NaN) * factor;
      assert.ok(Math.abs((result[key] ?? Number.NaN) / expected - 1) < 1e-9, `${key} in ${unit}`);
    }
    assert.ok(Math.abs((result.conformance_probability ?? 0) - (inMm.conformance_probability ?? 1)) < 1e-9);
    assert.equal(result.verdict, inMm.verdict);
  }
});

test('what is no length, and what is excepted, goes on as it is', () => {
  const processor = thermal(`${ALUMINIUM}except: ["*position*", flatness]`);
  const others = [
    measured({ ...WARM, unit: 'deg', lower_limit: 1 }),
    measured({ ...WARM, characteristic: 'hole_3.position.x' }),
    measured({ ...WARM, characteristic: 'flatness' }),
    { machine_id: 'CMM-1', timestamp: START, temperature: 20 },
    { machine_id: 'CMM-1', timestamp: START, kind: 'event', event_type: 'part' } as const,
  ];
  for (const reading of others) assert.deepEqual(processor.process(reading), [reading]);
  assert.notEqual(processed(processor, measured({ ...WARM, characteristic: 'flatness_2' })).correction, undefined);
});

test('only what the source has left is corrected', () => {
  const open = without(ALUMINIUM, /^compensation/);
  const both = processed(thermal(open), measured({ ...WARM, compensation: 'none' }));
  const part = processed(thermal(open), measured({ ...WARM, compensation: 'scale' }));
  const nothing = processed(thermal(open), measured({ ...WARM, compensation: 'full' }));
  assert.equal(((both.correction ?? 0) * 1000).toFixed(3), '-31.548');
  assert.equal(((part.correction ?? 0) * 1000).toFixed(3), '-39.547');
  assert.equal(nothing.correction, 0);
  assert.equal(nothing.compensated_value, 500);
  assert.equal(((nothing.expanded_uncertainty ?? 0) * 500).toFixed(2), '1.59', 'what is unknown of it stays unknown');
  for (const result of [both, part, nothing]) assert.equal(result.distrust, undefined);
});

test('what is compensated is not compensated again: no correction, and the reason', () => {
  const open = without(ALUMINIUM, /^compensation/);
  const cases: [string, Partial<Measurement>, string][] = [
    [
      ALUMINIUM,
      { compensation: 'full' },
      'the measurement says that the expansion of scale and part is compensated, the configuration says nothing: not corrected',
    ],
    [
      `${open}correct: scale_and_part`,
      { compensation: 'scale' },
      'correcting scale and part is asked for, where the source has compensated the expansion of the scale: not corrected',
    ],
    [
      `${open}correct: part`,
      { compensation: 'full' },
      'correcting the part alone is asked for, where the source has compensated the expansion of scale and part: not corrected',
    ],
    [open, {}, 'nobody says what the source has compensated already: not corrected'],
    [ALUMINIUM, { compensated_value: 499.9 }, 'it has a compensated value already: not corrected'],
  ];
  for (const [text, fields, reason] of cases) {
    const sent = measured({ ...WARM, lower_limit: 499, ...fields });
    const result = processed(thermal(text), sent);
    assert.deepEqual(result.distrust, [reason]);
    assert.equal(result.compensated_value, fields.compensated_value);
    assert.deepEqual(
      [result.correction, result.verdict, result.expanded_uncertainty],
      [undefined, undefined, undefined],
    );
  }
  const processor = thermal(ALUMINIUM);
  const twice = processed(processor, processed(processor, measured(WARM)));
  assert.equal(((twice.correction ?? 0) * 1000).toFixed(3), '-31.548');
  assert.deepEqual(twice.distrust, ['it has a compensated value already: not corrected']);
});

test('without a temperature there is no result, and the measured value stays', () => {
  const cases: [Partial<Measurement>, string][] = [
    [
      { temperature_c: 23.5 },
      'the scale temperature is missing: the measurement says none, and no sensor is configured',
    ],
    [
      { ...WARM, temperature_c: -9999 },
      'the part temperature is missing: the measurement says -9999 °C, and taken is -60 °C to 200 °C',
    ],
  ];
  for (const [fields, reason] of cases) {
    const sent = measured({ ...fields, upper_limit: 501, distrust: ['probe worn'] });
    const result = processed(thermal(ALUMINIUM), sent);
    assert.deepEqual(result, { ...sent, compensation: 'none', distrust: ['probe worn', reason] });
  }
  const full = without(ALUMINIUM, /^compensation/, 'compensation: full');
  const result = processed(thermal(full), measured({ temperature_c: 23.5, upper_limit: 501 }));
  assert.deepEqual(
    [result.compensated_value, result.expanded_uncertainty, result.verdict],
    [500, undefined, undefined],
  );
  assert.deepEqual(result.distrust, [
    'the scale temperature is missing: the measurement says none, and no sensor is configured',
    'the uncertainty is not known',
    'without an uncertainty there is no guard band: no verdict',
  ]);
});

const SENSED = `
compensation: scale
part: { material: steel_4140 }
part_temperature:
  { machine_id: ROOM, signal: part_c, max_age: 60s, fixed: 21, fixed_uncertainty: 1.5, uncertainty: 0.1 }
cmm: { constant: 1 }
`;

test('a temperature comes from the measurement, else from the nearest sample, else from the last resort', () => {
  const processor = thermal(SENSED);
  assert.deepEqual(processor.observedMachines, ['ROOM']);
  const sense = (second: number, part_c: number | null | string, machine_id = 'ROOM'): void =>
    processor.observe({ machine_id, timestamp: at(second), part_c });
  const reasonOf = (second: number): readonly string[] | undefined =>
    processed(processor, measured({ timestamp: at(second) })).distrust;
  const temperatureAt = (second: number, fields: Partial<Measurement> = {}): number | undefined =>
    processed(processor, measured({ timestamp: at(second), ...fields })).temperature_c;

  const fixed = 'the part temperature is the fixed 21 °C of the configuration';
  assert.deepEqual(reasonOf(0), [`${fixed}; nothing came from part_c of ROOM yet`]);
  sense(100, 22);
  sense(130, 24);
  sense(131, null);
  sense(132, '25');
  sense(133, 26, 'HALL');
  assert.deepEqual(
    [110, 120, 150].map((second) => temperatureAt(second)),
    [22, 24, 24],
  );
  assert.equal(temperatureAt(115), 22, 'as near before as after');
  assert.equal(reasonOf(110), undefined);
  assert.equal(temperatureAt(110, { temperature_c: 19 }), 19);
  assert.equal(temperatureAt(191), 21);
  assert.deepEqual(reasonOf(191), [
    `${fixed}; the nearest value of part_c of ROOM is 1.01667 min away; allowed are 1 min`,
  ]);
  const wrong = processed(processor, measured({ timestamp: at(130), temperature_c: 999 }));
  assert.equal(((wrong.correction ?? 0) * 1000).toFixed(2), '-24.60');
  assert.equal(wrong.temperature_c, 999, 'what the measurement says is not changed');
  assert.match(wrong.distrust?.join() ?? '', /is the sensor's: the measurement says 999 °C/);
  const contribution = (second: number): number | undefined =>
    processed(processor, measured({ timestamp: at(second) })).uncertainty_contributions?.['part_temperature'];
  assert.ok(Math.abs((contribution(1_000) ?? 0) / (contribution(110) ?? 1) - 15) < 1e-3, 'with its own uncertainty');
});

test('one sensor for both: its error mostly cancels, unless the scale says its own temperature', () => {
  const text = without(ALUMINIUM, /^scale_t/, 'scale_temperature: { as_part: true, difference: 0.2 }');
  const shared = processed(thermal(text), measured({ temperature_c: 24 }));
  const names = (result: Measurement): string[] => Object.keys(result.uncertainty_contributions ?? {});
  assert.deepEqual(names(shared), [
    'part_expansion',
    'scale_expansion',
    'temperature',
    'temperature_difference',
    'cmm',
  ]);
  assert.equal(shared.scale_temperature_c, 24);
  const gated = processed(thermal(`${text}\ngates: { temperature_max: 22 }`), measured({ temperature_c: 24 }));
  assert.deepEqual(gated.distrust, ['the part temperature is 24 °C; allowed are 22 °C and less'], 'told once');
  const own = processed(thermal(text), measured(WARM));
  assert.deepEqual(names(own), ['part_expansion', 'scale_expansion', 'part_temperature', 'scale_temperature', 'cmm']);
  assert.equal(((own.correction ?? 0) * 1000).toFixed(3), '-31.548');
});

test('parts have materials of their own, by characteristic and by part', () => {
  const rules = `parts:
  - { characteristic: "bore_*.d", part_id: "A*", coefficient: 10, half_width: 1 }
  - { part_id: A7, coefficient: 20, half_width: 1 }`;
  const text = `${without(ALUMINIUM, /^(compensation|scale|part:)/, 'compensation: scale')}\n${rules}`;
  const correctionOf = (characteristic: string, part_id?: string): number | undefined => {
    const fields = { characteristic, ...(part_id !== undefined && { part_id }), temperature_c: 21 };
    const { correction, distrust } = processed(thermal(text), measured(fields));
    if (correction === undefined) {
      assert.deepEqual(distrust, ['no coefficient of the part is configured: not corrected']);
      return undefined;
    }
    return Math.round(correction * 1e6);
  };
  assert.equal(correctionOf('bore_1.d', 'A7'), -5_000);
  assert.equal(correctionOf('bore_1.x', 'A7'), -10_000);
  assert.equal(correctionOf('bore_1.d', 'B'), undefined);
  assert.equal(correctionOf('bore_1.d'), undefined);
});

test('a verdict has its rule, its guard band and its probability; the one of the source is kept', () => {
  const limits = { lower_limit: 499.9, upper_limit: 499.971 };
  const guarded = processed(
    thermal(ALUMINIUM),
    measured({ ...WARM, ...limits, verdict: 'conform', details: { a: 1 } }),
  );
  // y = 499.96845, u = 1.594 µm: 2.55 µm below the limit, with a guard band of 2.63 µm.
  assert.equal(guarded.verdict, 'indeterminate');
  assert.equal(guarded.decision_rule, 'iso_14253_1');
  assert.equal(((guarded.guard_band ?? 0) * 1000).toFixed(2), '2.63');
  assert.equal(guarded.conformance_probability?.toFixed(3), '0.945');
  assert.deepEqual(guarded.details, { a: 1, source_verdict: 'conform' });

  const simple = processed(
    thermal(`${ALUMINIUM}decision: { rule: simple_acceptance }`),
    measured({ ...WARM, ...limits }),
  );
  assert.deepEqual([simple.verdict, simple.guard_band, simple.details], ['conform', 0, undefined]);
  assert.equal(simple.conformance_probability, guarded.conformance_probability);

  const oneSided = processed(thermal(ALUMINIUM), measured({ ...WARM, lower_limit: 499.98 }));
  assert.equal(oneSided.verdict, 'nonconform');
  const unlimited = processed(thermal(ALUMINIUM), measured(WARM));
  assert.deepEqual([unlimited.verdict, unlimited.conformance_probability], [undefined, undefined]);
  const crossed = processed(thermal(ALUMINIUM), measured({ ...WARM, lower_limit: 501, upper_limit: 499 }));
  assert.deepEqual(crossed.distrust, ['the lower limit 501 is above the upper limit 499: no verdict']);
  assert.equal(crossed.verdict, undefined);
});

test('gates see the room, the sensor and the machine', () => {
  const gates =
    'gates: { temperature_max: 22, change_max: 0.5, change_over: 60s, sensor_age_max: 10s, soak_time: 2m, soak_machine_id: MILL }';
  const processor = thermal(`${SENSED}${gates}`);
  assert.deepEqual(processor.observedMachines, ['ROOM', 'MILL']);
  const state = (second: number, machine_state: 'running' | 'idle'): void =>
    processor.observe({ machine_id: 'MILL', timestamp: at(second), machine_state });
  for (let second = 0; second <= 300; second += 5) {
    processor.observe({ machine_id: 'ROOM', timestamp: at(second), part_c: second < 200 ? 21 : 22.5 });
  }
  state(0, 'running');
  state(150, 'idle');
  const reasonsAt = (second: number): readonly string[] =>
    processed(processor, measured({ timestamp: at(second) })).distrust ?? [];
  assert.deepEqual(reasonsAt(30), [
    'the change of the part temperature over 1 min is not known yet',
    'the soak time was 0 s; needed are 2 min',
  ]);
  assert.deepEqual(reasonsAt(210), [
    'the part temperature is 22.5 °C; allowed are 22 °C and less',
    'the part temperature changed by 1.5 K in 1 min; allowed are 0.5 K',
    'the soak time was 1 min; needed are 2 min',
  ]);
  assert.deepEqual(reasonsAt(311), [
    'the part temperature is 22.5 °C; allowed are 22 °C and less',
    'the part temperature is 11 s from the measurement; allowed are 10 s',
  ]);
  processor.observe({ machine_id: 'MILL', timestamp: at(320), kind: 'event', event_type: 'state', state: 'running' });
  processor.observe({ machine_id: 'MILL', timestamp: at(330), kind: 'event', event_type: 'state', state: 'alarm' });
  assert.ok(reasonsAt(340).includes('the soak time was 10 s; needed are 2 min'));
});

test('nothing that a measurement may hold makes a result that the hub refuses', () => {
  const processor = thermal(without(ALUMINIUM, /^cmm/, 'cmm: { constant: 1.7, per_metre: 3 }'));
  const values = [0, -0, -500, 5e-324, 1e308, -1e308, Number.MAX_VALUE];
  for (const measured_value of values) {
    for (const unit of ['mm', 'nm', 'm']) {
      for (const limit of values) {
        processed(processor, measured({ measured_value, unit, ...WARM, lower_limit: limit }));
        processed(
          processor,
          measured({ measured_value, unit, temperature_c: 200, scale_temperature_c: -60, upper_limit: limit }),
        );
      }
    }
  }
  const many = Array.from({ length: 64 }, (_, index) => `reason ${index}`);
  assert.equal(processed(processor, measured({ distrust: many })).distrust?.length, 64);
});

test('over an hour of waves of temperature only the noise of the CMM is left', () => {
  const processor = thermal(`
compensation: scale
part: { material: aluminium_6061 }
part_temperature: { uncertainty: 0.1 }
cmm: { constant: 1 }
`);
  const random = seededRandom(6061);
  const raw: number[] = [];
  const corrected: number[] = [];
  for (let second = 0; second < 3_600; second += 5) {
    const temperature_c = 20 + 5 * Math.sin((2 * Math.PI * second) / 60);
    const measured_value = 100 * (1 + 23.6e-6 * (temperature_c - 20)) + 0.001 * gaussian(random);
    const result = processed(processor, measured({ timestamp: at(second), measured_value, temperature_c }));
    assert.equal(result.distrust, undefined);
    raw.push(result.measured_value);
    corrected.push(result.compensated_value ?? Number.NaN);
  }
  assert.equal(raw.length, 720);
  const [rawSpread, spread] = [raw, corrected].map(standardDeviation) as [number, number];
  assert.ok(rawSpread > 0.008, `raw ${rawSpread}`);
  assert.ok(Math.abs(spread / 0.001 - 1) < 0.1, `corrected ${spread}`);
});

function standardDeviation(values: readonly number[]): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}

test('a source that says it compensates nothing, and no scale configured: nothing is corrected, and what to do is told', () => {
  const processor = thermal(
    'part: { material: aluminium_6061 }\npart_temperature: { uncertainty: 0.1 }\ncmm: { constant: 1 }',
  );
  const result = processed(processor, measured({ temperature_c: 23, compensation: 'none' }));
  assert.equal(result.compensated_value, undefined);
  assert.match(result.distrust?.join() ?? '', /no coefficient of the scale .* or say compensation: scale where/);
  assert.notEqual(processed(processor, measured({ temperature_c: 23, compensation: 'scale' })).correction, undefined);
});

test('what it was handed is not changed', () => {
  const sent: Reading = measured({ ...WARM, lower_limit: 1, details: { a: 1 } });
  const copy = structuredClone(sent);
  thermal(ALUMINIUM).process(sent);
  assert.deepEqual(sent, copy);
});

/** Measurements, features and studies, as the hub answers them from a real database. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CapabilityStudy, Feature, MachineNow, MeasurementRow } from '../../model/api.ts';
import { select, startTestServer } from '../../../test/support/hub-database.ts';
import { type Answer, ask, startHub } from '../../../test/support/hub-server.ts';

const server = await startTestServer();
const settings = await server.database();
const hub = await startHub(settings);
const machines = `${hub.url}/api/v1/machines`;

const at = (second: number): string => new Date(Date.UTC(2026, 0, 1, 8, 0, second)).toISOString().replace('Z', '000Z');
const inspected = (machine_id: string, second: number, fields: object): object => ({
  kind: 'measurement',
  machine_id,
  timestamp: at(second),
  characteristic: 'length',
  unit: 'mm',
  ...fields,
});
const store = async (...readings: object[]): Promise<void> => {
  const answer = await ask(`${hub.url}/api/v1/ingest`, { method: 'POST', body: JSON.stringify(readings) });
  assert.deepEqual([answer.status, (answer.json as { stored: number }).stored], [200, readings.length], answer.text);
};
const get = async <Body>(path: string): Promise<Body> => {
  const answer = await ask(`${machines}/${path}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.json as Body;
};
const near = (found: number | null | undefined, expected: number, what: string): void => {
  assert.ok(Math.abs((found ?? Number.NaN) - expected) < 1e-9 * Math.max(1, Math.abs(expected)), `${what}: ${found}`);
};

test('a measurement comes back with everything that was said of it, and null for the rest', async () => {
  const fields = {
    ...{ measured_value: 500.0315, part_id: 'rail', serial_number: 'R-7', nominal_value: 500 },
    ...{ lower_limit: 499.99, upper_limit: 500.01, temperature_c: 23.5, scale_temperature_c: 22, compensation: 'none' },
    ...{ compensated_value: 499.9999, correction: -0.0316, expanded_uncertainty: 0.0032 },
    ...{ uncertainty_contributions: { part_expansion: 0.0012, cmm: 0.001 }, verdict: 'conform' },
    ...{ decision_rule: 'iso_14253_1', guard_band: 0.0026, conformance_probability: 0.999 },
    ...{ distrust: ['the part soaked for 3 min only'], details: { probe: 2 }, clock_quality: 'synchronized' },
  };
  await store(inspected('ALL', 1, { ...fields, gateway_time: at(2) }), inspected('ALL', 0, { measured_value: 5 }));
  const [full, bare] = await get<MeasurementRow[]>('ALL/measurements');
  const place = { machine_id: 'ALL', characteristic: 'length', unit: 'mm' };
  assert.deepEqual(full, { time: at(1), ...place, ...fields, gateway_time: at(2) });
  const known = Object.entries(bare ?? {}).filter(([, value]) => value !== null);
  assert.deepEqual(Object.fromEntries(known), { time: at(0), ...place, measured_value: 5 });
  assert.deepEqual(Object.keys(bare ?? {}).sort(), Object.keys(full ?? {}).sort());
});

test('newest first in pages, where rows of one instant stay together and every row comes once', async () => {
  const seconds = [1, 2, 3, 3, 3, 4, 5];
  await store(
    ...seconds.map((second, index) => inspected('P', second, { measured_value: index, characteristic: `c${index}` })),
  );
  const pages: number[][] = [];
  let address: string | undefined = '/api/v1/machines/P/measurements?limit=3';
  while (address !== undefined) {
    const answer: Answer = await ask(`${hub.url}${address}`);
    pages.push((answer.json as MeasurementRow[]).map((row) => row.measured_value));
    address = /^<(\/[^>]+)>; rel="next"$/.exec(String(answer.headers.link ?? ''))?.[1];
  }
  assert.deepEqual(pages, [
    [6, 5, 2, 3, 4],
    [1, 0],
  ]);
  const exact = await ask(`${machines}/P/measurements?limit=7`);
  assert.deepEqual([(exact.json as object[]).length, exact.headers.link], [7, undefined]);
});

test('of one characteristic, serial number, part, and time', async () => {
  await store(
    inspected('F', 1, { measured_value: 1, serial_number: 'S-1', part_id: 'A' }),
    inspected('F', 2, { measured_value: 2, serial_number: 'S-2', part_id: 'A', characteristic: 'bore, "left"' }),
    inspected('F', 3, { measured_value: 3, serial_number: 'S-2', part_id: 'B' }),
  );
  const values = async (query: string): Promise<number[]> =>
    (await get<MeasurementRow[]>(`F/measurements?${query}`)).map((row) => row.measured_value);
  assert.deepEqual(await values('characteristic=length'), [3, 1]);
  assert.deepEqual(await values('serial_number=S-2'), [3, 2]);
  assert.deepEqual(await values('serial_number=S-2&characteristic=length'), [3]);
  assert.deepEqual(await values('part_id=A'), [2, 1]);
  assert.deepEqual(await values(`start_time=${at(2)}&end_time=${at(3)}`), [2]);
  assert.deepEqual(await values(`before=${at(2)}`), [1]);
  assert.deepEqual(await values('serial_number=NONE'), []);
  assert.deepEqual(await get('NONE/measurements'), []);
});

test('as CSV and as lines of JSON', async () => {
  const csv = await ask(`${machines}/F/measurements?format=csv&serial_number=S-2`);
  assert.equal(csv.headers['content-type'], 'text/csv; charset=utf-8');
  const [header, , second, end] = csv.text.split('\r\n');
  assert.match(header ?? '', /^time,machine_id,characteristic,measured_value,unit,part_id,.*,clock_quality$/);
  assert.match(second ?? '', /^2026-01-01T08:00:02\.000000Z,F,"bore, ""left""",2,mm,A,S-2,,,,/);
  assert.equal(end, '');
  const headers = { accept: 'application/x-ndjson' };
  const lines = await ask(`${machines}/F/measurements?serial_number=S-2`, { headers });
  assert.equal(lines.headers['content-type'], 'application/x-ndjson; charset=utf-8');
  assert.deepEqual(
    lines.text.split('\n').map((line) => (line === '' ? null : (JSON.parse(line) as MeasurementRow).measured_value)),
    [3, 2, null],
  );
  assert.match((await ask(`${machines}/NONE/measurements?format=csv`)).text, /^time,.*clock_quality\r\n$/);
});

test('features: the newest of each, the verdicts counted, and the worst first', async () => {
  const limits = { nominal_value: 10, lower_limit: 9.9, upper_limit: 10.1 };
  const feature = (characteristic: string, second: number, fields: object): object =>
    inspected('CMM', second, { characteristic, ...limits, ...fields });
  await store(
    feature('best', 1, { measured_value: 10.3, compensated_value: 10.01, verdict: 'conform' }),
    feature('undecided', 1, { measured_value: 10.09, verdict: 'indeterminate' }),
    feature('bad', 1, { measured_value: 10.05, verdict: 'conform' }),
    feature('bad', 2, { measured_value: 9.85, verdict: 'nonconform' }),
    feature('bad', 0, { measured_value: 9.99, verdict: 'indeterminate' }),
    feature('worse than best', 1, { measured_value: 9.95, verdict: 'conform' }),
    feature('beyond and not judged', 1, { measured_value: 10.12 }),
    inspected('CMM', 1, { characteristic: 'flatness', measured_value: 0.03, nominal_value: 0, upper_limit: 0.05 }),
    inspected('CMM', 1, { characteristic: 'free', measured_value: 3 }),
    // g6: the nominal value is outside of its limits.
    ...[
      inspected('CMM', 1, {
        characteristic: 'shaft',
        measured_value: 9.995,
        ...limits,
        lower_limit: 9.986,
        upper_limit: 9.995,
      }),
    ],
  );
  const features = await get<Feature[]>('CMM/features');
  const told = features.map(({ characteristic, tolerance_used: used }) => [characteristic, used?.toFixed(6) ?? null]);
  assert.deepEqual(told, [
    ['bad', '-1.500000'],
    ['beyond and not judged', '1.200000'],
    ['undecided', '0.900000'],
    ['shaft', '1.000000'],
    ['flatness', '0.600000'],
    ['worse than best', '-0.500000'],
    ['best', '0.100000'],
    ['free', null],
  ]);
  const [bad] = features;
  assert.deepEqual(
    [
      bad?.newest.time,
      bad?.measurements,
      bad?.verdicts,
      bad?.unit,
      bad?.nominal_value,
      bad?.lower_limit,
      bad?.upper_limit,
    ],
    [at(2), 3, { conform: 1, nonconform: 1, indeterminate: 1, none: 0 }, 'mm', 10, 9.9, 10.1],
  );
  assert.deepEqual(features.at(-1)?.verdicts, { conform: 0, nonconform: 0, indeterminate: 0, none: 1 });
  const earlier = await get<Feature[]>(`CMM/features?start_time=${at(0)}&end_time=${at(1)}`);
  assert.deepEqual(
    earlier.map(({ characteristic, newest }) => [characteristic, newest.measured_value]),
    [['bad', 9.99]],
  );
  assert.deepEqual(await get('NONE/features'), []);
});

test('features are those of the 31 days up to the newest measurement, unless a time is given', async () => {
  const day = 86_400;
  await store(
    inspected('D', 0, { measured_value: 1, characteristic: 'old' }),
    inspected('D', 32 * day, { measured_value: 2, characteristic: 'new' }),
  );
  const names = async (query = ''): Promise<string[]> =>
    (await get<Feature[]>(`D/features${query}`)).map(({ characteristic }) => characteristic);
  assert.deepEqual(await names(), ['new']);
  assert.deepEqual(await names(`?start_time=${at(0)}`), ['new', 'old']);
  assert.deepEqual(await names(`?end_time=${at(day)}`), ['old']);
});

/** 9.99 and 10.01 by turns: every moving range is 0.02. */
const alternating = (machine: string, count: number, fields: object = {}): object[] =>
  Array.from({ length: count }, (_, index) =>
    inspected(machine, index, {
      measured_value: index % 2 === 0 ? 9.99 : 10.01,
      ...{ serial_number: `S-${index}`, temperature_c: 20 + index / 10, lower_limit: 9.9, upper_limit: 10.1 },
      ...fields,
    }),
  );

test('characteristics of old programs do not take the places of those that are measured now', async () => {
  const old = Array.from({ length: 1_100 }, (_, number) =>
    inspected('PROGRAMS', 0, { characteristic: `a${number}`, measured_value: 1 }),
  );
  const now = inspected('PROGRAMS', 3_600 * 24 * 40, { characteristic: 'z', measured_value: 1 });
  await store(...old.slice(0, 600));
  await store(...old.slice(600), now);
  const features = await get<Feature[]>('PROGRAMS/features');
  assert.deepEqual(
    features.map(({ characteristic }) => characteristic),
    ['z'],
  );
  const all = await get<Feature[]>(`PROGRAMS/features?start_time=${at(0)}`);
  assert.equal(all.length, 1_000);
  assert.ok(all.every(({ measurements }) => measurements === 1));
});

test('the worst of more than a thousand characteristics is among those that are told', async () => {
  const many = Array.from({ length: 1_001 }, (_, number) =>
    inspected('CROWD', 0, { characteristic: `a${number}`, measured_value: 1, upper_limit: 2, verdict: 'conform' }),
  );
  const bad = inspected('CROWD', 0, { characteristic: 'z', measured_value: 3, upper_limit: 2, verdict: 'nonconform' });
  await store(...many.slice(0, 500));
  await store(...many.slice(500), bad);
  const [worst] = await get<Feature[]>('CROWD/features');
  assert.deepEqual([worst?.characteristic, worst?.verdicts.nonconform], ['z', 1]);
});

test('a measurement of a clock in the future does not hide what is measured now', async () => {
  const fields = { characteristic: 'now', measured_value: 1 };
  await store({ ...inspected('CLOCK', 0, fields), timestamp: new Date().toISOString() });
  await store({ ...inspected('CLOCK', 0, { ...fields, characteristic: 'far' }), timestamp: '2126-01-01T00:00:00Z' });
  const features = await get<Feature[]>('CLOCK/features');
  assert.deepEqual(features.map(({ characteristic }) => characteristic).sort(), ['far', 'now']);
});

test('a study: limits, rules, histogram and capability, worked out by hand', async () => {
  await store(...alternating('SPC', 30, { expanded_uncertainty: 0.002, verdict: 'conform' }));
  const study = await get<CapabilityStudy>('SPC/capability?characteristic=length');
  assert.deepEqual(
    [study.machine_id, study.characteristic, study.value, study.unit, study.points.length],
    ['SPC', 'length', 'measured', 'mm', 30],
  );
  assert.deepEqual([study.has_older, study.points_max, study.left_out], [false, 1000, 0]);
  const { control } = study;
  assert.deepEqual([control?.baseline, control?.baseline_start, control?.baseline_end], [25, at(0), at(24)]);
  // Of the first 25 thirteen are 9.99: the mean is 10 − 0.01/25.
  near(control?.centre, 9.9996, 'centre');
  near(control?.range_centre, 0.02, 'range centre');
  near(control?.range_upper, 0.065_34, 'range upper');
  near(control?.sigma, 0.02 / 1.128, 'sigma');
  near(control?.lower, 9.9996 - 0.0532, 'lower');
  near(control?.upper, 9.9996 + 0.0532, 'upper');
  assert.equal(study.control_reason, null);
  const [first, second] = study.points;
  assert.deepEqual([first?.moving_range, first?.serial_number, first?.temperature_c], [null, 'S-0', 20]);
  assert.deepEqual([first?.expanded_uncertainty, first?.verdict, first?.compensated_value], [0.002, 'conform', null]);
  near(second?.moving_range, 0.02, 'moving range');
  assert.deepEqual(
    study.points.map(({ rules }) => rules),
    Array.from({ length: 30 }, (_, index) => (index < 13 ? [] : index < 14 ? [4] : [4, 7])),
  );
  assert.deepEqual(
    study.rules_met.map(({ rule, points }) => [rule, points]),
    [
      [4, 17],
      [7, 16],
    ],
  );
  assert.match(study.rules_met[0]?.text ?? '', /^fourteen in a row/);
  // √30 → 6 bins over 0.02: 0.0033, rounded to 0.005.
  assert.deepEqual(
    study.histogram.map(({ from, to, count }) => [from, to, count]),
    [
      [9.99, 9.995, 15],
      [9.995, 10, 0],
      [10, 10.005, 0],
      [10.005, 10.01, 0],
      [10.01, 10.015, 15],
    ],
  );
  assert.deepEqual(study.specifications, [
    { nominal_value: null, lower_limit: 9.9, upper_limit: 10.1, points: 30, first_time: at(0), last_time: at(29) },
  ]);
  const { capability } = study;
  assert.equal(study.capability_reason, null);
  assert.equal(capability?.values, 30);
  near(capability?.mean, 10, 'mean');
  near(capability?.cp, 1.88, 'Cp');
  near(capability?.cpk, 1.88, 'Cpk');
  const overall = Math.sqrt((30 * 0.0001) / 29);
  near(capability?.sigma_overall, overall, 's');
  near(capability?.pp, 0.2 / (6 * overall), 'Pp');
  near(capability?.ppk, 0.1 / (3 * overall), 'Ppk');
  const margin = 1.96 * Math.sqrt(1 / 270 + 1.88 ** 2 / 58);
  near(capability?.cpk_interval[0], 1.88 - margin, 'low end');
  near(capability?.cpk_interval[1], 1.88 + margin, 'high end');
});

test('a study of the newest: limits stay those of the first, and rules and ranges know what was before', async () => {
  const study = await get<CapabilityStudy>('SPC/capability?characteristic=length&last=10');
  assert.deepEqual([study.points.length, study.points[0]?.time, study.has_older], [10, at(20), true]);
  near(study.control?.centre, 9.9996, 'centre');
  near(study.points[0]?.moving_range, 0.02, 'moving range');
  assert.deepEqual(study.points[0]?.rules, [4, 7]);
  assert.equal(study.capability, null);
  assert.match(study.capability_reason ?? '', /needs 30 values; there are 10$/);
  const later = await get<CapabilityStudy>(`SPC/capability?characteristic=length&start_time=${at(5)}`);
  assert.deepEqual([later.control?.baseline_start, later.points.length, later.has_older], [at(5), 25, false]);
});

test('why there is no capability, and no chart', async () => {
  const reason = async (machine: string, query = ''): Promise<string | null> => {
    const study = await get<CapabilityStudy>(`${machine}/capability?characteristic=length${query}`);
    assert.equal(study.capability, null);
    return study.capability_reason;
  };
  await store(...alternating('L2', 20), ...alternating('L2', 40, { upper_limit: 10.2 }).slice(20));
  assert.match((await reason('L2')) ?? '', /2 different limits \(9\.9 to 10\.1, 9\.9 to 10\.2\)/);
  const own = Array.from({ length: 30 }, (_, second) => {
    return inspected('OWN', second, { measured_value: second, lower_limit: second - 1, upper_limit: second + 1 });
  });
  await store(...own);
  assert.match((await reason('OWN')) ?? '', /30 different limits \(-1 to 1, 0 to 2, 1 to 3, …\)/);
  await store(
    ...Array.from({ length: 30 }, (_, second) => inspected('FREE', second, { measured_value: 1 + second / 100 })),
  );
  assert.match((await reason('FREE')) ?? '', /no specification limits/);
  await store(...alternating('SAME', 30, { measured_value: 10 }));
  assert.match((await reason('SAME')) ?? '', /do not differ/);
  await store(inspected('ONE', 1, { measured_value: 1 }));
  const one = await get<CapabilityStudy>('ONE/capability?characteristic=length');
  assert.deepEqual([one.points.length, one.control, one.points[0]?.rules], [1, null, []]);
  assert.match(one.control_reason ?? '', /need 2 values; there are 1$/);
  assert.deepEqual(one.histogram, [{ from: 1, to: 1, count: 1 }]);
  const none = await get<CapabilityStudy>('NONE/capability?characteristic=length');
  assert.deepEqual([none.unit, none.points, none.histogram, none.specifications], [null, [], [], []]);
});

test('the compensated value where there is one; what lacks it, and what is in another unit, is left out and counted', async () => {
  await store(
    inspected('C', 1, { measured_value: 10.02, compensated_value: 10 }),
    inspected('C', 2, { measured_value: 10.04 }),
    inspected('C', 3, { measured_value: 0.4, compensated_value: 0.39, unit: 'in' }),
    inspected('C', 4, { measured_value: 10.03, compensated_value: 10.01 }),
  );
  const values = async (query: string): Promise<unknown[]> => {
    const study = await get<CapabilityStudy>(`C/capability?characteristic=length${query}`);
    return [study.value, study.left_out, ...study.points.map(({ value }) => value)];
  };
  assert.deepEqual(await values(''), ['compensated', 2, 10, 10.01]);
  assert.deepEqual(await values('&value=measured'), ['measured', 1, 10.02, 10.04, 10.03]);
});

test('at most the newest 1,000 points, and the answer tells it', async () => {
  await select(
    settings,
    `insert into measurements (time, machine_id, characteristic, measured_value, unit)
     select timestamptz '2026-01-01T00:00:00Z' + n * interval '1 second', 'MANY', 'length', 10 + n % 7, 'mm'
     from generate_series(0, 1999) as n`,
  );
  const study = await get<CapabilityStudy>('MANY/capability?characteristic=length');
  assert.deepEqual([study.points.length, study.points_max, study.has_older], [1000, 1000, true]);
  assert.equal(study.points.at(-1)?.time, '2026-01-01T00:33:19.000000Z');
  assert.equal(study.control?.baseline_end, '2026-01-01T00:00:24.000000Z');
});

test('every read goes by an index', async () => {
  await select(settings, 'vacuum analyze measurements');
  const plan = async (rest: string): Promise<string> =>
    JSON.stringify(
      await select(settings, `explain select verdict from measurements where machine_id = 'MANY' and ${rest}`),
    );
  assert.match(await plan("characteristic = 'length' order by time limit 25"), /using measurements_characteristic/);
  assert.match(
    await plan("characteristic > 'a' order by characteristic limit 1"),
    /Index Only Scan using measurements_characteristic/,
  );
  assert.match(await plan("serial_number = 'S-1' order by time desc limit 9"), /(using|on) measurements_serial_number/);
  assert.match(await plan("time < '2026-01-01' order by time desc limit 9"), /using measurements_machine_time/);
});

test('the fleet tells which machines are inspected, and when last', async () => {
  await store({ machine_id: 'MILL', timestamp: at(1), temperature: 20 });
  const fleet = (await ask(`${hub.url}/api/v1/fleet`)).json as MachineNow[];
  const last = (id: string): unknown => fleet.find((machine) => machine.id === id)?.last_measurement;
  assert.deepEqual([last('MILL'), last('P'), last('SPC')], [null, at(5), at(29)]);
  // A late one changes nothing; one from the future counts as made now.
  await store(inspected('P', 0, { measured_value: 1 }));
  await store({ ...inspected('AHEAD', 0, { measured_value: 1 }), timestamp: '2126-01-01T00:00:00Z' });
  const later = (await ask(`${hub.url}/api/v1/fleet`)).json as MachineNow[];
  const now = later.find(({ id }) => id === 'AHEAD')?.last_measurement ?? '';
  assert.equal(later.find(({ id }) => id === 'P')?.last_measurement, at(5));
  assert.ok(Math.abs(Date.parse(now) - Date.now()) < 60_000, now);
});

test('names may be what they like, and are names only', async () => {
  const names = [
    'a/b',
    'c,d',
    '🔧 Ø12 H7',
    `'; drop table measurements; --`,
    '"quoted"',
    '100 %',
    '..',
    '=1+1',
    'ü\u0308',
    '#?&+',
  ];
  await store(
    ...names.map((characteristic, second) => inspected('N/1', second, { characteristic, measured_value: second })),
  );
  const machine = encodeURIComponent('N/1');
  const features = await get<Feature[]>(`${machine}/features`);
  assert.deepEqual(features.map(({ characteristic }) => characteristic).sort(), names.toSorted());
  for (const [index, name] of names.entries()) {
    const query = `characteristic=${encodeURIComponent(name)}`;
    const study = await get<CapabilityStudy>(`${machine}/capability?${query}`);
    assert.deepEqual([study.characteristic, study.points.map(({ value }) => value)], [name, [index]]);
    const rows = await get<MeasurementRow[]>(`${machine}/measurements?${query}`);
    assert.deepEqual(
      rows.map(({ measured_value }) => measured_value),
      [index],
    );
  }
});

test('values too large for their spread to be a number have no study, and say so', async () => {
  const values = Array.from({ length: 40 }, (_, second) => (second % 2 === 0 ? 1 : -1) * 1.7e308 * (second / 40));
  await store(...values.map((measured_value, second) => inspected('HUGE', second, { measured_value, upper_limit: 1 })));
  const study = await get<CapabilityStudy>('HUGE/capability?characteristic=length');
  assert.equal(study.points.length, 40);
  assert.deepEqual([study.capability, study.control], [null, null]);
  assert.match(study.capability_reason ?? '', /too large/);
  assert.match(study.control_reason ?? '', /too large/);
  assert.equal(
    study.histogram.reduce((sum, { count }) => sum + count, 0),
    40,
  );
  assert.ok(study.histogram.every(({ from, to }) => Number.isFinite(from) && Number.isFinite(to)));
});

test('what is asked for wrongly is refused with a sentence', async () => {
  const refused: readonly (readonly [path: string, sentence: RegExp])[] = [
    ['X/capability', /characteristic is required/],
    ['X/capability?characteristic=a&last=1001', /last is a whole number from 1 to 1000; found \\"1001\\"/],
    ['X/capability?characteristic=a&value=raw', /value is one of compensated, measured; found \\"raw\\"/],
    [`X/capability?characteristic=${'a'.repeat(129)}`, /characteristic is text of 1 to 128 characters/],
    ['X/capability?characteristic=a%00b', /characteristic is text/],
    ['X/capability?characteristic=a&characteristic=b', /characteristic is given 2 times/],
    ['X/measurements?limit=-1', /limit is a whole number/],
    ['X/measurements?limit=10001', /limit is a whole number from 1 to 10000/],
    ['X/measurements?before=yesterday', /before is an RFC 3339 time/],
    ['X/measurements?format=xml', /format is one of json, ndjson, csv/],
    [`X/features?start_time=${at(2)}&end_time=${at(1)}`, /is after end_time/],
  ];
  for (const [path, sentence] of refused) {
    const answer = await ask(`${machines}/${path}`);
    assert.equal(answer.status, 400, path);
    assert.match(answer.text, sentence);
  }
});

/** The dashboard "Thermal correlation": every panel shows what was measured, and the variables what there is. */
import assert from 'node:assert/strict';
import type { Measurement } from '../../src/model/reading.ts';
import { microsOf } from '../../src/model/time.ts';
import { assertAllPanels, queriesOf, readDashboard, variableQuery, type View } from './grafana.ts';
import {
  assertBuckets,
  assertNear,
  type Column,
  deviationOf,
  HOUR_MS,
  type InfluxRun,
  INTERVAL_MS,
  meanOf,
  OTHER,
  rowsOf,
  type Series,
  single,
  START_MS,
  sumOf,
  tagsOf,
} from './influx-answers.ts';

export async function assertThermalCorrelation(run: InfluxRun): Promise<void> {
  const dashboard = readDashboard('thermal-correlation.json');
  const one = run.measured.get('CMM-001') ?? [];
  const view: View = {
    fromMs: START_MS,
    toMs: START_MS + HOUR_MS,
    intervalMs: INTERVAL_MS,
    variables: { machine: ['CMM-001'], feature: ['length'], sensor: ['CMM-001'] },
  };
  const both = { ...view, variables: { ...view.variables, machine: [OTHER], feature: ['length', 'bore.x'] } };
  const ask = (title: string, of: View = view): Promise<Series[][]> =>
    Promise.all(queriesOf(dashboard, title, of).map(run.ask));
  const scatter = (value: (one: Measurement) => number): number => deviationOf(one.map(value)) * 1000;
  const slope = (value: (one: Measurement) => number): number => {
    const xs = one.map((each) => each.temperature_c ?? Number.NaN);
    const ys = one.map(value);
    const [x, y] = [meanOf(xs), meanOf(ys)];
    const products = xs.map((each, index) => (each - x) * ((ys[index] ?? Number.NaN) - y));
    return (meanOf(products) / meanOf(xs.map((each) => (each - x) ** 2))) * 1000;
  };
  const compare = async (title: string, columns: readonly Column[]): Promise<void> => {
    const [[series]] = (await ask(title)) as [[Series]];
    assertBuckets(series, one, columns, title);
  };
  const checks: { readonly [title: string]: (title: string) => Promise<void> } = {
    'Scatter as measured': async (title) => {
      const value = single(await ask(title), 'scatter', 'length');
      assertNear(value, scatter(raw), 1e-6, title);
      assert.ok(value > 8, `the raw scatter is ${value} µm`);
      assert.deepEqual(tagsOf((await ask(title, both))[0], 'characteristic'), ['bore.x', 'length']);
    },
    'Scatter at 20 °C': async (title) => {
      const value = single(await ask(title), 'scatter', 'length');
      assertNear(value, scatter(corrected), 1e-6, title);
      assert.ok(Math.abs(value - 1) < 0.1, `what is left is the noise of 1 µm, and not ${value} µm`);
    },
    'Expansion as measured': async (title) => {
      const value = single(await ask(title), 'slope', 'length');
      assertNear(value, slope(raw), 1e-5, title);
      assertNear(value, 2.36, 0.05, '100 mm of aluminium');
    },
    'Expansion left at 20 °C': async (title) => {
      const value = single(await ask(title), 'slope', 'length');
      assertNear(value, slope(corrected), 1e-5, title);
      assertNear(value, 0, 0.05, title);
    },
    'Part temperature': async (title) =>
      assert.equal(single(await ask(title), 'temperature'), one.at(-1)?.temperature_c),
    'Length and temperature': async (title) => {
      const [lengths, temperatures] = (await ask(title)) as [[Series], [Series]];
      const columns: Column[] = [
        ['as measured', raw],
        ['at 20 °C', corrected],
      ];
      assertBuckets(lengths[0], one, columns, title);
      assertBuckets(temperatures[0], one, [['part temperature', temperature]], title);
    },
    'Deviation over temperature': async (title) => {
      const [[series]] = (await ask(title)) as [[Series]];
      assert.equal(series.values.length, one.length);
      const rows = rowsOf(series).toReversed();
      for (const [index, each] of one.entries()) {
        assert.equal(rows[index]?.['temperature'], each.temperature_c);
        assertNear(rows[index]?.['as measured'], (raw(each) - 100) * 1000, 1e-6, title);
        assertNear(rows[index]?.['at 20 °C'], (corrected(each) - 100) * 1000, 1e-6, title);
      }
    },
    Temperatures: async (title) => {
      const [parts, sensors] = (await ask(title)) as [[Series], [Series]];
      const columns: Column[] = [
        ['part', temperature],
        ['scale', (each) => each.scale_temperature_c],
      ];
      assertBuckets(parts[0], one, columns, title);
      assert.deepEqual(tagsOf(sensors, 'machine_id'), ['CMM-001']);
      assertBuckets(sensors[0], one, [['temperature', temperature]], title);
    },
    'Deviation and limits': (title) =>
      compare(title, [
        ['deviation', (each) => (corrected(each) - 100) * 1000],
        ['deviation + U', (each) => (corrected(each) - 100 + expanded(each)) * 1000],
        ['deviation − U', (each) => (corrected(each) - 100 - expanded(each)) * 1000],
        ['upper limit', () => 10],
        ['lower limit', () => -10],
      ]),
    'Correction and uncertainty': (title) =>
      compare(title, [
        ['correction', (each) => (each.correction ?? Number.NaN) * 1000],
        ['U', (each) => expanded(each) * 1000],
      ]),
    Verdicts: async (title) => {
      const found = (await ask(title, both)).map((series) => sumOf(series[0]));
      const all = run.measured.get(OTHER) ?? [];
      const counts = ['conform', 'indeterminate', 'nonconform'].map(
        (verdict) => all.filter((each) => each.verdict === verdict).length,
      );
      assert.ok(
        counts.every((count) => count > 0),
        counts.join(', '),
      );
      assert.deepEqual(found, counts);
    },
    'Probability of conformance': async (title) => {
      const [[series]] = (await ask(title)) as [[Series]];
      const lowest = Math.min(...rowsOf(series).map((row) => Number(row['probability'])));
      assert.equal(lowest, Math.min(...one.map((each) => each.conformance_probability ?? Number.NaN)));
    },
    'Newest measurements': async (title) => {
      const [[series]] = (await ask(title, both)) as [[Series]];
      const rows = rowsOf(series);
      assert.equal(rows.length, 100);
      const newest = (run.measured.get(OTHER) ?? [])
        .filter(({ characteristic }) => characteristic === 'bore.x')
        .at(-1)!;
      const row = rows.find((each) => each['Feature'] === 'bore.x');
      assert.deepEqual(row, {
        time: Math.floor(microsOf(newest.timestamp) / 1000),
        Feature: 'bore.x',
        'Serial number': 'SN-000060',
        'As measured': raw(newest),
        'At 20 °C': corrected(newest),
        U: expanded(newest),
        Temperature: newest.temperature_c,
        Verdict: newest.verdict,
        Probability: newest.conformance_probability,
        Distrust: newest.distrust === undefined ? null : JSON.stringify(newest.distrust),
      });
    },
  };
  assertAllPanels(dashboard, Object.keys(checks));
  for (const [title, check] of Object.entries(checks)) await check(title);

  const values = async (name: string, of: View): Promise<unknown[]> =>
    (await run.ask(variableQuery(dashboard, name, of))).flatMap((series) => rowsOf(series).map(({ value }) => value));
  assert.deepEqual(await values('machine', view), ['CMM-001', OTHER]);
  assert.deepEqual(await values('feature', view), ['length']);
  assert.deepEqual(await values('feature', both), ['bore.x', 'length']);
  assert.deepEqual(await values('sensor', view), ['CMM-001', 'CNC-001']);
}

function raw({ measured_value }: Measurement): number {
  return measured_value;
}

function corrected({ compensated_value }: Measurement): number {
  return compensated_value ?? Number.NaN;
}

function expanded({ expanded_uncertainty }: Measurement): number {
  return expanded_uncertainty ?? Number.NaN;
}

function temperature({ temperature_c }: Measurement): number {
  return temperature_c ?? Number.NaN;
}

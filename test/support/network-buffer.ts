/** The dashboard "Network buffer": every panel shows the outage of the MES, and that of InfluxDB too. */
import assert from 'node:assert/strict';
import { microsOf } from '../../src/model/time.ts';
import { assertAllPanels, queriesOf, readDashboard, variableQuery, type View } from './grafana.ts';
import {
  GATEWAY,
  HOUR_MS,
  type InfluxRun,
  INTERVAL_MS,
  rowsOf,
  type Series,
  sinkOf,
  START_MS,
  sumOf,
  tagsOf,
} from './influx-answers.ts';

export async function assertNetworkBuffer(run: InfluxRun): Promise<void> {
  const dashboard = readDashboard('network-buffer.json');
  const { measured, startedMs, stoppedMs, down, beforeMes, drained, cut } = run;
  const machines = [...measured.keys()];
  const view: View = {
    fromMs: startedMs,
    toMs: stoppedMs,
    intervalMs: 1_000,
    variables: { gateway: [GATEWAY], sink: ['influx', 'mes'], machine: machines },
  };
  const ask = (title: string, of: View = view): Promise<Series[][]> =>
    Promise.all(queriesOf(dashboard, title, of).map(run.ask));
  const ofSink = (answer: readonly Series[] | undefined, sink: string): Series =>
    answer?.find(({ tags }) => tags?.['sink'] === sink && tags['gateway_id'] === GATEWAY) ?? assert.fail(sink);
  const course = (series: Series | undefined, column: string): number[] =>
    rowsOf(series).flatMap((row) => (typeof row[column] === 'number' ? [row[column]] : []));
  const waited = sinkOf(down, 'mes').lag_readings;
  assert.ok(waited > 1_500, `${waited} readings`);
  /** Highest of the course, in what was told between the two moments; the machine tool went on meanwhile. */
  const assertPeak = (values: readonly number[], least: number, most: number, what: string): void => {
    const peak = Math.max(...values);
    assert.ok(peak >= least && peak <= most, `${what}: ${peak}, wanted ${least} to ${most}`);
  };
  const checks: { readonly [title: string]: (title: string) => Promise<void> } = {
    'Readings waiting now': async (title) => {
      const [answer] = await ask(title);
      assert.deepEqual(tagsOf(answer, 'sink'), ['influx', 'mes']);
      assert.ok(Number(course(ofSink(answer, 'mes'), 'waiting')[0]) < 100);
    },
    'Oldest waiting now': async (title) => {
      const [age] = course(ofSink((await ask(title))[0], 'mes'), 'age');
      assert.ok(age !== undefined && age < 2, `${age} s`);
    },
    Sinks: async (title) => {
      assert.deepEqual(course(ofSink((await ask(title))[0], 'mes'), 'up'), [1]);
      const meanwhile = { ...view, toMs: Math.floor(microsOf(beforeMes.sent_at) / 1000) };
      assert.deepEqual(course(ofSink((await ask(title, meanwhile))[0], 'mes'), 'up'), [0]);
    },
    'Lost readings': async (title) => assert.deepEqual(course((await ask(title))[0]?.[0], 'lost'), [0]),
    'Readings waiting for each sink': async (title) => {
      const [answer] = await ask(title);
      const depths = course(ofSink(answer, 'mes'), 'waiting');
      assertPeak(depths, waited, sinkOf(beforeMes, 'mes').lag_readings + 200, title);
      assert.ok(Number(depths.at(-1)) < 100, `${depths.at(-1)} at the end`);
      assert.ok(Number(course(ofSink(answer, 'influx'), 'waiting').at(-1)) < 100);
      // Its own outage is there as well: what the edge remembered was written afterwards.
      const [during] = await ask(title, { ...view, fromMs: cut.fromMs, toMs: cut.toMs });
      const own = course(ofSink(during, 'influx'), 'waiting');
      assert.ok(own.length >= 3, `${own.length} moments`);
      // Told every two seconds, so the last word of the outage may be that much older.
      assertPeak(own, sinkOf(cut.status, 'influx').lag_readings / 2, 5_000, title);
      const [only] = await ask(title, { ...view, variables: { ...view.variables, sink: ['influx'] } });
      assert.deepEqual(tagsOf(only, 'sink'), ['influx']);
    },
    'Oldest waiting': async (title) => {
      const ages = course(ofSink((await ask(title))[0], 'mes'), 'age');
      const told = sinkOf(down, 'mes').oldest_unsent_age_seconds ?? Number.NaN;
      assertPeak(ages, told, (stoppedMs - startedMs) / 1000, title);
      assert.ok(Number(ages.at(-1)) < 2);
    },
    'Read and delivered': async (title) => {
      const [read, delivered] = await ask(title);
      assert.deepEqual(tagsOf(read, 'gateway_id'), [GATEWAY]);
      assertPeak(course(read?.[0], 'read'), 10, waited, title);
      const taken = course(ofSink(delivered, 'mes'), 'delivered');
      // While the MES is away: a few readings of the start that it has no need of, before the first measurement came.
      assert.ok(Number(taken[0]) < 2, taken.join(', '));
      assertPeak(taken, 20, 10 * waited, title);
    },
    'Log on the disk': async (title) => {
      const [[series]] = (await ask(title)) as [[Series]];
      assertPeak(course(series, 'log'), down.log.bytes, down.log.bytes_max, title);
      assert.deepEqual([...new Set(course(series, 'allowed'))], [down.log.bytes_max]);
      assert.ok(course(series, 'possible').every((bytes) => bytes > 0));
    },
    'Measurements, and what waited when they were sent': async (title) => {
      const past = { ...view, fromMs: START_MS, toMs: START_MS + HOUR_MS, intervalMs: INTERVAL_MS };
      const [counts, waiting] = await ask(title, past);
      assert.deepEqual(tagsOf(counts, 'machine_id'), machines.toSorted());
      const byMachine = new Map((counts ?? []).map((series) => [series.tags?.['machine_id'], sumOf(series)]));
      for (const [machine, list] of measured) assert.equal(byMachine.get(machine), list.length);
      const depths = (waiting ?? []).flatMap((series) => course(series, 'waiting'));
      assertPeak(depths, 1, sinkOf(beforeMes, 'mes').lag_readings, title);
    },
    'Retries and dead letters': async (title) => {
      const series = ofSink((await ask(title))[0], 'mes');
      const retries = course(series, 'retries');
      assertPeak(retries, sinkOf(down, 'mes').retries, sinkOf(drained, 'mes').retries, title);
      assert.ok(sinkOf(down, 'mes').retries > 0 && retries.at(-1) === sinkOf(drained, 'mes').retries);
      assert.equal(Math.max(...course(series, 'dead letters')), 0);
    },
    'Thinned and dropped': async (title) => {
      const [[series]] = (await ask(title)) as [[Series]];
      assert.ok(course(series, 'thinned').length > 2);
      assert.deepEqual([...new Set([...course(series, 'thinned'), ...course(series, 'dropped')])], [0]);
    },
    'Sampling factor': async (title) => {
      const factors = course((await ask(title))[0]?.[0], 'factor');
      assert.ok(factors.length > 2 && factors.every((factor) => factor >= 1), factors.join(' '));
    },
    'Sinks in numbers': async (title) => {
      const [answer] = await ask(title);
      assert.deepEqual(tagsOf(answer, 'sink'), ['influx', 'mes']);
      const [row] = rowsOf(ofSink(answer, 'mes'));
      const { Retries, State } = row ?? {};
      assert.deepEqual([State, Retries, row?.['Dead letters']], ['ok', sinkOf(drained, 'mes').retries, 0]);
      // The first point was written before anything was delivered.
      assert.ok(Number(row?.['Batches taken']) >= sinkOf(down, 'influx').cursor - 10, JSON.stringify(row));
    },
    'Newest word': async (title) => {
      const [answer] = await ask(title);
      const [row] = rowsOf(answer?.[0]);
      assert.deepEqual([row?.['Gateway'], row?.['Sources up'], row?.['Sources']], [GATEWAY, 3, 3]);
      assert.ok(['online', 'draining'].includes(String(row?.['State'])), String(row?.['State']));
      assert.ok(Number(row?.['time']) > microsOf(beforeMes.sent_at) / 1000);
    },
  };
  assertAllPanels(dashboard, Object.keys(checks));
  for (const [title, check] of Object.entries(checks)) await check(title);

  const values = async (name: string): Promise<unknown[]> =>
    (await run.ask(variableQuery(dashboard, name, view))).flatMap((series) => rowsOf(series).map(({ value }) => value));
  assert.deepEqual(await values('gateway'), [GATEWAY]);
  assert.deepEqual(await values('sink'), ['influx', 'mes']);
  assert.deepEqual(await values('machine'), machines.toSorted());
}

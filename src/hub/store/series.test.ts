import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { hasCode } from '../../base/errors.ts';
import { silentLogger } from '../../base/logger.ts';
import { seededRandom } from '../../base/random.ts';
import type { Series, SeriesColumns } from '../../model/api.ts';
import { kindOf, type Reading, type Sample } from '../../model/reading.ts';
import { microsOf, type Timestamp, timestampOf } from '../../model/time.ts';
import { select, startTestServer, withClient } from '../../../test/support/hub-database.ts';
import { RANDOM_MACHINES, randomReadings, storeReadings } from '../../../test/support/rollup-data.ts';
import type { DatabaseSettings } from '../settings.ts';
import { createReadPool } from './connection.ts';
import { rollUpAll } from './rollup.ts';
import { readSeries, type SeriesRequest } from './series.ts';

const server = await startTestServer();
const START_MICROS = microsOf('2026-01-01T06:13:00Z');
const SIGNALS = ['temperature', 'x_pos_mm', 'flow', 'vibration', 'none'];
const MINUTE = 60e6;

const rollUp = (settings: DatabaseSettings): Promise<void> =>
  withClient(settings, (client) => rollUpAll(client, { clock: systemClock, log: silentLogger }));

for (const seed of [1, 2]) {
  test(`a chart is that of all rows, whatever of them has been rolled up (seed ${seed})`, async (t) => {
    const settings = await server.database();
    const pool = createReadPool(settings, silentLogger);
    t.after(() => pool.end());
    const random = seededRandom(seed);
    const readings = randomReadings(random, START_MICROS, 600);
    const late = readings.filter(() => random() < 0.01);
    await withClient(settings, async (client) => {
      const newest = START_MICROS + 560 * MINUTE;
      await storeReadings(
        client,
        readings.filter((one) => !late.includes(one) && microsOf(one.timestamp) < newest),
      );
      await rollUp(settings);
      await storeReadings(
        client,
        readings.filter((one) => late.includes(one) || microsOf(one.timestamp) >= newest),
      );
    });
    const sources = new Set<number>();
    for (let round = 0; round < 60; round += 1) {
      const start = START_MICROS - 20 * MINUTE + Math.floor(random() * 400 * MINUTE);
      const end = start + Math.floor(random() * (round % 2 === 0 ? 700 : 100) * MINUTE);
      const request: SeriesRequest = {
        machineId: RANDOM_MACHINES[round % 3] ?? '',
        signals: SIGNALS,
        start: timestampOf(start),
        end: timestampOf(end),
        points: 1 + Math.floor(random() ** 3 * 400),
      };
      const series = await readSeries(pool, request);
      sources.add(series.bucket_seconds % 3600 === 0 ? 3600 : series.bucket_seconds % 60 === 0 ? 60 : 1);
      assert.deepEqual(rounded(series), rounded(expectedSeries(readings, request, series)), JSON.stringify(request));
    }
    assert.equal(sources.size, 3);
  });
}

test('rows from before there were roll-ups are charted at once', async (t) => {
  const settings = await server.database();
  const pool = createReadPool(settings, silentLogger);
  t.after(() => pool.end());
  const readings = randomReadings(seededRandom(3), START_MICROS, 300);
  await withClient(settings, (client) => storeReadings(client, readings, { marks: false }));
  const request = {
    machineId: 'polled',
    signals: ['temperature'],
    start: timestampOf(START_MICROS),
    end: timestampOf(START_MICROS + 300 * MINUTE),
    points: 10,
  };
  await select(settings, `insert into rollup_backfill values ('polled', 'infinity')`);
  const backfilled = await readSeries(pool, request);
  assert.deepEqual(rounded(backfilled), rounded(expectedSeries(readings, request, backfilled)));
  await rollUp(settings);
  assert.deepEqual(rounded(await readSeries(pool, request)), rounded(backfilled));
});

test('a spike of one sample survives thirty days, and there are never more buckets than points', async (t) => {
  const settings = await server.database();
  const pool = createReadPool(settings, silentLogger);
  t.after(() => pool.end());
  const start = '2026-01-01T00:00:30Z';
  await select(
    settings,
    `insert into sensor_data (time, machine_id, temperature)
     select timestamptz '2026-01-01T00:00:00Z' + n * interval '10 minutes', 'M', case when n = 1000 then 99 else 20 end
     from generate_series(0, 4320) as n`,
  );
  await select(
    settings,
    `insert into rollup_marks (machine_id, minute) select machine_id, date_trunc('minute', time) from sensor_data`,
  );
  await rollUp(settings);
  for (const points of [1, 7, 240, 720, 2_000, 5_000]) {
    const request = { machineId: 'M', signals: ['temperature'], start, end: '2026-01-31T00:00:30Z', points };
    const series = await readSeries(pool, request);
    const { time, max } = series.signals['temperature'] ?? { time: [], max: [] };
    assert.ok(time.length <= points && time.length > points / 7, `${time.length} of ${points}`);
    assert.equal(Math.max(...max.map(Number)), 99);
    assert.ok(30 * 86_400 <= points * series.bucket_seconds + 3_600);
  }
});

test('the value before the window is told for three days, unless it became unavailable', async (t) => {
  const settings = await server.database();
  const pool = createReadPool(settings, silentLogger);
  t.after(() => pool.end());
  const origin = { machine_id: 'M' };
  await withClient(settings, async (client) => {
    await storeReadings(client, [
      { ...origin, timestamp: '2026-01-01T00:00:10Z', temperature: 1, flow: 2 },
      { ...origin, timestamp: '2026-01-02T00:00:10Z', flow: null },
    ]);
    await rollUp(settings);
    await storeReadings(client, [{ ...origin, timestamp: '2026-01-03T00:00:10Z', temperature: 3 }]);
  });
  const before = async (start: Timestamp): Promise<unknown> => {
    const end = timestampOf(microsOf(start) + MINUTE);
    const { signals } = await readSeries(pool, {
      machineId: 'M',
      signals: ['temperature', 'flow'],
      start,
      end,
      points: 9,
    });
    return ['temperature', 'flow'].map((name) => signals[name]?.before?.value ?? null);
  };
  assert.deepEqual(await before('2026-01-01T00:00:10Z'), [null, null]);
  assert.deepEqual(await before('2026-01-01T00:00:11Z'), [1, 2]);
  assert.deepEqual(await before('2026-01-01T23:00:00Z'), [1, 2]);
  assert.deepEqual(await before('2026-01-02T00:00:11Z'), [1, null]);
  assert.deepEqual(await before('2026-01-05T00:00:00Z'), [3, null]);
  assert.deepEqual(await before('2026-01-06T00:01:00Z'), [null, null]);
});

test('what is no signal cannot be charted', async (t) => {
  const pool = createReadPool(await server.database(), silentLogger);
  t.after(() => pool.end());
  const request = { machineId: 'M', start: timestampOf(START_MICROS), end: timestampOf(START_MICROS), points: 1 };
  for (const signal of ['machine_state', 'sampling_factor']) {
    await assert.rejects(readSeries(pool, { ...request, signals: [signal] }), (error) => hasCode(error, 'bad_request'));
  }
});

/** Worked out from the readings, in the buckets of the answer. */
function expectedSeries(readings: readonly Reading[], request: SeriesRequest, { bucket_seconds }: Series): Series {
  const unit = bucket_seconds % 3600 === 0 ? 3600 : bucket_seconds % 60 === 0 ? 60 : 0;
  const start = microsOf(request.start);
  const origin = unit === 0 ? start : start - (start % (unit * 1e6));
  const samples = readings.filter(
    (one): one is Sample => one.machine_id === request.machineId && kindOf(one) === 'sample',
  );
  const columns = request.signals.map((name) => {
    const words = samples.flatMap((sample): [time: number, value: number | null, weight: number][] => {
      const value = sample[name];
      if (typeof value !== 'number' && value !== null) return [];
      return [[microsOf(sample.timestamp), value, sample.sampling_factor ?? 1]];
    });
    return [
      name,
      expectedColumns(words, { start, end: microsOf(request.end), origin, width: bucket_seconds * 1e6 }),
    ] as const;
  });
  const { start: start_time, end: end_time } = request;
  return { start_time, end_time, bucket_seconds, signals: Object.fromEntries(columns) };
}

function expectedColumns(
  words: readonly [time: number, value: number | null, weight: number][],
  { start, end, origin, width }: { start: number; end: number; origin: number; width: number },
): SeriesColumns {
  const columns: { [name in 'time' | 'min' | 'max' | 'mean' | 'last']: (number | null)[] } = {
    ...{ time: [], min: [], max: [], mean: [], last: [] },
  };
  const inside = words.filter(([time]) => time >= start && time < end);
  const buckets = Map.groupBy(inside, ([time]) => origin + Math.floor((time - origin) / width) * width);
  for (const [bucket, all] of buckets) {
    const valued = all.flatMap(([time, value, weight]) => (value === null ? [] : [{ time, value, weight }]));
    const lastAt = valued.at(-1)?.time ?? -Infinity;
    if (valued.length > 0) {
      const values = valued.map(({ value }) => value);
      const weight = valued.reduce((sum, one) => sum + one.weight, 0);
      columns.time.push(bucket / 1e6);
      columns.min.push(Math.min(...values));
      columns.max.push(Math.max(...values));
      columns.mean.push(valued.reduce((sum, one) => sum + one.value * one.weight, 0) / weight);
      columns.last.push(Math.max(...valued.filter(({ time }) => time === lastAt).map(({ value }) => value)));
    }
    const gone = all.findLast(([, value]) => value === null)?.[0] ?? -Infinity;
    if (gone <= lastAt) continue;
    columns.time.push((valued.length > 0 ? gone : bucket) / 1e6);
    for (const name of ['min', 'max', 'mean', 'last'] as const) columns[name].push(null);
  }
  const [time] = words.findLast(([at]) => at < start) ?? [0];
  const newest = words.flatMap(([at, value]) => (at === time && value !== null ? [value] : []));
  const before = newest.length === 0 ? null : { time: time / 1e6, value: Math.max(...newest) };
  return { ...columns, time: columns.time.map(Number), before };
}

/** Sums are added in another order here. */
function rounded(series: Series): Series {
  const text = JSON.stringify(series, (key, value: unknown) => {
    return key === 'mean' ? (value as (number | null)[]).map((mean) => mean?.toFixed(6) ?? null) : value;
  });
  return JSON.parse(text) as Series;
}

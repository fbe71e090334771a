import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Series, SeriesColumns } from '../../model/api.ts';
import { breaksOf, bucketAt, drawingOf, extremesOf, SeriesBuffer } from './series-buffer.ts';

const START_S = Date.parse('2026-01-01T08:00:00Z') / 1000;
const at = (seconds: number): number => (START_S + seconds) * 1000;

function seriesOf(signals: { [name: string]: [second: number, value: number | null][] }): Series {
  return {
    start_time: '2026-01-01T08:00:00Z',
    end_time: '2026-01-01T08:10:00Z',
    bucket_seconds: 1,
    signals: Object.fromEntries(
      Object.entries(signals).map(([name, points]) => [
        name,
        {
          time: points.map(([second]) => START_S + second),
          min: points.map(([, value]) => (value === null ? null : value - 1)),
          max: points.map(([, value]) => (value === null ? null : value + 1)),
          mean: points.map(([, value]) => value),
          last: points.map(([, value]) => value),
          before: null,
        },
      ]),
    ),
  };
}

function sampleAt(
  seconds: number,
  values: { [name: string]: number | null },
): { [key: string]: number | string | null } {
  return { machine_id: 'M', timestamp: new Date(at(seconds)).toISOString(), ...values };
}

test('live samples go on in the hub’s buckets: min, max and last of each', () => {
  const buffer = new SeriesBuffer(seriesOf({ a: [[0, 5]] }));
  buffer.add(sampleAt(0.4, { a: 9 }));
  buffer.add(sampleAt(0.9, { a: 3 }));
  buffer.add(sampleAt(1.2, { a: 7 }));
  assert.deepEqual(buffer.columns('a'), { time: [at(0), at(1)], min: [3, 7], max: [9, 7], last: [3, 7] });
});

test('a late sample is put where it belongs', () => {
  const buffer = new SeriesBuffer(
    seriesOf({
      a: [
        [0, 1],
        [5, 1],
      ],
    }),
  );
  buffer.add(sampleAt(3, { a: 2 }));
  assert.deepEqual(buffer.columns('a').time, [at(0), at(3), at(5)]);
});

test('a key that is absent says nothing, a null says unavailable', () => {
  const buffer = new SeriesBuffer(seriesOf({ a: [[0, 1]], b: [[0, 1]] }));
  buffer.add(sampleAt(1, { a: null }));
  assert.deepEqual(buffer.columns('a').last, [1, null]);
  assert.deepEqual(buffer.columns('b').last, [1]);
});

test('what lies before the window is dropped', () => {
  const buffer = new SeriesBuffer(
    seriesOf({
      a: [
        [0, 1],
        [5, 2],
        [9, 3],
      ],
    }),
  );
  buffer.dropBefore(at(9));
  assert.deepEqual(buffer.columns('a'), { time: [at(9)], min: [2], max: [4], last: [3] });
});

test('a silence of more than three periods breaks the line, three periods do not', () => {
  assert.deepEqual(breaksOf([0, 1000, 2000, 5000, 6000], 1000), []);
  assert.deepEqual(breaksOf([0, 1000, 2000, 5500, 6000], 1000), [3000]);
  // Polled each 30 s, in buckets of 1 s: the period counts, not the bucket.
  assert.deepEqual(breaksOf([0, 30_000, 60_000, 150_000, 300_000], 1000), [151_000]);
});

test('a gap is null, another signal’s instant is undefined, and 0 is 0', () => {
  const buffer = new SeriesBuffer(
    seriesOf({
      a: [
        [0, 0],
        [1, 0],
        [2, 0],
        [8, 0],
        [9, 0],
      ],
      b: [[1.5, 4]],
    }),
  );
  const { x, y } = drawingOf(buffer, ['a', 'b'], null);
  assert.deepEqual(x, [at(0), at(1), at(1.5), at(2), at(3), at(8), at(9)]);
  assert.deepEqual(y[2], [0, 0, undefined, 0, null, 0, 0]);
  assert.deepEqual(y[5], [undefined, undefined, 4, undefined, undefined, undefined, undefined]);
});

test('an unavailable bucket is a gap by itself', () => {
  const buffer = new SeriesBuffer(
    seriesOf({
      a: [
        [0, 1],
        [1, null],
        [2, 1],
      ],
    }),
  );
  assert.deepEqual(drawingOf(buffer, ['a'], null).y[2], [1, null, 1]);
});

test('a value reported on change holds through silence, until the last sign of life', () => {
  const buffer = new SeriesBuffer(
    seriesOf({
      a: [
        [0, 5],
        [100, 7],
      ],
      b: [[50, null]],
    }),
  );
  const { x, y } = drawingOf(buffer, ['a', 'b'], at(160));
  assert.deepEqual(x, [at(0), at(50), at(100), at(160)]);
  assert.deepEqual(y[2], [5, undefined, 7, 7]);
  assert.deepEqual(y[5], [undefined, null, undefined, null]);
});

test('a held line begins at the window’s left edge with the value from before, also when the window has moved on', () => {
  const series = seriesOf({ a: [[100, 7]], b: [] });
  const { a, b } = series.signals as { a: SeriesColumns; b: SeriesColumns };
  const before = { time: START_S - 500, value: 5 };
  const buffer = new SeriesBuffer({ ...series, signals: { a: { ...a, before }, b: { ...b, before } } });
  const drawing = drawingOf(buffer, ['a', 'b'], at(160));
  assert.deepEqual(drawing.x, [at(0), at(100), at(160)]);
  assert.deepEqual(
    [drawing.y[2], drawing.y[5]],
    [
      [5, 7, 7],
      [5, undefined, 5],
    ],
  );
  assert.deepEqual(drawingOf(buffer, ['a'], null).y[2], [7], 'what a polled machine said before is no line');
  buffer.dropBefore(at(130));
  assert.deepEqual(drawingOf(buffer, ['a'], at(160)).x, [at(130), at(160)]);
  assert.deepEqual(drawingOf(buffer, ['a'], at(160)).y[2], [7, 7]);
});

test('extremes keep a spike of one sample, and tell unavailable from a number', () => {
  const { min, max, last } = extremesOf(
    { time: [0, 1, 2], min: [1, 1, null], max: [2, 99, null], last: [1, 1, null] },
    0,
    2,
  );
  assert.deepEqual({ min, max, last }, { min: 1, max: 99, last: null });
  assert.deepEqual(extremesOf({ time: [], min: [], max: [], last: [] }, 0, 1), { min: null, max: null, last: null });
});

test('the bucket under the cursor is the one that began last, within reach', () => {
  const columns = { time: [0, 1000, 9000], min: [], max: [], last: [] };
  assert.equal(bucketAt(columns, 1000, 3000), 1);
  assert.equal(bucketAt(columns, 3900, 3000), 1);
  assert.equal(bucketAt(columns, 5000, 3000), undefined);
  assert.equal(bucketAt(columns, -1, 3000), undefined);
});

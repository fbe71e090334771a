import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../base/random.ts';
import { type Cover, coverOf, HOUR_MICROS, MINUTE_MICROS, type Span, SOURCES } from './cover.ts';

const minutes = (start: number, end: number): Span => ({ start: start * MINUTE_MICROS, end: end * MINUTE_MICROS });

test('hours where they are whole, minutes at their edges, rows at the edges of those', () => {
  assert.deepEqual(coverOf(minutes(58.5, 241.25), [], 'hours'), {
    hours: [minutes(60, 240)],
    minutes: [minutes(59, 60), minutes(240, 241)],
    rows: [minutes(58.5, 59), minutes(241, 241.25)],
  });
});

test('a minute that has not been rolled up is read from the rows, and its hour from the other minutes', () => {
  const unsettled = [minutes(90, 91), minutes(91, 92), minutes(179, 180), minutes(500, 501)];
  assert.deepEqual(coverOf(minutes(0, 240), unsettled, 'hours'), {
    hours: [minutes(0, 60), minutes(180, 240)],
    minutes: [minutes(60, 90), minutes(92, 179)],
    rows: [minutes(90, 92), minutes(179, 180)],
  });
});

test('a window within a minute is read from the rows once', () => {
  assert.deepEqual(coverOf(minutes(10.2, 10.8), [minutes(10, 11)], 'hours').rows, [minutes(10.2, 10.8)]);
  assert.deepEqual(coverOf(minutes(10, 10), [], 'minutes'), { hours: [], minutes: [], rows: [] });
});

test('whatever is asked for, the parts make up the window, and roll-ups are used whole and settled', () => {
  const random = seededRandom(5);
  for (let round = 0; round < 2_000; round += 1) {
    const start = Math.floor(random() * 400 * MINUTE_MICROS);
    const window = { start, end: start + Math.floor(random() * 400 * MINUTE_MICROS) };
    const marks = Array.from({ length: Math.floor(random() * 6) }, () => Math.floor(random() * 800));
    const coarsest = SOURCES[round % 3] ?? 'rows';
    const cover = coverOf(
      window,
      [...new Set(marks)].sort((a, b) => a - b).map((mark) => minutes(mark, mark + 1)),
      coarsest,
    );
    checkCover(window, cover, marks);
  }
});

function checkCover(window: Span, cover: Cover, marks: readonly number[]): void {
  const all = SOURCES.flatMap((source) => cover[source]).sort((a, b) => a.start - b.start);
  let at = window.start;
  for (const { start, end } of all) {
    assert.equal(start, at);
    assert.ok(end > start);
    at = end;
  }
  assert.equal(at, window.end);
  for (const [source, unit] of [
    ['hours', HOUR_MICROS],
    ['minutes', MINUTE_MICROS],
  ] as const) {
    for (const { start, end } of cover[source]) {
      assert.deepEqual([start % unit, end % unit], [0, 0]);
      for (const mark of marks) {
        assert.ok(end <= mark * MINUTE_MICROS || start >= (mark + 1) * MINUTE_MICROS);
      }
    }
  }
}

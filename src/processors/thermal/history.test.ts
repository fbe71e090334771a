import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../base/random.ts';
import { HISTORY_LENGTH_MAX, TemperatureHistory } from './history.ts';

const S = 1_000_000;

function historyOf(...values: [second: number, temperatureC: number][]): TemperatureHistory {
  const history = new TemperatureHistory();
  for (const [second, temperatureC] of values) history.add(second * S, temperatureC);
  return history;
}

test('the nearest in time is found, before or after, in whatever order the values came', () => {
  const history = historyOf([10, 20], [40, 22], [20, 21], [30, Number.NaN], [31, -999]);
  const nearest = (second: number): number | undefined => history.nearest(second * S)?.temperatureC;
  assert.deepEqual([0, 14, 16, 29, 31, 99].map(nearest), [20, 20, 21, 21, 22, 22]);
  assert.equal(new TemperatureHistory().nearest(0), undefined);
});

test('values of a clock that stood in another year do not take the place of those that come now', () => {
  const history = historyOf();
  const wrong = 2_000_000_000;
  for (let second = 0; second <= HISTORY_LENGTH_MAX; second += 1) history.add((wrong + second) * S, 40);
  for (let second = 0; second < 20; second += 1) history.add(second * S, 20 + second);
  assert.equal(history.nearest(10 * S)?.temperatureC, 30);
  assert.equal(history.change(19 * S, 10 * S), 10);
});

test('the nearest is that of a plain search', () => {
  const random = seededRandom(5);
  const history = new TemperatureHistory();
  const seconds = Array.from({ length: 300 }, (_, index) => index * 7).sort(() => random() - 0.5);
  for (const second of seconds) history.add(second * S, second / 100);
  for (let round = 0; round < 2_000; round += 1) {
    const at = random() * 2_200 * S;
    const distance = Math.min(...seconds.map((second) => Math.abs(second * S - at)));
    assert.equal(Math.abs((history.nearest(at)?.micros ?? Number.NaN) - at), distance);
  }
});

test('memory is bounded: one value a second, and so many of them', () => {
  const history = new TemperatureHistory();
  for (let tick = 0; tick < 10 * (HISTORY_LENGTH_MAX + 100); tick += 1) history.add(tick * 100_000, tick % 10);
  assert.deepEqual(history.nearest(0), { micros: 100.9 * S, temperatureC: 9 });
});

test('the change over a time is known once the value at its beginning is', () => {
  const history = historyOf([0, 20], [100, 20.5], [200, 20.1], [300, 20.2]);
  const change = (second: number, over: number): number | undefined => {
    const found = history.change(second * S, over * S);
    return found === undefined ? undefined : Number(found.toFixed(3));
  };
  assert.equal(change(300, 100), 0.1);
  assert.equal(change(300, 200), 0.4);
  assert.equal(change(300, 250), 0.5, 'what held at the beginning counts');
  assert.equal(change(300, 301), undefined);
  assert.equal(change(90, 80), 0, 'later values do not');
  assert.equal(change(390, 80), 0, 'a value that holds on does not change');
  assert.equal(change(900, 100), undefined, 'a value older than twice the time says nothing');
});

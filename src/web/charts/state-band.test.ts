import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MachineState } from '../../model/signals.ts';
import { durationsOf, type Stretch, segmentsOf, stretchesOf, withState } from './state-band.ts';

const WINDOW = { fromMs: 0, toMs: 100_000 };

function stretch(state: MachineState, fromMs: number, toMs: number): Stretch {
  return { state, fromMs, toMs, reason: null };
}

test('an open interval ends at the last sign of life, not now', () => {
  const start = '2026-01-01T08:00:00Z';
  const confirmedMs = Date.parse('2026-01-01T08:00:30Z');
  const [open] = stretchesOf(
    [{ state: 'running', start_time: start, end_time: null, reason: 'execution ACTIVE' }],
    confirmedMs,
  );
  assert.equal(open?.toMs, confirmedMs);
});

test('segments are whole pixels, and silence between them stays empty', () => {
  const segments = segmentsOf([stretch('running', 0, 40_000), stretch('idle', 60_000, 100_000)], WINDOW, 100);
  assert.deepEqual(segments, [
    { state: 'running', x: 0, width: 40 },
    { state: 'idle', x: 60, width: 40 },
  ]);
});

test('states below a pixel merge into the one that fills most of it', () => {
  const short = Array.from({ length: 100 }, (_, at) => [
    stretch('running', at * 1000, at * 1000 + 700),
    stretch('idle', at * 1000 + 700, at * 1000 + 1000),
  ]).flat();
  assert.deepEqual(segmentsOf(short, WINDOW, 100), [{ state: 'running', x: 0, width: 100 }]);
});

test('an alarm of a millisecond is two pixels wide', () => {
  const segments = segmentsOf([stretch('running', 0, 100_000), stretch('alarm', 50_000, 50_001)], WINDOW, 100);
  assert.deepEqual(segments, [
    { state: 'running', x: 0, width: 50 },
    { state: 'alarm', x: 50, width: 2 },
    { state: 'running', x: 52, width: 48 },
  ]);
});

test('durations count only what lies in the window, the longest first', () => {
  const sums = durationsOf([stretch('idle', -5000, 10_000), stretch('running', 10_000, 500_000)], WINDOW);
  assert.deepEqual(sums, [
    { state: 'running', ms: 90_000 },
    { state: 'idle', ms: 10_000 },
  ]);
});

test('a new word on the state ends the one before it; the same word again, and an old one, change nothing', () => {
  const word = (second: number, state: MachineState) => {
    return { time: `2026-01-01T08:00:0${second}Z`, state, reason: null };
  };
  const [idle] = withState([], word(2, 'idle'));
  assert.ok(idle !== undefined);
  const both = withState([idle], word(4, 'alarm'));
  assert.deepEqual(
    both.map(({ state, start_time, end_time }) => [state, start_time.slice(18, 19), end_time?.slice(18, 19)]),
    [
      ['idle', '2', '4'],
      ['alarm', '4', undefined],
    ],
  );
  assert.equal(withState(both, word(5, 'alarm')), both);
  assert.equal(withState(both, word(3, 'hold')), both);
});

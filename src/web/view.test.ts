import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatView, type MachineView, parseView, scaled, shifted } from './view.ts';

const NOW = Date.parse('2026-01-01T08:00:00Z');

test('a view comes back from its URL to the millisecond', () => {
  const views: MachineView[] = [
    { range: '10m', signals: null, window: null },
    { range: '8h', signals: ['a b', 'ä&,'.replace(',', '')], window: null },
    { range: '1h', signals: [], window: { fromMs: NOW - 12_345, toMs: NOW - 1 } },
  ];
  for (const view of views) assert.deepEqual(parseView(new URLSearchParams(formatView(view))), view);
  assert.equal(formatView({ range: '10m', signals: null, window: null }), '');
});

test('what was typed wrongly into the URL is the default', () => {
  const view = { range: '10m', signals: null, window: null };
  assert.deepEqual(parseView(new URLSearchParams('range=7h&from=x&to=y')), view);
  assert.deepEqual(parseView(new URLSearchParams('from=2026-01-01T08:00:00Z&to=2026-01-01T07:00:00Z')), view);
  assert.deepEqual(parseView(new URLSearchParams('range=toString')), view);
});

test('half a window forth beyond now is live again', () => {
  const window = { fromMs: NOW - 30_000, toMs: NOW - 20_000 };
  assert.deepEqual(shifted(window, 0.5, NOW), { fromMs: NOW - 25_000, toMs: NOW - 15_000 });
  assert.equal(shifted({ fromMs: NOW - 10_000, toMs: NOW - 4000 }, 0.7, NOW), null);
});

test('a wider window never reaches beyond now, a narrower one keeps its middle', () => {
  assert.deepEqual(scaled({ fromMs: NOW - 10_000, toMs: NOW }, 2, NOW), { fromMs: NOW - 20_000, toMs: NOW });
  const narrow = scaled({ fromMs: NOW - 20_000, toMs: NOW }, 0.5, NOW);
  assert.deepEqual(narrow, { fromMs: NOW - 15_000, toMs: NOW - 5000 });
});

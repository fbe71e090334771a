import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { HubStatus, MachineEventRow, StateInterval } from '../../model/api.ts';
import { until } from '../../../test/support/until.ts';
import { Store } from '../store.ts';
import { ChartFeed } from './feed.ts';

const START_MS = Date.parse('2026-01-01T08:00:00Z');
const TEN_MINUTES_MS = 600_000;

function setup(t: TestContext): {
  store: Store;
  feed: ChartFeed;
  asked: URL[];
  pass: (ms: number) => void;
  answer: () => void;
} {
  let nowMs = START_MS;
  const asked: URL[] = [];
  const held: (() => void)[] = [];
  const running: StateInterval = { state: 'running', start_time: iso(START_MS), end_time: null, reason: null };
  t.mock.method(globalThis, 'fetch', async (path: string) => {
    const url = new URL(path, 'http://hub');
    asked.push(url);
    await new Promise<void>((resolve) => held.push(resolve));
    const series = {
      start_time: url.searchParams.get('start_time'),
      end_time: '',
      bucket_seconds: 1,
      signals: { a: EMPTY },
    };
    return Response.json(url.pathname.endsWith('/series') ? series : [running]);
  });
  const store = new Store(() => nowMs);
  const feed = new ChartFeed(store);
  feed.start();
  const window = { fromMs: START_MS - TEN_MINUTES_MS, toMs: START_MS };
  feed.want({ machineId: 'M', signals: ['a'], window, live: true, points: 10 });
  const pass = (ms: number): void => void (nowMs += ms);
  return { store, feed, asked, pass, answer: () => held.splice(0).forEach((resolve) => resolve()) };
}

const EMPTY = { time: [], min: [], max: [], mean: [], last: [], before: null };

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

function stateEvent(ms: number, state: MachineEventRow['state']): MachineEventRow {
  const row = { time: iso(ms), machine_id: 'M', event_type: 'state', state, text: null };
  return row as MachineEventRow;
}

test('a window that follows the time is asked for up to now again after the stream was interrupted', async (t) => {
  const { store, asked, pass, answer, feed } = setup(t);
  answer();
  await until(() => feed.data.value !== null);
  pass(3_600_000);
  asked.length = 0;
  const status: HubStatus = {
    version: '0',
    time: iso(START_MS + 3_600_000),
    time_zone: 'UTC',
    database: 'ok',
    database_error: null,
    readings_stored: 0,
    readings_per_second: 0,
    batches_duplicate: 0,
    nats: null,
    dead_letters: 0,
  };
  store.apply('hello', { status, machines: [], edges: [] });
  const series = asked.find(({ pathname }) => pathname.endsWith('/series'));
  assert.equal(series?.searchParams.get('end_time'), iso(START_MS + 3_600_000));
  assert.equal(series?.searchParams.get('start_time'), iso(START_MS + 3_600_000 - TEN_MINUTES_MS));
  const states = asked.find(({ pathname }) => pathname.endsWith('/states'));
  assert.equal(states?.searchParams.get('end_time'), null, 'the state now has no end');
});

test('states and samples that come while the answer is awaited are taken over after it', async (t) => {
  const { store, answer, feed } = setup(t);
  store.apply('events', [stateEvent(START_MS + 1_000, 'idle'), stateEvent(START_MS + 2_000, 'alarm')]);
  store.apply('readings', [{ machine_id: 'M', timestamp: iso(START_MS + 1_000), a: 7 }]);
  feed.takeOver(START_MS);
  answer();
  await until(() => feed.data.value !== null);
  feed.takeOver(START_MS);
  assert.deepEqual(
    feed.data.value?.states.map(({ state, end_time }) => [state, end_time]),
    [
      ['running', iso(START_MS + 1_000)],
      ['idle', iso(START_MS + 2_000)],
      ['alarm', null],
    ],
  );
  assert.deepEqual(feed.data.value?.buffer.columns('a').last, [7]);
});

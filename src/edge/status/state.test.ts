import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SinkStatus, SourceStatus } from '../../model/status.ts';
import { edgeState, unhealthyReason } from './state.ts';

type PartState = SourceStatus['state'];
type SinkState = SinkStatus['state'];

const PROBLEM = { item: 'r4', reason: 'illegal data address' };

function stateOf(
  sources: readonly PartState[],
  sinks: readonly SinkState[],
  { ageSeconds = 0, logWritable = true, stopping = false, problems = 0 } = {},
): string {
  return edgeState({
    stopping,
    logWritable,
    sources: sources.map((state) => ({ state, problems: Array.from({ length: problems }, () => PROBLEM) })),
    sinks: sinks.map((state) => ({ state, oldest_unsent_age_seconds: ageSeconds })),
  });
}

test('the state of the edge follows from its parts', () => {
  assert.equal(stateOf(['ok'], ['ok']), 'online');
  assert.equal(stateOf(['ok'], []), 'online');
  assert.equal(stateOf(['connecting'], ['ok']), 'starting');
  assert.equal(stateOf(['ok'], ['connecting']), 'starting');
  assert.equal(stateOf(['ok', 'failing'], ['ok']), 'degraded');
  assert.equal(stateOf(['ok', 'connecting'], ['ok', 'failing']), 'degraded');
  assert.equal(stateOf(['ok'], ['ok', 'failing']), 'degraded');
  assert.equal(stateOf(['ok'], ['failing']), 'offline');
  assert.equal(stateOf(['ok'], ['failing', 'connecting']), 'offline');
  assert.equal(stateOf(['ok'], ['ok'], { ageSeconds: 60 }), 'draining');
  assert.equal(stateOf(['failing'], ['ok'], { ageSeconds: 60 }), 'degraded');
  assert.equal(stateOf(['ok'], ['ok'], { logWritable: false }), 'degraded');
  assert.equal(stateOf(['connecting'], ['ok'], { logWritable: false }), 'degraded');
  assert.equal(stateOf(['ok'], ['ok'], { stopping: true }), 'stopping');
});

test('one source that is silent, misconfigured or half readable degrades the edge', () => {
  assert.equal(stateOf(['ok', 'silent'], ['ok']), 'degraded');
  assert.equal(stateOf(['ok', 'misconfigured'], ['ok']), 'degraded');
  assert.equal(stateOf(['connecting', 'silent'], ['ok']), 'degraded');
  assert.equal(stateOf(['ok'], ['ok'], { problems: 1 }), 'degraded');
  assert.equal(stateOf(['ok'], ['failing'], { problems: 1 }), 'offline');
});

const part = (
  state: PartState,
  last_error: string | null = null,
): Pick<SourceStatus, 'name' | 'state' | 'last_error'> => {
  return { name: 'lathe', state, last_error };
};

test('healthy means that readings arrive and can be kept', () => {
  const healthy = {
    ...{ stopping: false, logError: null, silentMs: 100, silentMsMax: 10_000 },
    sources: [part('ok'), part('failing', 'refused')],
  };
  assert.equal(unhealthyReason(healthy), undefined);
  assert.equal(unhealthyReason({ ...healthy, silentMs: 30_000 }), undefined, 'a source that may be quiet');
  assert.match(unhealthyReason({ ...healthy, logError: 'no space left' }) ?? '', /no space left/);
  assert.match(unhealthyReason({ ...healthy, sources: [] }) ?? '', /No source/);
  assert.match(unhealthyReason({ ...healthy, stopping: true }) ?? '', /stopping/);
});

test('when no source works any more that is said with their names, to those that connect after a while', () => {
  const reason = (silentMs: number, ...sources: ReturnType<typeof part>[]): string | undefined =>
    unhealthyReason({ stopping: false, logError: null, silentMsMax: 10_000, silentMs, sources });
  const silent = part('silent', 'no sign of life for 3 s');
  assert.equal(
    reason(3_000, silent),
    'No source gives readings: lathe is silent (no sign of life for 3 s).',
    'its own limit was shorter',
  );
  assert.equal(reason(3_000, silent, part('connecting')), undefined);
  assert.equal(reason(10_000, part('failing', 'refused')), undefined);
  assert.match(reason(10_001, part('failing', 'refused')) ?? '', /lathe is failing \(refused\)/);
  assert.match(reason(11_000, ...new Array(5).fill(part('connecting'))) ?? '', /; and 2 more\.$/);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SourceStatus } from '../model/status.ts';
import { edgeState, unhealthyReason } from './state.ts';

type PartState = SourceStatus['state'];

function stateOf(
  sources: readonly PartState[],
  sinks: readonly PartState[],
  { ageSeconds = 0, logWritable = true, stopping = false } = {},
): string {
  return edgeState({
    stopping,
    logWritable,
    sources: sources.map((state) => ({ state })),
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

test('healthy means that readings arrive and can be kept', () => {
  const healthy = { stopping: false, logError: null, silentMs: 100, sources: 2, silentMsMax: 10_000 };
  assert.equal(unhealthyReason(healthy), undefined);
  assert.match(unhealthyReason({ ...healthy, silentMs: 30_000 }) ?? '', /30 seconds/);
  assert.match(unhealthyReason({ ...healthy, logError: 'no space left' }) ?? '', /no space left/);
  assert.match(unhealthyReason({ ...healthy, sources: 0 }) ?? '', /No source/);
  assert.match(unhealthyReason({ ...healthy, stopping: true }) ?? '', /stopping/);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faultKinds, planRounds, type Round, TRANSPORTS } from './plan.ts';

const MINUTE_MS = 60_000;
const KINDS = faultKinds('nats');

function plan(seed: number, minutes: number): Round[] {
  return planRounds({ seed, totalMs: minutes * MINUTE_MS, kinds: KINDS });
}

test('a seed decides everything, and another seed decides otherwise', () => {
  assert.deepEqual(plan(7, 5), plan(7, 5));
  assert.notDeepEqual(plan(7, 5), plan(8, 5));
});

test('half an hour has more than 200 faults, and every kind at least ten times', () => {
  for (const transport of TRANSPORTS) {
    const kinds = faultKinds(transport);
    const faults = planRounds({ seed: 1, totalMs: 30 * MINUTE_MS, kinds }).flat();
    assert.ok(faults.length > 200, `${transport}: ${faults.length} faults`);
    for (const kind of kinds) {
      const count = faults.filter((fault) => fault.kind === kind).length;
      assert.ok(count >= 10, `${transport}, ${kind}: ${count}`);
    }
  }
});

test('a short run has every kind once, in its time', () => {
  const faults = plan(1, 0.5).flat();
  assert.deepEqual(faults.map(({ kind }) => kind).toSorted(), KINDS.toSorted());
  for (const { atMs } of faults) assert.ok(atMs < MINUTE_MS / 2);
});

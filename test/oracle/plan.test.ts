import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FAULT_KINDS, planRounds } from './plan.ts';

const MINUTE_MS = 60_000;

test('a seed decides everything, and another seed decides otherwise', () => {
  assert.deepEqual(planRounds(7, 5 * MINUTE_MS), planRounds(7, 5 * MINUTE_MS));
  assert.notDeepEqual(planRounds(7, 5 * MINUTE_MS), planRounds(8, 5 * MINUTE_MS));
});

test('half an hour has more than 200 faults, and every kind at least ten times', () => {
  const faults = planRounds(1, 30 * MINUTE_MS).flat();
  assert.ok(faults.length > 200, `${faults.length} faults`);
  for (const kind of FAULT_KINDS) {
    const count = faults.filter((fault) => fault.kind === kind).length;
    assert.ok(count >= 10, `${kind}: ${count}`);
  }
});

test('a short run has every kind once, in its time', () => {
  const rounds = planRounds(1, MINUTE_MS / 2);
  assert.deepEqual(
    rounds
      .flat()
      .map(({ kind }) => kind)
      .toSorted(),
    FAULT_KINDS.toSorted(),
  );
  for (const { atMs } of rounds.flat()) assert.ok(atMs < MINUTE_MS / 2);
});

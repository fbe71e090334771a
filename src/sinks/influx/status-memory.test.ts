import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MOMENTS_MAX, StatusMemory } from './status-memory.ts';

test('an outage of any length is there from its beginning to its end, the longer the coarser', () => {
  for (const length of [10, MOMENTS_MAX - 1, 3 * MOMENTS_MAX, 50 * MOMENTS_MAX + 7]) {
    const memory = new StatusMemory<number>();
    for (let moment = 0; moment < length; moment += 1) memory.add(moment);
    const kept = memory.first(length);
    assert.ok(kept.length <= MOMENTS_MAX && kept.length >= Math.min(length, MOMENTS_MAX / 2 - 1), `${kept.length}`);
    const steps = [...kept, length].map((moment, index) => moment - (kept[index - 1] ?? -1));
    assert.ok(Math.max(...steps) <= (4 * length) / MOMENTS_MAX + 1, `${length}: ${Math.max(...steps)} apart`);
  }
});

test('when all is written, every moment is kept again', () => {
  const memory = new StatusMemory<number>();
  for (let moment = 0; moment < 2 * MOMENTS_MAX; moment += 1) memory.add(moment);
  memory.remove(memory.first(10).length);
  assert.notEqual(memory.first(1)[0], 0);
  memory.remove(MOMENTS_MAX);
  assert.deepEqual(memory.first(5), []);
  for (const moment of [1, 2, 3]) memory.add(moment);
  assert.deepEqual(memory.first(5), [1, 2, 3]);
});

/** The counting itself; what a hub answers is in test/integration/load.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareDeadLetters, Count, isExact, type MachineCount } from './checker.ts';

const machine = { id: 'M', baseMicros: 1_767_225_600_000_000, stepMicros: 100_000, count: 5, sent: 5 };

function count(...indexes: (number | undefined)[]): MachineCount {
  const counting = new Count(machine);
  for (const index of indexes) counting.add(index);
  return counting.end();
}

test('each reading once is exact', () => {
  const exact = count(0, 1, 2, 3, 4);
  assert.ok(isExact(exact));
  assert.equal(exact.first_time, '2026-01-01T00:00:00.000000Z');
  assert.equal(exact.last_time, '2026-01-01T00:00:00.400000Z');
});

test('what is missing, doubled or not ours is told, each by itself', () => {
  const cases: [(number | undefined)[], Partial<MachineCount>][] = [
    [[], { stored: 0, missing: 5, missing_ranges: [[0, 4]], first_time: null, last_time: null }],
    [
      [1, 2],
      {
        stored: 2,
        missing: 3,
        missing_ranges: [
          [0, 0],
          [3, 4],
        ],
      },
    ],
    [[0, 1, 1, 1, 2, 3, 4, 4], { stored: 5, missing: 0, doubled: 3, missing_ranges: [] }],
    [[0, 0, 2, 3, 4], { stored: 4, missing: 1, doubled: 1, missing_ranges: [[1, 1]] }],
    [[0, 1, undefined, 2, 3, 4, 5], { stored: 5, missing: 0, foreign: 2 }],
  ];
  for (const [indexes, expected] of cases) {
    const found = count(...indexes);
    assert.ok(!isExact(found));
    assert.deepEqual({ ...found, ...expected }, found, JSON.stringify(indexes));
  }
});

test('dead letters: exactly one for each malformed message, with a reason that names it', () => {
  const sent = [
    { gatewayId: 'g', sequence: 3, reason: /temperature/ },
    { gatewayId: 'g', sequence: 9, reason: /timestamp/ },
  ];
  const letter = (sequence: number, reason: string) => ({ gateway_id: 'g', sequence, reason });
  const right = [letter(9, 'timestamp is required'), letter(3, 'temperature is a number')];
  assert.deepEqual(compareDeadLetters(sent, right), {
    expected: 2,
    found: 2,
    problems: [],
    reasons: ['timestamp is required', 'temperature is a number'],
  });
  const wrong = compareDeadLetters(sent, [letter(3, 'too long'), letter(3, 'temperature'), letter(4, 'is empty')]);
  assert.equal(wrong.found, 1);
  assert.deepEqual(wrong.problems, [
    'g message 3 has a reason that says nothing of it: too long',
    'g message 3 is a dead letter twice',
    'g message 4 is a dead letter and should not be: is empty',
    'g message 9 is malformed and no dead letter',
  ]);
});

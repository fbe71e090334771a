import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FieldSettings } from './options.ts';
import type { FunctionCode } from './pdu.ts';
import { divided, planBlocks } from './plan.ts';

const LIMITS = { gapMax: 10, registersMax: 125 };

function field(address: number, { type = 'uint16', code = 3, interval = null as number | null } = {}): FieldSettings {
  const isBit = type === 'bit';
  return {
    name: `r${address}`,
    function: code as FunctionCode,
    address,
    type: isBit ? 'bit' : (type as 'uint16'),
    order: 'ABCD',
    bit: null,
    scale: 1,
    offset: 0,
    isInteger: false,
    states: null,
    intervalMs: interval,
  };
}

function requests(fields: readonly FieldSettings[], limits = LIMITS): number[][] {
  return planBlocks(fields, limits).map(({ request }) => [request.function, request.address, request.count]);
}

test('neighbours are joined, in whatever order they are written', () => {
  assert.deepEqual(requests([field(4), field(0, { type: 'float32' }), field(2, { type: 'int32' })]), [[3, 0, 5]]);
});

test('a gap is read along up to its limit', () => {
  assert.deepEqual(requests([field(0), field(11)]), [[3, 0, 12]]);
  assert.deepEqual(requests([field(0), field(12)]), [
    [3, 0, 1],
    [3, 12, 1],
  ]);
  assert.deepEqual(requests([field(0), field(2)], { ...LIMITS, gapMax: 0 }), [
    [3, 0, 1],
    [3, 2, 1],
  ]);
});

test('a request asks for 125 registers, or 2000 bits, at most, and no value is cut in two', () => {
  const floats = Array.from({ length: 100 }, (_, index) => field(index * 2, { type: 'float32' }));
  assert.deepEqual(requests(floats), [
    [3, 0, 124],
    [3, 124, 76],
  ]);
  const bits = Array.from({ length: 2100 }, (_, index) => field(index, { type: 'bit', code: 1 }));
  assert.deepEqual(requests(bits), [
    [1, 0, 2000],
    [1, 2000, 100],
  ]);
  assert.deepEqual(requests(floats.slice(0, 6), { ...LIMITS, registersMax: 5 }), [
    [3, 0, 4],
    [3, 4, 4],
    [3, 8, 4],
  ]);
});

test('functions and intervals are not mixed, and registers may overlap', () => {
  assert.deepEqual(requests([field(0), field(1, { code: 4 }), field(2, { interval: 10_000 }), field(3)]), [
    [3, 0, 4],
    [3, 2, 1],
    [4, 1, 1],
  ]);
  assert.deepEqual(requests([field(0, { type: 'float64' }), field(1), field(2)]), [[3, 0, 4]]);
});

test('a block that is refused is divided at its gaps, then by halves, down to single fields', () => {
  const [block] = planBlocks([field(0), field(1), field(2), field(9)], LIMITS);
  assert.ok(block !== undefined);
  const runs = divided(block);
  assert.deepEqual(
    runs.map(({ request }) => [request.address, request.count]),
    [
      [0, 3],
      [9, 1],
    ],
  );
  const [run, single] = runs;
  assert.ok(run !== undefined && single !== undefined);
  assert.deepEqual(
    divided(run).map(({ request }) => [request.address, request.count]),
    [
      [0, 2],
      [2, 1],
    ],
  );
  assert.deepEqual(divided(single), []);
});

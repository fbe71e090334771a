import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FieldSettings } from './options.ts';
import { fieldValue, registerValue, WORD_ORDERS } from './values.ts';

const FIELD: FieldSettings = {
  name: 'x',
  function: 3,
  address: 10,
  type: 'uint16',
  order: 'ABCD',
  bit: null,
  scale: 1,
  offset: 0,
  isInteger: false,
  states: null,
  intervalMs: null,
};

test('123456 as a float32 in the four orders', () => {
  const written = { ABCD: '47f12000', CDAB: '200047f1', BADC: 'f1470020', DCBA: '0020f147' };
  for (const order of WORD_ORDERS) {
    assert.equal(registerValue(Buffer.from(written[order], 'hex'), 0, { type: 'float32', order }), 123456);
  }
});

test('a float32 is a short decimal that is it and no other', () => {
  for (const value of [230.1, 0.1, 16777217, 3.4e38, 49.98, -0.000123]) {
    const data = Buffer.alloc(4);
    data.writeFloatBE(value);
    const read = registerValue(data, 0, { type: 'float32', order: 'ABCD' });
    assert.equal(Math.fround(read), Math.fround(value));
    assert.ok(String(read).length <= String(value).length, `${read} for ${value}`);
  }
});

test('scale and offset leave no dust, and whole numbers stay whole', () => {
  const data = Buffer.from([0, 3]);
  assert.equal(fieldValue({ ...FIELD, scale: 0.1 }, data, 10), 0.3);
  assert.equal(fieldValue({ ...FIELD, scale: 0.1, offset: -20 }, data, 10), -19.7);
  assert.equal(fieldValue({ ...FIELD, scale: 0.9, isInteger: true }, data, 10), 3);
  assert.equal(fieldValue({ ...FIELD, scale: 1e12, isInteger: true }, data, 10), null);
});

test('bits of registers and of coils', () => {
  const register: FieldSettings = { ...FIELD, type: 'bit', bit: 9 };
  assert.equal(fieldValue(register, Buffer.from([0x02, 0]), 10), true);
  assert.equal(fieldValue({ ...register, order: 'BADC' }, Buffer.from([0, 0x02]), 10), true);
  assert.equal(fieldValue({ ...register, bit: 8 }, Buffer.from([0x02, 0]), 10), false);
  const coil: FieldSettings = { ...FIELD, function: 1, type: 'bit' };
  assert.equal(fieldValue(coil, Buffer.from([0, 0x04]), 0), true);
  assert.equal(fieldValue(coil, Buffer.from([0, 0xfb]), 0), false);
});

test('a state without a name is not known', () => {
  const states = { 1: 'idle', 2: 'running' };
  assert.equal(fieldValue({ ...FIELD, states }, Buffer.from([0, 2]), 10), 'running');
  assert.equal(fieldValue({ ...FIELD, states }, Buffer.from([0, 9]), 10), null);
});

test('a value that is too large once it is scaled is none', () => {
  const data = Buffer.alloc(8);
  data.writeDoubleBE(1e300);
  const field = { ...FIELD, type: 'float64', address: 0 } as const;
  assert.equal(fieldValue({ ...field, scale: 10 }, data, 0), 1e301);
  assert.equal(fieldValue({ ...field, scale: 1e15 }, data, 0), null);
  assert.equal(fieldValue({ ...field, scale: -1e15 }, data, 0), null);
});

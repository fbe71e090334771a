import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ACTIVE_CODES_ALL_MAX,
  ACTIVE_CODES_MAX,
  CONDITION_ITEMS_MAX,
  Conditions,
  SAVED_BYTES_MAX,
} from './conditions.ts';

const TIME = '2026-01-01T08:00:00Z';

function say(conditions: Conditions, key: string, level: string, nativeCode: string, text = ''): void {
  conditions.read({ key, level, nativeCode, nativeSeverity: '', qualifier: '', text }, TIME, 'M-1');
}

test('several codes of an item are active; NORMAL ends one or all, UNAVAILABLE all', () => {
  const conditions = new Conditions();
  say(conditions, 'servo', 'WARNING', 'W1');
  say(conditions, 'servo', 'Fault', 'F1', 'overload');
  assert.deepEqual(conditions.activeCodes('servo'), ['W1', 'F1']);
  assert.equal(conditions.firstFault(), 'servo F1 overload');
  say(conditions, 'servo', 'NORMAL', 'F1');
  assert.deepEqual(conditions.activeCodes('servo'), ['W1']);
  say(conditions, 'servo', 'FAULT', 'F2');
  say(conditions, 'servo', 'NORMAL', '');
  assert.deepEqual(conditions.activeCodes('servo'), []);
  say(conditions, 'servo', 'FAULT', 'F3');
  say(conditions, 'servo', 'UNAVAILABLE', '');
  assert.equal(conditions.firstFault(), undefined);
});

test('however many there are, so many are remembered; the oldest are forgotten', () => {
  const conditions = new Conditions();
  for (let code = 0; code < 2 * ACTIVE_CODES_MAX; code += 1) say(conditions, 'servo', 'FAULT', `F${code}`);
  assert.equal(conditions.activeCodes('servo').length, ACTIVE_CODES_MAX);
  assert.equal(conditions.activeCodes('servo').at(-1), `F${2 * ACTIVE_CODES_MAX - 1}`);
  const items = 2 * CONDITION_ITEMS_MAX;
  for (let item = 0; item < items; item += 1) {
    say(conditions, `item ${item}`, 'FAULT', 'F1');
    say(conditions, `item ${item}`, 'FAULT', 'F2');
  }
  const saved = conditions.saved();
  const codes = saved.reduce((sum, [, own]) => sum + own.length, 0);
  assert.ok(saved.length <= CONDITION_ITEMS_MAX);
  assert.equal(codes, ACTIVE_CODES_ALL_MAX);
  assert.deepEqual(conditions.activeCodes(`item ${items - 1}`), ['F1', 'F2']);
});

test('what is saved has a limit in bytes, within which faults come first', () => {
  const conditions = new Conditions();
  const long = '\u0001'.repeat(10_000);
  for (let item = 0; item < 1_000; item += 1) {
    say(conditions, `item ${item} ${long}`, item === 999 ? 'FAULT' : 'WARNING', `${item} ${long}`, long);
  }
  const saved = conditions.saved();
  assert.ok(Buffer.byteLength(JSON.stringify(saved)) <= SAVED_BYTES_MAX + 10);
  assert.ok(saved.length > 1);
  const again = new Conditions();
  again.restore(saved);
  assert.match(again.firstFault() ?? '', /^item 999 /);
});

test('what was saved goes on where it was', () => {
  const conditions = new Conditions();
  say(conditions, 'servo', 'FAULT', 'F1', 'overload');
  say(conditions, 'door', 'NORMAL', '');
  const again = new Conditions();
  again.restore(JSON.parse(JSON.stringify(conditions.saved())));
  assert.deepEqual(again.saved(), [
    ['servo', [['F1', true, 'overload']]],
    ['door', []],
  ]);
  say(again, 'servo', 'NORMAL', 'F1');
  assert.equal(again.firstFault(), undefined);
});

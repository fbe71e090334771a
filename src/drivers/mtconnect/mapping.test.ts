import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NAME_LENGTH_MAX } from '../../model/reading.ts';
import { schema } from './config.ts';
import type { DataItem, Device } from './document.ts';
import { mappingOf } from './mapping.ts';

function deviceWith(items: readonly Partial<DataItem>[]): Device {
  const blank = { name: '', subType: '', units: '', representation: '', component: 'Linear', componentName: 'X' };
  const dataItems = items.map((item): DataItem => ({ ...blank, id: '', category: 'event', type: 'X', ...item }));
  return { name: 'M', uuid: 'm', isAgent: false, dataItems };
}

function namesOf(items: readonly Partial<DataItem>[], config: object): [name: string, fields: string[]][] {
  const { plans } = mappingOf(deviceWith(items), schema.parse({ url: 'http://agent:5000', ...config }));
  return [...plans.values()].map(({ name, fields }) => [name, fields.map((field) => field.name)]);
}

test('items of one name are told apart by their ids', () => {
  const names = namesOf(
    [
      { id: 'x1', name: 'load' },
      { id: 'y1', name: 'load' },
      { id: 'z1', name: 'own' },
      { id: 'c1', name: 'servo', category: 'condition' },
      { id: 'c2', name: 'servo', category: 'condition' },
    ],
    { extra: 'all', map: {} },
  );
  assert.deepEqual(names, [
    ['x1', ['x1']],
    ['y1', ['y1']],
    ['own', ['own']],
    ['c1', []],
    ['c2', []],
  ]);
});

test('an item never takes the key of another one, of a signal or of a reading', () => {
  const names = namesOf(
    [
      { id: 'a', name: 'x1' },
      { id: 'b', name: 'temperature' },
      { id: 'c', name: 'timestamp' },
      { id: 'd', name: '__proto__' },
      { id: '' },
    ],
    { extra: 'all', map: { a: { extra: 'b1' } } },
  );
  assert.deepEqual(
    names.map(([, fields]) => fields),
    [['b1'], ['item_temperature'], ['item_timestamp'], ['item___proto__'], ['item_']],
  );
  const taken = namesOf(
    [
      { id: 'a', name: 'x1' },
      { id: 'b', name: 'b1' },
    ],
    { extra: 'all', map: { a: { extra: 'b1' } } },
  );
  assert.deepEqual(
    taken.map(([, fields]) => fields),
    [['b1'], ['item_b1']],
  );
});

test('a name that is cut is text that can be stored', () => {
  const items = [{ id: 'a', name: `${'x'.repeat(NAME_LENGTH_MAX - 1)}😀` }];
  const [field = ''] = namesOf(items, { extra: 'all', map: {} }).flatMap(([, fields]) => fields);
  assert.ok(field.isWellFormed());
  assert.equal(field.length, NAME_LENGTH_MAX);
});

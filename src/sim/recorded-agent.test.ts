import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordedAgent } from './recorded-agent.ts';

test('an item may have any name', () => {
  const { device } = recordedAgent('2022-08-08T10:00:00Z|__proto__|7|constructor|x|toString|y', 'M1');
  const items = device.items.map(({ id, category }) => [id, category]);
  assert.deepEqual(items, [
    ['__proto__', 'SAMPLE'],
    ['constructor', 'EVENT'],
    ['toString', 'EVENT'],
  ]);
});

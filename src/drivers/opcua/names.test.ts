import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseNodeName, stepText } from './names.ts';

test('node ids with indexes and URIs, and paths', () => {
  assert.deepEqual(parseNodeName('i=2258'), { kind: 'id', namespace: 0, identifier: 'i=2258' });
  assert.deepEqual(parseNodeName('ns=2;s=a;b/c=d'), { kind: 'id', namespace: 2, identifier: 's=a;b/c=d' });
  assert.deepEqual(parseNodeName('nsu=urn:x/y;i=1'), { kind: 'id', namespace: 'urn:x/y', identifier: 'i=1' });
  const steps = [
    { name: 'Objects', namespace: null },
    { name: 'a/b&', namespace: null },
    { name: 'Speed', namespace: 3 },
  ];
  assert.deepEqual(parseNodeName('Objects/a&/b&&/3:Speed'), { kind: 'path', steps });
  assert.deepEqual(parseNodeName('/Root/Objects/a&/b&&/3:Speed'), { kind: 'path', steps });
  assert.equal(stepText('a/b&'), 'a&/b&&');
  for (const text of ['', 'Speed', 'Objects//x', 'Objects/', 'i=x', 'i=', 'ns=70000;i=1', 'g=1', 'b=?', 'toString/x']) {
    assert.equal(parseNodeName(text), undefined, text);
  }
});

test('whatever is written, it ends, and gives a name or none', () => {
  for (const piece of ['&', '/', 'Objects/', 'ns=1;', 'nsu=;s=', '\0', '😀'.slice(0, 1)]) {
    for (const count of [1, 2, 100, 10_000]) parseNodeName(piece.repeat(count));
  }
});

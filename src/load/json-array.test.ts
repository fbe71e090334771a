import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '../base/errors.ts';
import { JsonArrayReader, type JsonObject } from './json-array.ts';

function read(text: string, pieceBytes: number): JsonObject[] {
  const objects: JsonObject[] = [];
  const reader = new JsonArrayReader((object) => objects.push(object));
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += pieceBytes) reader.push(bytes.subarray(at, at + pieceBytes));
  reader.end();
  return objects;
}

test('whatever the pieces, the objects are those of JSON.parse', () => {
  const objects = [
    { a: 1 },
    {},
    { text: 'brackets ]}[{ and "quotes" \\', nested: { list: [1, { b: [] }] } },
    { ü: 'µ€😀' },
  ];
  const texts = [
    JSON.stringify(objects),
    JSON.stringify(objects, null, 2),
    ` \n[${objects.map((one) => JSON.stringify(one)).join(' ,\n')}]\n`,
  ];
  for (const text of texts) {
    for (let pieceBytes = 1; pieceBytes <= 40; pieceBytes += 1) assert.deepEqual(read(text, pieceBytes), objects);
    assert.deepEqual(read(text, 1_000_000), objects);
  }
  assert.deepEqual(read('[]', 1), []);
});

test('an array that breaks off is told', () => {
  for (const text of ['', '[', '[{"a":1}', '[{"a":1},{"b":"]"']) {
    assert.throws(
      () => read(text, 3),
      (error) => hasCode(error, 'connection_failed'),
      text,
    );
  }
});

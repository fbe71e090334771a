import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeSmallFile, encodeSmallFile } from './small-files.ts';

test('a small file tells when it is damaged', () => {
  const bytes = encodeSmallFile({ sink: 'hub\n"2"', position: 7 });
  assert.deepEqual(decodeSmallFile(bytes), { sink: 'hub\n"2"', position: 7 });
  for (let length = 0; length < bytes.length - 1; length += 1) {
    assert.equal(decodeSmallFile(bytes.subarray(0, length)), undefined);
  }
  for (let index = 0; index < bytes.length; index += 1) {
    const flipped = Buffer.from(bytes);
    flipped[index] = (flipped[index] ?? 0) ^ 4;
    assert.equal(decodeSmallFile(flipped), undefined, `byte ${index}`);
  }
});

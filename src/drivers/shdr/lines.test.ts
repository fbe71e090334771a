import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LINE_BYTES_MAX, type Line, LineSplitter } from './lines.ts';

test('lines are found however they are divided', () => {
  const bytes = Buffer.from('a|1\r\n\nb|ä|\n\xff\nrest', 'latin1');
  for (const size of [1, 2, 5, bytes.length]) {
    const splitter = new LineSplitter();
    const lines: Line[] = [];
    for (let at = 0; at < bytes.length; at += size)
      splitter.push(bytes.subarray(at, at + size), (one) => lines.push(one));
    assert.deepEqual(
      lines.map(({ text, isUtf8 }) => [text, isUtf8]),
      [
        ['a|1', true],
        ['', true],
        ['b|ä|', false],
        ['ÿ', false],
      ],
    );
  }
});

test('the longest line may come byte by byte; one byte more is refused', () => {
  const splitter = new LineSplitter();
  const byte = Buffer.from('x');
  const lines: Line[] = [];
  for (let bytes = 0; bytes < LINE_BYTES_MAX; bytes += 1) splitter.push(byte, (one) => lines.push(one));
  splitter.push(Buffer.from('\n'), (one) => lines.push(one));
  assert.equal(lines[0]?.text, 'x'.repeat(LINE_BYTES_MAX));
  const tooLong = Buffer.alloc(LINE_BYTES_MAX + 1, 'x');
  assert.throws(() => splitter.push(tooLong, () => {}), { code: 'protocol_violation' });
});

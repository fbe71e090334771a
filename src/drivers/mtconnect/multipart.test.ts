import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '../../base/errors.ts';
import { seededRandom } from '../../base/random.ts';
import { boundaryOf, HEADER_BYTES_MAX, MultipartParser, PART_BYTES_MAX } from './multipart.ts';

const BODIES = ['<a/>', '', '<b>\r\n--b1 \n</b>', '<c>ä</c>'];

function stream({ length = true, end = '\r\n' }: { length?: boolean; end?: string } = {}): Buffer {
  const parts = BODIES.map((body) => {
    const lengthLine = length ? `Content-length: ${Buffer.byteLength(body)}${end}` : '';
    return `--b1${end}Content-type: text/xml${end}${lengthLine}${end}${body}${end}`;
  });
  return Buffer.from(`${end}${parts.join('')}--b1--${end}what comes after the end`);
}

function parse(bytes: Buffer, pieces: readonly number[]): string[] {
  const parser = new MultipartParser('b1');
  const bodies: string[] = [];
  let at = 0;
  for (const end of [...pieces, bytes.length]) {
    bodies.push(...parser.push(bytes.subarray(at, end)).map(String));
    at = end;
  }
  return bodies;
}

test('the boundary of both kinds, quoted or not', () => {
  const cases: [string | undefined, string | undefined][] = [
    ['multipart/x-mixed-replace;boundary=abc', 'abc'],
    ['multipart/mixed; boundary="a b:c"', 'a b:c'],
    ['Multipart/Mixed; charset=utf-8; Boundary=abc; x=y', 'abc'],
    ['multipart/x-mixed-replace; boundary = "abc"', 'abc'],
    ['multipart/form-data; boundary=abc', undefined],
    ['text/xml', undefined],
    ['multipart/mixed', undefined],
    [undefined, undefined],
  ];
  for (const [header, expected] of cases) assert.equal(boundaryOf(header), expected, header ?? 'none');
});

test('the parts are the same wherever the bytes are divided', () => {
  for (const end of ['\r\n', '\n']) {
    const bytes = stream({ end });
    for (let at = 0; at <= bytes.length; at += 1) assert.deepEqual(parse(bytes, [at]), BODIES, `${at}`);
    const random = seededRandom(5);
    for (let round = 0; round < 200; round += 1) {
      const pieces = Array.from({ length: 6 }, () => Math.floor(random() * bytes.length)).sort((a, b) => a - b);
      assert.deepEqual(parse(bytes, pieces), BODIES, pieces.join());
    }
    assert.deepEqual(
      parse(
        bytes,
        Array.from({ length: bytes.length }, (_, at) => at),
      ),
      BODIES,
    );
  }
});

test('a part without a length ends at the next boundary', () => {
  const bytes = Buffer.from('--b1\r\nContent-type: text/xml\r\n\r\n<a/>\r\n--b1\r\n\r\n<b/>\r\n--b1--\r\n');
  for (let at = 0; at <= bytes.length; at += 1) {
    assert.deepEqual(
      parse(bytes, [at]).map((body) => body.trim()),
      ['<a/>', '<b/>'],
    );
  }
});

test('what is too long, or has no boundary, is refused', () => {
  const refused = (text: string): void => {
    assert.throws(
      () => new MultipartParser('b1').push(Buffer.from(text)),
      (error) => hasCode(error, 'protocol_violation'),
    );
  };
  refused(`--b1\r\nContent-length: ${PART_BYTES_MAX + 1}\r\n\r\n`);
  refused('x'.repeat(HEADER_BYTES_MAX + 1));
  refused('no boundary\r\n'.repeat(HEADER_BYTES_MAX / 4));
  refused(`--b1\r\n${'X-Header: 1234567890\r\n'.repeat(HEADER_BYTES_MAX / 16)}`);
});

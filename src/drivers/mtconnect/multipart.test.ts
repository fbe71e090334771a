import assert from 'node:assert/strict';
import { test } from 'node:test';
import { heldBytes } from '../../../test/support/memory.ts';
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

test('blank lines without end are no parts to come', () => {
  const refused = (bytes: string, size: number) => (): void => {
    const parser = new MultipartParser('b1');
    const all = Buffer.from(bytes);
    for (let at = 0; at < all.length; at += size) parser.push(all.subarray(at, at + size));
  };
  for (const size of [100, HEADER_BYTES_MAX * 3]) {
    assert.throws(refused('\r\n'.repeat(HEADER_BYTES_MAX + 1), size), { code: 'protocol_violation' });
    assert.throws(refused(`${' '.repeat(HEADER_BYTES_MAX + 1)}\n`, size), { code: 'protocol_violation' });
    assert.throws(refused(`--b1\nx: ${' '.repeat(HEADER_BYTES_MAX)}\n`, size), { code: 'protocol_violation' });
  }
});

test('a long part may come byte by byte, with its length or without, and is held once', () => {
  const body = 'x'.repeat(1024 * 1024);
  for (const header of [`Content-length: ${body.length}\r\n`, '']) {
    const parser = new MultipartParser('b1');
    parser.push(Buffer.from(`--b1\r\n${header}\r\n`));
    const before = heldBytes();
    const byte = Buffer.from('x');
    const bodies: Buffer[] = [];
    // A new piece each, as the connection gives them.
    for (let at = 0; at < body.length; at += 1) bodies.push(...parser.push(Buffer.from(byte)));
    assert.ok(heldBytes() - before < 3 * body.length);
    bodies.push(...parser.push(Buffer.from('\r\n--b1\r\n')));
    assert.equal(bodies.length, 1);
    assert.equal(bodies[0]?.toString().trimEnd(), body);
  }
});

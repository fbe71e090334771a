import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  checksum,
  decodeBlockHeader,
  decodeRecordHeader,
  decodeSegmentHeader,
  encodeBlockHeader,
  encodeRecordHeader,
  encodeSegmentHeader,
  epochSeed,
  parseSegmentName,
  RECORD_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  segmentName,
} from './format.ts';

const SEGMENT: SegmentHeader = {
  epoch: 'Abc-1_2',
  firstSequence: 391,
  form: 'compressed',
  thinning: 3,
  createdAtMicros: 1_767_254_400_123_456,
  readingsBefore: 39_000,
};
const RECORD = {
  sequence: 2 ** 40 + 7,
  readings: 100,
  readingsTotal: 39_100,
  appendedAtMicros: 1_767_254_400_123_456,
  payloadBytes: 28_481,
  payloadCrc: 0xcbf43926,
};

test('the checksum is that of the standard', () => {
  assert.equal(checksum('123456789'), 0xcbf43926);
  assert.equal(checksum('6789', checksum('12345')), 0xcbf43926);
});

test('a segment header has the documented bytes', () => {
  const bytes = encodeSegmentHeader(SEGMENT);
  assert.equal(bytes.length, SEGMENT_HEADER_BYTES);
  const fields =
    '4d574c4f47534547' + // MWLOGSEG
    '0200' + // version
    '6000' + // length of the header
    '01' + // compressed
    '03' + // thinned three times
    '0000' +
    '8701000000000000' + // first sequence
    '4042bffa4e470600' + // created at
    '5898000000000000' + // readings before
    '07' + // length of the epoch
    '4162632d315f32'; // epoch
  assert.equal(bytes.toString('hex', 0, 48), fields);
  assert.ok(bytes.subarray(48, 92).every((byte) => byte === 0));
  assert.equal(bytes.readUInt32LE(92), checksum(bytes.subarray(0, 92)));
  assert.deepEqual(decodeSegmentHeader(bytes), { kind: 'good', header: SEGMENT });
});

test('every flipped bit of a segment header is noticed', () => {
  const bytes = encodeSegmentHeader(SEGMENT);
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const flipped = Buffer.from(bytes);
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.equal(decodeSegmentHeader(flipped).kind, 'damaged');
  }
  assert.equal(decodeSegmentHeader(bytes.subarray(0, 95)).kind, 'damaged');
});

test('a whole header of a later version is told from a damaged one', () => {
  const bytes = encodeSegmentHeader(SEGMENT);
  bytes.writeUInt16LE(3, 8);
  bytes.writeUInt32LE(checksum(bytes.subarray(0, 92)), 92);
  assert.deepEqual(decodeSegmentHeader(bytes), { kind: 'newer', version: 3 });
});

test('a record header has the documented bytes', () => {
  const bytes = Buffer.alloc(RECORD_HEADER_BYTES + 3);
  encodeRecordHeader(bytes, 3, RECORD, epochSeed('e'));
  const fields =
    '4d57d2ec' + // marker
    '416f0000' + // length of the payload
    '0700000000010000' + // sequence
    '4042bffa4e470600' + // appended at
    'bc98000000000000' + // readings so far
    '64000000' + // readings
    '2639f4cb'; // checksum of the payload
  assert.equal(bytes.toString('hex', 3, 43), fields);
  assert.equal(bytes.readUInt32LE(43), checksum(bytes.subarray(3, 43), checksum('e')));
  assert.deepEqual(decodeRecordHeader(bytes, 3, epochSeed('e')), RECORD);
  assert.equal(decodeRecordHeader(bytes, 3, epochSeed('f')), undefined, 'of another log');
  assert.equal(decodeRecordHeader(bytes, 4, epochSeed('e')), undefined);
});

test('every flipped bit of a record header is noticed', () => {
  const bytes = Buffer.alloc(RECORD_HEADER_BYTES);
  encodeRecordHeader(bytes, 0, RECORD, 1);
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const flipped = Buffer.from(bytes);
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.equal(decodeRecordHeader(flipped, 0, 1), undefined);
  }
});

test('a block header has the documented bytes, and every flipped bit of it is noticed', () => {
  const block = {
    firstSequence: 391,
    lastSequence: 399,
    readingsTotal: 39_900,
    plainBytes: 256_729,
    payloadBytes: 30_000,
    payloadCrc: 0xcbf43926,
  };
  const seed = epochSeed('Abc-1_2');
  const bytes = Buffer.alloc(RECORD_HEADER_BYTES);
  encodeBlockHeader(bytes, 0, block, seed);
  const fields =
    '4d57d2ed' + // marker
    '30750000' + // compressed length
    '8f01000000000000' + // last sequence
    '8701000000000000' + // first sequence
    'dc9b000000000000' + // readings so far
    'd9ea0300' + // length before compression
    '2639f4cb'; // checksum of the compressed bytes
  assert.equal(bytes.toString('hex', 0, 40), fields);
  assert.deepEqual(decodeBlockHeader(bytes, 0, seed), block);
  assert.equal(decodeRecordHeader(bytes, 0, seed), undefined);
  assert.equal(decodeBlockHeader(bytes, 0, seed + 1), undefined);
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const flipped = Buffer.from(bytes);
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.equal(decodeBlockHeader(flipped, 0, seed), undefined, `bit ${bit}`);
  }
});

test('numbers that do not fit are refused before they are written', () => {
  const bytes = Buffer.alloc(RECORD_HEADER_BYTES);
  assert.throws(() => encodeRecordHeader(bytes, 0, { ...RECORD, sequence: 2 ** 53 }, 0), RangeError);
  assert.throws(() => encodeRecordHeader(bytes, 0, { ...RECORD, readings: -1 }, 0), RangeError);
  assert.throws(() => encodeSegmentHeader({ ...SEGMENT, epoch: 'has space' }), RangeError);
  assert.throws(() => encodeSegmentHeader({ ...SEGMENT, epoch: 'x'.repeat(41) }), RangeError);
});

test('names of segments sort as their numbers do', () => {
  assert.equal(segmentName(391), '0000000000000391.seg');
  assert.equal(parseSegmentName(segmentName(2 ** 53 - 1)), 2 ** 53 - 1);
  for (const name of ['391.seg', '0000000000000391.seg.tmp', 'lock']) assert.equal(parseSegmentName(name), undefined);
});

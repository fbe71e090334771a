import type { FileHandle } from '../../../src/base/files.ts';
import { decodeSmallFile, encodeSmallFile } from '../../../src/base/small-files.ts';
import { encodeBlock } from '../../../src/log/block.ts';
import {
  checksum,
  decodeSegmentHeader,
  encodeRecordHeader,
  encodeSegmentHeader,
  epochInDamaged,
} from '../../../src/log/format.ts';
import { epochSeed, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES } from '../../../src/log/format.ts';
import { SegmentScanner } from '../../../src/log/scanner.ts';
import { encodeFrame } from '../../../src/model/frame.ts';
import { between, type Codec, Finding, type Refusal } from '../codec.ts';

const EPOCH = 'fuzz';
const SEED = epochSeed(EPOCH);
/** Shorter than most inputs, so that the scanner must move it. */
const WINDOW = Buffer.alloc(512);

export const codec: Codec = {
  about:
    'a segment of the log, whole or damaged, to records; and small files. No byte is told twice, none is passed over without a word',
  corpus: [
    segment(0, 1),
    segment(6, 1),
    segment(3, 40),
    blocks(8),
    Buffer.concat([segment(2, 1), records(2, 3)]),
    encodeSmallFile({ a: 1 }),
  ],
  words: ['MW\xd2\xec', 'MW\xd2\xed', 'MW\xd2', 'MWLOGSEG', '\0\0\0\0\0\0\0\0', '\xff\xff\xff\xff', '\n00000000\n'],
  opening: 'MW\xd2',
  generate: (random) => segment(between(random, 0, 5), between(random, 1, 60)),
  async read(input) {
    decodeSmallFile(input);
    epochInDamaged(input);
    const refusals: Refusal[] = [];
    const header = decodeSegmentHeader(input);
    if (header.kind === 'damaged') refusals.push({ code: 'segment_damaged', reason: header.reason });
    if (header.kind === 'newer') refusals.push({ code: 'segment_newer', reason: 'a later version' });
    const handle = { read: async (into: Uint8Array, at: number) => input.copy(into, 0, at) } as unknown as FileHandle;
    const range = { start: Math.min(SEGMENT_HEADER_BYTES, input.length), end: input.length };
    const limits = { sequenceAfter: 0, sequenceMax: Number.MAX_SAFE_INTEGER, from: 0, payloads: true };
    const scanner = new SegmentScanner({ handle, ...range, ...limits, seed: SEED, window: WINDOW });
    let told = range.start;
    let sequence = 0;
    for (let found = await scanner.next(); found !== undefined; found = await scanner.next()) {
      if (found.kind === 'record') {
        if (found.header.sequence <= sequence) throw new Finding('a sequence that does not rise');
        sequence = found.header.sequence;
        if (found.block !== undefined) continue;
      }
      if (found.offset !== told) throw new Finding(`bytes passed over: at ${told}, told of ${found.offset}`);
      told += found.kind === 'record' ? RECORD_HEADER_BYTES + found.payload.length : found.bytes;
      if (found.kind === 'damage') refusals.push({ code: 'log_damage', reason: found.reason });
    }
    if (told !== input.length && input.length > SEGMENT_HEADER_BYTES)
      throw new Finding(`the end was not told: ${told}`);
    return refusals;
  },
};

function segment(count: number, first: number): Buffer {
  const about = {
    epoch: EPOCH,
    form: 'plain',
    thinning: 0,
    firstSequence: first,
    createdAtMicros: 1e15,
    readingsBefore: 0,
  } as const;
  return Buffer.concat([encodeSegmentHeader(about), records(count, first)]);
}

function records(count: number, first: number): Buffer {
  const parts = Array.from({ length: count }, (_, index) => {
    const payload = encodeFrame({ machine_id: 'M-1', timestamp: '2026-01-01T08:00:00Z', temperature: index });
    const record = Buffer.alloc(RECORD_HEADER_BYTES + payload.length);
    const own = { sequence: first + index, readings: 1, readingsTotal: first + index, appendedAtMicros: 1e15 };
    encodeRecordHeader(record, 0, { ...own, payloadBytes: payload.length, payloadCrc: checksum(payload) }, SEED);
    record.set(payload, RECORD_HEADER_BYTES);
    return record;
  });
  return Buffer.concat(parts);
}

function blocks(count: number): Buffer {
  const about = {
    epoch: EPOCH,
    form: 'compressed',
    thinning: 0,
    firstSequence: 1,
    createdAtMicros: 1e15,
    readingsBefore: 0,
  } as const;
  const one = (first: number): Buffer =>
    encodeBlock(
      records(count, first),
      { firstSequence: first, lastSequence: first + count - 1, readingsTotal: first + count },
      SEED,
    );
  return Buffer.concat([encodeSegmentHeader(about), one(1), one(1 + count)]);
}

/** The batches in the bytes of a segment. The one part of the oracle that knows how the log writes them. */
import {
  checksum,
  decodeBlockHeader,
  decodeRecordHeader,
  decodeSegmentHeader,
  encodeRecordHeader,
  epochSeed,
  RECORD_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
} from '../../src/log/format.ts';

export { RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES } from '../../src/log/format.ts';
export { parseSegmentName } from '../../src/log/format.ts';

export interface SegmentRecord {
  readonly epoch: string;
  readonly sequence: number;
  /** Where its header begins and its payload ends. */
  readonly offset: number;
  readonly end: number;
  readonly payload: Buffer;
}

/** Of a segment's first bytes; undefined when they are no whole header. */
export function epochOf(bytes: Buffer): string | undefined {
  const decoded = decodeSegmentHeader(bytes.subarray(0, SEGMENT_HEADER_BYTES));
  return decoded.kind === 'good' ? decoded.header.epoch : undefined;
}

/** The whole records that follow one another from `offset` on, up to the first bytes that are none. */
export function recordsIn(bytes: Buffer, { epoch, offset: start }: { epoch: string; offset: number }): SegmentRecord[] {
  const records: SegmentRecord[] = [];
  let offset = start;
  for (;;) {
    const header = decodeRecordHeader(bytes, offset, epochSeed(epoch));
    if (header === undefined) return records;
    const end = offset + RECORD_HEADER_BYTES + header.payloadBytes;
    const payload = bytes.subarray(offset + RECORD_HEADER_BYTES, end);
    if (end > bytes.length || checksum(payload) !== header.payloadCrc) return records;
    records.push({ epoch, sequence: header.sequence, offset, end, payload });
    offset = end;
  }
}

/** A compressed part of a segment, which stands or falls as a whole. */
export interface SegmentBlock {
  readonly first: number;
  readonly last: number;
  readonly offset: number;
  readonly end: number;
}

/** The whole blocks of a compressed segment; none of a plain one. */
export function blocksIn(bytes: Buffer, epoch: string): SegmentBlock[] {
  const blocks: SegmentBlock[] = [];
  let offset = SEGMENT_HEADER_BYTES;
  for (;;) {
    const header = decodeBlockHeader(bytes, offset, epochSeed(epoch));
    if (header === undefined) return blocks;
    const end = offset + RECORD_HEADER_BYTES + header.payloadBytes;
    blocks.push({ first: header.firstSequence, last: header.lastSequence, offset, end });
    offset = end;
  }
}

/** What a power cut may leave of the next record of a segment: a right header, and less of a payload than it says. */
export function cutRecord(segment: Buffer, firstSequence: number, payload: Buffer): Buffer {
  const epoch = epochOf(segment) ?? '';
  const last = recordsIn(segment, { epoch, offset: SEGMENT_HEADER_BYTES }).at(-1);
  const header = Buffer.alloc(RECORD_HEADER_BYTES);
  const fields = {
    sequence: (last?.sequence ?? firstSequence - 1) + 1,
    readings: 1,
    readingsTotal: 0,
    appendedAtMicros: 0,
    payloadBytes: payload.length + 1,
    payloadCrc: 0,
  };
  encodeRecordHeader(header, 0, fields, epochSeed(epoch));
  return Buffer.concat([header, payload]);
}

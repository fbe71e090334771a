/**
 * The bytes of the durable log. The whole format is in `docs/log-format.md`; in short:
 *
 *     segment = header(96) record*          one file, named by the first sequence in it
 *     record  = header(44) payload          one batch
 *
 * Constraints. One writer; appends only; a segment is never changed after a newer one exists, only deleted. All numbers
 * are little-endian; those of 64 bits stay within 2^53 − 1. Checksums are CRC-32 (IEEE 802.3). Times are microseconds
 * since 1970.
 *
 *     segment header                             record header
 *      0  8  "MWLOGSEG"                           0  4  marker 4D 57 D2 EC
 *      8  2  version                              4  4  payload's length
 *     10  2  header's length                      8  8  sequence
 *     12  4  zero                                16  8  appended at
 *     16  8  first sequence                      24  8  readings so far in the log, with this batch
 *     24  8  created at                          32  4  readings in this batch
 *     32  8  readings before this segment        36  4  payload's CRC
 *     40  1  epoch's length                      40  4  CRC of bytes 0..39, started from the epoch's CRC
 *     41 40  epoch, zeros
 *     81 11  zero
 *     92  4  CRC of bytes 0..91
 *
 * Recovery. What follows the last whole record of the last segment is cut off on opening. Damage before that is passed over: the next
 * record is found by its marker and checksum, and the numbers between are destroyed. A record whose sequence is not below
 * the next segment's first is left over from a failed write and is not part of the log. The epoch in the record's
 * checksum keeps records of another log out, and lets a segment be read whose header is damaged.
 *
 * This module is pure: bytes in, values out.
 */
import { BATCH_BYTES_MAX } from '../model/batch.ts';

const { crc32 } = process.getBuiltinModule('node:zlib');

export const FORMAT_VERSION = 1;
export const SEGMENT_HEADER_BYTES = 96;
export const RECORD_HEADER_BYTES = 44;
export const EPOCH_BYTES_MAX = 40;

const SEGMENT_MAGIC: Buffer = Buffer.from('MWLOGSEG', 'latin1');
/** The first bytes of each record. Two of them are no ASCII and no valid UTF-8, so JSON never contains them. */
export const RECORD_MARKER: Buffer = Buffer.from([0x4d, 0x57, 0xd2, 0xec]);
const RECORD_MARKER_NUMBER = RECORD_MARKER.readUInt32LE(0);

export interface SegmentHeader {
  readonly epoch: string;
  readonly firstSequence: number;
  readonly createdAtMicros: number;
  readonly readingsBefore: number;
}

export type DecodedSegmentHeader =
  | { readonly kind: 'good'; readonly header: SegmentHeader }
  /** Whole, but written by a later version of this program. */
  | { readonly kind: 'newer'; readonly version: number }
  | { readonly kind: 'damaged'; readonly reason: string };

export interface RecordHeader {
  readonly sequence: number;
  readonly readings: number;
  /** Readings appended to the log up to and with this batch. */
  readonly readingsTotal: number;
  readonly appendedAtMicros: number;
  readonly payloadBytes: number;
  readonly payloadCrc: number;
}

/** CRC-32 as in zlib; `seed` continues an earlier one. */
export function checksum(bytes: Uint8Array | string, seed = 0): number {
  return crc32(bytes, seed);
}

/** What the checksums of a log's record headers start from. */
export function epochSeed(epoch: string): number {
  return checksum(epoch);
}

/** @throws RangeError when the epoch is not 1 to 40 ASCII letters, digits, `-` or `_` */
export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  if (!isEpoch(header.epoch))
    throw new RangeError(`an epoch of the form ${JSON.stringify(header.epoch)} is not allowed`);
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
  SEGMENT_MAGIC.copy(bytes, 0);
  bytes.writeUInt16LE(FORMAT_VERSION, 8);
  bytes.writeUInt16LE(SEGMENT_HEADER_BYTES, 10);
  writeUint64(bytes, header.firstSequence, 16);
  writeUint64(bytes, header.createdAtMicros, 24);
  writeUint64(bytes, header.readingsBefore, 32);
  bytes.writeUInt8(header.epoch.length, 40);
  bytes.write(header.epoch, 41, 'latin1');
  bytes.writeUInt32LE(checksum(bytes.subarray(0, 92)), 92);
  return bytes;
}

/** Never throws; `bytes` may be shorter than a header. */
export function decodeSegmentHeader(bytes: Buffer): DecodedSegmentHeader {
  if (bytes.length < SEGMENT_HEADER_BYTES) return { kind: 'damaged', reason: 'shorter than a segment header' };
  if (!SEGMENT_MAGIC.equals(bytes.subarray(0, 8))) return { kind: 'damaged', reason: 'does not begin as a segment' };
  if (bytes.readUInt32LE(92) !== checksum(bytes.subarray(0, 92))) {
    return { kind: 'damaged', reason: 'the checksum of the segment header is wrong' };
  }
  const version = bytes.readUInt16LE(8);
  if (version > FORMAT_VERSION) return { kind: 'newer', version };
  const header: SegmentHeader = {
    epoch: bytes.toString('latin1', 41, 41 + Math.min(bytes.readUInt8(40), EPOCH_BYTES_MAX)),
    firstSequence: readUint64(bytes, 16),
    createdAtMicros: readUint64(bytes, 24),
    readingsBefore: readUint64(bytes, 32),
  };
  return { kind: 'good', header };
}

export function encodeRecordHeader(into: Buffer, offset: number, header: RecordHeader, seed: number): void {
  into.writeUInt32LE(RECORD_MARKER_NUMBER, offset);
  into.writeUInt32LE(header.payloadBytes, offset + 4);
  writeUint64(into, header.sequence, offset + 8);
  writeUint64(into, header.appendedAtMicros, offset + 16);
  writeUint64(into, header.readingsTotal, offset + 24);
  into.writeUInt32LE(header.readings, offset + 32);
  into.writeUInt32LE(header.payloadCrc, offset + 36);
  into.writeUInt32LE(checksum(into.subarray(offset, offset + 40), seed), offset + 40);
}

/** The header at `offset`; undefined when there is no whole and undamaged one of this epoch. Never throws. */
export function decodeRecordHeader(bytes: Buffer, offset: number, seed: number): RecordHeader | undefined {
  if (bytes.length - offset < RECORD_HEADER_BYTES) return undefined;
  if (bytes.readUInt32LE(offset) !== RECORD_MARKER_NUMBER) return undefined;
  if (bytes.readUInt32LE(offset + 40) !== checksum(bytes.subarray(offset, offset + 40), seed)) return undefined;
  const payloadBytes = bytes.readUInt32LE(offset + 4);
  if (payloadBytes > BATCH_BYTES_MAX) return undefined;
  return {
    payloadBytes,
    sequence: readUint64(bytes, offset + 8),
    appendedAtMicros: readUint64(bytes, offset + 16),
    readingsTotal: readUint64(bytes, offset + 24),
    readings: bytes.readUInt32LE(offset + 32),
    payloadCrc: bytes.readUInt32LE(offset + 36),
  };
}

export function isEpoch(text: unknown): text is string {
  return typeof text === 'string' && /^[A-Za-z0-9_-]{1,40}$/.test(text);
}

const SEGMENT_NAME = /^(\d{16})\.seg$/;

/** Sixteen digits, so that names sort as numbers do. */
export function segmentName(firstSequence: number): string {
  return `${String(firstSequence).padStart(16, '0')}.seg`;
}

/** The first sequence in a segment's name; undefined for any other name. */
export function parseSegmentName(name: string): number | undefined {
  const match = SEGMENT_NAME.exec(name);
  return match === null ? undefined : Number(match[1]);
}

function writeUint64(into: Buffer, value: number, offset: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} does not fit into a field of the log`);
  into.writeUInt32LE(value % 2 ** 32, offset);
  into.writeUInt32LE(Math.floor(value / 2 ** 32), offset + 4);
}

function readUint64(bytes: Buffer, offset: number): number {
  return bytes.readUInt32LE(offset) + bytes.readUInt32LE(offset + 4) * 2 ** 32;
}

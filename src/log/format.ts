/**
 * The bytes of the durable log. The whole format is in `docs/log-format.md`; in short:
 *
 *     segment = header(96) (record* | block*)    one file, named by the first sequence in it
 *     record  = header(44) payload               one batch
 *     block   = header(44) zstd(record*)         neighbouring batches of a segment that has gone cold
 *
 * Constraints. One writer; a plain segment is only appended to, and never changed after a newer one exists: it is
 * deleted, or replaced in one step by its compressed form of the same name. All numbers are little-endian; those of 64
 * bits stay within 2^53 − 1. Checksums are CRC-32 (IEEE 802.3). Times are microseconds since 1970.
 *
 *     segment header                     record header                      block header
 *      0  8  "MWLOGSEG"                   0  4  marker 4D 57 D2 EC           0  4  marker 4D 57 D2 ED
 *      8  2  version                      4  4  payload's length             4  4  compressed length
 *     10  2  header's length              8  8  sequence                     8  8  last sequence
 *     12  1  form: 0 plain, 1 compressed 16  8  appended at                 16  8  first sequence
 *     13  1  thinning level              24  8  readings so far in the log  24  8  readings so far in the log
 *     14  2  zero                        32  4  readings in this batch      32  4  length before compression
 *     16  8  first sequence              36  4  payload's CRC               36  4  CRC of the compressed bytes
 *     24  8  created at                  40  4  CRC of bytes 0..39, started from the epoch's CRC
 *     32  8  readings before
 *     40  1  epoch's length
 *     41 40  epoch, zeros
 *     81 11  zero
 *     92  4  CRC of bytes 0..91
 *
 * Recovery. What follows the last whole record of the last segment is cut off on opening. Damage before that is passed
 * over: the next record or block is found by its marker and checksum, and the numbers between are destroyed. A block
 * answers for all numbers from its first to its last: one that has no record in it was taken out on purpose. A record
 * whose sequence is not below the next segment's first is left over from a failed write and is not part of the log. The
 * epoch in the checksum keeps records of another log out, and lets a segment be read whose header is damaged.
 *
 * This module is pure: bytes in, values out.
 */
import { BATCH_BYTES_MAX } from '../model/batch.ts';

const { crc32 } = process.getBuiltinModule('node:zlib');

export const FORMAT_VERSION = 2;
export const SEGMENT_HEADER_BYTES = 96;
/** Of a record and of a block alike. */
export const RECORD_HEADER_BYTES = 44;
export const EPOCH_BYTES_MAX = 40;

const SEGMENT_MAGIC: Buffer = Buffer.from('MWLOGSEG', 'latin1');
/** The first bytes of each record. Two of them are no ASCII and no valid UTF-8, so JSON never contains them. */
const RECORD_MARKER: Buffer = Buffer.from([0x4d, 0x57, 0xd2, 0xec]);
const RECORD_MARKER_NUMBER = RECORD_MARKER.readUInt32LE(0);
const BLOCK_MARKER_NUMBER: number = Buffer.from([0x4d, 0x57, 0xd2, 0xed]).readUInt32LE(0);
/** Bytes that do not compress grow a little. */
const PAYLOAD_BYTES_MAX: number = BATCH_BYTES_MAX + 64 * 1024;
/** What the markers of records and blocks have in common, to search for. */
export const MARKER_PREFIX: Buffer = RECORD_MARKER.subarray(0, 3);
/** Longest content of a block, before compression: one longest record, or a group of shorter ones. */
export const BLOCK_BYTES_MAX: number = BATCH_BYTES_MAX + RECORD_HEADER_BYTES;

export interface SegmentHeader {
  readonly epoch: string;
  readonly form: 'plain' | 'compressed';
  /** How often its samples were merged into wider intervals; 0: never. */
  readonly thinning: number;
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

/** Neighbouring batches, compressed together. */
export interface BlockHeader {
  /** It answers for these numbers and all between them. */
  readonly firstSequence: number;
  readonly lastSequence: number;
  /** Readings appended to the log up to and with the last of them. */
  readonly readingsTotal: number;
  /** Length of the records in it. */
  readonly plainBytes: number;
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
  bytes.writeUInt8(header.form === 'compressed' ? 1 : 0, 12);
  bytes.writeUInt8(header.thinning, 13);
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
    epoch: epochIn(bytes),
    form: bytes.readUInt8(12) === 1 ? 'compressed' : 'plain',
    thinning: bytes.readUInt8(13),
    firstSequence: readUint64(bytes, 16),
    createdAtMicros: readUint64(bytes, 24),
    readingsBefore: readUint64(bytes, 32),
  };
  return { kind: 'good', header };
}

/** The epoch's text in a segment header, right or not. */
function epochIn(bytes: Buffer): string {
  return bytes.toString('latin1', 41, 41 + Math.min(bytes.readUInt8(40), EPOCH_BYTES_MAX));
}

/**
 * The epoch in a damaged segment header, when the checksum of what follows it says that it is right.
 * @param bytes the header, and the header of the first record or block
 */
export function epochInDamaged(bytes: Buffer): string | undefined {
  if (bytes.length < SEGMENT_HEADER_BYTES) return undefined;
  const epoch = epochIn(bytes);
  return isEpoch(epoch) && isOfEpoch(bytes, SEGMENT_HEADER_BYTES, epoch) ? epoch : undefined;
}

/** Whether the header of a record or block of that epoch stands at `offset`. */
export function isOfEpoch(bytes: Buffer, offset: number, epoch: string): boolean {
  const seed = epochSeed(epoch);
  return (decodeRecordHeader(bytes, offset, seed) ?? decodeBlockHeader(bytes, offset, seed)) !== undefined;
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
  const payloadBytes = soundPayloadBytes(bytes, offset, { marker: RECORD_MARKER_NUMBER, seed });
  if (payloadBytes === undefined) return undefined;
  return {
    payloadBytes,
    sequence: readUint64(bytes, offset + 8),
    appendedAtMicros: readUint64(bytes, offset + 16),
    readingsTotal: readUint64(bytes, offset + 24),
    readings: bytes.readUInt32LE(offset + 32),
    payloadCrc: bytes.readUInt32LE(offset + 36),
  };
}

export function encodeBlockHeader(into: Buffer, offset: number, header: BlockHeader, seed: number): void {
  into.writeUInt32LE(BLOCK_MARKER_NUMBER, offset);
  into.writeUInt32LE(header.payloadBytes, offset + 4);
  writeUint64(into, header.lastSequence, offset + 8);
  writeUint64(into, header.firstSequence, offset + 16);
  writeUint64(into, header.readingsTotal, offset + 24);
  into.writeUInt32LE(header.plainBytes, offset + 32);
  into.writeUInt32LE(header.payloadCrc, offset + 36);
  into.writeUInt32LE(checksum(into.subarray(offset, offset + 40), seed), offset + 40);
}

/** As {@link decodeRecordHeader}, of a block. */
export function decodeBlockHeader(bytes: Buffer, offset: number, seed: number): BlockHeader | undefined {
  const payloadBytes = soundPayloadBytes(bytes, offset, { marker: BLOCK_MARKER_NUMBER, seed });
  const plainBytes = payloadBytes === undefined ? 0 : bytes.readUInt32LE(offset + 32);
  if (payloadBytes === undefined || plainBytes > BLOCK_BYTES_MAX) return undefined;
  return {
    payloadBytes,
    plainBytes,
    lastSequence: readUint64(bytes, offset + 8),
    firstSequence: readUint64(bytes, offset + 16),
    readingsTotal: readUint64(bytes, offset + 24),
    payloadCrc: bytes.readUInt32LE(offset + 36),
  };
}

/** The payload's length in a header with that marker and a right checksum; undefined for any other bytes. */
function soundPayloadBytes(
  bytes: Buffer,
  offset: number,
  { marker, seed }: { marker: number; seed: number },
): number | undefined {
  if (bytes.length - offset < RECORD_HEADER_BYTES) return undefined;
  if (bytes.readUInt32LE(offset) !== marker) return undefined;
  if (bytes.readUInt32LE(offset + 40) !== checksum(bytes.subarray(offset, offset + 40), seed)) return undefined;
  const payloadBytes = bytes.readUInt32LE(offset + 4);
  return payloadBytes > PAYLOAD_BYTES_MAX ? undefined : payloadBytes;
}

export function isEpoch(text: unknown): text is string {
  return typeof text === 'string' && /^[A-Za-z0-9_-]{1,40}$/.test(text);
}

const SEGMENT_NAME = /^(\d{16})\.seg$/;

/** Sixteen digits, so that names sort as numbers do. */
export function segmentName(firstSequence: number): string {
  return `${String(firstSequence).padStart(16, '0')}.seg`;
}

/** The first sequence in a segment's name; undefined for any other name, and for a number that no sequence can be. */
export function parseSegmentName(name: string): number | undefined {
  const sequence = Number(SEGMENT_NAME.exec(name)?.[1]);
  return Number.isSafeInteger(sequence) ? sequence : undefined;
}

function writeUint64(into: Buffer, value: number, offset: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} does not fit into a field of the log`);
  into.writeUInt32LE(value % 2 ** 32, offset);
  into.writeUInt32LE(Math.floor(value / 2 ** 32), offset + 4);
}

function readUint64(bytes: Buffer, offset: number): number {
  return bytes.readUInt32LE(offset) + bytes.readUInt32LE(offset + 4) * 2 ** 32;
}

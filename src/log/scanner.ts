/**
 * Walks through the records of one segment, and finds its way again after damage.
 *
 * The one place that reads records from a file: recovery, readers and inspection all use it. It holds one window of the
 * file at a time, never the whole of it.
 */
import type { FileHandle } from '../base/files.ts';
import { checksum, decodeRecordHeader, RECORD_HEADER_BYTES, RECORD_MARKER, type RecordHeader } from './format.ts';

/** How much of a file is read at once. */
export const WINDOW_BYTES: number = 256 * 1024;

export interface ScannedRecord {
  readonly kind: 'record';
  readonly offset: number;
  readonly header: RecordHeader;
  /** A view that is good until the next call of `next`; empty before `payloadsFrom`. */
  readonly payload: Uint8Array;
}

/** Bytes that are no whole record. */
export interface ScannedDamage {
  readonly kind: 'damage';
  readonly offset: number;
  readonly bytes: number;
  /** Known when only the payload is damaged. */
  readonly sequence: number | undefined;
  /** The end of the file cuts a record short: it was still being written. */
  readonly cutShort: boolean;
  readonly reason: string;
}

export interface ScanOptions {
  readonly handle: FileHandle;
  /** Where the first record begins, in bytes from the file's start. */
  readonly start: number;
  readonly end: number;
  /** Of the log's epoch, from `epochSeed`. */
  readonly seed: number;
  /** Only records above this one are part of the log from `start` on. */
  readonly sequenceAfter: number;
  /** A record above this one ends the scan: it is left over from a failed write. */
  readonly sequenceMax: number;
  /** Payloads before this sequence are passed over unread and unchecked. */
  readonly payloadsFrom: number;
  /** Reused from scan to scan; at least a record header long. */
  readonly window: Buffer;
}

export class SegmentScanner {
  readonly #options: ScanOptions;
  #window: Buffer;
  #windowStart = 0;
  #windowLength = 0;
  #offset: number;
  #end: number;
  #previous: number;

  constructor(options: ScanOptions) {
    this.#options = options;
    this.#window = options.window;
    this.#offset = options.start;
    this.#end = options.end;
    this.#previous = options.sequenceAfter;
  }

  /** The next record or damage; undefined at the end. Rejects only when the file cannot be read. */
  async next(): Promise<ScannedRecord | ScannedDamage | undefined> {
    const offset = this.#offset;
    if (offset >= this.#end) return undefined;
    const header = await this.#headerAt(offset);
    if (header === undefined) return await this.#resynchronise(offset);
    if (header.sequence > this.#options.sequenceMax) {
      this.#end = offset;
      return undefined;
    }
    const bytes = RECORD_HEADER_BYTES + header.payloadBytes;
    if (bytes > this.#end - offset) {
      const damage = this.#damage(offset, this.#end, { reason: 'the record is cut short', cutShort: true });
      return { ...damage, sequence: header.sequence };
    }
    this.#previous = header.sequence;
    if (header.sequence < this.#options.payloadsFrom) {
      this.#offset = offset + bytes;
      return { kind: 'record', offset, header, payload: this.#window.subarray(0, 0) };
    }
    const record = await this.#view(offset, bytes);
    const payload = record.subarray(RECORD_HEADER_BYTES);
    if (payload.length < header.payloadBytes || checksum(payload) !== header.payloadCrc) {
      const damage = this.#damage(offset, offset + bytes, { reason: 'the checksum of the payload is wrong' });
      return { ...damage, sequence: header.sequence };
    }
    this.#offset = offset + bytes;
    return { kind: 'record', offset, header, payload };
  }

  /** Damage from `offset` to the next place where a header is whole and its sequence is a later one. */
  async #resynchronise(offset: number): Promise<ScannedDamage> {
    const cutShort = this.#end - offset < RECORD_HEADER_BYTES;
    const reason = cutShort ? 'the record is cut short' : 'no record begins here';
    let from = offset + 1;
    while (this.#end - from >= RECORD_HEADER_BYTES) {
      const held = this.#windowStart + this.#windowLength - from;
      const view = await this.#view(from, held >= RECORD_HEADER_BYTES ? held : this.#window.length);
      if (view.length < RECORD_HEADER_BYTES) break;
      const found = view.indexOf(RECORD_MARKER);
      if (found < 0) {
        from += view.length - (RECORD_MARKER.length - 1);
      } else if ((await this.#headerAt(from + found)) !== undefined) {
        return this.#damage(offset, from + found, { reason });
      } else {
        from += found + 1;
      }
    }
    return this.#damage(offset, this.#end, { reason, cutShort });
  }

  #damage(offset: number, end: number, about: { reason: string; cutShort?: boolean }): ScannedDamage {
    this.#offset = end;
    const { reason, cutShort = false } = about;
    return { kind: 'damage', offset, bytes: end - offset, sequence: undefined, cutShort, reason };
  }

  async #headerAt(offset: number): Promise<RecordHeader | undefined> {
    const header = decodeRecordHeader(await this.#view(offset, RECORD_HEADER_BYTES), 0, this.#options.seed);
    return header !== undefined && header.sequence > this.#previous ? header : undefined;
  }

  /** Up to `bytes` bytes at `offset`; fewer only at the end. */
  async #view(offset: number, bytes: number): Promise<Buffer> {
    const length = Math.max(0, Math.min(bytes, this.#end - offset));
    if (offset < this.#windowStart || offset + length > this.#windowStart + this.#windowLength) {
      if (length > this.#window.length) this.#window = Buffer.allocUnsafeSlow(length);
      const wanted = Math.min(this.#window.length, this.#end - offset);
      this.#windowLength = 0;
      const got = await this.#options.handle.read(this.#window.subarray(0, wanted), offset);
      this.#windowStart = offset;
      this.#windowLength = got;
      // The file is shorter than it was said to be: what is not there is not read again and again.
      if (got < wanted) this.#end = offset + got;
    }
    const start = offset - this.#windowStart;
    return this.#window.subarray(start, Math.min(start + length, this.#windowLength));
  }
}

/**
 * Walks through the records of one segment, plain or compressed, and finds its way again after damage.
 *
 * The one place that reads records from a file: recovery, readers, inspection and housekeeping all use it. It holds one
 * window of the file and one block at a time, never the whole of it.
 */
import type { FileHandle } from '../base/files.ts';
import { decodeBlock, freeBlock } from './block.ts';
import {
  type BlockHeader,
  checksum,
  decodeBlockHeader,
  decodeRecordHeader,
  MARKER_PREFIX,
  RECORD_HEADER_BYTES,
  type RecordHeader,
} from './format.ts';

/** How much of a file is read at once. */
export const WINDOW_BYTES: number = 256 * 1024;

export interface ScannedRecord {
  readonly kind: 'record';
  readonly offset: number;
  readonly header: RecordHeader;
  /**
   * A view that is good until the next call of `next`, or in a block for as long as {@link BlockCache} keeps that, and for
   * ever where there is no cache; empty where none was wanted.
   */
  readonly payload: Uint8Array;
  /** The block it is in, which then is at `offset`. */
  readonly block: BlockHeader | undefined;
}

/** A block, told before the records in it. Those in it follow, unless all of them are below `from`. */
export interface ScannedBlock {
  readonly kind: 'block';
  readonly offset: number;
  readonly bytes: number;
  readonly header: BlockHeader;
}

export type Scanned = ScannedRecord | ScannedBlock | ScannedDamage;

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
  /** Payloads before this sequence, and blocks that end before it, are passed over unread and unchecked. */
  readonly from: number;
  /** false: only headers are wanted. */
  readonly payloads: boolean;
  /** Reused from scan to scan; at least a record header long. */
  readonly window: Buffer;
  /** Where the newest decompressed block is kept for the next scan. */
  readonly blocks?: BlockCache;
}

const WRONG_CHECKSUM = 'the checksum of the payload is wrong';

/** The content of one block: a reader that takes it in several pieces decompresses it once. */
export class BlockCache {
  #header: BlockHeader | undefined;
  #content: Buffer | undefined;

  get(header: BlockHeader): Buffer | undefined {
    const same = this.#header;
    const isSame =
      same !== undefined && same.firstSequence === header.firstSequence && same.payloadCrc === header.payloadCrc;
    return isSame ? this.#content : undefined;
  }

  /** Frees the one before. */
  keep(header: BlockHeader, content: Buffer): void {
    if (this.#content !== undefined) freeBlock(this.#content);
    this.#header = header;
    this.#content = content;
  }
}

/** The records of a block that are not told yet. */
interface OpenBlock {
  readonly header: BlockHeader;
  readonly offset: number;
  readonly content: Buffer;
  at: number;
}

export class SegmentScanner {
  readonly #options: ScanOptions;
  #window: Buffer;
  #windowStart = 0;
  #windowLength = 0;
  #offset: number;
  #end: number;
  #previous: number;
  #block: OpenBlock | undefined;

  constructor(options: ScanOptions) {
    this.#options = options;
    this.#window = options.window;
    this.#offset = options.start;
    this.#end = options.end;
    this.#previous = options.sequenceAfter;
  }

  /** The next record, block or damage; undefined at the end. Rejects only when the file cannot be read. */
  async next(): Promise<Scanned | undefined> {
    const inner = this.#nextOfBlock();
    if (inner !== undefined) return inner;
    const offset = this.#offset;
    if (offset >= this.#end) return undefined;
    const header = await this.#headerAt(offset);
    if (header === undefined) return await this.#resynchronise(offset);
    const last = 'sequence' in header ? header.sequence : header.lastSequence;
    if (last > this.#options.sequenceMax) {
      this.#end = offset;
      return undefined;
    }
    const bytes = RECORD_HEADER_BYTES + header.payloadBytes;
    if (bytes > this.#end - offset) {
      return this.#damage(offset, this.#end, { reason: 'the record is cut short', cutShort: true, sequence: last });
    }
    this.#previous = last;
    const scanned = 'sequence' in header ? this.#record(offset, header) : this.#openBlock(offset, header);
    return (await scanned) ?? this.#damage(offset, offset + bytes, { reason: WRONG_CHECKSUM, sequence: last });
  }

  /** Undefined when the payload is damaged. */
  async #record(offset: number, header: RecordHeader): Promise<ScannedRecord | undefined> {
    const bytes = RECORD_HEADER_BYTES + header.payloadBytes;
    const { from, payloads } = this.#options;
    let payload = this.#window.subarray(0, 0);
    if (payloads && header.sequence >= from) {
      payload = (await this.#view(offset, bytes)).subarray(RECORD_HEADER_BYTES);
      if (payload.length < header.payloadBytes || checksum(payload) !== header.payloadCrc) return undefined;
    }
    this.#offset = offset + bytes;
    return { kind: 'record', offset, header, payload, block: undefined };
  }

  /** Undefined when the block is damaged. */
  async #openBlock(offset: number, header: BlockHeader): Promise<ScannedBlock | undefined> {
    const bytes = RECORD_HEADER_BYTES + header.payloadBytes;
    if (header.lastSequence >= this.#options.from) {
      const payload = (await this.#view(offset, bytes)).subarray(RECORD_HEADER_BYTES);
      const content = payload.length < header.payloadBytes ? undefined : this.#decode(header, payload);
      if (content === undefined) return undefined;
      this.#block = { header, offset, content, at: 0 };
    }
    this.#offset = offset + bytes;
    return { kind: 'block', offset, bytes, header };
  }

  #decode(header: BlockHeader, payload: Buffer): Buffer | undefined {
    const { blocks } = this.#options;
    const kept = blocks?.get(header);
    if (kept !== undefined) return kept;
    const content = decodeBlock(header, payload);
    if (content !== undefined) blocks?.keep(header, content);
    return content;
  }

  #nextOfBlock(): ScannedRecord | undefined {
    const block = this.#block;
    if (block === undefined) return undefined;
    const { content, at, offset } = block;
    const header = decodeRecordHeader(content, at, this.#options.seed);
    // The block's checksum was right, so what does not fit here is its end.
    if (header === undefined) {
      this.#block = undefined;
      return undefined;
    }
    const start = at + RECORD_HEADER_BYTES;
    block.at = start + header.payloadBytes;
    return { kind: 'record', offset, header, payload: content.subarray(start, block.at), block: block.header };
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
      const found = view.indexOf(MARKER_PREFIX);
      if (found < 0) {
        from += view.length - (MARKER_PREFIX.length - 1);
      } else if ((await this.#headerAt(from + found)) !== undefined) {
        return this.#damage(offset, from + found, { reason });
      } else {
        from += found + 1;
      }
    }
    return this.#damage(offset, this.#end, { reason, cutShort });
  }

  #damage(
    offset: number,
    end: number,
    about: { reason: string; cutShort?: boolean; sequence?: number },
  ): ScannedDamage {
    this.#offset = end;
    const { reason, cutShort = false, sequence } = about;
    return { kind: 'damage', offset, bytes: end - offset, sequence, cutShort, reason };
  }

  async #headerAt(offset: number): Promise<RecordHeader | BlockHeader | undefined> {
    const view = await this.#view(offset, RECORD_HEADER_BYTES);
    const { seed } = this.#options;
    const record = decodeRecordHeader(view, 0, seed);
    if (record !== undefined) return record.sequence > this.#previous ? record : undefined;
    const block = decodeBlockHeader(view, 0, seed);
    return block !== undefined && block.firstSequence > this.#previous ? block : undefined;
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

/**
 * Writes a closed segment anew, compressed and, where room must be made, with less in it.
 *
 * The new file is complete and on the disk before it takes the old one's name in one step, so whatever crash comes, there
 * is one of them and it is whole. What is damaged in the old file goes to the quarantine first: the new blocks answer
 * for all numbers of the segment.
 */
import type { FileHandle, Files } from '../base/files.ts';
import { MillwrightError } from '../base/errors.ts';
import { addGone, type Gone } from '../model/merge.ts';
import { type Shrinking, shrink } from '../model/shrink.ts';
import { BLOCK_TARGET_BYTES, encodeBlock } from './block.ts';
import {
  checksum,
  encodeRecordHeader,
  encodeSegmentHeader,
  RECORD_HEADER_BYTES,
  type RecordHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
} from './format.ts';
import type { Quarantine } from './quarantine.ts';
import { type ScannedDamage, type ScannedRecord, SegmentScanner, WINDOW_BYTES } from './scanner.ts';
import { Segment } from './segments.ts';

export interface RewriteOptions {
  readonly files: Files;
  readonly folder: string;
  readonly quarantine: Quarantine;
  readonly segment: Segment;
  /** The highest number that stands in the segment. */
  readonly lastSequence: number;
  /** Batches up to this one are needed by nobody: they are left out where room is made. */
  readonly settledThrough: number;
  readonly thinning: number;
  /** undefined: all is kept. */
  readonly how: Shrinking | undefined;
  /** A result that is longer is not worth it. */
  readonly bytesMax: number;
  /** Nothing is merged from before one of these numbers into what comes after. */
  readonly borders: readonly number[];
  /** Told of each write; may throw to give up. */
  readonly onWritten: (bytes: number) => void;
}

export interface Rewritten {
  /** Not in the log yet: its file has the name `temporary`. */
  readonly segment: Segment;
  readonly temporary: string;
  readonly lost: ReadonlyMap<string, Gone>;
  /** Nothing is left of what was in it. */
  readonly isEmpty: boolean;
}

/** Resolves when the new file is on the disk; to undefined when it was not worth it. On failure there is none either. */
export async function rewriteSegment(options: RewriteOptions): Promise<Rewritten | undefined> {
  const { files, folder, segment, bytesMax } = options;
  const temporary = `${folder}/${segment.name}.tmp`;
  await files.remove(temporary);
  const source = await files.open(`${folder}/${segment.name}`, 'read');
  try {
    const target = await files.open(temporary, 'create');
    let rewritten: Omit<Rewritten, 'temporary'>;
    try {
      rewritten = await new Rewriting(options, source, target).run();
      if (rewritten.segment.bytes <= bytesMax) await target.datasync();
    } finally {
      await target.close();
    }
    if (rewritten.segment.bytes <= bytesMax) return { ...rewritten, temporary };
    await files.remove(temporary);
    return undefined;
  } catch (error) {
    await files.remove(temporary).catch(() => {});
    throw error;
  } finally {
    await source.close();
  }
}

/** A batch as it is in a segment. */
interface SegmentRecord {
  readonly header: Pick<RecordHeader, 'sequence' | 'readings' | 'readingsTotal' | 'appendedAtMicros'>;
  readonly payload: Uint8Array;
}

class Rewriting {
  readonly #options: RewriteOptions;
  readonly #source: FileHandle;
  readonly #target: FileHandle;
  readonly #segment: Segment;
  readonly #lost = new Map<string, Gone>();
  #group: SegmentRecord[] = [];
  #groupBytes = 0;
  #firstOfGroup: number;
  /** Of the last record read. */
  #lastRead: number;
  #readingsTotal: number;
  #recordsWritten = 0;

  constructor(options: RewriteOptions, source: FileHandle, target: FileHandle) {
    const { segment, thinning } = options;
    this.#options = options;
    this.#source = source;
    this.#target = target;
    const header: SegmentHeader = { ...segment.header, form: 'compressed', thinning };
    this.#segment = new Segment(header, SEGMENT_HEADER_BYTES);
    this.#firstOfGroup = segment.firstSequence;
    this.#lastRead = segment.firstSequence - 1;
    this.#readingsTotal = segment.header.readingsBefore;
  }

  async run(): Promise<Omit<Rewritten, 'temporary'>> {
    const { segment, lastSequence } = this.#options;
    await this.#target.write([encodeSegmentHeader(this.#segment.header)], 0);
    const scanner = new SegmentScanner({
      handle: this.#source,
      start: SEGMENT_HEADER_BYTES,
      end: segment.bytes,
      seed: segment.seed,
      sequenceAfter: segment.firstSequence - 1,
      sequenceMax: lastSequence,
      from: 0,
      payloads: true,
      window: Buffer.allocUnsafeSlow(WINDOW_BYTES),
    });
    let expected = segment.firstSequence;
    let damage: ScannedDamage[] = [];
    for (let item = await scanner.next(); item !== undefined; item = await scanner.next()) {
      if (item.kind === 'damage') {
        damage.push(item);
        continue;
      }
      const first = item.kind === 'block' ? item.header.firstSequence : item.header.sequence;
      if (first > expected) await this.#destroyed(expected, first - 1, damage);
      damage = [];
      expected = Math.max(expected, (item.kind === 'block' ? item.header.lastSequence : first) + 1);
      if (item.kind === 'record') await this.#take(item);
    }
    if (expected <= lastSequence) await this.#destroyed(expected, lastSequence, damage);
    await this.#closeGroup(lastSequence);
    const isEmpty = this.#options.how !== undefined && this.#recordsWritten === 0;
    return { segment: this.#segment, lost: this.#lost, isEmpty };
  }

  async #take({ header, payload, block }: ScannedRecord): Promise<void> {
    const { how, settledThrough, borders } = this.#options;
    if (how !== undefined && header.sequence <= settledThrough) return;
    const bytes = RECORD_HEADER_BYTES + payload.length;
    const isFull = this.#groupBytes + bytes > BLOCK_TARGET_BYTES;
    const isBorder = borders.some((border) => this.#lastRead < border && border <= header.sequence);
    if (this.#groupBytes > 0 && (isFull || isBorder)) await this.#closeGroup(this.#lastRead);
    this.#group.push({ header, payload: block === undefined ? Buffer.from(payload) : payload });
    this.#groupBytes += bytes;
    this.#lastRead = header.sequence;
    this.#readingsTotal = header.readingsTotal;
  }

  /** Writes one block, which answers for all numbers up to that one. */
  async #closeGroup(lastSequence: number): Promise<void> {
    const records = this.#shrunkGroup();
    const { seed } = this.#segment;
    this.#recordsWritten += records.length;
    const content = encodeRecords(records, seed);
    const range = { firstSequence: this.#firstOfGroup, lastSequence, readingsTotal: this.#readingsTotal };
    const block = encodeBlock(content, range, seed);
    await this.#target.write([block], this.#segment.bytes);
    this.#options.onWritten(block.length);
    this.#segment.note(this.#firstOfGroup - 1, this.#segment.bytes);
    this.#segment.bytes += block.length;
    this.#firstOfGroup = lastSequence + 1;
    this.#group = [];
    this.#groupBytes = 0;
  }

  /** The group with what is given up taken out. A batch keeps its number, also when little of it is left. */
  #shrunkGroup(): readonly SegmentRecord[] {
    const { how } = this.#options;
    if (how === undefined) return this.#group;
    const { messages, lost } = shrink(
      this.#group.map(({ payload }) => payload),
      how,
    );
    for (const [machineId, gone] of lost) addGone(this.#lost, machineId, gone);
    return this.#group.flatMap((record, index) => {
      const message = messages[index] ?? 'unchanged';
      if (message === 'unchanged') return [record];
      const { payload, readings } = message;
      return readings === 0 ? [] : [{ header: { ...record.header, readings }, payload }];
    });
  }

  async #destroyed(first: number, last: number, pieces: readonly ScannedDamage[]): Promise<void> {
    const reason = pieces[0]?.reason ?? 'they are missing';
    const about = { first, last, batches: last - first + 1, segment: this.#segment.name, reason, pieces };
    const isRemembered = await this.#options.quarantine.add(about, this.#source);
    // The new file would say that nothing is missing.
    if (!isRemembered) throw new MillwrightError('storage_failed', 'damage could not be written down');
  }
}

function encodeRecords(records: readonly SegmentRecord[], seed: number): Buffer {
  const bytes = records.reduce((sum, { payload }) => sum + RECORD_HEADER_BYTES + payload.length, 0);
  const content = Buffer.allocUnsafeSlow(bytes);
  let at = 0;
  for (const { header, payload } of records) {
    const payloadFields = { payloadBytes: payload.length, payloadCrc: checksum(payload) };
    encodeRecordHeader(content, at, { ...header, ...payloadFields }, seed);
    content.set(payload, at + RECORD_HEADER_BYTES);
    at += RECORD_HEADER_BYTES + payload.length;
  }
  return content;
}

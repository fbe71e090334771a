/** What is done to the files of an edge's log while the edge is down. */
import { appendFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Random } from '../../src/base/random.ts';
import {
  blocksIn,
  cutRecord,
  epochOf,
  parseSegmentName,
  RECORD_HEADER_BYTES,
  recordsIn,
  SEGMENT_HEADER_BYTES,
  type SegmentRecord,
} from './segment-records.ts';

/** Batches that a flipped bit may have destroyed. */
export interface Excused {
  /** null: of any epoch. */
  readonly epoch: string | null;
  readonly first: number;
  readonly last: number;
}

export interface SegmentFile {
  readonly file: string;
  readonly firstSequence: number;
}

/** Oldest first. */
export function segmentsOf(logFolder: string): SegmentFile[] {
  const names = readdirSync(logFolder).sort();
  return names.flatMap((name) => {
    const firstSequence = parseSegmentName(name);
    return firstSequence === undefined ? [] : [{ file: path.join(logFolder, name), firstSequence }];
  });
}

/** The sequence up to which the sink's cursor is saved; 0 when it is not. */
export function savedPosition(logFolder: string, sink: string): number {
  try {
    const [line = ''] = readFileSync(path.join(logFolder, 'cursors', `${sink}.cursor`), 'utf8').split('\n');
    return (JSON.parse(line) as { position: number }).position;
  } catch {
    return 0;
  }
}

/** As a power cut may leave it: the newest segment ends with what is no whole record. @returns what was added */
export function tearTail(logFolder: string, random: Random): string {
  const newest = segmentsOf(logFolder).at(-1);
  if (newest === undefined) throw new Error('there is no segment');
  const bytes = readFileSync(newest.file);
  const length = 1 + Math.floor(random() * 3_000);
  const noise = Buffer.from(Uint8Array.from({ length }, () => Math.floor(random() * 256)));
  const kind = (['record', 'noise', 'zeros'] as const)[Math.floor(random() * 3)] ?? 'record';
  const tails = {
    record: () => cutRecord(bytes, newest.firstSequence, noise),
    noise: () => noise,
    zeros: () => Buffer.alloc(length),
  };
  appendFileSync(newest.file, tails[kind]());
  return `${kind}, ${length} bytes`;
}

/** Closed segments of which nothing is settled, as far as the saved cursor tells. */
export function closedUnsettled(logFolder: string, sink: string): SegmentFile[] {
  const settled = savedPosition(logFolder, sink);
  return segmentsOf(logFolder)
    .slice(0, -1)
    .filter(({ firstSequence }) => firstSequence > settled);
}

/** Of the places where a bit is flipped: payloads mostly, since they are most of a file, but not only. */
const IN_RECORD_HEADER = 0.25;
const IN_SEGMENT_HEADER = 0.05;

/** Changes one bit of a closed segment. @returns what it may have destroyed; undefined when nothing */
export function flipBit(segment: SegmentFile, next: SegmentFile, random: Random): Excused | undefined {
  const bytes = readFileSync(segment.file);
  const epoch = epochOf(bytes);
  const records =
    epoch === undefined
      ? []
      : recordsIn(bytes, { epoch, offset: SEGMENT_HEADER_BYTES }).filter(
          ({ sequence }) => sequence < next.firstSequence,
        );
  const blocks = blocksIn(bytes, epoch ?? '');
  const offset = placeOfFlip(bytes, records, random);
  const before = bytes[offset] ?? 0;
  bytes[offset] = before ^ (1 << Math.floor(random() * 8));
  writeFileSync(segment.file, bytes, { flag: 'r+' });
  // A segment is found by its name, and read by the epoch in the log's identity.
  if (offset < SEGMENT_HEADER_BYTES) return undefined;
  const hit = records.find((record) => record.offset <= offset && offset < record.end);
  if (hit !== undefined) return { epoch: hit.epoch, first: hit.sequence, last: hit.sequence };
  const block = blocks.find((one) => one.offset <= offset && offset < one.end);
  if (block !== undefined) return { epoch: epoch ?? null, first: block.first, last: block.last };
  const first = (records.at(-1)?.sequence ?? segment.firstSequence - 1) + 1;
  return first < next.firstSequence ? { epoch: null, first, last: next.firstSequence - 1 } : undefined;
}

function placeOfFlip(bytes: Buffer, records: readonly SegmentRecord[], random: Random): number {
  const choice = random();
  const record = records[Math.floor(random() * records.length)];
  if (choice < IN_SEGMENT_HEADER) return Math.floor(random() * SEGMENT_HEADER_BYTES);
  if (choice < IN_SEGMENT_HEADER + IN_RECORD_HEADER && record !== undefined) {
    return record.offset + Math.floor(random() * RECORD_HEADER_BYTES);
  }
  return SEGMENT_HEADER_BYTES + Math.floor(random() * (bytes.length - SEGMENT_HEADER_BYTES));
}

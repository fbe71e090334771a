/**
 * The segments of a log in memory: one small object each, whatever the number of batches behind it.
 *
 * Each has a sparse index (a place every so many bytes), filled in as writer and readers pass by, so that a reader that
 * starts anywhere reads over little.
 */
import { epochSeed, SEGMENT_HEADER_BYTES, type SegmentHeader, segmentName } from './format.ts';

/** Places remembered in one segment. */
const PLACES_MAX = 32;

/** A record or block boundary: what begins at `offset` is the first after sequence `after`. */
export interface Place {
  readonly after: number;
  readonly offset: number;
}

export class Segment {
  readonly name: string;
  readonly header: SegmentHeader;
  readonly firstSequence: number;
  /** What the checksums of its record headers start from. */
  readonly seed: number;
  /** Length of the part that is on the disk and belongs to the log. */
  bytes: number;
  /** When batches of it were last handed out, by the monotonic clock. */
  readAtMs: number = Number.NEGATIVE_INFINITY;
  #places: Place[] = [];
  /** Bytes between two places; doubled when there are many. */
  #strideBytes: number = 64 * 1024;

  constructor(header: SegmentHeader, bytes: number) {
    this.name = segmentName(header.firstSequence);
    this.header = header;
    this.firstSequence = header.firstSequence;
    this.seed = epochSeed(header.epoch);
    this.bytes = bytes;
  }

  /** A record or block begins at `offset`, and all those before it have sequences up to `after`. */
  note(after: number, offset: number): void {
    const lastOffset = this.#places.at(-1)?.offset ?? SEGMENT_HEADER_BYTES;
    if (offset < lastOffset + this.#strideBytes) return;
    this.#places.push({ after, offset });
    if (this.#places.length < PLACES_MAX) return;
    this.#places = this.#places.filter((_, index) => index % 2 === 1);
    this.#strideBytes *= 2;
  }

  /** The nearest known place from which the first record at or after `sequence` is found by going on. */
  placeOf(sequence: number): Place {
    const place = this.#places.findLast(({ after }) => after < sequence);
    return place ?? { after: this.firstSequence - 1, offset: SEGMENT_HEADER_BYTES };
  }
}

export class Segments {
  #all: Segment[];
  #bytes: number;

  constructor(all: Segment[]) {
    this.#all = all;
    this.#bytes = all.reduce((sum, segment) => sum + segment.bytes, 0);
  }

  get count(): number {
    return this.#all.length;
  }

  get first(): Segment | undefined {
    return this.#all[0];
  }

  get last(): Segment | undefined {
    return this.#all.at(-1);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Oldest first. */
  get all(): readonly Segment[] {
    return this.#all;
  }

  add(segment: Segment): void {
    this.#all.push(segment);
    this.#bytes += segment.bytes;
  }

  /** So many bytes were appended to the segment. */
  grow(segment: Segment, bytes: number): void {
    segment.bytes += bytes;
    this.#bytes += bytes;
  }

  /** Puts another form of the same batches in the segment's place; false when it is gone. */
  replace(segment: Segment, other: Segment): boolean {
    const index = this.#all.indexOf(segment);
    if (index < 0) return false;
    this.#bytes += other.bytes - segment.bytes;
    this.#all[index] = other;
    return true;
  }

  removeFirst(): void {
    this.#bytes -= this.#all.shift()?.bytes ?? 0;
  }

  /** The segments whose every batch is at or below `sequence`, each with the one after it; never the last. */
  settledThrough(sequence: number): [Segment, Segment][] {
    const settled: [Segment, Segment][] = [];
    for (const [index, segment] of this.#all.entries()) {
      const next = this.#all[index + 1];
      if (next === undefined || next.firstSequence - 1 > sequence) break;
      settled.push([segment, next]);
    }
    return settled;
  }

  /** The segment in which `sequence` lies or, when it is older than all, the first one; and those after it. */
  from(sequence: number): Segment[] {
    const next = this.#all.findIndex(({ firstSequence }) => firstSequence > sequence);
    return this.#all.slice(next < 0 ? -1 : Math.max(0, next - 1));
  }

  /** The highest sequence that may stand in the segment; `lastSequence` is the log's. */
  lastSequenceOf(segment: Segment, lastSequence: number): number {
    const next = this.#all[this.#all.indexOf(segment) + 1];
    return next === undefined ? lastSequence : next.firstSequence - 1;
  }
}

/**
 * The segments of a log in memory: one small object each, whatever the number of batches behind it.
 *
 * Each has a sparse index (a place every so many bytes), filled in as writer and readers pass by, so that a reader that
 * starts anywhere reads over little.
 */
import { SEGMENT_HEADER_BYTES, segmentName } from './format.ts';

/** Places remembered in one segment. */
const PLACES_MAX = 32;

/** A record boundary: the record at `offset` is the first one after sequence `after`. */
export interface Place {
  readonly after: number;
  readonly offset: number;
}

export class Segment {
  readonly name: string;
  readonly firstSequence: number;
  /** Length of the part that is on the disk and belongs to the log. */
  bytes: number;
  readonly #strideBytes: number;
  readonly #places: Place[] = [];

  constructor({
    firstSequence,
    bytes,
    segmentBytesMax,
  }: {
    firstSequence: number;
    bytes: number;
    segmentBytesMax: number;
  }) {
    this.name = segmentName(firstSequence);
    this.firstSequence = firstSequence;
    this.bytes = bytes;
    this.#strideBytes = segmentBytesMax / PLACES_MAX;
  }

  /** A record begins at `offset`, and all those before it have sequences up to `after`. */
  note(after: number, offset: number): void {
    const lastOffset = this.#places.at(-1)?.offset ?? SEGMENT_HEADER_BYTES;
    if (offset >= lastOffset + this.#strideBytes && this.#places.length < PLACES_MAX) {
      this.#places.push({ after, offset });
    }
  }

  /** The nearest known place from which the first record at or after `sequence` is found by going on. */
  placeOf(sequence: number): Place {
    const place = this.#places.findLast(({ after }) => after < sequence);
    return place ?? { after: this.firstSequence - 1, offset: SEGMENT_HEADER_BYTES };
  }
}

export class Segments {
  #all: Segment[];

  constructor(all: Segment[]) {
    this.#all = all;
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
    return this.#all.reduce((sum, segment) => sum + segment.bytes, 0);
  }

  add(segment: Segment): void {
    this.#all.push(segment);
  }

  removeFirst(): void {
    this.#all.shift();
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

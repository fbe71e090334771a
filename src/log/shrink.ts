/**
 * Makes batches smaller for a log that is full: merges their samples into wider intervals, or takes readings out. A batch
 * keeps its number, also when little of it is left. Pure.
 */
import { decodeMessage, encodeFrame } from '../model/frame.ts';
import { addGone, type Gone, thinSamples } from '../model/merge.ts';
import { kindOf, type Reading, type ReadingKind } from '../model/reading.ts';
import type { RecordHeader } from './format.ts';

export type Shrinking =
  /** Samples of one machine in one interval of that width become one. */
  | { readonly kind: 'thin'; readonly widthMicros: number }
  /** Readings of these kinds are taken out. */
  | { readonly kind: 'drop'; readonly kinds: readonly ReadingKind[] };

/** A batch as it is in a segment. */
export interface SegmentRecord {
  readonly header: Pick<RecordHeader, 'sequence' | 'readings' | 'readingsTotal' | 'appendedAtMicros'>;
  readonly payload: Uint8Array;
}

export interface Shrunk {
  /** Those that still have a reading, in order. */
  readonly records: readonly SegmentRecord[];
  readonly lost: ReadonlyMap<string, Gone>;
}

/** @param records neighbours, in order; their payloads are messages of frames */
export function shrink(records: readonly SegmentRecord[], how: Shrinking): Shrunk {
  const readings: Reading[] = [];
  const ends: number[] = [];
  const untouchable = new Set<SegmentRecord>();
  for (const record of records) {
    const decoded = decodeMessage(record.payload);
    // What a hub will refuse is its dead letter, not ours to judge.
    if (decoded.faults.length > 0) untouchable.add(record);
    else for (const reading of decoded.readings) readings.push(reading);
    ends.push(readings.length);
  }
  const { places, merged } = how.kind === 'thin' ? thinSamples(readings, how) : withoutKinds(readings, how.kinds);
  const kept: SegmentRecord[] = [];
  for (const [index, record] of records.entries()) {
    const start = index === 0 ? 0 : (ends[index - 1] ?? 0);
    const end = ends[index] ?? start;
    if (untouchable.has(record)) kept.push(record);
    else kept.push(...rewritten(record, { before: readings.slice(start, end), after: places.slice(start, end) }));
  }
  return { records: kept, lost: merged };
}

function rewritten(
  record: SegmentRecord,
  { before, after }: { before: readonly Reading[]; after: readonly (Reading | undefined)[] },
): SegmentRecord[] {
  if (before.every((reading, index) => reading === after[index])) return [record];
  const kept = after.filter((reading) => reading !== undefined);
  if (kept.length === 0) return [];
  const payload = Buffer.concat(kept.map(encodeFrame));
  return [{ header: { ...record.header, readings: kept.length }, payload }];
}

function withoutKinds(
  readings: readonly Reading[],
  kinds: readonly ReadingKind[],
): { places: (Reading | undefined)[]; merged: Map<string, Gone> } {
  const merged = new Map<string, Gone>();
  const places = readings.map((reading) => {
    if (!kinds.includes(kindOf(reading))) return reading;
    const { machine_id: machineId, timestamp } = reading;
    addGone(merged, machineId, { startTime: timestamp, endTime: timestamp, readings: 1 });
    return undefined;
  });
  return { places, merged };
}

/**
 * Makes messages of frames smaller where there is no room for all of it: merges their samples into wider intervals, or
 * takes readings out. Pure.
 */
import { decodeMessage, encodeFrame } from './frame.ts';
import { addGone, type Gone, thinSamples } from './merge.ts';
import { kindOf, type Reading, type ReadingKind } from './reading.ts';

export type Shrinking =
  /** Samples of one machine in one interval of that width become one. */
  | { readonly kind: 'thin'; readonly widthMicros: number }
  /** Readings of these kinds are taken out. */
  | { readonly kind: 'drop'; readonly kinds: readonly ReadingKind[] };

/** `readings` 0: nothing is left of the message. */
export type ShrunkMessage = 'unchanged' | { readonly payload: Uint8Array; readonly readings: number };

export interface Shrunk {
  /** What has become of each message. */
  readonly messages: readonly ShrunkMessage[];
  /** By machine. */
  readonly lost: ReadonlyMap<string, Gone>;
}

/** @param payloads messages of frames whose readings follow one another, so that they are merged across messages too */
export function shrink(payloads: readonly Uint8Array[], how: Shrinking): Shrunk {
  const decoded = payloads.map((payload) => {
    const { readings, faults } = decodeMessage(payload);
    // What a hub will refuse is its dead letter, not ours to judge.
    return faults.length > 0 ? undefined : readings;
  });
  const readings = decoded.flatMap((own) => own ?? []);
  const { places, merged } = how.kind === 'thin' ? thinSamples(readings, how) : withoutKinds(readings, how.kinds);
  let at = 0;
  const messages = decoded.map((own): ShrunkMessage => {
    if (own === undefined) return 'unchanged';
    const after = places.slice(at, at + own.length);
    at += own.length;
    if (own.every((reading, index) => reading === after[index])) return 'unchanged';
    const kept = after.filter((reading) => reading !== undefined);
    return { payload: new Uint8Array(Buffer.concat(kept.map(encodeFrame))), readings: kept.length };
  });
  return { messages, lost: merged };
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

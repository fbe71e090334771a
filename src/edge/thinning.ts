/** Takes readings out of a batch that is already encoded. Only for when the log cannot keep up, so it may be slow. */
import { decodeMessage, encodeFrame } from '../model/frame.ts';
import { kindOf, type Reading } from '../model/reading.ts';

export interface ThinnedBatch {
  readonly payload: Uint8Array;
  /** How many readings the payload still holds. */
  readonly kept: number;
  readonly dropped: readonly Reading[];
}

/** The batch without its samples, or without anything. @param payload a message of frames */
export function thinBatch(payload: Uint8Array, what: 'samples' | 'all'): ThinnedBatch {
  const { readings } = decodeMessage(payload);
  const isDropped = (reading: Reading): boolean => what === 'all' || kindOf(reading) === 'sample';
  const kept = readings.filter((reading) => !isDropped(reading));
  return {
    payload: new Uint8Array(Buffer.concat(kept.map(encodeFrame))),
    kept: kept.length,
    dropped: readings.filter(isDropped),
  };
}

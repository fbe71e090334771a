/** A part of a log, as a person names it: from and to a sequence number, or the time of readings. Both ends belong to it. */
import { MillwrightError } from '../base/errors.ts';
import { decodeMessage } from '../model/frame.ts';
import type { Reading } from '../model/reading.ts';
import { isAtLeast, parseTimestamp, type Timestamp } from '../model/time.ts';
import type { StoredBatch } from './hot.ts';
import type { SequenceRange } from './quarantine.ts';

export interface LogRange {
  readonly sequences: SequenceRange;
  /** By the readings' own timestamps; null: without an end there. */
  readonly fromTime: Timestamp | null;
  readonly toTime: Timestamp | null;
}

/** Either end is a sequence number or an RFC 3339 time; one that is absent is that of the log. @throws bad_request */
export function parseRange({ from = '0', to }: { from?: string | undefined; to?: string | undefined }): LogRange {
  const start = parseEnd('--from', from);
  const end = to === undefined ? Number.MAX_SAFE_INTEGER : parseEnd('--to', to);
  const isBackwards =
    typeof start === 'number'
      ? typeof end === 'number' && start > end
      : typeof end === 'string' && !isAtLeast(end, start);
  if (isBackwards) throw new MillwrightError('bad_request', `--from ${from} is after --to ${to}`);
  return {
    sequences: {
      first: typeof start === 'number' ? start : 0,
      last: typeof end === 'number' ? end : Number.MAX_SAFE_INTEGER,
    },
    fromTime: typeof start === 'number' ? null : start,
    toTime: typeof end === 'number' ? null : end,
  };
}

function parseEnd(option: string, text: string): number | Timestamp {
  const end = /^\d{1,15}$/.test(text) ? Number(text) : parseTimestamp(text);
  if (end !== undefined) return end;
  const allowed = 'a sequence number, or a time with its zone such as 2026-01-01T08:00:00Z';
  throw new MillwrightError('bad_request', `${option}: found ${JSON.stringify(text)}; allowed: ${allowed}`);
}

export function includesReading({ fromTime, toTime }: LogRange, { timestamp }: Reading): boolean {
  return (fromTime === null || isAtLeast(timestamp, fromTime)) && (toTime === null || isAtLeast(toTime, timestamp));
}

/** Whether any of the batch's readings is in the range; its sequence is. */
export function includesBatch(range: LogRange, { payload }: StoredBatch): boolean {
  if (range.fromTime === null && range.toTime === null) return true;
  return decodeMessage(payload).readings.some((reading) => includesReading(range, reading));
}

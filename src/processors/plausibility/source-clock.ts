/**
 * Whether a source's own time can be believed: a PLC whose battery is flat says the year 1970 or 2000, one with the wrong
 * zone says an hour that is still to come.
 *
 * A reading with such a time gets the gateway's, so that it stands where it belongs; the source's is kept beside it.
 */
import type { Reading } from '../../model/reading.ts';
import { microsOf, type Timestamp, timestampOf } from '../../model/time.ts';
import type { ClockRule } from './options.ts';

/** In a sample as an extra, in an event or a measurement among its `details`. */
export const SOURCE_TIME_KEY = 'source_time';

/** @returns what is wrong with the source's time, as a sentence; undefined: nothing */
export function clockFault(rule: ClockRule, timestamp: Timestamp, nowMicros: number): string | undefined {
  // A gateway that has not heard of the time itself can judge nobody's.
  if (nowMicros < rule.notBeforeMicros) return undefined;
  const micros = microsOf(timestamp);
  if (micros < rule.notBeforeMicros) return `the source's clock says ${timestamp}: it was never set`;
  const aheadMs = (micros - nowMicros) / 1000;
  if (aheadMs > rule.futureMs) return `the source's clock is ${inSeconds(aheadMs)} ahead of the gateway's`;
  if (rule.pastMs === null || -aheadMs <= rule.pastMs) return undefined;
  return `the source's clock is ${inSeconds(-aheadMs)} behind the gateway's`;
}

/** The reading at the gateway's time, with the source's beside it. */
export function atGatewayTime<Kind extends Reading>(reading: Kind, nowMicros: number): Kind {
  const times = { timestamp: timestampOf(nowMicros), clock_quality: 'unsynchronized' } as const;
  const source = { [SOURCE_TIME_KEY]: reading.timestamp };
  if (reading.kind === 'event' || reading.kind === 'measurement') {
    return { ...reading, ...times, details: { ...reading.details, ...source } };
  }
  return { ...reading, ...times, ...source };
}

function inSeconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}

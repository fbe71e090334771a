/**
 * Timestamps, kept to the microsecond.
 *
 * A timestamp travels as text in one canonical form, `2026-01-01T08:00:00.123456Z` (UTC, 0 to 6 decimals), so that
 * nothing is lost in a JavaScript `Date`, which holds milliseconds only. Where arithmetic is needed it is a number of
 * microseconds since 1970 (a safe integer until the year 2255).
 */

/** RFC 3339 text in UTC, with at most 6 decimals and a `Z`. Two timestamps of six decimals compare as text. */
export type Timestamp = string;

const CANONICAL = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?Z$/;
const RFC_3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,12}))?(?:([Zz])|([+-])(\d\d):?(\d\d))?$/;

const DAYS_IN_MONTH = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const;

/**
 * Reads an RFC 3339 timestamp.
 *
 * Digits beyond the microsecond are cut, not rounded, so that a reading never moves into the future.
 * @returns the canonical text, or undefined when it is not a valid time or has no zone and none is assumed
 */
export function parseTimestamp(
  text: string,
  { assumeUtc = false }: { assumeUtc?: boolean } = {},
): Timestamp | undefined {
  const quick = CANONICAL.exec(text);
  if (quick !== null) return isCalendarTime(quick) ? text : undefined;
  const match = RFC_3339.exec(text);
  if (match === null || !isCalendarTime(match)) return undefined;
  const [, year, month, day, hour, minute, second, fraction = '', zulu, sign, zoneHours, zoneMinutes] = match;
  if (zulu === undefined && sign === undefined && !assumeUtc) return undefined;
  const micros = fraction.slice(0, 6).padEnd(6, '0');
  if (sign === undefined) return `${year}-${month}-${day}T${hour}:${minute}:${second}.${micros}Z`;
  if (Number(zoneHours) > 23 || Number(zoneMinutes) > 59) return undefined;
  const offsetMs = (sign === '-' ? -1 : 1) * (Number(zoneHours) * 60 + Number(zoneMinutes)) * 60_000;
  const utc = new Date(Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`) - offsetMs);
  if (Number.isNaN(utc.getTime()) || utc.getUTCFullYear() < 1 || utc.getUTCFullYear() > 9999) return undefined;
  return `${utc.toISOString().slice(0, 19)}.${micros}Z`;
}

function isCalendarTime(match: RegExpExecArray): boolean {
  const year = Number(match[1]);
  const month = Number(match[2]);
  const day = Number(match[3]);
  if (year === 0 || month < 1 || month > 12 || day < 1 || day > (DAYS_IN_MONTH[month - 1] ?? 0)) return false;
  if (month === 2 && day === 29 && !(year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0))) return false;
  return Number(match[4]) < 24 && Number(match[5]) < 60 && Number(match[6]) < 60;
}

/** Microseconds since 1970-01-01T00:00:00Z of a canonical timestamp. */
export function microsOf(timestamp: Timestamp): number {
  const wholeMs = Date.parse(`${timestamp.slice(0, 19)}Z`);
  const fraction = timestamp.length > 20 ? timestamp.slice(20, -1) : '';
  return wholeMs * 1000 + Number(fraction.padEnd(6, '0'));
}

/** The canonical text, with six decimals, of a number of microseconds since 1970. */
export function timestampOf(micros: number): Timestamp {
  const whole = Math.floor(micros);
  // A remainder is exact where a quotient of so many digits is rounded.
  const rest = ((whole % 1e6) + 1e6) % 1e6;
  const seconds = (whole - rest) / 1e6;
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${String(rest).padStart(6, '0')}Z`;
}

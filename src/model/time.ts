/**
 * Timestamps, kept to the microsecond.
 *
 * A timestamp travels as text in one canonical form, `2026-01-01T08:00:00.123456Z` (UTC, 0 to 6 decimals), so that
 * nothing is lost in a JavaScript `Date`, which holds milliseconds only. Where arithmetic is needed it is a number of
 * microseconds since 1970 (a safe integer until the year 2255).
 */

/** RFC 3339 text in UTC, with at most 6 decimals and a `Z`. Two timestamps of six decimals compare as text. */
export type Timestamp = string;

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
  if (isCanonical(text)) return text;
  const match = RFC_3339.exec(text);
  if (match === null || !isCalendarDay(Number(match[1]), Number(match[2]), Number(match[3]))) return undefined;
  if (!isTimeOfDay(text)) return undefined;
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

/** Whether the text is a valid time in the canonical form. Without a regular expression: it runs for every reading. */
function isCanonical(text: string): boolean {
  const length = text.length;
  if (length < 20 || length > 27 || length === 21 || text.charCodeAt(length - 1) !== 0x5a) return false;
  if (text.charCodeAt(4) !== 0x2d || text.charCodeAt(7) !== 0x2d || text.charCodeAt(10) !== 0x54) return false;
  if (text.charCodeAt(13) !== 0x3a || text.charCodeAt(16) !== 0x3a) return false;
  if (length > 20 && text.charCodeAt(19) !== 0x2e) return false;
  for (let index = 20; index < length - 1; index += 1) {
    const digit = text.charCodeAt(index) - 48;
    if (digit < 0 || digit > 9) return false;
  }
  const year = twoDigits(text, 0) * 100 + twoDigits(text, 2);
  return isCalendarDay(year, twoDigits(text, 5), twoDigits(text, 8)) && isTimeOfDay(text);
}

function isTimeOfDay(text: string): boolean {
  // Not a number is smaller than nothing.
  return twoDigits(text, 11) < 24 && twoDigits(text, 14) < 60 && twoDigits(text, 17) < 60;
}

/** NaN where there are no two digits. */
function twoDigits(text: string, index: number): number {
  const tens = text.charCodeAt(index) - 48;
  const ones = text.charCodeAt(index + 1) - 48;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : Number.NaN;
}

function isCalendarDay(year: number, month: number, day: number): boolean {
  if (!(year > 0 && month >= 1 && month <= 12 && day >= 1 && day <= (DAYS_IN_MONTH[month - 1] ?? 0))) return false;
  return !(month === 2 && day === 29 && !(year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)));
}

/** Microseconds since 1970-01-01T00:00:00Z of a canonical timestamp. */
export function microsOf(timestamp: Timestamp): number {
  const wholeMs = Date.parse(`${timestamp.slice(0, 19)}Z`);
  const fraction = timestamp.length > 20 ? timestamp.slice(20, -1) : '';
  return wholeMs * 1000 + Number(fraction.padEnd(6, '0'));
}

/** The first instant that a timestamp can tell, and the one after the last. */
const [FIRST_MICROS, BEYOND_MICROS] = [-62_135_596_800e6, 253_402_300_800e6] as const;

/**
 * The canonical text, with six decimals, of a number of microseconds since 1970. What four digits of a year cannot say,
 * such as three days before the year 1, becomes the nearest that they can.
 */
export function timestampOf(micros: number): Timestamp {
  if (micros < FIRST_MICROS) return '0001-01-01T00:00:00.000000Z';
  if (micros >= BEYOND_MICROS) return '9999-12-31T23:59:59.999999Z';
  const whole = Math.floor(micros);
  // A remainder is exact where a quotient of so many digits is rounded.
  const rest = ((whole % 1e6) + 1e6) % 1e6;
  const seconds = (whole - rest) / 1e6;
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${String(rest).padStart(6, '0')}Z`;
}

/** Whether `a` is not before `b`; an empty text is before all. Canonical timestamps may differ in their decimals. */
export function isAtLeast(a: Timestamp, b: Timestamp): boolean {
  return a.length === b.length ? a >= b : sixDecimals(a) >= sixDecimals(b);
}

function sixDecimals(timestamp: Timestamp): string {
  if (timestamp === '') return '';
  return `${timestamp.slice(0, 19)}.${timestamp.slice(20, -1).padEnd(6, '0')}`;
}

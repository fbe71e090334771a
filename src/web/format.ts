/** How numbers, ages and times are written on every page. Pure: the plant's zone and the time are passed in. */
import type { JsonValue } from '../model/reading.ts';

/** What stands where a value is not known. */
export const MISSING = '—';

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** `42 s`, `12 m 05 s`, `3 h 07 m`, `2 d 4 h`. An age below zero (clocks differ) is `0 s`. */
export function formatAge(ageMs: number | null): string {
  if (ageMs === null || !Number.isFinite(ageMs)) return MISSING;
  const age = Math.max(0, ageMs);
  if (age < MINUTE_MS) return `${Math.floor(age / SECOND_MS)} s`;
  if (age < HOUR_MS)
    return `${Math.floor(age / MINUTE_MS)} m ${twoDigits(Math.floor((age % MINUTE_MS) / SECOND_MS))} s`;
  if (age < DAY_MS) return `${Math.floor(age / HOUR_MS)} h ${twoDigits(Math.floor((age % HOUR_MS) / MINUTE_MS))} m`;
  return `${Math.floor(age / DAY_MS)} d ${Math.floor((age % DAY_MS) / HOUR_MS)} h`;
}

/** How long something will take, as one says it: `under a minute`, `about 4 min`, `about 3 h`, `about 2 d`. */
export function formatAbout(seconds: number): string {
  const ms = seconds * SECOND_MS;
  if (ms < MINUTE_MS) return 'under a minute';
  if (ms < 90 * MINUTE_MS) return `about ${Math.round(ms / MINUTE_MS)} min`;
  if (ms < 36 * HOUR_MS) return `about ${Math.round(ms / HOUR_MS)} h`;
  return `about ${Math.round(ms / DAY_MS)} d`;
}

/** A number with fixed decimals and a true minus sign; `-0.0` is `0.0`. */
export function formatNumber(value: number | null | undefined, decimals: number): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return MISSING;
  const text = Math.abs(value).toFixed(decimals);
  return value < 0 && Number(text) !== 0 ? `−${text}` : text;
}

/** A signal's value: numbers with the signal's decimals, text as it is, anything else as JSON. */
export function formatValue(value: JsonValue | undefined, decimals: number): string {
  if (value === null || value === undefined || value === '') return MISSING;
  if (typeof value === 'number') return formatNumber(value, decimals);
  if (typeof value === 'string') return value;
  return JSON.stringify(value);
}

/** A whole number, its thousands divided by a narrow space that does not break: `1 284 417`. */
export function formatCount(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return MISSING;
  const digits = formatNumber(Math.round(value), 0);
  return digits.replace(/\d(?=(\d{3})+$)/g, '$&\u202f');
}

/** `512 B`, `24.3 KB`, `1.2 GB`; powers of 1000, as disks are sold. */
export function formatBytes(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined || !Number.isFinite(bytes)) return MISSING;
  if (bytes < 1000) return `${Math.round(bytes)} B`;
  const units = ['KB', 'MB', 'GB', 'TB'];
  let value = bytes / 1000;
  let unit = 0;
  // 999.95 would be written as 1000.0.
  while (value >= 999.95 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value.toFixed(1)} ${units[unit]}`;
}

/** Readings a second: one decimal below 100, whole above. */
export function formatRate(perSecond: number | null | undefined): string {
  if (perSecond === null || perSecond === undefined || !Number.isFinite(perSecond)) return MISSING;
  return perSecond < 99.95 ? formatNumber(perSecond, 1) : formatCount(perSecond);
}

/** A difference of clocks: `+12 ms`, `−3.4 s`. */
export function formatOffset(seconds: number): string {
  const sign = seconds < 0 ? '−' : '+';
  const magnitude = Math.abs(seconds);
  if (magnitude < 0.9995) return `${sign}${Math.round(magnitude * 1000)} ms`;
  if (magnitude < 60) return `${sign}${magnitude.toFixed(1)} s`;
  return `${sign}${formatAge(magnitude * 1000)}`;
}

/** Writes instants in the plant's time zone, 24-hour clock, ISO dates. */
export interface PlantTime {
  /** IANA name. */
  readonly zone: string;
  /** `14:03:07` */
  time(ms: number): string;
  /** `14:03` */
  minute(ms: number): string;
  /** `2026-11-21` */
  date(ms: number): string;
  /** `2026-11-21 14:03:07` */
  dateTime(ms: number): string;
  /** `14:03:07` on the day of `nowMs`, else with the date before it. */
  near(ms: number, nowMs: number): string;
}

/** @param zone IANA name; UTC is used, and said, where the browser does not know it. */
export function plantTime(zone: string): PlantTime {
  const format = formatterOf(zone);
  const parts = (ms: number): Record<string, string> => {
    const named: Record<string, string> = {};
    for (const { type, value } of format.formatToParts(ms)) named[type] = value;
    return named;
  };
  const date = (ms: number): string => {
    const { year, month, day } = parts(ms);
    return `${year?.padStart(4, '0')}-${month}-${day}`;
  };
  const time = (ms: number): string => {
    const { hour, minute, second } = parts(ms);
    return `${hour}:${minute}:${second}`;
  };
  const dateTime = (ms: number): string => `${date(ms)} ${time(ms)}`;
  return {
    zone: format.resolvedOptions().timeZone,
    time,
    minute: (ms) => time(ms).slice(0, 5),
    date,
    dateTime,
    near: (ms, nowMs) => (date(ms) === date(nowMs) ? time(ms) : dateTime(ms)),
  };
}

function formatterOf(timeZone: string): Intl.DateTimeFormat {
  const options = {
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  } as const;
  try {
    return new Intl.DateTimeFormat('en-GB', { ...options, timeZone });
  } catch {
    return new Intl.DateTimeFormat('en-GB', { ...options, timeZone: 'UTC' });
  }
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}

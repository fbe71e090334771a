/** Times as files write them. Pure. */
import { parseTimestamp, type Timestamp, timestampOf } from '../../model/time.ts';

/** What a pattern may hold, and what it stands for. A single letter takes one digit or two. */
const TOKENS: Readonly<Record<string, { readonly part: Part; readonly digits: string }>> = {
  yyyy: { part: 'year', digits: '\\d{4}' },
  MM: { part: 'month', digits: '\\d{2}' },
  M: { part: 'month', digits: '\\d{1,2}' },
  dd: { part: 'day', digits: '\\d{2}' },
  d: { part: 'day', digits: '\\d{1,2}' },
  HH: { part: 'hour', digits: '\\d{2}' },
  H: { part: 'hour', digits: '\\d{1,2}' },
  hh: { part: 'hour', digits: '\\d{2}' },
  h: { part: 'hour', digits: '\\d{1,2}' },
  mm: { part: 'minute', digits: '\\d{2}' },
  m: { part: 'minute', digits: '\\d{1,2}' },
  ss: { part: 'second', digits: '\\d{2}' },
  s: { part: 'second', digits: '\\d{1,2}' },
  S: { part: 'fraction', digits: '\\d{1,9}' },
  a: { part: 'half', digits: '[AaPp][Mm]' },
};
type Part = 'year' | 'month' | 'day' | 'hour' | 'minute' | 'second' | 'fraction' | 'half';
const TOKEN = /yyyy|MM?|dd?|HH?|hh?|mm?|ss?|S+|a/g;
/** One with the least that a time needs. */
const NEEDED = ['year', 'month', 'day', 'hour', 'minute'] as const;

const WITHOUT_ZONE = /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?$/;

interface WallTime {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  /** Up to six digits. */
  readonly fraction: string;
}

export type TimeReader = (text: string) => Timestamp | undefined;

/**
 * How to read times of a format: `iso`, `unix_s`, `unix_ms`, or a pattern.
 * @param zone of those that name none: `UTC`, `+02:00`, or an IANA name
 * @returns undefined when the pattern cannot be one
 */
export function timeReader(format: string, zone: string): TimeReader | undefined {
  if (format === 'iso') return (text) => isoTime(text.trim(), zone);
  if (format === 'unix_s') return (text) => unixTime(text, 1e6);
  if (format === 'unix_ms') return (text) => unixTime(text, 1e3);
  const parts: Part[] = [];
  let source = '';
  let at = 0;
  for (const match of format.matchAll(TOKEN)) {
    const token = TOKENS[match[0].startsWith('S') ? 'S' : match[0]];
    if (token === undefined || parts.includes(token.part)) return undefined;
    source += `${escaped(format.slice(at, match.index))}(${token.digits})`;
    parts.push(token.part);
    at = match.index + match[0].length;
  }
  if (!NEEDED.every((part) => parts.includes(part))) return undefined;
  const pattern = new RegExp(`^${source}${escaped(format.slice(at))}$`);
  return (text) => patternTime(text.trim(), { pattern, parts, zone });
}

/** With a zone of its own, or without one in `zone`. */
export function isoTime(text: string, zone: string): Timestamp | undefined {
  const own = parseTimestamp(text);
  if (own !== undefined) return own;
  const match = WITHOUT_ZONE.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second = '0', fraction = ''] = match;
  const numbers = { year, month, day, hour, minute, second };
  return inZone({ ...(mapNumbers(numbers) as Omit<WallTime, 'fraction'>), fraction }, zone);
}

/** Whether the zone is one that this machine knows. */
export function isZone(zone: string): boolean {
  if (/^(UTC|Z|[+-]\d\d:\d\d)$/.test(zone)) return true;
  try {
    return new Intl.DateTimeFormat('en', { timeZone: zone }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

function mapNumbers(texts: Readonly<Record<string, string | undefined>>): Record<string, number> {
  return Object.fromEntries(Object.entries(texts).map(([key, text]) => [key, Number(text)]));
}

function unixTime(text: string, micros: number): Timestamp | undefined {
  const number = text.trim() === '' ? Number.NaN : Number(text.replace(',', '.'));
  // Beyond the year 2255 a number of microseconds is not exact.
  return number >= 0 && number * micros < Number.MAX_SAFE_INTEGER
    ? timestampOf(Math.round(number * micros))
    : undefined;
}

function patternTime(
  text: string,
  { pattern, parts, zone }: { pattern: RegExp; parts: readonly Part[]; zone: string },
): Timestamp | undefined {
  const match = pattern.exec(text);
  if (match === null) return undefined;
  const value = (part: Part): string | undefined => match[parts.indexOf(part) + 1];
  const number = (part: Part): number => (parts.includes(part) ? Number(value(part)) : 0);
  const half = parts.includes('half') ? value('half')?.toLowerCase() : undefined;
  let hour = number('hour');
  if (half !== undefined) {
    if (hour < 1 || hour > 12) return undefined;
    hour = (hour % 12) + (half === 'pm' ? 12 : 0);
  }
  const fraction = parts.includes('fraction') ? (value('fraction') ?? '') : '';
  const [year, month, day, minute, second] = (['year', 'month', 'day', 'minute', 'second'] as const).map(number);
  return inZone(
    { year: year ?? 0, month: month ?? 0, day: day ?? 0, hour, minute: minute ?? 0, second: second ?? 0, fraction },
    zone,
  );
}

/** Where clocks are set back, an hour happens twice: the earlier one is taken. */
function inZone(wall: WallTime, zone: string): Timestamp | undefined {
  const two = (value: number): string => String(value).padStart(2, '0');
  const date = `${String(wall.year).padStart(4, '0')}-${two(wall.month)}-${two(wall.day)}`;
  const local = `${date}T${two(wall.hour)}:${two(wall.minute)}:${two(wall.second)}`;
  const decimals = wall.fraction === '' ? '' : `.${wall.fraction}`;
  if (zone === 'UTC' || zone === 'Z') return parseTimestamp(`${local}${decimals}Z`);
  if (/^[+-]\d\d:\d\d$/.test(zone)) return parseTimestamp(`${local}${decimals}${zone}`);
  if (parseTimestamp(`${local}Z`) === undefined) return undefined;
  const wallMs = Date.parse(`${local}Z`);
  // The offset a day before and a day after: of the two instants the right one is that which shows this wall time.
  const offsets = [offsetMs(zone, wallMs - 86_400_000), offsetMs(zone, wallMs + 86_400_000)];
  const instants = offsets.map((offset) => wallMs - offset);
  const right = instants.filter((instant) => instant + offsetMs(zone, instant) === wallMs);
  const utcMs = right.length > 0 ? Math.min(...right) : (instants[0] ?? wallMs);
  return parseTimestamp(`${new Date(utcMs).toISOString().slice(0, 19)}${decimals}Z`);
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** What the zone's clocks are ahead of UTC at that instant. */
function offsetMs(zone: string, instantMs: number): number {
  let format = formats.get(zone);
  if (format === undefined) {
    const numeric = 'numeric' as const;
    const fields = { year: numeric, month: numeric, day: numeric, hour: numeric, minute: numeric, second: numeric };
    format = new Intl.DateTimeFormat('en-US', { timeZone: zone, hourCycle: 'h23', ...fields });
    formats.set(zone, format);
  }
  const parts = Object.fromEntries(format.formatToParts(instantMs).map(({ type, value }) => [type, Number(value)]));
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(instantMs / 1000) * 1000;
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\/-]/g, '\\$&');
}

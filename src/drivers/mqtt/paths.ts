/** Places in a JSON value, and in a topic. Pure. */
import type { JsonValue } from '../../model/reading.ts';
import { parseTimestamp, type Timestamp, timestampOf } from '../../model/time.ts';
import type { TimeFormat } from './options.ts';

/** Values of one payload that are named where all are wanted. */
const LEAVES_MAX = 1_000;
const DEPTH_MAX = 8;

export type Path = readonly (string | number)[];

const STEP = /^(?:\["((?:[^"\\]|\\.)*)"\]|\[(\d{1,6})\]|([^.[\]"]+))/;

/** `a.b[0]`, and `["a.b"]` for a key with such characters; undefined for what is no path. */
export function parsePath(text: string): Path | undefined {
  const steps: (string | number)[] = [];
  let rest = text.replace(/^\$\.?/, '');
  while (rest !== '') {
    const match = STEP.exec(rest);
    if (match === null) return undefined;
    const [whole, quoted, index, key] = match;
    if (index !== undefined) steps.push(Number(index));
    else steps.push(key ?? (quoted ?? '').replaceAll(/\\(.)/g, '$1'));
    rest = rest.slice(whole.length);
    if (!rest.startsWith('.')) continue;
    rest = rest.slice(1);
    if (rest === '') return undefined;
  }
  return steps;
}

/** Undefined when there is nothing at the path. */
export function valueAt(value: JsonValue, path: Path): JsonValue | undefined {
  let inner: JsonValue | undefined = value;
  for (const step of path) {
    if (typeof inner !== 'object' || inner === null) return undefined;
    if (Array.isArray(inner)) inner = typeof step === 'number' ? inner[step] : undefined;
    else inner = Object.hasOwn(inner, String(step)) ? inner[String(step)] : undefined;
  }
  return inner;
}

/** Every single value within, by its path: `a.b[0]`. */
export function leavesOf(value: JsonValue): [path: string, value: JsonValue][] {
  const leaves: [string, JsonValue][] = [];
  const walk = (inner: JsonValue, path: string, depth: number): void => {
    if (leaves.length >= LEAVES_MAX || depth > DEPTH_MAX) return;
    if (typeof inner !== 'object' || inner === null) return void leaves.push([path, inner]);
    if (Array.isArray(inner)) {
      for (const [index, item] of inner.entries()) walk(item, `${path}[${index}]`, depth + 1);
      return;
    }
    for (const [key, item] of Object.entries(inner)) walk(item, path === '' ? key : `${path}.${key}`, depth + 1);
  };
  walk(value, '', 0);
  return leaves.filter(([path]) => path !== '');
}

/** `{2}` is the second level of the topic, `{last}` the last; undefined where the topic has no such level. */
export function filledTemplate(template: string, levels: readonly string[]): string | undefined {
  let isWhole = true;
  const text = template.replaceAll(/\{(\d{1,3}|last)\}/g, (_, place: string) => {
    const level = place === 'last' ? levels.at(-1) : levels[Number(place) - 1];
    if (level === undefined || level === '') isWhole = false;
    return level ?? '';
  });
  return isWhole ? text : undefined;
}

/** Whether the topic is one that the filter means (MQTT 5, 4.7). */
export function matches(filter: readonly string[], topic: readonly string[]): boolean {
  // What begins with $ is the broker's own, and wildcards do not mean it.
  if (topic[0]?.startsWith('$') === true && (filter[0] === '+' || filter[0] === '#')) return false;
  for (const [index, level] of filter.entries()) {
    if (level === '#') return true;
    if (index >= topic.length || (level !== '+' && level !== topic[index])) return false;
  }
  return filter.length === topic.length;
}

/** Whether there is a topic that both filters mean. */
export function overlaps(one: readonly string[], other: readonly string[]): boolean {
  const length = Math.max(one.length, other.length);
  for (let index = 0; index <= length; index += 1) {
    const [a, b] = [one[index], other[index]];
    if (a === '#' || b === '#') return true;
    if (a === undefined || b === undefined) return a === b;
    if (a !== '+' && b !== '+' && a !== b) return false;
  }
  return true;
}

/** What a number is taken for whose format is not told: seconds until the year 5138, and so on. */
const LARGEST = { unix_s: 1e11, unix_ms: 1e14, unix_us: 1e17 } as const;
const MICROS: { readonly [format in TimeFormat]: number } = {
  auto: 0,
  iso: 0,
  unix_s: 1e6,
  unix_ms: 1e3,
  unix_us: 1,
  unix_ns: 1e-3,
};

/** Undefined for what is no time in that format. */
export function timeOf(value: JsonValue | undefined, format: TimeFormat): Timestamp | undefined {
  if (typeof value === 'string' && (format === 'iso' || (format === 'auto' && !/^\d+(\.\d+)?$/.test(value)))) {
    return parseTimestamp(value, { assumeUtc: true });
  }
  const number = typeof value === 'string' && /^\d+(\.\d+)?$/.test(value) ? Number(value) : value;
  if (typeof number !== 'number' || format === 'iso' || !Number.isFinite(number) || number < 0) return undefined;
  return timestampOf(Math.round(number * MICROS[format === 'auto' ? formatOf(number) : format]));
}

function formatOf(number: number): TimeFormat {
  if (number < LARGEST.unix_s) return 'unix_s';
  if (number < LARGEST.unix_ms) return 'unix_ms';
  return number < LARGEST.unix_us ? 'unix_us' : 'unix_ns';
}

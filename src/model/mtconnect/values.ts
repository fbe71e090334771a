/** What a data item's text means, in MTConnect as in SHDR: numbers, text, data sets. Pure. */
import { type JsonValue, TEXT_LENGTH_MAX } from '../reading.ts';

/** One key of a sample that an item fills. */
export interface FieldSettings {
  /** A standard signal, or a name in `extra`. */
  readonly name: string;
  /** `auto`: a number where the text is one, else text. */
  readonly type: 'number' | 'integer' | 'text' | 'auto' | 'data_set';
  /** value · scale + offset, of numbers. */
  readonly scale: number;
  readonly offset: number;
  /** Which of the blank-separated values; null: the text as a whole. */
  readonly index: number | null;
}

/** Whether the text says "not known", in any case of its letters, as real adapters write it. */
export function isUnavailable(text: string): boolean {
  return text.length === 11 && text.toUpperCase() === 'UNAVAILABLE';
}

/** Each digit can be taken in one way only: else a long run of them that is no number would take for ever. */
const NUMBER = /^[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?$/;
/** A number that loses nothing when it is kept as one: no leading zero (`0012` is a name), not too many digits. */
const PLAIN_NUMBER = /^-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?(?:[eE][-+]?\d{1,3})?$/;
const INTEGER_MAX = 0x7fffffff;
/** Digits that a scaled value keeps, so that 0.1 · 3 is 0.3. */
const SCALED_DIGITS = 12;

/**
 * The value of one field of an item.
 *
 * @returns null for "not known": UNAVAILABLE, or a number's blank; undefined for text that is not of the field's type
 */
export function fieldValue(field: FieldSettings, text: string): JsonValue | undefined {
  if (isUnavailable(text)) return null;
  const part = field.index === null ? text : text === '' ? '' : text.split(/\s+/)[field.index];
  if (part === undefined) return undefined;
  switch (field.type) {
    case 'text':
      return storableText(part);
    case 'auto':
      return PLAIN_NUMBER.test(part) ? (numberValue(field, part) ?? storableText(part)) : storableText(part);
    case 'data_set':
      return dataSet(text);
    case 'number':
      return part === '' || isUnavailable(part) ? null : numberValue(field, part);
    case 'integer': {
      if (part === '' || isUnavailable(part)) return null;
      const value = numberValue(field, part);
      return Number.isInteger(value) && Math.abs(value ?? 0) <= INTEGER_MAX ? value : undefined;
    }
  }
}

function numberValue({ scale, offset }: FieldSettings, text: string): number | undefined {
  if (!NUMBER.test(text)) return undefined;
  const value = Number(text);
  const scaled = scale === 1 && offset === 0 ? value : Number((value * scale + offset).toPrecision(SCALED_DIGITS));
  return Number.isFinite(scaled) ? scaled + 0 : undefined;
}

/** Text that the store takes: no U+0000, no half surrogate pair, at most {@link TEXT_LENGTH_MAX} long. */
export function storableText(text: string): string {
  const short = text.length > TEXT_LENGTH_MAX ? text.slice(0, TEXT_LENGTH_MAX) : text;
  return (short.includes('\0') ? short.replaceAll('\0', '\ufffd') : short).toWellFormed();
}

const SET_ENTRY = /([^\s=]+)(?:=(?:"([^"]*)"|'([^']*)'|\{([^}]*)\}|(\S*)))?/g;

/**
 * A data set `a=1 b="two words" c=` as an object; a key without value was removed from the set and is null. A leading
 * `:MANUAL` says why the set was reset, and is passed over.
 */
export function dataSet(text: string): { [key: string]: JsonValue } {
  const entries: [string, JsonValue][] = [];
  for (const match of storableText(text).replace(/^:\S*/, '').matchAll(SET_ENTRY)) {
    const [, key = '', double, single, braced, bare] = match;
    const quoted = double ?? single ?? braced;
    entries.push([key, quoted ?? setValue(bare ?? '')]);
  }
  return Object.fromEntries(entries);
}

/** A value in a set: null for none. */
export function setValue(text: string): JsonValue {
  if (text === '' || isUnavailable(text)) return null;
  const number = PLAIN_NUMBER.test(text) ? Number(text) : Number.NaN;
  return Number.isFinite(number) ? number : text;
}

/** Longest time series that is kept, in values, so that a sample stays within a frame. */
export const SERIES_VALUES_MAX = 16_384;

/** The values of a time series, `1 2 3`; undefined when one of them is not a number, or they are too many. */
export function seriesValues(text: string): number[] | undefined {
  const parts = text.split(/\s+/).filter((part) => part !== '');
  if (parts.length > SERIES_VALUES_MAX || !parts.every((part) => NUMBER.test(part))) return undefined;
  const values = parts.map(Number);
  return values.every(Number.isFinite) ? values : undefined;
}

/** From a value of the server to the fields of a sample. Plain values in and out: `variants.ts` knows the library's. Pure. */
import { DEPTH_MAX, type JsonValue } from '../../model/reading.ts';
import type { FieldSettings } from './options.ts';

/** Of a number that was scaled, so that no tail of rounding stands behind it. */
const SCALED_DIGITS = 15;
const INTEGER_MAX = 0x7fffffff;
/** Longest text, and largest array or structure, that are kept; what is larger is no value of a machine, and no reading. */
const TEXT_MAX = 32_768;
const ITEMS_MAX = 10_000;
const CHARS_MAX = 100_000;

/** A value, or why there is none that fits. */
export type Taken = { readonly value: JsonValue } | { readonly fault: string };

/** @param value of the node, as JSON; null: not known */
export function takeField(field: FieldSettings, value: JsonValue): Taken {
  if (value === null) return { value: null };
  const part = partOf(field, value);
  if ('fault' in part || part.value === null) return part;
  const raw = part.value;
  if (field.states !== null) {
    const text = typeof raw === 'string' ? raw : JSON.stringify(raw);
    const state = Object.hasOwn(field.states, text) ? field.states[text] : undefined;
    return state === undefined ? { fault: `${show(raw)} is in no line of states` } : { value: state };
  }
  if (field.type === 'text') return typeof raw === 'object' ? { fault: 'is no text' } : { value: String(raw) };
  const isNumberWanted = field.type !== 'auto';
  const isScaled = field.scale !== 1 || field.offset !== 0;
  const number = isNumberWanted || isScaled ? numberOf(raw) : typeof raw === 'number' ? raw : undefined;
  if (number === undefined) {
    return isNumberWanted || isScaled ? { fault: `${show(raw)} is no number` } : checked(raw);
  }
  const { scale, offset } = field;
  const scaled = isScaled ? Number((number * scale + offset).toPrecision(SCALED_DIGITS)) : number;
  if (!Number.isFinite(scaled)) return { value: null };
  if (field.type !== 'integer') return { value: scaled };
  const whole = Math.round(scaled);
  return Math.abs(whole) <= INTEGER_MAX ? { value: whole } : { fault: `${show(raw)} is too large` };
}

/** The part of an array or structure that the field wants. */
function partOf({ index, path }: FieldSettings, value: JsonValue): Taken {
  let part: JsonValue = value;
  const steps = index === null ? path : [String(index), ...path];
  for (const [depth, step] of steps.entries()) {
    if (part === null) return { value: null };
    if (typeof part !== 'object') return { fault: `is ${show(part)}, and has no part ${steps.slice(depth).join('.')}` };
    if (!Object.hasOwn(part, step)) return { fault: `has no part ${step}${partsOf(part)}` };
    part = (part as { readonly [key: string]: JsonValue })[step] ?? null;
  }
  return { value: part };
}

/** Names of parts that are told. */
const PARTS_TOLD_MAX = 20;

function partsOf(value: JsonValue[] | { [key: string]: JsonValue }): string {
  if (Array.isArray(value)) return `; it has ${value.length} elements, from 0`;
  return `; it has ${Object.keys(value).slice(0, PARTS_TOLD_MAX).join(', ')}`;
}

/** Some servers give numbers as text. */
function numberOf(raw: JsonValue): number | undefined {
  if (typeof raw === 'number') return raw;
  if (typeof raw !== 'string' || raw.trim() === '') return undefined;
  const number = Number(raw);
  return Number.isNaN(number) ? undefined : number;
}

/** Whether the store would take it. */
function checked(value: JsonValue): Taken {
  const fault = faultOf(value, 1, { items: 0, chars: 0 });
  return fault === undefined ? { value } : { fault };
}

/** @param seen counts all that the value holds, on every level */
function faultOf(value: JsonValue, depth: number, seen: { items: number; chars: number }): string | undefined {
  if (typeof value === 'string') {
    seen.chars += value.length;
    if (value.length > TEXT_MAX) return `has a text of ${value.length} characters`;
    return seen.chars > CHARS_MAX ? `has texts of more than ${CHARS_MAX} characters in all` : undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  if (depth > DEPTH_MAX) return `nests deeper than ${DEPTH_MAX} levels; name the part that is wanted with field`;
  const parts = Object.values(value);
  seen.items += parts.length;
  if (seen.items > ITEMS_MAX) return `has more than ${ITEMS_MAX} elements; name the one that is wanted with index`;
  if (!Array.isArray(value)) for (const key in value) seen.chars += key.length;
  for (const part of parts) {
    const fault = faultOf(part, depth + 1, seen);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** Characters of a value that a message shows. */
const SHOWN_MAX = 60;

export function show(value: JsonValue): string {
  const text = JSON.stringify(value);
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX).toWellFormed()}…` : text;
}

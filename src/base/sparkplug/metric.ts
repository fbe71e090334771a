/** Metrics of Sparkplug B as they are in a payload, and what their values mean by their datatypes. Pure. */
import type { JsonValue } from '../../model/reading.ts';

export interface Payload {
  /** When it was sent, in milliseconds since 1970. */
  readonly timestampMs?: number | undefined;
  readonly metrics: readonly Metric[];
  /** 0 to 255; absent in NDEATH and in commands. */
  readonly seq?: number | undefined;
}

export interface Metric {
  readonly name?: string;
  /** Instead of the name, once a birth has told it. */
  readonly alias?: bigint;
  readonly timestampMs?: number;
  /** One of {@link DATATYPES}; data may leave it to the birth. */
  readonly datatype?: number;
  /** The datatype was told by a birth, and is not to be written again. */
  readonly isTypeTold?: boolean;
  /** It is told later, and was not sent when it was new. */
  readonly isHistorical?: boolean;
  readonly isTransient?: boolean;
  readonly isNull?: boolean;
  /** Property `engUnit`. */
  readonly unit?: string;
  readonly value?: RawValue;
}

/** As it stands in the payload: integers without their sign. */
export type RawValue =
  | number
  | bigint
  | boolean
  | string
  | Uint8Array
  | { readonly kind: 'dataset' | 'template' | 'extension' };

/** Numbers of the datatypes (Sparkplug 3.0, 6.4.16). */
export const DATATYPES = {
  Int8: 1,
  Int16: 2,
  Int32: 3,
  Int64: 4,
  UInt8: 5,
  UInt16: 6,
  UInt32: 7,
  UInt64: 8,
  Float: 9,
  Double: 10,
  Boolean: 11,
  String: 12,
  DateTime: 13,
  Text: 14,
  UUID: 15,
  DataSet: 16,
  Bytes: 17,
  File: 18,
  Template: 19,
} as const;

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(DATATYPES).map(([name, number]) => [number, name]));

/** For people. */
export function datatypeName(datatype: number | undefined): string {
  if (datatype === undefined) return 'no datatype';
  const name = NAMES.get(datatype);
  return name ?? (datatype >= 22 && datatype <= 34 ? 'array' : `datatype ${datatype}`);
}

const FLOAT_DIGITS = 7;

/**
 * What the value says.
 * @returns null: not known; undefined: of a kind that is no single value, or one that does not fit its datatype
 */
export function valueOf({ value, isNull }: Metric, datatype: number | undefined): JsonValue | undefined {
  if (isNull === true) return null;
  switch (datatype) {
    case DATATYPES.Int8:
      return typeof value === 'number' ? (value << 24) >> 24 : undefined;
    case DATATYPES.Int16:
      return typeof value === 'number' ? (value << 16) >> 16 : undefined;
    case DATATYPES.Int32:
      return typeof value === 'number' ? value | 0 : undefined;
    case DATATYPES.UInt8:
    case DATATYPES.UInt16:
    case DATATYPES.UInt32:
      return typeof value === 'number' ? value : wholeNumber(value);
    case DATATYPES.Int64:
      return typeof value === 'bigint' ? wholeNumber(BigInt.asIntN(64, value)) : undefined;
    case DATATYPES.UInt64:
    case DATATYPES.DateTime:
      return wholeNumber(value);
    case DATATYPES.Float:
      return typeof value === 'number' ? finite(Number(value.toPrecision(FLOAT_DIGITS))) : undefined;
    case DATATYPES.Double:
      return typeof value === 'number' ? finite(value) : undefined;
    case DATATYPES.Boolean:
      return typeof value === 'boolean' ? value : undefined;
    case DATATYPES.String:
    case DATATYPES.Text:
    case DATATYPES.UUID:
      return typeof value === 'string' ? value : undefined;
    default:
      return undefined;
  }
}

/** One that a number of ours would not hold stays exact, as text. */
function wholeNumber(value: RawValue | undefined): number | string | undefined {
  if (typeof value !== 'bigint') return undefined;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}

/** Not a number, and infinity: not known. */
function finite(value: number): number | null {
  return Number.isFinite(value) ? value + 0 : null;
}

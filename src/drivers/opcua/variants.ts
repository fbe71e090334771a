/** What the library makes of the server's values, as JSON. Loads the library. */
import { DataType, type DataValue, type NodeId, type Variant, VariantArrayType } from 'node-opcua';
import { shortFloat32 } from '../../model/float32.ts';
import type { JsonValue } from '../../model/reading.ts';
import { timestampOf } from '../../model/time.ts';

/** In OPC UA time begins with 1601; that instant means that there is none (OPC 10000-6, 5.2.2.5). */
const NO_TIME_MS = Date.UTC(1601, 0, 1);
/** So deep may structures hold structures; deeper ones are not followed. */
const STRUCTURE_DEPTH_MAX = 32;

/** null: there is no value, or none that JSON can say. */
export function jsonOfVariant({ dataType, arrayType, value, dimensions }: Variant): JsonValue {
  if (value === null || value === undefined) return null;
  if (arrayType === VariantArrayType.Scalar) return jsonOf(value, dataType, 0);
  const items = itemsOf(value).map((item) => jsonOf(item, dataType, 0));
  return arrayType === VariantArrayType.Matrix ? nested(items, dimensions ?? []) : items;
}

/** The times of a value, in microseconds since 1970; null: the server says none. */
export function timesOf(dataValue: DataValue): { sourceMicros: number | null; serverMicros: number | null } {
  const { sourceTimestamp, sourcePicoseconds, serverTimestamp, serverPicoseconds } = dataValue;
  return {
    sourceMicros: microsOf(sourceTimestamp, sourcePicoseconds),
    serverMicros: microsOf(serverTimestamp, serverPicoseconds),
  };
}

function microsOf(date: Date | null, picoseconds: number): number | null {
  if (date === null || Number.isNaN(date.getTime()) || date.getTime() <= NO_TIME_MS) return null;
  // A Date has milliseconds; the rest stands beside it, in trillionths of a second.
  return date.getTime() * 1000 + Math.floor((picoseconds ?? 0) / 1e6);
}

function itemsOf(value: unknown): unknown[] {
  if (Array.isArray(value)) return value;
  return ArrayBuffer.isView(value) && !(value instanceof DataView) ? Array.from(value as Float64Array) : [];
}

/** Rows of rows, as the dimensions say. */
function nested(items: JsonValue[], dimensions: readonly number[]): JsonValue[] {
  const [, ...inner] = dimensions;
  if (inner.length === 0) return items;
  const size = inner.reduce((product, length) => product * length, 1);
  if (size === 0) return [];
  return Array.from({ length: Math.floor(items.length / size) }, (_, row) =>
    nested(items.slice(row * size, (row + 1) * size), inner),
  );
}

function jsonOf(value: unknown, type: DataType, depth: number): JsonValue {
  if (value === null || value === undefined) return null;
  switch (type) {
    case DataType.Boolean:
      return value === true;
    case DataType.Float:
      return finite(shortFloat32(Number(value)));
    case DataType.Int64:
    case DataType.UInt64:
      return wholeNumber(value, type === DataType.Int64);
    case DataType.String:
    case DataType.Guid:
    case DataType.XmlElement:
      return typeof value === 'string' ? storable(value) : null;
    case DataType.DateTime:
      return value instanceof Date ? dateText(value) : null;
    case DataType.ByteString:
      return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : null;
    case DataType.LocalizedText:
      return storable((value as { text?: string | null }).text ?? '');
    case DataType.QualifiedName:
    case DataType.StatusCode:
      return storable((value as { name?: string | null }).name ?? '');
    case DataType.NodeId:
    case DataType.ExpandedNodeId:
      return storable((value as NodeId).toString());
    case DataType.ExtensionObject:
      return depth < STRUCTURE_DEPTH_MAX ? structureOf(value, depth) : null;
    case DataType.Variant:
      return jsonOfVariant(value as Variant);
    case DataType.DataValue:
      return jsonOfVariant((value as DataValue).value);
    default:
      return typeof value === 'number' ? finite(value) : null;
  }
}

/** What the library says of a structure's fields; see its `IStructuredTypeSchema`. */
interface Schema {
  readonly fields: readonly {
    readonly name: string;
    readonly originalName?: string;
    readonly fieldType: string;
    readonly category?: string;
    readonly isArray?: boolean;
  }[];
  getBaseSchema?(): Schema | null | undefined;
}

/** Fields by the names that the server gives them. null for a structure whose type the server does not describe. */
function structureOf(value: unknown, depth: number): JsonValue {
  const schema = (value as { readonly schema?: Schema }).schema;
  if (schema?.fields === undefined || 'nodeId' in (value as object)) return null;
  const object: { [name: string]: JsonValue } = {};
  for (let one: Schema | null | undefined = schema; one !== null && one !== undefined; one = one.getBaseSchema?.()) {
    for (const { name, originalName, fieldType, category, isArray } of one.fields) {
      const inner = (value as { readonly [name: string]: unknown })[name];
      if (inner === undefined) continue;
      const type = typeOf(fieldType, category);
      object[originalName ?? name] =
        isArray === true && inner !== null
          ? itemsOf(inner).map((item) => jsonOf(item, type, depth + 1))
          : jsonOf(inner, type, depth + 1);
    }
  }
  return object;
}

/** Enumerations are whole numbers; names of simple types that are not built in stand for those that they are made of. */
const SIMPLE_TYPES: { readonly [name: string]: DataType } = {
  UtcTime: DataType.DateTime,
  Duration: DataType.Double,
  LocaleId: DataType.String,
  CharArray: DataType.String,
  UAString: DataType.String,
  Counter: DataType.UInt32,
};

function typeOf(fieldType: string, category: string | undefined): DataType {
  if (category === 'complex') return DataType.ExtensionObject;
  if (category === 'enumeration') return DataType.Int32;
  const named = DataType[fieldType as keyof typeof DataType] as DataType | undefined;
  return named ?? SIMPLE_TYPES[fieldType] ?? DataType.Int32;
}

/** The library gives 64 bits as two numbers of 32. Beyond 2^53 a number of ours would not hold it: then text. */
function wholeNumber(value: unknown, isSigned: boolean): JsonValue {
  if (typeof value === 'number') return finite(value);
  if (!Array.isArray(value)) return null;
  const [high = 0, low = 0] = value.map(Number);
  const bits = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
  const whole = isSigned ? BigInt.asIntN(64, bits) : bits;
  const number = Number(whole);
  return Number.isSafeInteger(number) ? number : whole.toString();
}

function finite(value: number): JsonValue {
  return Number.isFinite(value) ? value : null;
}

function dateText(date: Date): JsonValue {
  const ms = date.getTime();
  return Number.isNaN(ms) || ms <= NO_TIME_MS ? null : timestampOf(ms * 1000);
}

/** PostgreSQL keeps neither U+0000 nor half a surrogate pair. */
function storable(text: string): string {
  return text.replaceAll('\0', '').toWellFormed();
}

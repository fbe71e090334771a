/**
 * The payload of a Sparkplug B message: bytes to metrics and back. Pure.
 *
 * It is a protocol buffers message. The numbers of its fields are those of the specification (Sparkplug 3.0, 6.4); reading
 * and writing of the wire format is the library's. What Millwright has no use for (metadata, the rows of a data set, the
 * metrics within a template) is passed over, and the metric says that its value is of such a kind.
 */
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { MillwrightError } from '../errors.ts';
import type { Metric, Payload, RawValue } from './metric.ts';

/** Metrics of one payload; a birth of a large machine has some thousands. */
export const METRICS_MAX = 50_000;
/** Properties of one metric that are looked at. */
const PROPERTIES_MAX = 64;

/** The one property that is read and written. */
const UNIT_PROPERTY = 'engUnit';
const STRING_TYPE = 12;

/** @throws protocol_violation, and nothing else, for bytes that are no such payload */
export function decodePayload(bytes: Uint8Array): Payload {
  try {
    return readPayload(new BinaryReader(bytes));
  } catch (cause) {
    if (cause instanceof MillwrightError) throw cause;
    throw new MillwrightError('protocol_violation', 'is no Sparkplug B payload', { cause });
  }
}

export function encodePayload(payload: Payload): Uint8Array {
  const writer = new BinaryWriter();
  if (payload.timestampMs !== undefined) writer.tag(1, WireType.Varint).uint64(payload.timestampMs);
  for (const metric of payload.metrics) {
    writer.tag(2, WireType.LengthDelimited).fork();
    writeMetric(writer, metric);
    writer.join();
  }
  if (payload.seq !== undefined) writer.tag(3, WireType.Varint).uint64(payload.seq);
  return writer.finish();
}

function readPayload(reader: BinaryReader): Payload {
  const metrics: Metric[] = [];
  let timestampMs: number | undefined;
  let seq: number | undefined;
  while (reader.pos < reader.len) {
    const [field, type] = nextField(reader);
    if (field === 1 && type === WireType.Varint) timestampMs = Number(reader.uint64());
    else if (field === 3 && type === WireType.Varint) seq = Number(reader.uint64());
    else if (field === 2 && type === WireType.LengthDelimited) {
      if (metrics.length >= METRICS_MAX) {
        throw new MillwrightError('protocol_violation', `has more than ${METRICS_MAX} metrics`);
      }
      metrics.push(readMetric(new BinaryReader(reader.bytes())));
    } else reader.skip(type, field);
  }
  return { timestampMs, metrics, seq };
}

/** While it is read. */
type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

function readMetric(reader: BinaryReader): Metric {
  const metric: Mutable<Metric> = {};
  while (reader.pos < reader.len) {
    const [field, type] = nextField(reader);
    const read = METRIC_FIELDS.get(field);
    if (read?.type === type) read.into(metric, reader);
    else reader.skip(type, field);
  }
  return metric;
}

interface MetricField {
  readonly type: WireType;
  readonly into: (metric: Mutable<Metric>, reader: BinaryReader) => void;
}

const value = (type: WireType, read: (reader: BinaryReader) => RawValue): MetricField => ({
  type,
  into: (metric, reader) => {
    metric.value = read(reader);
  },
});

/** A value that is passed over. */
const other = (kind: 'dataset' | 'template' | 'extension'): MetricField =>
  value(WireType.LengthDelimited, (reader) => {
    reader.bytes();
    return { kind };
  });

const METRIC_FIELDS: ReadonlyMap<number, MetricField> = new Map([
  [1, { type: WireType.LengthDelimited, into: (metric, reader) => (metric.name = reader.string()) }],
  [2, { type: WireType.Varint, into: (metric, reader) => (metric.alias = BigInt(reader.uint64())) }],
  [3, { type: WireType.Varint, into: (metric, reader) => (metric.timestampMs = Number(reader.uint64())) }],
  [4, { type: WireType.Varint, into: (metric, reader) => (metric.datatype = reader.uint32()) }],
  [5, { type: WireType.Varint, into: (metric, reader) => (metric.isHistorical = reader.bool()) }],
  [6, { type: WireType.Varint, into: (metric, reader) => (metric.isTransient = reader.bool()) }],
  [7, { type: WireType.Varint, into: (metric, reader) => (metric.isNull = reader.bool()) }],
  [9, { type: WireType.LengthDelimited, into: readProperties }],
  [10, value(WireType.Varint, (reader) => reader.uint32())],
  [11, value(WireType.Varint, (reader) => BigInt(reader.uint64()))],
  [12, value(WireType.Bit32, (reader) => reader.float())],
  [13, value(WireType.Bit64, (reader) => reader.double())],
  [14, value(WireType.Varint, (reader) => reader.bool())],
  [15, value(WireType.LengthDelimited, (reader) => reader.string())],
  [16, value(WireType.LengthDelimited, (reader) => reader.bytes())],
  [17, other('dataset')],
  [18, other('template')],
  [19, other('extension')],
] satisfies [number, MetricField][]);

/** A property set is a list of keys and a list of values, which belong together by their places. */
function readProperties(metric: Mutable<Metric>, outer: BinaryReader): void {
  const reader = new BinaryReader(outer.bytes());
  const keys: string[] = [];
  const texts: (string | undefined)[] = [];
  while (reader.pos < reader.len) {
    const [field, type] = nextField(reader);
    if (type !== WireType.LengthDelimited || field > 2) reader.skip(type, field);
    else if (keys.length >= PROPERTIES_MAX || texts.length >= PROPERTIES_MAX) reader.skip(type, field);
    else if (field === 1) keys.push(reader.string());
    else texts.push(propertyText(new BinaryReader(reader.bytes())));
  }
  const unit = texts[keys.indexOf(UNIT_PROPERTY)];
  if (unit !== undefined) metric.unit = unit;
}

function propertyText(reader: BinaryReader): string | undefined {
  let text: string | undefined;
  while (reader.pos < reader.len) {
    const [field, type] = nextField(reader);
    if (field === 8 && type === WireType.LengthDelimited) text = reader.string();
    else reader.skip(type, field);
  }
  return text;
}

/** @throws for groups, which the format has not had for long: skipping them could nest without end */
function nextField(reader: BinaryReader): [field: number, type: WireType] {
  const [field, type] = reader.tag();
  if (type === WireType.StartGroup || type === WireType.EndGroup) {
    throw new MillwrightError('protocol_violation', 'has a group, and Sparkplug B has none');
  }
  return [field, type];
}

function writeMetric(writer: BinaryWriter, metric: Metric): void {
  if (metric.name !== undefined) writer.tag(1, WireType.LengthDelimited).string(metric.name);
  if (metric.alias !== undefined) writer.tag(2, WireType.Varint).uint64(metric.alias);
  if (metric.timestampMs !== undefined) writer.tag(3, WireType.Varint).uint64(metric.timestampMs);
  if (metric.datatype !== undefined && metric.isTypeTold !== true)
    writer.tag(4, WireType.Varint).uint32(metric.datatype);
  if (metric.isHistorical === true) writer.tag(5, WireType.Varint).bool(true);
  if (metric.isTransient === true) writer.tag(6, WireType.Varint).bool(true);
  if (metric.isNull === true) writer.tag(7, WireType.Varint).bool(true);
  if (metric.unit !== undefined) {
    writer.tag(9, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(UNIT_PROPERTY);
    writer.tag(2, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.Varint).uint32(STRING_TYPE);
    writer.tag(8, WireType.LengthDelimited).string(metric.unit);
    writer.join().join();
  }
  if (metric.isNull !== true && metric.value !== undefined) writeValue(writer, metric);
}

const FLOAT_TYPE = 9;
const LONG_TYPES: readonly number[] = [4, 8, 13];

/** Each datatype has its own field for the value; integers are written as their two's complement without a sign. */
function writeValue(writer: BinaryWriter, { value, datatype = 0 }: Metric): void {
  if (typeof value === 'boolean') writer.tag(14, WireType.Varint).bool(value);
  else if (typeof value === 'string') writer.tag(15, WireType.LengthDelimited).string(value);
  else if (value instanceof Uint8Array) writer.tag(16, WireType.LengthDelimited).bytes(value);
  else if (typeof value === 'bigint' || (typeof value === 'number' && LONG_TYPES.includes(datatype))) {
    writer.tag(11, WireType.Varint).uint64(BigInt.asUintN(64, BigInt(value)));
  } else if (typeof value === 'number') {
    if (datatype === FLOAT_TYPE) writer.tag(12, WireType.Bit32).float(value);
    else if (datatype > 0 && datatype < FLOAT_TYPE) writer.tag(10, WireType.Varint).uint32(value >>> 0);
    else writer.tag(13, WireType.Bit64).double(value);
  } else throw new TypeError('a value of this kind is read only');
}

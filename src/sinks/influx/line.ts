/**
 * InfluxDB's line protocol: `measurement,tag=value field=value,field="text" timestamp`. Pure.
 *
 * Escaping is that of the reference (docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol): comma, equals sign
 * and space in names and tags, quote and backslash in texts. Two things the format cannot say in names and tags. Line
 * breaks and tabs become `\n`, `\r` and `\t` as in the official client. A backslash before a comma, an equals sign, a
 * space, a quote or the end would be taken for an escape, by InfluxDB differently in each place: it becomes a slash.
 */

/** `integer` keeps a whole number whole; all others are floating-point, so that a field does not change its type. */
export type FieldValue = number | boolean | string | { readonly integer: number };

export interface Point {
  readonly measurement: string;
  readonly tags: readonly (readonly [name: string, value: string])[];
  readonly fields: readonly (readonly [name: string, value: FieldValue])[];
  readonly micros: number;
}

/** One line, without its end, with nanoseconds; undefined for a point without fields, which the format does not have. */
export function lineOf({ measurement, tags, fields, micros }: Point): string | undefined {
  if (fields.length === 0) return undefined;
  const series = [measurementName(measurement)];
  // The format has no empty value either: such a tag is left out.
  for (const [name, value] of tags) if (value !== '') series.push(`${key(name)}=${key(value)}`);
  const values = fields.map(([name, value]) => `${key(name)}=${fieldText(value)}`);
  // More digits than a number holds, so as text.
  return `${series.join(',')} ${values.join(',')} ${micros}000`;
}

function fieldText(value: FieldValue): string {
  if (typeof value === 'string') return `"${value.replaceAll(/["\\]/g, '\\$&')}"`;
  return typeof value === 'object' ? `${value.integer}i` : String(value);
}

function measurementName(name: string): string {
  return oneLine(name).replaceAll(/[, ]/g, '\\$&');
}

function key(name: string): string {
  return oneLine(name).replaceAll(/[,= ]/g, '\\$&');
}

function oneLine(name: string): string {
  const text = name.replaceAll('\n', '\\n').replaceAll('\r', '\\r').replaceAll('\t', '\\t');
  return text.replaceAll(/\\+(?=[,= "]|$)/g, (run) => '/'.repeat(run.length));
}

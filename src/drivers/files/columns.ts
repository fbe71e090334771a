/** From the fields of a row to readings, by the column map. Pure. */
import type { JsonValue } from '../../model/reading.ts';
import { signalNamed } from '../../model/signals.ts';
import type { CsvOptions, Filled } from './options.ts';
import { type Finding, NotUnderstood } from './rows.ts';
import { timeReader } from './times.ts';

/** The fields of a measurement that are text; `details.…` are what they look like. */
const TEXT_FIELDS: ReadonlySet<string> = new Set([
  'characteristic',
  'unit',
  'part_id',
  'serial_number',
  'compensation',
]);
const DETAILS = 'details.';

export type RowMapper = (fields: readonly string[] | null, fileTime: string) => Finding[];

/**
 * @param header names of the columns; null: they have numbers only
 * @throws NotUnderstood when the header lacks a column
 */
export function rowMapper(csv: CsvOptions, header: readonly string[] | null, zone: string): RowMapper {
  const names = header?.map((name) => name.trim());
  const indexOf = (column: string | number): number => {
    const index = typeof column === 'number' ? column - 1 : (names?.indexOf(column) ?? -1);
    if (typeof column === 'string' && names?.lastIndexOf(column) !== index) {
      throw new NotUnderstood(`there are two columns "${column}"; give the number of the one that is meant`);
    }
    if (index >= 0 && (names === undefined || index < names.length)) return index;
    throw new NotUnderstood(`there is no column "${column}"; the header has ${names?.join(', ') ?? 'none'}`);
  };
  type Getter = (fields: readonly string[]) => JsonValue | undefined;
  const getter = (name: string, filled: Filled, type: 'text' | 'number' | 'auto'): [string, Getter] => {
    if ('constant' in filled) return [name, () => filled.constant];
    const index = indexOf(filled.column);
    return [name, (fields) => valueIn(fields[index]?.trim() ?? '', { name, type, decimal: csv.decimal })];
  };
  const measurements = csv.measurements.map((map) =>
    Object.entries(map).map(([name, filled]) => {
      const type = TEXT_FIELDS.has(name) ? 'text' : name.startsWith(DETAILS) ? 'auto' : 'number';
      return getter(name, filled, type);
    }),
  );
  const sample = Object.entries(csv.sample ?? {}).map(([name, filled]) => {
    return getter(name, filled, sampleType(name));
  });
  const time = csv.time === null ? null : { index: indexOf(csv.time.column), read: timeReader(csv.time.format, zone) };
  const fieldsLeast = names?.length ?? 0;

  return (fields, fileTime) => {
    if (fields === null) throw new NotUnderstood('a quote in it is not closed');
    if (names !== undefined && fields.length !== fieldsLeast) {
      throw new NotUnderstood(`it has ${fields.length} fields, and the header ${fieldsLeast}`);
    }
    let timestamp: string | undefined = fileTime;
    if (time !== null) {
      const written = fields[time.index] ?? '';
      timestamp = time.read?.(written);
      if (timestamp === undefined) throw new NotUnderstood(`"${written}" is no time of the form ${csv.time?.format}`);
    }
    const findings: Finding[] = [];
    for (const getters of measurements) {
      const measurement = filledIn(getters, fields);
      // A feature that was not measured leaves its field empty.
      if (measurement['measured_value'] === undefined) continue;
      findings.push({ kind: 'measurement', timestamp, ...measurement });
    }
    const values = filledIn(sample, fields);
    if (Object.keys(values).length > 0) findings.push({ timestamp, ...values });
    if (findings.length === 0) throw new NotUnderstood('it has no value in any column that is wanted');
    return findings;
  };
}

/** A signal has its own type; one's own names take what looks like a number as one. */
function sampleType(name: string): 'text' | 'number' | 'auto' {
  const type = signalNamed(name)?.type;
  return type === 'integer' ? 'number' : (type ?? 'auto');
}

function filledIn(
  getters: readonly (readonly [string, (fields: readonly string[]) => JsonValue | undefined])[],
  fields: readonly string[],
): Record<string, JsonValue> {
  const filled: Record<string, JsonValue> = {};
  const details: Record<string, JsonValue> = {};
  for (const [name, get] of getters) {
    const value = get(fields);
    if (value === undefined) continue;
    if (name.startsWith(DETAILS)) details[name.slice(DETAILS.length)] = value;
    else filled[name] = value;
  }
  return Object.keys(details).length > 0 ? { ...filled, details } : filled;
}

function valueIn(
  text: string,
  { name, type, decimal }: { name: string; type: 'text' | 'number' | 'auto'; decimal: '.' | ',' },
): JsonValue | undefined {
  if (text === '') return undefined;
  if (type === 'text') return text;
  const number = strictNumber(text, decimal);
  if (number !== undefined) return number;
  if (type === 'auto') return text;
  const wrong = decimal === '.' ? ',' : '.';
  const hint = strictNumber(text, wrong) === undefined ? '' : ` with the decimal sign "${decimal}"`;
  throw new NotUnderstood(`"${text}" for ${name} is no number${hint}`);
}

/** Never half a number: `20,5` is none where decimals follow a point. */
function strictNumber(text: string, decimal: '.' | ','): number | undefined {
  const pattern =
    decimal === '.' ? /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/ : /^[+-]?(\d+(,\d*)?|,\d+)([eE][+-]?\d+)?$/;
  return pattern.test(text) ? Number(text.replace(',', '.')) : undefined;
}

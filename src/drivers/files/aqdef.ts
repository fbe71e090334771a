/**
 * Q-DAS ASCII transfer format, AQDEF (`.dfq`). Pure.
 *
 * The head has lines `Kxxxx/n value`, where n is the characteristic (0: all of them). Values follow, in one of two forms:
 * compact lines, in which 0x0F parts characteristics and 0x14 the fields K0001 (value), K0002 (attribute), K0004 (time),
 * K0005 (events), K0006 (batch), K0007 (cavity), K0008 (operator), K0010 (machine), K0011 (process), K0012 (gauge); or
 * lines `K0001/n value`. Other K00xx lines belong to the value of their characteristic before them.
 */
import type { JsonValue } from '../../model/reading.ts';
import { type Finding, known, NotUnderstood, numberIn, type ParseContext, type ParsedFile, type Row } from './rows.ts';
import { timeReader } from './times.ts';

const FIELD_END = '\x14';
const CHARACTERISTIC_END = '\x0f';
const COMPACT_KEYS = [
  'K0001',
  'K0002',
  'K0004',
  'K0005',
  'K0006',
  'K0007',
  'K0008',
  'K0010',
  'K0011',
  'K0012',
] as const;
const K_LINE = /^(K\d{4})(?:\/(\d+))?(?:\s(.*))?$/;
/** From this attribute on there is no value: the measurement was invalid or left out. */
const ATTRIBUTE_INVALID = 255;
const CHARACTERISTICS_MAX = 10_000;

interface Value {
  readonly characteristic: number;
  readonly line: number;
  readonly fields: Map<string, string>;
}

/** @throws NotUnderstood */
export function parseAqdef(text: string, context: ParseContext): ParsedFile {
  const lines = text.split(/\r\n|\n|\r/);
  const count = Number(/^K0100(?:\/0)?\s+(\d+)\s*$/m.exec(lines.slice(0, 50).join('\n'))?.[1] ?? Number.NaN);
  if (!(count >= 1 && count <= CHARACTERISTICS_MAX)) {
    throw new NotUnderstood('there is no line K0100 with the number of characteristics', { mayBeUnfinished: true });
  }
  const head = new Map<string, string>();
  const values: Value[] = [];
  const newest = new Map<number, Value>();
  for (const [index, line] of lines.entries()) {
    if (line.trim() === '') continue;
    const match = K_LINE.exec(line);
    if (match === null) {
      for (const value of compactValues(line, index + 1, count)) {
        values.push(value);
        newest.set(value.characteristic, value);
      }
      continue;
    }
    const [, key = '', suffix, content = ''] = match;
    const number = Number(suffix ?? 0);
    if (!key.startsWith('K00')) {
      head.set(`${key}/${number}`, content.trim());
    } else if (key === 'K0001') {
      const value = { characteristic: number, line: index + 1, fields: new Map([[key, content.trim()]]) };
      values.push(value);
      newest.set(number, value);
    } else {
      for (const value of number === 0 ? newest.values() : [newest.get(number)]) value?.fields.set(key, content.trim());
    }
  }
  const readTime = timeReader('d.M.yyyy/H:m:s', context.zone);
  const rows = values.map((value): Row => {
    // Of what is told of a value after it, only its own fields say which one it is: the rest may still be appended.
    const own = COMPACT_KEYS.map((key) => value.fields.get(key) ?? '');
    const text = JSON.stringify([value.characteristic, head.get(`K2002/${value.characteristic}`) ?? '', ...own]);
    return { text, place: `line ${value.line}`, findings: () => findings(value, { head, context, readTime }) };
  });
  const hasTimes = values.every(({ fields }) => (fields.get('K0004') ?? '') !== '');
  return { seed: hasTimes ? '' : context.name, rows };
}

function compactValues(line: string, number: number, count: number): Value[] {
  const groups = line.split(CHARACTERISTIC_END);
  if (groups.length !== count) {
    throw new NotUnderstood(`line ${number} has values of ${groups.length} characteristics, not of ${count}`, {
      mayBeUnfinished: true,
    });
  }
  return groups.map((group, index) => {
    const fields = group.split(FIELD_END).map((field) => field.trim());
    const named = fields.flatMap((field, at): [string, string][] => {
      const key = COMPACT_KEYS[at];
      return key === undefined || field === '' ? [] : [[key, field]];
    });
    return { characteristic: index + 1, line: number, fields: new Map(named) };
  });
}

function findings(
  { characteristic, fields, line }: Value,
  {
    head,
    context,
    readTime,
  }: { head: ReadonlyMap<string, string>; context: ParseContext; readTime: ReturnType<typeof timeReader> },
): Finding[] {
  const attribute = Number(fields.get('K0002') ?? 0);
  const written = fields.get('K0001') ?? '';
  if (attribute >= ATTRIBUTE_INVALID || written === '') return [];
  const measured = numberIn(written);
  if (measured === undefined) throw new NotUnderstood(`line ${line}: the value "${written}" is no number`);
  const time = fields.get('K0004');
  const timestamp = time === undefined ? context.fileTime : readTime?.(time.split('#', 1)[0] ?? '');
  if (timestamp === undefined) throw new NotUnderstood(`line ${line}: "${time}" is no time dd.mm.yyyy/hh:mm:ss`);
  const about = (key: string): string | undefined => {
    const value = head.get(`${key}/${characteristic}`) ?? head.get(`${key}/0`);
    return value === '' ? undefined : value;
  };
  // A part's data stand under the part's own number, and most files have one part.
  const ofPart = (key: string): string | undefined => about(key) ?? (head.get(`${key}/1`) || undefined);
  const limit = (absolute: string, deviation: string): number | undefined => {
    const own = numberIn(about(absolute) ?? '');
    const nominal = numberIn(about('K2101') ?? '');
    const away = numberIn(about(deviation) ?? '');
    return own ?? (nominal === undefined || away === undefined ? undefined : nominal + away);
  };
  const extra = [...fields].filter(([key]) => !['K0001', 'K0002', 'K0004', 'K0014'].includes(key));
  const details: Record<string, JsonValue> = Object.fromEntries(extra);
  const partName = ofPart('K1002');
  if (partName !== undefined) details['part_name'] = partName;
  const number = about('K2001');
  if (number !== undefined) details['characteristic_number'] = number;
  return [
    known<unknown>({
      kind: 'measurement',
      timestamp,
      characteristic: about('K2002') ?? number ?? `characteristic ${characteristic}`,
      measured_value: measured,
      unit: about('K2142') ?? context.unit,
      part_id: ofPart('K1001'),
      serial_number: fields.get('K0014'),
      nominal_value: numberIn(about('K2101') ?? ''),
      lower_limit: limit('K2110', 'K2112'),
      upper_limit: limit('K2111', 'K2113'),
      details: Object.keys(details).length > 0 ? details : undefined,
    }),
  ];
}

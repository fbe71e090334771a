/**
 * Zeiss Calypso's table of characteristics (`…_chr.txt`): a header and a line for each, parted by tabs, nothing quoted,
 * `END` in the last. The table has no time: that of its file is taken. Pure.
 */
import { type Finding, known, NotUnderstood, numberIn, type ParseContext, type ParsedFile, type Row } from './rows.ts';

const END = 'END';

/** The last line is there. */
export function hasEnd(text: string): boolean {
  return /^END\s*$/m.test(text);
}

/** @throws NotUnderstood */
export function parseCalypso(text: string, context: ParseContext): ParsedFile {
  const [first = '', ...rest] = text.split(/\r\n|\n|\r/);
  const columns = first.split('\t').map((name) => name.trim().toLowerCase());
  if (!columns.includes('actual') || !columns.includes('id')) {
    const mayBeUnfinished = rest.length === 0;
    throw new NotUnderstood('the first line names no columns "id" and "actual"', { mayBeUnfinished });
  }
  const rows: Row[] = [];
  for (const [index, line] of rest.entries()) {
    const fields = line.split('\t').map((field) => field.trim());
    if (fields.every((field) => field === '')) continue;
    if (fields[0] === END) break;
    rows.push({ text: line, place: `line ${index + 2}`, findings: () => findings(columns, fields, context) });
  }
  return { seed: context.name, rows };
}

function findings(columns: readonly string[], fields: readonly string[], context: ParseContext): Finding[] {
  if (fields.length > columns.length) {
    throw new NotUnderstood(`it has ${fields.length} fields, and the header ${columns.length}`);
  }
  const textOf = (column: string): string | undefined => fields[columns.indexOf(column)] || undefined;
  const numberOf = (column: string): number | undefined => {
    const written = textOf(column);
    if (written === undefined) return undefined;
    const number = numberIn(written);
    if (number === undefined) throw new NotUnderstood(`the ${column} "${written}" is no number`);
    return number;
  };
  const measured = numberOf('actual');
  if (measured === undefined) return [];
  const nominal = numberOf('nominal');
  // A form has no nominal: its upper tolerance is what it may be.
  const limit = (tolerance: number | undefined): number | undefined =>
    tolerance === undefined ? undefined : (nominal ?? 0) + tolerance;
  const details = known<string>({
    type: textOf('type'),
    symbol: textOf('idsymbol'),
    group: textOf('group'),
    feature: textOf('featureid'),
  });
  const measurement = known<unknown>({
    kind: 'measurement',
    timestamp: context.fileTime,
    characteristic: textOf('id'),
    measured_value: measured,
    unit: textOf('unit') ?? context.unit,
    part_id: textOf('planid'),
    serial_number: textOf('partnb'),
    nominal_value: nominal,
    lower_limit: limit(numberOf('lowertol')),
    upper_limit: limit(numberOf('uppertol')),
    details: Object.keys(details).length > 0 ? details : undefined,
  });
  return [measurement];
}

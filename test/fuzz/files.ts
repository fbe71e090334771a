/** What the formats of result files have in common: rows, whose findings become readings as the driver makes them. */
import { rowMapper } from '../../src/drivers/files/columns.ts';
import { decodeText, type Finding, type ParseContext, type ParsedFile } from '../../src/drivers/files/rows.ts';
import { decodeReading } from '../../src/model/reading.ts';
import { mustBeTaken, outcomeOf, type Refusal } from './codec.ts';

export const CONTEXT: ParseContext = {
  name: 'fuzz.dat',
  fileTime: '2026-01-01T08:00:00.000000Z',
  zone: 'Europe/Berlin',
  unit: 'mm',
};

/** As a file that is parsed as a whole. */
export async function readWhole(
  input: Buffer,
  parse: (text: string, context: ParseContext) => ParsedFile | Promise<ParsedFile>,
): Promise<readonly Refusal[]> {
  const { rows } = await parse(decodeText(input), CONTEXT);
  return refusalsOf(rows.map((row) => () => row.findings()));
}

export function csvRefusals(
  rows: readonly { readonly fields: readonly string[] | null }[],
  map: ReturnType<typeof rowMapper>,
): readonly Refusal[] {
  return refusalsOf(
    rows.map(
      ({ fields }) =>
        () =>
          map(fields, CONTEXT.fileTime),
    ),
  );
}

/** What goes to the quarantine: a row that makes no sense, or that the hub would not take. */
function refusalsOf(rows: readonly (() => readonly Finding[])[]): readonly Refusal[] {
  const refusals: Refusal[] = [];
  for (const findings of rows) {
    const { value = [], refusal } = outcomeOf(findings);
    if (refusal !== undefined) refusals.push(refusal);
    for (const finding of value) {
      const decoded = decodeReading({ machine_id: 'CMM-1', ...finding });
      if ('reading' in decoded) mustBeTaken(decoded.reading);
      else refusals.push({ code: 'row_refused', reason: decoded.fault.reason });
    }
  }
  return refusals;
}

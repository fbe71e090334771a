/**
 * Samples as CSV (RFC 4180, with a header line): the signals that have a column, and the rest as JSON in the last one.
 * What is not known is empty; that a signal became unavailable is a null in `extra`, under its name.
 */
import { SIGNALS } from '../../model/signals.ts';
import { SampleRows } from './sample-rows.ts';

const COMMA = 0x2c;
const LINE_END: Buffer = Buffer.from('\r\n');
const HEADER = `${['machine_id', 'timestamp', ...SIGNALS.map(({ name }) => name), 'extra'].join(',')}\r\n`;
const ARE_TEXT: readonly boolean[] = SIGNALS.map(({ type }) => type === 'text');

export class CsvRows extends SampleRows {
  constructor(machineId: string) {
    const following = `${csvField(machineId)},`;
    super({ first: HEADER + following, following, end: '', empty: HEADER });
  }

  protected override row(start: number, end: number): void {
    let from = start;
    let to = this.fieldEnd(from, end);
    this.time(from, to);
    for (const isText of ARE_TEXT) {
      from = to + 1;
      to = this.fieldEnd(from, end);
      this.out[this.at++] = COMMA;
      if (this.isNull(from, to)) continue;
      if (isText) this.write(csvField(this.unescaped(from, to)));
      else if (this.isFinite(to)) this.copy(from, to);
    }
    this.out[this.at++] = COMMA;
    if (!this.isNull(to + 1, end)) this.write(csvField(this.unescaped(to + 1, end)));
    this.put(LINE_END);
  }
}

/** As a field: in quotes where it must be. */
export function csvField(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

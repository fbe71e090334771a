/** Samples in wire form: a JSON array, or one JSON object a line (NDJSON). */
import { SIGNALS } from '../../model/signals.ts';
import { SampleRows } from './sample-rows.ts';

const QUOTE = 0x22;
const KEYS = SIGNALS.map(({ name, type }) => ({ key: Buffer.from(`,"${name}":`), isText: type === 'text' }));

export class JsonRows extends SampleRows {
  constructor(machineId: string, form: 'array' | 'lines') {
    const row = `{"machine_id":${JSON.stringify(machineId)},"timestamp":"`;
    super(
      form === 'array'
        ? { first: `[\n${row}`, following: `,\n${row}`, end: '\n]', empty: '[]' }
        : { first: row, following: `\n${row}`, end: '\n', empty: '' },
    );
  }

  protected override row(start: number, end: number): void {
    let from = start;
    let to = this.fieldEnd(from, end);
    this.time(from, to);
    this.out[this.at++] = QUOTE;
    for (const { key, isText } of KEYS) {
      from = to + 1;
      to = this.fieldEnd(from, end);
      if (this.isNull(from, to)) continue;
      if (isText) {
        this.put(key);
        this.write(JSON.stringify(this.unescaped(from, to)));
      } else if (this.isFinite(to)) {
        this.put(key);
        this.copy(from, to);
      }
    }
    this.#extra(to + 1, end);
    this.out[this.at++] = 0x7d;
  }

  /** The keys of `extra` follow those of the columns, without its braces. */
  #extra(from: number, to: number): void {
    if (this.isNull(from, to) || to - from <= 2) return;
    this.out[this.at++] = 0x2c;
    if (this.isEscaped(from, to)) this.write(this.unescaped(from, to).slice(1, -1));
    else this.copy(from + 1, to - 1);
  }
}

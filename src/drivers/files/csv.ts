/**
 * Rows of a CSV file, with the place where each ends, so that reading can go on there. The quoting is the library's
 * work; it is given Latin-1 text, in which a character is a byte, so its positions are the file's.
 */
import type Papa from 'papaparse';
import { type OpenFile, READ_BYTES } from './folder.ts';
import { BYTE_ORDER_MARK, NotUnderstood } from './rows.ts';

/** Longest row. */
export const ROW_BYTES_MAX: number = 1024 * 1024;

export interface CsvRow {
  readonly fields: readonly string[];
  /** Without its line end. */
  readonly text: string;
  /** Offset of the byte after it. */
  readonly end: number;
}

export interface CsvForm {
  readonly delimiter: string;
  readonly encoding: 'utf-8' | 'latin1';
  /** Whether a last line without a line end is a row. */
  readonly takeLastLine: boolean;
}

/**
 * The rows from that offset on, which is where one begins; blank lines are passed over.
 * @throws NotUnderstood
 */
export async function* csvRows(file: OpenFile, from: number, form: CsvForm): AsyncGenerator<CsvRow> {
  const { default: papa } = await import('papaparse');
  let at = from === 0 && (await file.read(0, 3)).equals(BYTE_ORDER_MARK) ? 3 : from;
  let bytesWanted = READ_BYTES;
  while (at < file.size) {
    const bytes = await file.read(at, bytesWanted);
    const isEnd = at + bytes.length >= file.size;
    const cut = isEnd && form.takeLastLine ? bytes.length : bytes.lastIndexOf(0x0a) + 1;
    const rows = parsed(papa, bytes.toString('latin1', 0, cut), form);
    for (const { fields, text, end } of rows) {
      if (text.trim() !== '') yield { fields, text, end: at + end };
    }
    const used = rows.at(-1)?.end ?? 0;
    at += used;
    if (used > 0) {
      bytesWanted = READ_BYTES;
    } else if (bytesWanted > ROW_BYTES_MAX || (isEnd && form.takeLastLine)) {
      throw new NotUnderstood(`a quote is not closed, or a row is longer than ${ROW_BYTES_MAX} bytes`);
    } else if (isEnd || bytes.length < bytesWanted) {
      return;
    } else {
      bytesWanted *= 2;
    }
  }
}

/** All rows that are whole; of one with an open quote the rest may still come. */
function parsed(papa: typeof Papa, latin1: string, { delimiter, encoding }: CsvForm): CsvRow[] {
  if (latin1 === '') return [];
  const rows: CsvRow[] = [];
  const firstEnd = latin1.indexOf('\n');
  const newline = latin1[firstEnd - 1] === '\r' ? '\r\n' : '\n';
  let start = 0;
  papa.parse<string[]>(latin1, {
    delimiter,
    newline,
    step: ({ data, errors, meta }, parser) => {
      if (errors.some(({ code }) => code === 'MissingQuotes')) return parser.abort();
      const end = meta.cursor;
      const text = latin1.slice(start, end).replace(/\r?\n$/, '');
      start = end;
      // After the last line end the library sees one more, empty row.
      if (text === '' && end === latin1.length && rows.at(-1)?.end === end) return;
      rows.push({ fields: data.map((field) => decoded(field.replace(/\r$/, ''), encoding)), text, end });
    },
  });
  return rows;
}

function decoded(latin1: string, encoding: CsvForm['encoding']): string {
  // Most fields are numbers.
  return encoding === 'latin1' || /^[\0-\x7f]*$/.test(latin1) ? latin1 : Buffer.from(latin1, 'latin1').toString('utf8');
}

/**
 * Rows of a CSV file, with the place where each ends, so that reading can go on there. The quoting is the library's
 * work; it is given Latin-1 text, in which a character is a byte, so its positions are the file's.
 */
import type Papa from 'papaparse';
import { READ_BYTES } from './folder.ts';
import { BYTE_ORDER_MARK, isUtf16, NotUnderstood } from './rows.ts';

/** Line ends within one row, in quoted fields. With more its quote is taken for one that is not closed. */
export const ROW_LINES_MAX = 100;
/** Longest row. */
export const ROW_BYTES_MAX: number = 1024 * 1024;

export interface CsvRow {
  /** null: a quote in it is not closed. */
  readonly fields: readonly string[] | null;
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

/** A file of which parts can be read; as many of the bytes as there are. */
export interface ByteSource {
  readonly size: number;
  read(position: number, length: number): Promise<Buffer>;
}

/**
 * The rows from that offset on, which is where one begins; blank lines are passed over.
 * @throws NotUnderstood
 */
export async function* csvRows(file: ByteSource, from: number, form: CsvForm): AsyncGenerator<CsvRow> {
  const { default: papa } = await import('papaparse');
  const beginning = await file.read(0, 3);
  if (isUtf16(beginning)) throw new NotUnderstood('it is UTF-16; a CSV file is read as UTF-8 or Latin-1');
  let at = from === 0 && beginning.equals(BYTE_ORDER_MARK) ? 3 : from;
  let bytesWanted = READ_BYTES;
  while (at < file.size) {
    const bytes = await file.read(at, bytesWanted);
    const isEnd = at + bytes.length >= file.size;
    const cut = isEnd && form.takeLastLine ? bytes.length : bytes.lastIndexOf(0x0a) + 1;
    const rows = parsed(papa, bytes.toString('latin1', 0, cut), form);
    for (const { fields, text, end } of rows) {
      if (text.trim() !== '') yield { fields, text, end: at + end };
    }
    let used = rows.at(-1)?.end ?? 0;
    if (used === 0 && (linesIn(bytes) > ROW_LINES_MAX || (isEnd && form.takeLastLine && linesIn(bytes) > 0))) {
      // Its line alone makes no sense, and not all that comes after it.
      used = bytes.indexOf(0x0a) + 1;
      yield { fields: null, text: withoutLineEnd(bytes.toString('latin1', 0, used)), end: at + used };
    }
    at += used;
    if (used > 0) {
      bytesWanted = READ_BYTES;
    } else if (bytesWanted > ROW_BYTES_MAX || (isEnd && form.takeLastLine)) {
      throw new NotUnderstood(`a row is longer than ${ROW_BYTES_MAX} bytes, or a quote in the last is not closed`);
    } else if (isEnd || bytes.length < bytesWanted) {
      return;
    } else {
      bytesWanted *= 2;
    }
  }
}

function withoutLineEnd(text: string): string {
  return text.replace(/\r?\n$/, '');
}

function linesIn(bytes: Buffer): number {
  let lines = 0;
  for (let at = bytes.indexOf(0x0a); at >= 0; at = bytes.indexOf(0x0a, at + 1)) lines += 1;
  return lines;
}

/** All rows that are whole; of one with an open quote the rest may still come. */
function parsed(papa: typeof Papa, latin1: string, { delimiter, encoding }: CsvForm): CsvRow[] {
  if (latin1 === '') return [];
  const rows: CsvRow[] = [];
  let start = 0;
  papa.parse<string[]>(latin1, {
    delimiter,
    // Also where lines end in CR LF, or now so and now so: the CR is taken off.
    newline: '\n',
    step: ({ data, errors, meta }, parser) => {
      if (errors.some(({ code }) => code === 'MissingQuotes')) return parser.abort();
      const end = meta.cursor;
      const text = withoutLineEnd(latin1.slice(start, end));
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

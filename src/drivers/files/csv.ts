/**
 * Rows of a CSV file, with the place where each ends, so that reading can go on there. The quoting is the library's
 * work; it is given Latin-1 text, in which a character is a byte, so its positions are the file's.
 */
import type Papa from 'papaparse';
import { READ_BYTES } from './folder.ts';
import { BYTE_ORDER_MARK, isUtf16, NotUnderstood } from './rows.ts';

/**
 * Line ends within one row, in quoted fields. With more its quote is taken for one that is not closed, also where it is:
 * of a file that grows nobody knows yet.
 */
export const ROW_LINES_MAX = 100;
/** Longest row. */
export const ROW_BYTES_MAX: number = 1024 * 1024;
/** In a row that is longer than is read at once: for each of them the library looks through the rest of it. */
const STRAY_QUOTES_MAX = 100;

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
  let mayBeOpen = false;
  while (at < file.size) {
    const bytes = await file.read(at, bytesWanted);
    const isEnd = at + bytes.length >= file.size;
    const tooLong = afterLines(bytes, ROW_LINES_MAX + 1);
    const whole = isEnd && form.takeLastLine ? bytes.length : bytes.lastIndexOf(0x0a) + 1;
    // After one row that is not closed there may be thousands: for each no more is parsed than the longest row.
    const cut = mayBeOpen ? Math.min(whole, tooLong) : whole;
    let used = 0;
    for (const { fields, text, end } of parsed(papa, bytes.toString('latin1', 0, cut), form)) {
      if (afterLines(Buffer.from(text, 'latin1'), ROW_LINES_MAX + 1) < Infinity) break;
      if (text.trim() !== '') yield { fields, text, end: at + end };
      used = end;
    }
    mayBeOpen = used === 0;
    if (used === 0 && (tooLong < Infinity || (isEnd && form.takeLastLine && bytes.includes(0x0a)))) {
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
    } else if (strayQuotes(bytes.toString('latin1'), form.delimiter) > STRAY_QUOTES_MAX) {
      throw new NotUnderstood('a long row has quotes within its fields that are not doubled');
    } else {
      bytesWanted *= 2;
    }
  }
}

function withoutLineEnd(text: string): string {
  return text.replace(/\r?\n$/, '');
}

/** Quotes that neither begin nor end a field, nor are doubled. */
function strayQuotes(text: string, delimiter: string): number {
  let strays = 0;
  for (let at = text.indexOf('"'); at >= 0; at = text.indexOf('"', at + 1)) {
    const neighbours = [text[at - 1] ?? '\n', text[at + 1] ?? '\n'];
    if (!neighbours.some((one) => one === delimiter || one === '"' || one === '\n' || one === '\r')) strays += 1;
  }
  return strays;
}

/** The place after so many line ends; Infinity where there are fewer. */
function afterLines(bytes: Buffer, lines: number): number {
  let at = 0;
  for (let left = lines; left > 0; left -= 1) {
    const end = bytes.indexOf(0x0a, at);
    if (end < 0) return Infinity;
    at = end + 1;
  }
  return at;
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

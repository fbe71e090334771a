/**
 * Reads one file from where it was left: opens it, finds the place by what is remembered, and hands out row after row
 * with its mark. Knows nothing of when to read, nor of what becomes of the file.
 */
import { parseAqdef } from './aqdef.ts';
import { hasEnd, parseCalypso } from './calypso.ts';
import { rowMapper } from './columns.ts';
import { csvRows, type CsvRow } from './csv.ts';
import { type FileState, isSame, OpenFile, READ_BYTES } from './folder.ts';
import { digestOf, type FileEntry, type FilesMemory } from './memory.ts';
import type { CsvOptions, FilesOptions } from './options.ts';
import { timestampOf } from '../../model/time.ts';
import { decodeText, NotUnderstood, type ParseContext, type ParsedFile, type Row } from './rows.ts';

/** A file of a format that is parsed as a whole may be so long. */
export const WHOLE_BYTES_MAX: number = 32 * 1024 * 1024;
/** By so many of its first and last bytes a file that has grown is known. */
const KNOWN_BY_BYTES = 1024;

/** How far a file is read. */
export interface Progress {
  readonly end: number;
  readonly rows: number;
  readonly mark: string;
  readonly last: string;
}

export interface MarkedRow {
  readonly row: Row;
  readonly mark: string;
  /** The row is equal to the one before it. */
  readonly isRepeated: boolean;
  /** Up to and with this row. */
  readonly progress: Progress;
  /** What stands above it in a file of its own; '' where there is no header. */
  readonly header: string;
}

interface PlacedRow extends Row {
  readonly end: number;
}

/** The rows of a file from some place on. */
interface RowSource {
  readonly seed: string;
  readonly header: string;
  rowsFrom(progress: Progress): AsyncIterable<PlacedRow>;
  /** Bytes of an open last line are not read. */
  readonly isUnfinished: boolean;
}

export interface ReadOptions {
  readonly options: FilesOptions;
  readonly memory: Pick<FilesMemory, 'entry' | 'knows' | 'saw'>;
  readonly path: string;
  /** A last line without a line end is taken as it is. */
  readonly takeLastLine: boolean;
}

interface EntryOptions {
  readonly isDone: boolean;
  readonly fault: string | null;
}

export class FileReader {
  readonly #read: ReadOptions;
  readonly #file: OpenFile;
  #source: RowSource | undefined;
  /** Up to the newest row that is {@link done}. */
  #progress: Progress = { end: 0, rows: 0, mark: '', last: '' };
  #known = '';
  #knownBefore = '';

  /** @returns undefined when it is gone. @throws UnreadableFile */
  static async open(read: ReadOptions): Promise<FileReader | undefined> {
    const file = await OpenFile.open(read.path);
    return file === undefined ? undefined : new FileReader(read, file);
  }

  constructor(read: ReadOptions, file: OpenFile) {
    this.#read = read;
    this.#file = file;
  }

  /** As it was when it was opened. */
  get state(): FileState {
    return this.#file.state;
  }

  /** Of the file, up to where it is read; a header is no row. */
  get rowsRead(): number {
    return this.#progress.rows;
  }

  /** There is a last line without a line end that was not taken. Known after {@link rows}. */
  get isUnfinished(): boolean {
    return this.#source?.isUnfinished ?? false;
  }

  /** The rows that are not read yet, in order. @throws NotUnderstood when it is the whole file that makes no sense, UnreadableFile */
  async *rows(): AsyncGenerator<MarkedRow> {
    const source = await this.#open();
    this.#source = source;
    const entry = await this.#knownEntry();
    const start: Progress = entry ?? { end: 0, rows: 0, mark: source.seed, last: '' };
    this.#progress = await this.#findPlace(source, start);
    this.#known = this.#progress === start ? (entry?.known ?? '') : this.#progress.mark;
    this.#knownBefore = entry?.known ?? '';
    let progress = this.#progress;
    for await (const row of source.rowsFrom(progress)) {
      const before = progress;
      progress = after(before, row);
      const isRepeated = before.last === progress.last;
      yield { row, mark: progress.mark, isRepeated, progress, header: source.header };
    }
  }

  /**
   * The row was dealt with.
   * @param isUnderstood it gave its readings. Else it is not known under another name: put right, or with another column
   * map, it may come again
   */
  done({ progress }: MarkedRow, { isUnderstood }: { isUnderstood: boolean }): void {
    this.#progress = progress;
    if (!isUnderstood) return;
    this.#known = progress.mark;
    this.#read.memory.saw(progress.mark);
  }

  /** What to remember of it, up to the newest row that is {@link done}. Never rejects. */
  async entry({ isDone, fault }: EntryOptions): Promise<FileEntry> {
    const progress = this.#progress;
    // A file that cannot be read now is found again by its marks.
    const ends = await this.#ends(progress.end).catch(() => ({ head: '', tail: '' }));
    const known = { known: this.#known, knownBefore: this.#knownBefore };
    this.#knownBefore = this.#known;
    const { end, rows, mark, last } = progress;
    return { path: this.#read.path, ...this.#file.state, end, rows, mark, last, ...known, ...ends, isDone, fault };
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  /** The file of that name has only grown since, or was not read to its end. */
  async #knownEntry(): Promise<FileEntry | undefined> {
    const { memory, path, options } = this.#read;
    const entry = memory.entry(path);
    if (options.format !== 'csv' || entry === undefined || entry.fault !== null) return undefined;
    if (entry.end === 0 || entry.end > this.#file.size) return undefined;
    // By its ends alone it would not be seen that something between them was altered.
    const mayBeAltered = !isSame(entry, this.#file.state) && entry.size >= this.#file.size;
    if (mayBeAltered && options.csv?.growing !== true) return undefined;
    const { head, tail } = await this.#ends(entry.end);
    return head === entry.head && tail === entry.tail ? entry : undefined;
  }

  async #ends(end: number): Promise<{ head: string; tail: string }> {
    const length = Math.min(end, KNOWN_BY_BYTES);
    const [head, tail] = [await this.#file.read(0, length), await this.#file.read(end - length, length)];
    return { head: digestOf(head), tail: digestOf(tail) };
  }

  /** By the content alone: after the last row whose mark is known, also by a copy that was read first. */
  async #findPlace(source: RowSource, start: Progress): Promise<Progress> {
    let place = start;
    let progress: Progress = start;
    for await (const row of source.rowsFrom(start)) {
      progress = after(progress, row);
      if (this.#read.memory.knows(progress.mark)) place = progress;
    }
    return place;
  }

  async #open(): Promise<RowSource> {
    const { options } = this.#read;
    if (options.csv !== null) return this.#openCsv(options.csv);
    if (this.#file.size > WHOLE_BYTES_MAX) throw new NotUnderstood(`it is longer than ${WHOLE_BYTES_MAX} bytes`);
    const text = decodeText(await this.#file.read(0, this.#file.size));
    const isWhole = options.format === 'qif' || (options.format === 'calypso' ? hasEnd(text) : /[\r\n]$/.test(text));
    if (!isWhole && !this.#read.takeLastLine) {
      throw new NotUnderstood('its last line is not there, or has no line end', { mayBeUnfinished: true });
    }
    const { seed, rows } = await this.#parse(text);
    const { size } = this.#file;
    return {
      seed: digestOf(seed),
      header: '',
      isUnfinished: false,
      rowsFrom: async function* (progress) {
        for (const row of rows.slice(progress.rows)) yield { ...row, end: size };
      },
    };
  }

  #parse(text: string): ParsedFile | Promise<ParsedFile> {
    const { options, path } = this.#read;
    const context: ParseContext = {
      name: nameOf(path),
      fileTime: this.#fileTime,
      zone: options.zone,
      unit: options.unit,
    };
    switch (options.format) {
      case 'qif':
        return parseQif(text, context);
      case 'aqdef':
        return parseAqdef(text, context);
      default:
        return parseCalypso(text, context);
    }
  }

  get #fileTime(): string {
    return timestampOf(Math.floor(this.#file.state.mtimeMs * 1000));
  }

  async #openCsv(csv: CsvOptions): Promise<RowSource> {
    const { path, takeLastLine, options } = this.#read;
    const form = { ...csv, takeLastLine: takeLastLine && !csv.growing };
    const file = this.#file;
    const fileTime = this.#fileTime;
    // A short file is parsed once, though its rows are gone through up to three times.
    const all = file.size <= READ_BYTES ? await Array.fromAsync(csvRows(file, 0, form)) : undefined;
    const rowsAfter = (end: number): AsyncIterable<CsvRow> | readonly CsvRow[] =>
      all?.filter((row) => row.end > end) ?? csvRows(file, end, form);
    let header = { text: '', end: 0, fields: null as readonly string[] | null };
    if (csv.header) {
      for await (const row of rowsAfter(0)) {
        header = row;
        break;
      }
    }
    if (csv.header && header.end === 0) {
      return { seed: '', header: '', isUnfinished: file.size > 0, rowsFrom: async function* () {} };
    }
    if (csv.header && header.fields === null) throw new NotUnderstood('a quote in its header is not closed');
    const map = rowMapper(csv, header.fields, options.zone);
    let end = header.end;
    return {
      // Rows without a time of their own may be alike in two files that are not.
      seed: digestOf(header.text, csv.time === null ? nameOf(path) : ''),
      header: header.text,
      get isUnfinished() {
        return end < file.size;
      },
      rowsFrom: async function* (progress) {
        let number = progress.rows;
        end = Math.max(header.end, progress.end);
        for await (const row of rowsAfter(end)) {
          end = row.end;
          number += 1;
          const place = `row ${number}`;
          yield { text: row.text, place, end, findings: () => map(row.fields, fileTime) };
        }
      },
    };
  }
}

/** Loaded only where it is read, with its XML parser. */
async function parseQif(text: string, context: ParseContext): Promise<ParsedFile> {
  return (await import('./qif.ts')).parseQif(text, context);
}

function after(before: Progress, row: PlacedRow): Progress {
  return {
    end: row.end,
    rows: before.rows + 1,
    mark: digestOf(before.mark, row.text),
    last: digestOf(row.text),
  };
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

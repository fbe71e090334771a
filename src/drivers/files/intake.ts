/**
 * Takes what has settled into the log: a file's rows become readings, those that make no sense are put away, and a commit
 * ends it: the log has the readings, the disk has what was read. Only then is a file moved or deleted.
 */
import { decodeReading, type Reading } from '../../model/reading.ts';
import type { DriverContext } from '../../ports/driver.ts';
import type { Emitter } from './emitter.ts';
import { digestOf, type FileEntry, type FilesMemory } from './memory.ts';
import { type FilesOptions, isGrowing } from './options.ts';
import { type BadRow, type PutAway, reasonsOf } from './put-away.ts';
import type { FileReader, MarkedRow } from './reader.ts';
import { NotUnderstood } from './rows.ts';

/** Readings, and files, after which a round commits: so many at most are in the log and not remembered yet. */
export const ROUND_READINGS_MAX = 1_000;
export const ROUND_FILES_MAX = 500;
/** Rows that go to the quarantine in one file; where none of so many makes sense, the whole file goes there. */
export const BAD_ROWS_MAX = 1_000;

interface IntakeParts {
  readonly options: FilesOptions;
  readonly memory: FilesMemory;
  readonly context: DriverContext;
  readonly signal: AbortSignal;
  readonly emitter: Emitter;
  readonly putAway: PutAway;
}

export class Intake {
  readonly #parts: IntakeParts;
  /** Read whole since the last commit. */
  #files: FileEntry[] = [];

  constructor(parts: IntakeParts) {
    this.#parts = parts;
  }

  /** It is time for a commit. */
  get isFull(): boolean {
    return this.#parts.emitter.count >= ROUND_READINGS_MAX || this.#files.length >= ROUND_FILES_MAX;
  }

  /** With the next commit it goes where it is to go. */
  add(entry: FileEntry): void {
    this.#files.push(entry);
  }

  /** @returns false when the file is not finished, as it seems */
  async read(reader: FileReader, { path, isFinal }: { path: string; isFinal: boolean }): Promise<boolean> {
    const { memory, options, putAway } = this.#parts;
    const bad: BadRow[] = [];
    const told = memory.entry(path)?.fault;
    let fault: string | null = null;
    try {
      const isCsv = options.csv !== null;
      const isRead = await (isCsv ? this.#readRows(reader, path, bad) : this.#readWhole(reader, path));
      if (!isRead) return false;
      // Its writer may have it open, and write the rows only when all are measured.
      if (isCsv && !isGrowing(options) && reader.rowsRead === 0 && !isFinal) return false;
      if (bad.length > 0 && bad.length === reader.rowsRead && !isGrowing(options)) fault = reasonsOf(bad);
    } catch (error) {
      if (!(error instanceof NotUnderstood)) {
        // What was emitted of it is not to be emitted again.
        await putAway.badRows(path, bad);
        memory.note(await reader.entry({ isDone: false, fault: null }));
        throw error;
      }
      if (error.mayBeUnfinished && !isFinal) return false;
      fault = error.message;
    }
    if (fault === null) {
      if (!(await putAway.badRows(path, bad)) && !isGrowing(options)) fault = reasonsOf(bad);
      // A file that grows would tell it at each row.
    } else if (!isGrowing(options) || fault !== told) {
      putAway.tellFault(path, { row: 0, mark: digestOf(path, fault), reason: fault });
    }
    const isDone = fault !== null || isGrowing(options) || !reader.isUnfinished;
    const entry = await reader.entry({ isDone, fault });
    memory.note(entry);
    this.#files.push(entry);
    return isDone;
  }

  /** Remembers what was read; then the files that are read whole go where they are to go. @returns false when the edge stops */
  async commit(): Promise<boolean> {
    const { memory, signal, emitter, putAway } = this.#parts;
    if (!(await memory.commit(signal))) return false;
    emitter.count = 0;
    const files = this.#files;
    this.#files = [];
    for (const entry of files) await putAway.file(entry);
    return true;
  }

  /**
   * Row after row, however long the file is; those that make no sense are added to `bad`.
   * @returns false when the edge stops
   */
  async #readRows(reader: FileReader, path: string, bad: BadRow[]): Promise<boolean> {
    const { memory, context, options, emitter, putAway } = this.#parts;
    let repeated = 0;
    for await (const row of reader.rows()) {
      if (row.isRepeated && options.csv?.skipDuplicates === true) {
        repeated += 1;
        reader.done(row, { isUnderstood: true });
        continue;
      }
      const readings = this.#readingsOf(row);
      if (typeof readings !== 'string') this.#emit(path, row, readings);
      else bad.push({ row, reason: readings });
      reader.done(row, { isUnderstood: typeof readings !== 'string' });
      if (bad.length < BAD_ROWS_MAX && emitter.count < ROUND_READINGS_MAX) continue;
      if (bad.length === reader.rowsRead && !isGrowing(options)) {
        throw new NotUnderstood(`none of its first ${bad.length} rows makes sense; the last: ${bad.at(-1)?.reason}`);
      }
      await putAway.badRows(path, bad.splice(0));
      memory.note(await reader.entry({ isDone: false, fault: null }));
      if (!(await this.commit())) return false;
      await context.room();
    }
    if (repeated > 0) context.log.info('rows equal to the one before were passed over', { path, rows: repeated });
    return true;
  }

  /**
   * All or nothing: a document that is put right and dropped in again is then read as a whole.
   * @returns false when the edge stops
   */
  async #readWhole(reader: FileReader, path: string): Promise<boolean> {
    const { memory, emitter } = this.#parts;
    const rows: { row: MarkedRow; readings: readonly Reading[] }[] = [];
    const bad: BadRow[] = [];
    for await (const row of reader.rows()) {
      const readings = this.#readingsOf(row);
      if (typeof readings === 'string') bad.push({ row, reason: readings });
      else rows.push({ row, readings });
    }
    if (bad.length > 0) throw new NotUnderstood(reasonsOf(bad.slice(0, BAD_ROWS_MAX)));
    for (const { row, readings } of rows) {
      this.#emit(path, row, readings);
      reader.done(row, { isUnderstood: true });
      if (emitter.count < ROUND_READINGS_MAX) continue;
      memory.note(await reader.entry({ isDone: false, fault: null }));
      if (!(await this.commit())) return false;
    }
    return true;
  }

  /** Or why the row makes no sense: by the rules of the wire too, so that no hub refuses it later. */
  #readingsOf({ row }: MarkedRow): readonly Reading[] | string {
    const { context, options } = this.#parts;
    const readings: Reading[] = [];
    try {
      for (const finding of row.findings()) {
        const isMeasurement = finding['kind'] === 'measurement';
        const stated = isMeasurement && options.compensation !== null ? { compensation: options.compensation } : {};
        const decoded = decodeReading({ machine_id: context.machineId, ...stated, ...finding });
        if ('fault' in decoded) return `${decoded.fault.path} ${decoded.fault.reason}`;
        readings.push(decoded.reading);
      }
    } catch (error) {
      if (error instanceof NotUnderstood) return error.message;
      throw error;
    }
    return readings;
  }

  #emit(path: string, { mark, progress }: MarkedRow, readings: readonly Reading[]): void {
    for (const [index, reading] of readings.entries()) {
      this.#parts.emitter.emit(path, reading, { row: progress.rows, mark: index === 0 ? mark : `${mark}/${index}` });
    }
  }
}

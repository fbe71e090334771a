/**
 * Reads the result files of measuring machines: watches folders and reads each row in them once (decision 019).
 *
 * A round looks at the files that may have changed (told by the system's events, or all of them every `rescan`), reads
 * those that have settled, and ends with a commit: the log has the readings, the disk has what was read. Only then is a
 * file moved or deleted. A folder that is not there ends `run` with one sentence, and the runner tries again.
 */
import { now } from '../../base/clock.ts';
import { messageOf, MillwrightError } from '../../base/errors.ts';
import { decodeReading, type MachineEvent, type Reading, TEXT_LENGTH_MAX } from '../../model/reading.ts';
import { withReadFrom } from '../../model/read-from.ts';
import type { Checkable } from '../../ports/checkable.ts';
import type { CreateDriver, Driver, DriverContext, ReadMemory, ReadsOnce } from '../../ports/driver.ts';
import {
  fileNames,
  type FileState,
  fileState,
  folderNumber,
  isSame,
  makeFolder,
  moveInto,
  removeFile,
  UnreadableFile,
  watchFolder,
  writeFile,
} from './folder.ts';
import { digestOf, type FileEntry, FilesMemory } from './memory.ts';
import { nameFilter } from './names.ts';
import type { FilesOptions } from './options.ts';
import { FileReader, type MarkedRow, nameOf } from './reader.ts';
import { NotUnderstood } from './rows.ts';

export const create: CreateDriver<FilesOptions> = (options) => new FilesDriver(options);

/** Readings, and files, after which a round commits: so many at most are in the log and not remembered yet. */
export const ROUND_READINGS_MAX = 1_000;
export const ROUND_FILES_MAX = 500;
/** Rows that go to the quarantine in one file; where none of so many makes sense, the whole file goes there. */
export const BAD_ROWS_MAX = 1_000;

/** So much of a mark stands in the name of a file with rows in the quarantine. */
const PLACE_MARK_LENGTH = 6;
/** Files whose state is asked for at once. */
const LOOKS_MAX = 32;
/** A rescan takes a tenth of the time at most. */
const RESCAN_REST = 9;
/** A file that cannot be read, though its folder can, is opened again after so long. */
const UNREADABLE_RETRY_MS = 60_000;
/** `item` of the event that tells of a file or rows in the quarantine. */
const QUARANTINE_ITEM = 'quarantine';
/** Of the file beside one in the quarantine that says why. */
const REASON_SUFFIX = '.reason.txt';

interface BadRow {
  readonly row: MarkedRow;
  readonly reason: string;
}

/** A file that has changed and is not read yet. */
interface Pending extends FileState {
  /** Since when it has had this size and time, by the monotonic clock. */
  readonly sinceMs: number;
  dueMs: number;
}

class FilesDriver implements Driver, ReadsOnce, Checkable {
  readonly #options: FilesOptions;
  #memory: FilesMemory | undefined;
  #source = '';

  constructor(options: FilesOptions) {
    this.#options = options;
  }

  useMemory(memory: ReadMemory): void {
    this.#source = memory.source;
    this.#memory = new FilesMemory(memory);
  }

  /** Reads the newest file of the first folder that has one; moves, marks and remembers nothing. */
  async check(): Promise<string> {
    const { checkFolders } = await import('./check.ts');
    return await checkFolders(this.#options);
  }

  async run(context: DriverContext, signal: AbortSignal): Promise<void> {
    if (this.#memory === undefined) throw new Error('useMemory comes before run');
    const watch = new Watch({ options: this.#options, memory: this.#memory, source: this.#source, context, signal });
    try {
      await watch.run();
    } finally {
      watch.close();
      await this.#memory.close();
    }
  }
}

interface WatchParts {
  readonly options: FilesOptions;
  readonly memory: FilesMemory;
  readonly source: string;
  readonly context: DriverContext;
  readonly signal: AbortSignal;
}

/** One run: from the folders being there to one of them being gone. */
class Watch {
  readonly #parts: WatchParts;
  readonly #isWanted: (name: string) => boolean;
  readonly #pending = new Map<string, Pending>();
  readonly #changed = new Set<string>();
  /** By folder; its number tells when another one has come in its place. */
  readonly #watched = new Map<string, { readonly number: number; close(): void }>();
  /** Files that could not be moved or deleted, and those that could not be read: problems of the source while they are. */
  readonly #stuck = new Set<string>();
  readonly #unreadable = new Set<string>();
  #rescanDueMs = 0;
  #wake = new AbortController();
  /** Since the last commit. */
  #readings = 0;
  #files: FileEntry[] = [];

  constructor(parts: WatchParts) {
    this.#parts = parts;
    this.#isWanted = nameFilter(parts.options.pattern, parts.options.ignore);
  }

  async run(): Promise<void> {
    const { memory, context, signal, options } = this.#parts;
    await memory.load();
    // What an earlier run has noted and could not write.
    if (!(await memory.commit(signal))) return;
    for (const folder of options.folders) await listed(folder);
    context.connected();
    while (!signal.aborted) {
      this.#wake = new AbortController();
      await this.#round();
      let dueMs = this.#rescanDueMs;
      for (const pending of this.#pending.values()) dueMs = Math.min(dueMs, pending.dueMs);
      await context.clock.sleep(
        Math.max(0, dueMs - context.clock.monotonicMs()),
        AbortSignal.any([signal, this.#wake.signal]),
      );
    }
  }

  close(): void {
    for (const watcher of this.#watched.values()) watcher.close();
  }

  get #isGrowing(): boolean {
    return this.#parts.options.csv?.growing === true;
  }

  async #watch(folder: string): Promise<void> {
    const before = this.#watched.get(folder);
    const number = await folderNumber(folder).catch((cause: unknown) => {
      throw cannotReadFolder(folder, cause);
    });
    if (before?.number === number) return;
    before?.close();
    const watcher = watchFolder(folder, (name) => {
      // By the folder's own name the system tells that it was moved or deleted.
      if (name === null || name === nameOf(folder)) this.#rescanDueMs = 0;
      else if (this.#isWanted(name)) this.#changed.add(`${folder}/${name}`);
      else return;
      this.#wake.abort();
    });
    this.#watched.set(folder, { number, close: () => watcher?.close() });
    if (watcher !== undefined || before !== undefined) return;
    this.#parts.context.log.info('the system tells no changes of the folder; it is only rescanned', { folder });
  }

  async #round(): Promise<void> {
    const { context, options, signal } = this.#parts;
    const { clock } = context;
    if (clock.monotonicMs() >= this.#rescanDueMs) {
      const startedMs = clock.monotonicMs();
      // Set before, so that an event that tells no name can still ask for one more.
      this.#rescanDueMs = Infinity;
      await this.#rescan();
      const tookMs = clock.monotonicMs() - startedMs;
      const nextMs = clock.monotonicMs() + Math.max(options.rescanMs, tookMs * RESCAN_REST);
      this.#rescanDueMs = Math.min(this.#rescanDueMs, nextMs);
    }
    const changed = [...this.#changed];
    this.#changed.clear();
    await this.#lookAt(changed);
    const due = [...this.#pending].filter(([, { dueMs }]) => dueMs <= clock.monotonicMs());
    // The oldest first, so that readings come in the order of their times as far as files tell it.
    due.sort(([a, first], [b, second]) => first.mtimeMs - second.mtimeMs || (a < b ? -1 : 1));
    for (const [path, pending] of due) {
      if (signal.aborted) return;
      await this.#readIfSettled(path, pending);
      if (this.#readings >= ROUND_READINGS_MAX || this.#files.length >= ROUND_FILES_MAX) await this.#commit();
    }
    await this.#commit();
    context.alive();
  }

  async #rescan(): Promise<void> {
    const { options, memory } = this.#parts;
    const found = new Set<string>();
    for (const folder of options.folders) {
      await this.#watch(folder);
      for (const name of await listed(folder)) if (this.#isWanted(name)) found.add(`${folder}/${name}`);
    }
    await this.#lookAt([...found]);
    for (const path of [...memory.paths()]) if (!found.has(path)) memory.forgetPath(path);
    for (const troubles of [this.#stuck, this.#unreadable]) {
      for (const path of troubles) if (!found.has(path)) this.#isOver(troubles, path);
    }
    await this.#lookAtQuarantine();
  }

  /** What lies there waits for a person, however long ago it came. */
  async #lookAtQuarantine(): Promise<void> {
    const { options, context } = this.#parts;
    const names = await fileNames(options.quarantineFolder).catch((): string[] => []);
    const count = names.filter((name) => !name.endsWith(REASON_SUFFIX)).length;
    const files = count === 1 ? '1 file waits' : `${count} files wait`;
    const what = `${files} in ${options.quarantineFolder}, the reasons beside: put right and drop in again, or delete`;
    context.problem(QUARANTINE_ITEM, count === 0 ? null : what);
  }

  #isOver(troubles: Set<string>, path: string): void {
    if (troubles.delete(path)) this.#parts.context.problem(nameOf(path), null);
  }

  /** A share answers many questions in the time of one. */
  async #lookAt(paths: readonly string[]): Promise<void> {
    for (let index = 0; index < paths.length; index += LOOKS_MAX) {
      await Promise.all(paths.slice(index, index + LOOKS_MAX).map((path) => this.#look(path)));
    }
  }

  /** Whether there is something to read in the file, and since when. */
  async #look(path: string): Promise<void> {
    const { memory, context, options } = this.#parts;
    let state: FileState | undefined;
    try {
      state = await fileState(path);
      // The system gives names as text, and takes them back only where they are UTF-8.
      if (state === undefined && path.includes('\ufffd')) throw new UnreadableFile(new Error('its name is not UTF-8'));
    } catch (error) {
      await this.#cannotRead(path, error);
    }
    if (state === undefined) {
      this.#pending.delete(path);
      return;
    }
    const entry = memory.entry(path);
    if (entry?.isDone === true && isSame(entry, state)) {
      this.#pending.delete(path);
      // It was read, and then came a crash.
      if (this.#destinationOf(entry) !== 'stays') this.#files.push(entry);
      return;
    }
    const pending = this.#pending.get(path);
    if (pending !== undefined && isSame(pending, state)) return;
    // A file that grows may never rest; its whole lines are read all the same.
    const sinceMs = (this.#isGrowing ? pending?.sinceMs : undefined) ?? context.clock.monotonicMs();
    this.#pending.set(path, { ...state, sinceMs, dueMs: sinceMs + options.settleMs });
  }

  async #readIfSettled(path: string, pending: Pending): Promise<void> {
    const { context, options, memory } = this.#parts;
    const unchangedMs = context.clock.monotonicMs() - pending.sinceMs;
    const takeLastLine = unchangedMs >= options.lastLineAfterMs;
    let reader: FileReader | undefined;
    try {
      reader = await FileReader.open({ options, memory, path, takeLastLine });
      if (reader === undefined) return void this.#pending.delete(path);
      if (!this.#isGrowing && !isSame(pending, reader.state)) return await this.#look(path);
      const isRead = await this.#read(reader, { path, isFinal: unchangedMs >= options.quarantineAfterMs });
      const next = [options.lastLineAfterMs, options.quarantineAfterMs].filter((waitMs) => waitMs > unchangedMs);
      if (isRead) this.#pending.delete(path);
      else pending.dueMs = pending.sinceMs + Math.min(Infinity, ...next);
      this.#isOver(this.#unreadable, path);
    } catch (error) {
      await this.#cannotRead(path, error);
      pending.dueMs = context.clock.monotonicMs() + UNREADABLE_RETRY_MS;
    } finally {
      await reader?.close();
    }
  }

  /** One file that cannot be read does not keep the others: it may lie on a bad sector, or belong to somebody else. */
  async #cannotRead(path: string, error: unknown): Promise<void> {
    if (!(error instanceof UnreadableFile)) throw error;
    if (this.#unreadable.has(path)) return;
    // With a share that is gone no file of it can be read, and that is said of the share.
    await listed(path.slice(0, path.lastIndexOf('/')));
    this.#unreadable.add(path);
    const { context } = this.#parts;
    const reason = messageOf(error.cause);
    context.log.error('a file cannot be read by the edge; it is tried again', { path, reason });
    context.problem(nameOf(path), `cannot be read: ${reason}`);
  }

  /** @returns false when the file is not finished, as it seems */
  async #read(reader: FileReader, { path, isFinal }: { path: string; isFinal: boolean }): Promise<boolean> {
    const { memory, options } = this.#parts;
    const bad: BadRow[] = [];
    const told = memory.entry(path)?.fault;
    let fault: string | null = null;
    try {
      const isCsv = options.csv !== null;
      const isRead = await (isCsv ? this.#readRows(reader, path, bad) : this.#readWhole(reader, path));
      if (!isRead) return false;
      // Its writer may have it open, and write the rows only when all are measured.
      if (isCsv && !this.#isGrowing && reader.rowsRead === 0 && !isFinal) return false;
      if (bad.length > 0 && bad.length === reader.rowsRead && !this.#isGrowing) fault = reasonsOf(bad);
    } catch (error) {
      if (!(error instanceof NotUnderstood)) {
        // What was emitted of it is not to be emitted again.
        await this.#quarantineRows(path, bad);
        memory.note(await reader.entry({ isDone: false, fault: null }));
        throw error;
      }
      if (error.mayBeUnfinished && !isFinal) return false;
      fault = error.message;
    }
    if (fault === null) {
      if (!(await this.#quarantineRows(path, bad)) && !this.#isGrowing) fault = reasonsOf(bad);
      // A file that grows would tell it at each row.
    } else if (!this.#isGrowing || fault !== told) {
      this.#tellFault(path, { row: 0, mark: digestOf(path, fault), reason: fault });
    }
    const isDone = fault !== null || this.#isGrowing || !reader.isUnfinished;
    const entry = await reader.entry({ isDone, fault });
    memory.note(entry);
    this.#files.push(entry);
    return isDone;
  }

  /**
   * Row after row, however long the file is; those that make no sense are added to `bad`.
   * @returns false when the edge stops
   */
  async #readRows(reader: FileReader, path: string, bad: BadRow[]): Promise<boolean> {
    const { memory, context, options } = this.#parts;
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
      if (bad.length < BAD_ROWS_MAX && this.#readings < ROUND_READINGS_MAX) continue;
      if (bad.length === reader.rowsRead && !this.#isGrowing) {
        throw new NotUnderstood(`none of its first ${bad.length} rows makes sense; the last: ${bad.at(-1)?.reason}`);
      }
      await this.#quarantineRows(path, bad.splice(0));
      memory.note(await reader.entry({ isDone: false, fault: null }));
      if (!(await this.#commit())) return false;
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
      if (this.#readings < ROUND_READINGS_MAX) continue;
      this.#parts.memory.note(await reader.entry({ isDone: false, fault: null }));
      if (!(await this.#commit())) return false;
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
      this.#emitMarked(path, reading, { row: progress.rows, mark: index === 0 ? mark : `${mark}/${index}` });
    }
  }

  #emitMarked(path: string, reading: Reading, { row, mark }: { row: number; mark: string }): void {
    const { memory, context, source } = this.#parts;
    // The log has it since before a crash.
    if (memory.hasSingle(mark)) return;
    memory.begin();
    context.emit(withReadFrom(reading, { source, file: nameOf(path), row, mark }));
    this.#readings += 1;
  }

  /**
   * The rows go to a file of their own, which can be put right and dropped into the folder again.
   * @returns false when they could not be written
   */
  async #quarantineRows(path: string, bad: readonly BadRow[]): Promise<boolean> {
    const { quarantineFolder } = this.#parts.options;
    const [first] = bad;
    if (first === undefined) return true;
    const name = nameOf(path);
    const dot = name.lastIndexOf('.') > 0 ? name.lastIndexOf('.') : name.length;
    const { header, progress, mark } = first.row;
    // With the mark, so that a file of the same name does not take the place of what is there.
    const place = `row-${progress.rows}.${mark.slice(0, PLACE_MARK_LENGTH)}`;
    const target = `${quarantineFolder}/${name.slice(0, dot)}.${place}${name.slice(dot)}`;
    const lines = [...(header === '' ? [] : [header]), ...bad.map(({ row }) => row.row.text)];
    const reason = reasonsOf(bad);
    const isWritten = await this.#tryTo(path, async () => {
      await makeFolder(quarantineFolder);
      // Rows were read as Latin-1: their bytes come out as they were.
      await writeFile(target, Buffer.from(`${lines.join('\n')}\n`, 'latin1'));
      await writeFile(target + REASON_SUFFIX, `${name}\n${reason}\n`);
    });
    this.#tellFault(path, { row: progress.rows, mark: `${mark}/!`, reason });
    return isWritten;
  }

  #tellFault(path: string, { row, mark, reason }: { row: number; mark: string; reason: string }): void {
    const { context, options } = this.#parts;
    // What is no text at all may stand in it.
    const text = `${nameOf(path)}: ${reason}`.slice(0, TEXT_LENGTH_MAX).replaceAll('\0', '').toWellFormed();
    context.log.warn('a file, or rows of it, make no sense and go to the quarantine', { path, reason: text });
    const event: MachineEvent = {
      machine_id: context.machineId,
      timestamp: now(context.clock),
      kind: 'event',
      event_type: 'message',
      item: QUARANTINE_ITEM,
      text,
      details: { folder: options.quarantineFolder },
    };
    this.#emitMarked(path, event, { row, mark });
  }

  /** Then the files that are read whole go where they are to go. @returns false when the edge stops */
  async #commit(): Promise<boolean> {
    const { memory, signal } = this.#parts;
    if (!(await memory.commit(signal))) return false;
    this.#readings = 0;
    const files = this.#files;
    this.#files = [];
    for (const entry of files) await this.#putAway(entry);
    return true;
  }

  #destinationOf({ isDone, fault }: FileEntry): 'stays' | 'quarantine' | 'move' | 'delete' {
    const { afterReading } = this.#parts.options;
    // A file that is written to for ever stays with its writer.
    if (!isDone || this.#isGrowing) return 'stays';
    if (fault !== null) return 'quarantine';
    return afterReading === 'leave' ? 'stays' : afterReading;
  }

  async #putAway(entry: FileEntry): Promise<void> {
    const { options, memory } = this.#parts;
    const { path, fault } = entry;
    const destination = this.#destinationOf(entry);
    if (destination === 'stays') return;
    // It may have been written to since, and is then read again first.
    const state = await fileState(path);
    if (state === undefined || !isSame(state, entry)) return;
    await this.#tryTo(path, async () => {
      if (destination === 'delete') {
        await removeFile(path);
      } else {
        const target = await moveInto(destination === 'move' ? options.readFolder : options.quarantineFolder, path);
        if (fault !== null && target !== undefined) await writeFile(target + REASON_SUFFIX, `${fault}\n`);
      }
      memory.forgetPath(path);
    });
  }

  /** A folder that cannot be written is a person's work; reading does not wait for it. With a rescan it is tried again. */
  async #tryTo(path: string, work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      this.#isOver(this.#stuck, path);
      return true;
    } catch (error) {
      if (this.#stuck.has(path)) return false;
      this.#stuck.add(path);
      const { context } = this.#parts;
      const reason = messageOf(error);
      context.log.error('a file that was read could not be moved, copied or deleted', { path, reason });
      context.problem(nameOf(path), `was read, and cannot be moved, copied or deleted: ${reason}`);
      return false;
    }
  }
}

async function listed(folder: string): Promise<string[]> {
  try {
    return await fileNames(folder);
  } catch (cause) {
    throw cannotReadFolder(folder, cause);
  }
}

function cannotReadFolder(folder: string, cause: unknown): MillwrightError {
  return new MillwrightError('connection_failed', `the folder ${folder} cannot be read; it is waited for`, { cause });
}

function reasonsOf(bad: readonly BadRow[]): string {
  return bad.map(({ row, reason }) => `${row.row.place}: ${reason}`).join('\n');
}

/**
 * Reads the result files of measuring machines: watches folders and reads each row in them once (decision 019).
 *
 * A round looks at the files that may have changed (told by the system's events, or all of them every `rescan`), reads
 * those that have settled, and ends with a commit: the log has the readings, the disk has what was read. Only then is a
 * file moved or deleted. A folder that is not there ends `run` with one sentence, and the runner tries again.
 */
import { messageOf, MillwrightError } from '../../base/errors.ts';
import type { Checkable } from '../../ports/checkable.ts';
import type { CreateDriver, Driver, DriverContext, ReadMemory, ReadsOnce } from '../../ports/driver.ts';
import { Emitter } from './emitter.ts';
import { fileNames, type FileState, fileState, folderNumber, isSame, UnreadableFile, watchFolder } from './folder.ts';
import { Intake } from './intake.ts';
import { FilesMemory } from './memory.ts';
import { nameFilter } from './names.ts';
import { type FilesOptions, isGrowing } from './options.ts';
import { PutAway } from './put-away.ts';
import { FileReader, nameOf } from './reader.ts';
import { Troubles } from './troubles.ts';

export const create: CreateDriver<FilesOptions> = (options) => new FilesDriver(options);

/** Files whose state is asked for at once. */
const LOOKS_MAX = 32;
/** A rescan takes a tenth of the time at most. */
const RESCAN_REST = 9;
/** A file that cannot be read, though its folder can, is opened again after so long. */
const UNREADABLE_RETRY_MS = 60_000;

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
  readonly #unreadable: Troubles;
  readonly #putAway: PutAway;
  readonly #intake: Intake;
  #rescanDueMs = 0;
  #wake = new AbortController();

  constructor(parts: WatchParts) {
    this.#parts = parts;
    this.#isWanted = nameFilter(parts.options.pattern, parts.options.ignore);
    this.#unreadable = new Troubles(parts.context);
    const emitter = new Emitter(parts);
    this.#putAway = new PutAway({ ...parts, emitter });
    this.#intake = new Intake({ ...parts, emitter, putAway: this.#putAway });
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
      if (this.#intake.isFull) await this.#intake.commit();
    }
    await this.#intake.commit();
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
    for (const troubles of [this.#putAway.stuck, this.#unreadable]) troubles.endAllBut(found);
    await this.#putAway.lookAtQuarantine();
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
      if (this.#putAway.destinationOf(entry) !== 'stays') this.#intake.add(entry);
      return;
    }
    const pending = this.#pending.get(path);
    if (pending !== undefined && isSame(pending, state)) return;
    // A file that grows may never rest; its whole lines are read all the same.
    const sinceMs = (isGrowing(options) ? pending?.sinceMs : undefined) ?? context.clock.monotonicMs();
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
      if (!isGrowing(options) && !isSame(pending, reader.state)) return await this.#look(path);
      const isRead = await this.#intake.read(reader, { path, isFinal: unchangedMs >= options.quarantineAfterMs });
      const next = [options.lastLineAfterMs, options.quarantineAfterMs].filter((waitMs) => waitMs > unchangedMs);
      if (isRead) this.#pending.delete(path);
      else pending.dueMs = pending.sinceMs + Math.min(Infinity, ...next);
      this.#unreadable.end(path);
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
    const reason = messageOf(error.cause);
    this.#parts.context.log.error('a file cannot be read by the edge; it is tried again', { path, reason });
    this.#unreadable.begin(path, `cannot be read: ${reason}`);
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

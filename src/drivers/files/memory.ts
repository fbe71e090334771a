/**
 * What has been read, remembered by content and position, also across crashes (docs/decisions/019-files-read-once.md).
 *
 * A row's mark is a chain: the digest of the mark before it and of its own text. So the mark of a file's newest row read
 * stands for all rows before it too, whatever the file is called. Kept are those marks, and for each file that is there
 * its name, size and time, so that one that has not changed is not opened.
 *
 * On the disk it is a journal, `read.journal` in the source's state folder: a line for each record, begun by its CRC-32
 * in eight hexadecimal digits. Records are appended and synced once the log has the readings of which they tell; a torn
 * last line is cut off when the journal is loaded. When most records are outdated, it is written anew.
 *
 *     {"file":{…}}  a file there, up to what it is read     {"mark":"…"}  one that is gone or has become another
 *     {"gone":"…"}  a path that is no longer there          {"single":["…"]}  rows found in the log after a crash
 *     {"through":7} the log's readings of this source up to batch 7 are in the records before this one
 */
import { unlessAborted } from '../../base/clock.ts';
import type { FileHandle } from '../../base/files.ts';
import { isSystemError } from '../../base/node-files.ts';
import { writeNewFile } from '../../base/small-files.ts';
import type { ReadMemory } from '../../ports/driver.ts';

const { crc32 } = process.getBuiltinModule('node:zlib');
const { createHash } = process.getBuiltinModule('node:crypto');

/** Marks of files that are gone: the oldest are forgotten beyond this. */
export const MARKS_MAX = 50_000;
/** Rows that a crash has left in the log and of which the file was not seen again; the oldest are forgotten beyond this. */
export const SINGLES_MAX = 20_000;
/** Newest rows read, each of which is known for itself, until the next start: of files that are copied while they grow. */
export const RECENT_MAX = 20_000;
/** Records that may be outdated before the journal is written anew. */
const OUTDATED_MAX = 300;
/** Batches of others that may be appended before it is written down that none of them is of this source. */
const IDLE_BATCHES_MAX = 10_000;
const JOURNAL = 'read.journal';
const CRC_DIGITS = 8;

export interface FileEntry {
  readonly path: string;
  readonly size: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  /** Of the file's bytes, so many are read. */
  readonly end: number;
  /** Rows read. */
  readonly rows: number;
  /** Of the newest row read. */
  readonly mark: string;
  /** Of the newest row that gave its readings: by it they are known under any name. '' when there is none. */
  readonly known: string;
  /** What `known` was before this was read on: such a mark need not be remembered for long. */
  readonly knownBefore: string;
  /** Digest of that row's text. */
  readonly last: string;
  /** Digests of the first bytes, and of those before `end`: by these a file that has grown is known. */
  readonly head: string;
  readonly tail: string;
  /** Nothing of this size and time is left to be read. */
  readonly isDone: boolean;
  /** Why it goes to the quarantine; null: it is understood. */
  readonly fault: string | null;
}

interface JournalRecord {
  readonly file?: FileEntry;
  readonly gone?: string;
  readonly mark?: string;
  readonly single?: readonly string[];
  readonly through?: number;
}

export class FilesMemory {
  readonly #memory: ReadMemory;
  readonly #files = new Map<string, FileEntry>();
  /** `known` of the files that are there, and of how many each. */
  readonly #present = new Map<string, number>();
  /** Of what is gone or has become another, in the order in which it went. */
  readonly #marks = new Set<string>();
  readonly #recent = new Set<string>();
  readonly #singles = new Set<string>();
  #pending: JournalRecord[] = [];
  #through = 0;
  #isLoaded = false;
  #handle: FileHandle | undefined;
  #journalBytes = 0;
  #records = 0;
  #isHolding = false;

  constructor(memory: ReadMemory) {
    this.#memory = memory;
  }

  /** Reads the journal, and what the log has beyond it. @throws the system's error, or storage_failed: try again */
  async load(): Promise<void> {
    if (this.#isLoaded) return;
    for (const learned of [this.#files, this.#present, this.#marks, this.#recent, this.#singles]) learned.clear();
    this.#pending = [];
    this.#records = 0;
    await this.#memory.files.makeFolder(this.#memory.folder);
    await this.#loadJournal();
    const last = this.#memory.lastSequence();
    const found: string[] = [];
    for await (const mark of this.#memory.marksAfter(this.#through)) {
      if (!this.knows(mark)) found.push(mark);
    }
    if (found.length > 0) this.#add({ single: found });
    this.#isLoaded = true;
    this.#add({ through: last });
    await this.#write();
    this.#memory.hold(null);
  }

  entry(path: string): FileEntry | undefined {
    return this.#files.get(path);
  }

  paths(): IterableIterator<string> {
    return this.#files.keys();
  }

  /** All rows up to the one with this mark are read. */
  knows(mark: string): boolean {
    return this.#present.has(mark) || this.#marks.has(mark) || this.#recent.has(mark);
  }

  /** The row with this mark has given its readings. */
  saw(mark: string): void {
    this.#recent.add(mark);
    trim(this.#recent, RECENT_MAX);
  }

  /** Whether this very row is in the log, since before a crash. */
  hasSingle(mark: string): boolean {
    return this.#singles.has(mark);
  }

  /** Call before a reading is emitted: until the next {@link commit} the log keeps what comes. */
  begin(): void {
    if (this.#isHolding) return;
    this.#isHolding = true;
    this.#memory.hold(this.#memory.lastSequence());
  }

  /** To be remembered with the next {@link commit}; known at once. */
  note(entry: FileEntry): void {
    this.#add({ file: entry });
  }

  /** The path is no longer there; what was in it is remembered. */
  forgetPath(path: string): void {
    if (this.#files.has(path)) this.#add({ gone: path });
  }

  /** Resolves when the log has all that was emitted, and the disk that it was read. Nothing may be emitted meanwhile. */
  async commit(signal: AbortSignal): Promise<boolean> {
    if (this.#pending.length === 0 && !this.#isHolding) {
      if (this.#memory.lastSequence() - this.#through > IDLE_BATCHES_MAX) await this.#writeThrough();
      return true;
    }
    const isKept = await unlessAborted(this.#memory.kept(), signal);
    if (!isKept) return false;
    await this.#writeThrough();
    this.#isHolding = false;
    this.#memory.hold(null);
    return true;
  }

  async close(): Promise<void> {
    await this.#handle?.close();
    this.#handle = undefined;
  }

  async #writeThrough(): Promise<void> {
    this.#add({ through: this.#memory.lastSequence() });
    await this.#write();
  }

  #add(record: JournalRecord): void {
    this.#pending.push(record);
    this.#apply(record);
  }

  #apply({ file, gone, mark, single, through }: JournalRecord): void {
    if (file !== undefined) {
      const before = this.#files.get(file.path);
      this.#files.set(file.path, file);
      this.#count(file.known, 1);
      // A file that has grown is known by its newest row; one that has become another is remembered for itself.
      if (before !== undefined) this.#leave(before.known, file.knownBefore === before.known);
    }
    const left = gone === undefined ? undefined : this.#files.get(gone);
    if (left !== undefined) {
      this.#files.delete(left.path);
      this.#leave(left.known, false);
    }
    if (mark !== undefined) this.#marks.add(mark);
    for (const one of single ?? []) this.#singles.add(one);
    if (through !== undefined) this.#through = through;
    trim(this.#singles, SINGLES_MAX);
    trim(this.#marks, MARKS_MAX);
  }

  /** No file has this mark any more, or one fewer. */
  #leave(mark: string, hasGrown: boolean): void {
    this.#count(mark, -1);
    if (mark === '') return;
    if (hasGrown) this.saw(mark);
    else this.#marks.add(mark);
  }

  #count(mark: string, change: number): void {
    const count = (this.#present.get(mark) ?? 0) + change;
    if (count > 0 && mark !== '') this.#present.set(mark, count);
    else this.#present.delete(mark);
  }

  async #loadJournal(): Promise<void> {
    const { files } = this.#memory;
    let handle: FileHandle;
    try {
      handle = await files.open(this.#path, 'write');
    } catch (error) {
      if (!isSystemError(error, 'ENOENT')) throw error;
      await writeNewFile(files, this.#path, []);
      await files.syncFolder(this.#memory.folder);
      handle = await files.open(this.#path, 'write');
    }
    const bytes = Buffer.alloc(await handle.size());
    await handle.read(bytes, 0);
    let at = 0;
    let end = 0;
    for (let next = bytes.indexOf(0x0a, at); next >= 0; next = bytes.indexOf(0x0a, at)) {
      const record = decodeRecord(bytes.toString('utf8', at, next));
      at = next + 1;
      // One that has decayed costs what it told, and none of those after it.
      if (record === undefined) continue;
      this.#apply(record);
      this.#records += 1;
      end = at;
    }
    if (end < bytes.length) await handle.truncate(end);
    this.#handle = handle;
    this.#journalBytes = end;
  }

  async #write(): Promise<void> {
    const live = this.#files.size + this.#marks.size + 2;
    if (this.#records + this.#pending.length > 2 * live + OUTDATED_MAX) return this.#rewrite();
    this.#handle ??= await this.#memory.files.open(this.#path, 'write');
    const records = this.#pending;
    const bytes = Buffer.from(records.map(encodeRecord).join(''));
    await this.#handle.write([bytes], this.#journalBytes);
    await this.#handle.datasync();
    this.#journalBytes += bytes.length;
    this.#records += records.length;
    // What was noted while it was written waits for the next time.
    this.#pending = this.#pending.slice(records.length);
  }

  async #rewrite(): Promise<void> {
    const { files, folder } = this.#memory;
    const records: JournalRecord[] = [
      ...[...this.#marks].map((mark) => ({ mark })),
      ...[...this.#files.values()].map((file) => ({ file: { ...file, knownBefore: '' } })),
      { single: [...this.#singles] },
      { through: this.#through },
    ];
    const bytes = Buffer.from(records.map(encodeRecord).join(''));
    const temporary = `${this.#path}.tmp`;
    await files.remove(temporary);
    await writeNewFile(files, temporary, [bytes]);
    await files.rename(temporary, this.#path);
    await files.syncFolder(folder);
    await this.close();
    this.#journalBytes = bytes.length;
    this.#records = records.length;
    this.#pending = [];
  }

  get #path(): string {
    return `${this.#memory.folder}/${JOURNAL}`;
  }
}

/** 128 bits of SHA-256, as text of 22 characters. */
export function digestOf(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest().subarray(0, 16).toString('base64url');
}

export function encodeRecord(record: JournalRecord): string {
  const json = JSON.stringify(record);
  return `${crc32(json).toString(16).padStart(CRC_DIGITS, '0')}${json}\n`;
}

function decodeRecord(line: string): JournalRecord | undefined {
  const json = line.slice(CRC_DIGITS);
  if (crc32(json).toString(16).padStart(CRC_DIGITS, '0') !== line.slice(0, CRC_DIGITS)) return undefined;
  const record: JournalRecord = JSON.parse(json);
  return record;
}

function trim(set: Set<string>, sizeMax: number): void {
  for (const oldest of set) {
    if (set.size <= sizeMax) return;
    set.delete(oldest);
  }
}

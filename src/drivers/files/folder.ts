/**
 * The watched folder, as the driver sees it. Paths stay as they were configured. Errors are those of the system.
 *
 * Plain descriptors and callbacks, as in `base/node-files.ts`: `node:fs/promises` would cost memory that the edge lacks.
 */
import type { FSWatcher, Stats } from 'node:fs';
import { isSystemError, readInto, settled, valueOf } from '../../base/node-files.ts';

const fs: typeof import('node:fs') = process.getBuiltinModule('node:fs');
const path: typeof import('node:path') = process.getBuiltinModule('node:path');

export interface FileState {
  readonly size: number;
  readonly mtimeMs: number;
  /** Of the last change of anything: also where another file, or a copied time, has come in its place. */
  readonly ctimeMs: number;
}

/** It is this file that cannot be read, for the reason that is the cause. */
export class UnreadableFile extends Error {
  constructor(cause: unknown) {
    super('the file cannot be read', { cause });
    this.name = 'UnreadableFile';
  }
}

/** Names of the files in it, not of folders. */
export async function fileNames(folder: string): Promise<string[]> {
  const entries = await valueOf<import('node:fs').Dirent[]>((done) =>
    fs.readdir(folder, { withFileTypes: true }, done),
  );
  // Some network shares do not say what an entry is; a `stat` will.
  return entries.filter((entry) => !entry.isDirectory()).map((entry) => entry.name);
}

/** Which folder it is: another one in its place has another number. */
export async function folderNumber(folder: string): Promise<number> {
  return (await valueOf<Stats>((done) => fs.stat(folder, done))).ino;
}

/** undefined when there is no such file, or it is none. @throws UnreadableFile */
export async function fileState(file: string): Promise<FileState | undefined> {
  try {
    const stats = await valueOf<Stats>((done) => fs.stat(file, done));
    return stats.isFile() ? stateOf(stats) : undefined;
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined;
    throw new UnreadableFile(error);
  }
}

export function isSame(a: FileState, b: FileState): boolean {
  return a.size === b.size && a.mtimeMs === b.mtimeMs && a.ctimeMs === b.ctimeMs;
}

function stateOf({ size, mtimeMs, ctimeMs }: Stats): FileState {
  return { size, mtimeMs, ctimeMs };
}

/** Calls back with the name of what may have changed, or null: anything. Undefined where there are no such events. */
export function watchFolder(folder: string, changed: (name: string | null) => void): FSWatcher | undefined {
  try {
    const watcher = fs.watch(folder, { persistent: false }, (_event, name) => changed(name));
    // The folder is gone, or the system has no more watches: the rescan finds what there is.
    watcher.on('error', () => watcher.close());
    return watcher;
  } catch {
    return undefined;
  }
}

export async function makeFolder(folder: string): Promise<void> {
  await valueOf<unknown>((done) => fs.mkdir(folder, { recursive: true }, done));
}

export async function removeFile(file: string): Promise<void> {
  await settled((done) => fs.unlink(file, (error) => done(error?.code === 'ENOENT' ? null : error)));
}

/** Replaces what was there. */
export async function writeFile(file: string, content: string | Uint8Array): Promise<void> {
  await settled((done) => fs.writeFile(file, content, done));
}

/** Into the folder, which is made, also onto another disk; a number is added to a name that is taken. Nothing when it is gone. */
export async function moveInto(folder: string, file: string): Promise<string | undefined> {
  await makeFolder(folder);
  const target = await freeName(folder, path.basename(file));
  try {
    await settled((done) => fs.rename(file, target, done));
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined;
    if (!isSystemError(error, 'EXDEV')) throw error;
    await copyFile(file, target);
    await removeFile(file);
  }
  return target;
}

/** All of it, or nothing: half a copy would be taken for the file. */
async function copyFile(file: string, target: string): Promise<void> {
  try {
    await settled((done) => fs.copyFile(file, target, done));
  } catch (error) {
    await removeFile(target);
    throw error;
  }
}

/** Searched in steps that double and then halve, since a writer may use one name for years. */
async function freeName(folder: string, name: string): Promise<string> {
  const { name: stem, ext } = path.parse(name);
  const target = (number: number): string => path.join(folder, number === 1 ? name : `${stem}-${number}${ext}`);
  const isTaken = async (number: number): Promise<boolean> => (await fileState(target(number))) !== undefined;
  let taken = 0;
  let free = 1;
  while (await isTaken(free)) [taken, free] = [free, free * 2];
  while (free - taken > 1) {
    const middle = Math.floor((taken + free) / 2);
    if (await isTaken(middle)) taken = middle;
    else free = middle;
  }
  return target(free);
}

/** So much of a file is read at once. */
export const READ_BYTES: number = 64 * 1024;

/** A file that is being read: no more of it than there was when it was opened. Its methods throw {@link UnreadableFile}. */
export class OpenFile {
  readonly state: FileState;
  readonly #descriptor: number;
  /** The beginning, which for most files is all: it is looked at several times. */
  #beginning: Buffer | undefined;

  /** @returns undefined when it is gone */
  static async open(file: string): Promise<OpenFile | undefined> {
    let descriptor: number;
    try {
      descriptor = await valueOf<number>((done) => fs.open(file, 'r', done));
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return undefined;
      throw new UnreadableFile(error);
    }
    try {
      return new OpenFile(descriptor, stateOf(await valueOf<Stats>((done) => fs.fstat(descriptor, done))));
    } catch (error) {
      await settled((done) => fs.close(descriptor, done));
      throw new UnreadableFile(error);
    }
  }

  constructor(descriptor: number, state: FileState) {
    this.#descriptor = descriptor;
    this.state = state;
  }

  get size(): number {
    return this.state.size;
  }

  /** As many of the bytes as there are. */
  async read(position: number, length: number): Promise<Buffer> {
    const end = Math.min(position + length, this.size);
    if (end > READ_BYTES) return this.#readAt(position, end - position);
    this.#beginning ??= await this.#readAt(0, Math.min(READ_BYTES, this.size));
    return this.#beginning.subarray(position, end);
  }

  async close(): Promise<void> {
    await settled((done) => fs.close(this.#descriptor, done));
  }

  async #readAt(position: number, length: number): Promise<Buffer> {
    const wanted = Buffer.allocUnsafe(Math.max(0, length));
    try {
      return wanted.subarray(0, await readInto(this.#descriptor, wanted, position));
    } catch (error) {
      throw new UnreadableFile(error);
    }
  }
}

/**
 * The {@link Files} port on the real file system.
 *
 * Errors are those of the system, with their `code` (ENOENT, EEXIST, ENOSPC, EIO …): the caller knows what the file was
 * for and wraps them. Uses plain descriptors and callbacks: `node:fs/promises` would cost memory that the edge
 * does not have.
 */
import type { FileHandle, Files } from './files.ts';

const fs: typeof import('node:fs') = process.getBuiltinModule('node:fs');
const path: typeof import('node:path') = process.getBuiltinModule('node:path');

const OPEN_FLAGS = { read: 'r', write: 'r+', create: 'wx+' } as const;

export const nodeFiles: Files = {
  open: async (file, mode) => new NodeFile(await openDescriptor(file, OPEN_FLAGS[mode])),
  list,
  makeFolder,
  rename: (from, to) => settled((done) => fs.rename(from, to, done)),
  remove: (file) => settled((done) => fs.unlink(file, (error) => done(error?.code === 'ENOENT' ? null : error))),
  freeBytes,
  syncFolder,
};

class NodeFile implements FileHandle {
  readonly #descriptor: number;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    let rest: readonly Uint8Array[] = buffers;
    let at = position;
    while (rest.length > 0) {
      const pieces = rest;
      const written = await valueOf<number>((done) => fs.writev(this.#descriptor, pieces, at, done));
      at += written;
      rest = after(pieces, written);
    }
  }

  read(into: Uint8Array, position: number): Promise<number> {
    return readInto(this.#descriptor, into, position);
  }

  datasync(): Promise<void> {
    return settled((done) => fs.fdatasync(this.#descriptor, done));
  }

  truncate(length: number): Promise<void> {
    return settled((done) => fs.ftruncate(this.#descriptor, length, done));
  }

  async size(): Promise<number> {
    return (await valueOf<import('node:fs').Stats>((done) => fs.fstat(this.#descriptor, done))).size;
  }

  close(): Promise<void> {
    return settled((done) => fs.close(this.#descriptor, done));
  }
}

/** Reads until `into` is full or the file at its end. @returns how many bytes there were */
export async function readInto(descriptor: number, into: Uint8Array, position: number): Promise<number> {
  let got = 0;
  while (got < into.length) {
    const offset = got;
    const bytes = await valueOf<number>((done) => {
      fs.read(descriptor, into, offset, into.length - offset, position + offset, done);
    });
    if (bytes === 0) break;
    got += bytes;
  }
  return got;
}

/** The part of the buffers that a short write has left. */
function after(buffers: readonly Uint8Array[], written: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skip = written;
  for (const buffer of buffers) {
    if (skip < buffer.length) rest.push(buffer.subarray(skip));
    skip = Math.max(0, skip - buffer.length);
  }
  return rest;
}

async function list(folder: string): Promise<string[]> {
  try {
    const entries = await valueOf<import('node:fs').Dirent[]>((done) => {
      fs.readdir(folder, { withFileTypes: true }, done);
    });
    return entries.filter((entry) => entry.isFile()).map((entry) => entry.name);
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return [];
    throw error;
  }
}

/** Makes the folders above it too, and syncs each one that it made into the one above. */
async function makeFolder(folder: string): Promise<void> {
  const first = await valueOf<string | undefined>((done) => fs.mkdir(folder, { recursive: true }, done));
  if (first === undefined) return;
  const top = path.dirname(path.resolve(first));
  let made = path.resolve(folder);
  while (made !== top && made !== path.dirname(made)) {
    made = path.dirname(made);
    await syncFolder(made);
  }
}

async function freeBytes(folder: string): Promise<number | undefined> {
  const { bavail, bsize } = await valueOf<import('node:fs').StatsFs>((done) => fs.statfs(folder, done));
  // A network drive may say that nothing is there at all.
  return bsize === 0 ? undefined : bavail * bsize;
}

async function syncFolder(folder: string): Promise<void> {
  // Windows has no way to sync a folder, and refuses to open one as a file.
  if (process.platform === 'win32') return;
  const descriptor = await openDescriptor(folder, 'r');
  try {
    await settled((done) => fs.fsync(descriptor, done));
  } finally {
    await settled((done) => fs.close(descriptor, done));
  }
}

/** Whether the error is the system's, with that code. */
export function isSystemError(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

function openDescriptor(file: string, flags: string): Promise<number> {
  return valueOf<number>((done) => fs.open(file, flags, done));
}

/** What a function of the system with a callback comes to. */
export function settled(call: (done: (error: NodeJS.ErrnoException | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => call((error) => (error === null ? resolve() : reject(error))));
}

export function valueOf<Value>(
  call: (done: (error: NodeJS.ErrnoException | null, value: Value) => void) => void,
): Promise<Value> {
  return new Promise((resolve, reject) => call((error, value) => (error === null ? resolve(value) : reject(error))));
}

/**
 * A file system in memory that fails as real ones do.
 *
 * It keeps two states: what programs see (the page cache), and what is on the disk. A killed process loses nothing of
 * the first; a power cut leaves the second, with any part of what was not synced: whole writes, some sectors of one, and
 * a beginning of the list of changed names. A failed sync leaves the pages as they look, but calls them clean (as Linux
 * does), so a later sync will not write them.
 */
import type { FileHandle, Files } from '../base/files.ts';
import type { Random } from '../base/random.ts';

const SECTOR_BYTES = 512;

type Change = { readonly offset: number; readonly bytes: Buffer } | { readonly length: number };

interface Inode {
  cache: Buffer;
  disk: Buffer;
  /** What the cache has and the disk has not, in order. */
  dirty: Change[];
}

type CrashKind = 'kill' | 'power' | 'fail' | 'fail all';

interface NameChange {
  readonly folders: readonly string[];
  apply(names: Map<string, Inode>): void;
}

export class SystemError extends Error {
  readonly code: string;

  constructor(code: string) {
    super(`${code}, injected`);
    this.code = code;
  }
}

export class FaultyFiles {
  readonly #random: Random;
  #names = new Map<string, Inode>();
  #namesOnDisk = new Map<string, Inode>();
  #nameChanges: NameChange[] = [];
  #generation = 0;
  /** Calls until the plan takes effect. */
  #plan: { calls: number; readonly kind: CrashKind; readonly code: string; times: number } | undefined;
  #calls = 0;
  /** What the port says; undefined: nothing. */
  freeBytes: number | undefined;

  constructor(random: Random) {
    this.#random = random;
  }

  /** File system calls so far. */
  get calls(): number {
    return this.#calls;
  }

  /** The port of a new process; those of earlier ones fail from now on. */
  mount(): Files {
    this.#generation += 1;
    return this.#portOf(this.#generation);
  }

  /** The port of the process that runs now. */
  get current(): Files {
    return this.#portOf(this.#generation);
  }

  /** The call after `calls` more ends the process or cuts the power, in its midst. */
  crashAfter(calls: number, kind: 'kill' | 'power'): void {
    this.#plan = { calls, kind, code: 'EIO', times: 1 };
  }

  /** `times` calls that change something fail, after `calls` others; reads go on. */
  failAfter(calls: number, code: 'ENOSPC' | 'EIO', times = 1): void {
    this.#plan = { calls, kind: 'fail', code, times };
  }

  /** `times` calls fail, whatever they do, after `calls` others. */
  failAnyAfter(calls: number, times: number): void {
    this.#plan = { calls, kind: 'fail all', code: 'EIO', times };
  }

  healthy(): void {
    this.#plan = undefined;
  }

  /** The process is gone at once. */
  kill(): void {
    this.#generation += 1;
  }

  cutPower(): void {
    this.#generation += 1;
    const kept = Math.floor(this.#random() * (this.#nameChanges.length + 1));
    for (const change of this.#nameChanges.slice(0, kept)) change.apply(this.#namesOnDisk);
    this.#nameChanges = [];
    this.#names = new Map(this.#namesOnDisk);
    for (const inode of new Set(this.#names.values())) {
      for (const change of inode.dirty) if (this.#random() < 0.5) this.#applyPartly(inode, change);
      inode.dirty = [];
      inode.cache = Buffer.from(inode.disk);
    }
  }

  paths(): string[] {
    return [...this.#names.keys()].sort();
  }

  /** What programs see; undefined when there is no such file. */
  content(path: string): Buffer | undefined {
    return this.#names.get(path)?.cache;
  }

  /** Changes one byte on the disk, unnoticed. */
  flip(path: string, offset: number): void {
    const inode = this.#names.get(path);
    if (inode === undefined) throw new Error(`no such file: ${path}`);
    for (const bytes of [inode.cache, inode.disk]) {
      const byte = bytes[offset];
      if (byte !== undefined) bytes[offset] = byte ^ (1 << Math.floor(this.#random() * 8));
    }
  }

  /** Puts a file there, on the disk. */
  put(path: string, content: Uint8Array): void {
    const inode = { cache: Buffer.from(content), disk: Buffer.from(content), dirty: [] };
    this.#names.set(path, inode);
    this.#namesOnDisk.set(path, inode);
  }

  #portOf(generation: number): Files {
    const change = (folders: readonly string[], apply: NameChange['apply']): void => {
      apply(this.#names);
      this.#nameChanges.push({ folders, apply });
    };
    return {
      open: (path, mode) => {
        const done = (): FileHandle => {
          const found = this.#names.get(path);
          if (mode === 'create' && found !== undefined) throw new SystemError('EEXIST');
          if (mode !== 'create' && found === undefined) throw new SystemError('ENOENT');
          const inode = found ?? { cache: Buffer.alloc(0), disk: Buffer.alloc(0), dirty: [] };
          if (found === undefined) change([folderOf(path)], (names) => names.set(path, inode));
          return this.#handleOf(inode, generation);
        };
        return this.#enter(generation, { changes: mode === 'create', done });
      },
      list: (folder) => {
        const done = (): string[] =>
          this.paths()
            .filter((path) => folderOf(path) === folder)
            .map((path) => path.slice(folder.length + 1));
        return this.#enter(generation, { done });
      },
      makeFolder: () => this.#enter(generation, { done: () => {} }),
      rename: (from, to) => {
        const done = (): void => {
          if (!this.#names.has(from)) throw new SystemError('ENOENT');
          change([folderOf(from), folderOf(to)], (names) => {
            const inode = names.get(from);
            names.delete(from);
            if (inode !== undefined) names.set(to, inode);
          });
        };
        return this.#enter(generation, { changes: true, done });
      },
      remove: (path) => {
        const done = (): void => {
          if (this.#names.has(path)) change([folderOf(path)], (names) => names.delete(path));
        };
        return this.#enter(generation, { changes: true, done });
      },
      freeBytes: () => this.#enter(generation, { done: () => this.freeBytes }),
      syncFolder: (folder) => {
        const done = (): void => {
          const last = this.#nameChanges.findLastIndex(({ folders }) => folders.includes(folder));
          for (const one of this.#nameChanges.splice(0, last + 1)) one.apply(this.#namesOnDisk);
        };
        return this.#enter(generation, { changes: true, done });
      },
    };
  }

  #handleOf(inode: Inode, generation: number): FileHandle {
    return {
      write: (buffers, position) => {
        const bytes = Buffer.concat(buffers);
        const done = (): void => write(inode, bytes, position);
        const interrupted = (): void => {
          write(inode, bytes.subarray(0, Math.floor(this.#random() * (bytes.length + 1))), position);
        };
        return this.#enter(generation, { changes: true, done, interrupted });
      },
      read: (into, position) => this.#enter(generation, { done: () => inode.cache.copy(into, 0, position) }),
      datasync: () => {
        const done = (): void => {
          for (const change of inode.dirty.splice(0)) inode.disk = changed(inode.disk, change);
        };
        const interrupted = (kind: CrashKind): void => {
          // What a killed process has left in the cache will still be written, and a power cut takes its own part.
          if (kind !== 'fail' && kind !== 'fail all') return;
          for (const change of inode.dirty.splice(0)) if (this.#random() < 0.5) this.#applyPartly(inode, change);
        };
        return this.#enter(generation, { changes: true, done, interrupted });
      },
      truncate: (length) => {
        const done = (): void => {
          inode.cache = changed(inode.cache, { length });
          inode.dirty.push({ length });
        };
        return this.#enter(generation, { changes: true, done });
      },
      size: () => this.#enter(generation, { done: () => inode.cache.length }),
      close: async () => {},
    };
  }

  /**
   * Every call passes here; the planned one fails here. What a call does is done in the same turn in which it is let
   * through: another call's crash cannot come between.
   */
  async #enter<Value>(
    generation: number,
    call: {
      changes?: boolean;
      done: () => Value;
      interrupted?: (kind: CrashKind) => void;
    },
  ): Promise<Value> {
    await Promise.resolve();
    if (generation !== this.#generation) throw new SystemError('EIO');
    this.#calls += 1;
    const plan = this.#plan;
    if (plan !== undefined && (plan.kind !== 'fail' || call.changes === true)) {
      plan.calls -= 1;
      if (plan.calls < 0) {
        plan.times -= 1;
        if (plan.times <= 0) this.#plan = undefined;
        call.interrupted?.(plan.kind);
        if (plan.kind === 'kill') this.kill();
        if (plan.kind === 'power') this.cutPower();
        throw new SystemError(plan.code);
      }
    }
    return call.done();
  }

  #applyPartly(inode: Inode, change: Change): void {
    if ('length' in change || this.#random() < 0.5) {
      inode.disk = changed(inode.disk, change);
      return;
    }
    for (let at = 0; at < change.bytes.length; at += SECTOR_BYTES) {
      if (this.#random() < 0.5) continue;
      const bytes = change.bytes.subarray(at, at + SECTOR_BYTES);
      inode.disk = changed(inode.disk, { offset: change.offset + at, bytes });
    }
  }
}

function write(inode: Inode, bytes: Buffer, offset: number): void {
  const change = { offset, bytes };
  inode.cache = changed(inode.cache, change);
  inode.dirty.push(change);
}

function changed(content: Buffer, change: Change): Buffer {
  if ('length' in change) {
    const resized = Buffer.alloc(change.length);
    content.copy(resized);
    return resized;
  }
  const grown = Buffer.alloc(Math.max(content.length, change.offset + change.bytes.length));
  content.copy(grown);
  change.bytes.copy(grown, change.offset);
  return grown;
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}

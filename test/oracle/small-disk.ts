/** A real file system of a few megabytes that can be filled to the last byte: a tmpfs, where one may be mounted. */
import { execFile, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { isSystemError } from '../../src/base/node-files.ts';

const DISK_MB = 64;
const FILL_BYTES = [1024 * 1024, 64 * 1024, 4096, 1] as const;

export class SmallDisk {
  readonly folder: string;
  #isMounted = false;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** A plain folder, which cannot be filled, where mounting is not allowed. */
  async open(): Promise<void> {
    mkdirSync(this.folder, { recursive: true });
    try {
      await promisify(execFile)('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MB}m`, 'millwright-oracle', this.folder]);
      this.#isMounted = true;
    } catch {
      // The kind of fault that needs it is reported as not possible here.
    }
  }

  get canBeFilled(): boolean {
    return this.#isMounted;
  }

  /** Takes all the space there is; calling it again takes what has become free since. */
  fill(): void {
    const descriptor = openSync(this.#ballast, 'a');
    try {
      for (const bytes of FILL_BYTES) {
        const chunk = Buffer.alloc(bytes);
        while (writeWhole(descriptor, chunk));
      }
    } finally {
      closeSync(descriptor);
    }
  }

  empty(): void {
    rmSync(this.#ballast, { force: true });
  }

  /** Synchronous, so that it can be the last deed of a process. */
  close(): void {
    if (!this.#isMounted) return;
    this.#isMounted = spawnSync('umount', ['--lazy', this.folder]).status !== 0;
  }

  get #ballast(): string {
    return path.join(this.folder, 'ballast');
  }
}

/** False when the disk has no room for all of it. */
function writeWhole(descriptor: number, bytes: Buffer): boolean {
  try {
    return writeSync(descriptor, bytes) === bytes.length;
  } catch (error) {
    if (isSystemError(error, 'ENOSPC')) return false;
    throw error;
  }
}

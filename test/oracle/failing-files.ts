/** The {@link Files} port with calls that fail when they are told to, as those of a bad or a full disk do. */
import type { FileHandle, Files } from '../../src/base/files.ts';
import type { Random } from '../../src/base/random.ts';

export interface Failure {
  /** `change`: whatever writes, syncs, creates, renames or removes. */
  readonly calls: 'change' | 'read';
  readonly code: 'ENOSPC' | 'EIO';
  /** How many calls; null: all until it is healed. */
  readonly times: number | null;
}

export class FailingFiles {
  readonly #random: Random;
  #failure: Failure | undefined;
  #failed = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Calls that have failed since the last `fail`. */
  get failed(): number {
    return this.#failed;
  }

  fail(failure: Failure): void {
    this.#failure = failure;
    this.#failed = 0;
  }

  heal(): void {
    this.#failure = undefined;
  }

  wrap(files: Files): Files {
    const guard = <Value>(calls: Failure['calls'], call: () => Promise<Value>): Promise<Value> => {
      const error = this.#next(calls);
      return error === undefined ? call() : Promise.reject(error);
    };
    return {
      ...files,
      open: async (path, mode) => {
        const handle = await guard(mode === 'create' ? 'change' : 'read', () => files.open(path, mode));
        return this.#wrapHandle(handle, guard);
      },
      rename: (from, to) => guard('change', () => files.rename(from, to)),
      remove: (path) => guard('change', () => files.remove(path)),
      syncFolder: (folder) => guard('change', () => files.syncFolder(folder)),
    };
  }

  #wrapHandle(
    handle: FileHandle,
    guard: <Value>(calls: Failure['calls'], call: () => Promise<Value>) => Promise<Value>,
  ): FileHandle {
    return {
      write: async (buffers, position) => {
        const error = this.#next('change');
        if (error === undefined) return handle.write(buffers, position);
        // A disk that fills up or fails in the midst of a write has taken a part of it.
        const bytes = Buffer.concat(buffers);
        const taken = Math.floor(this.#random() * bytes.length);
        if (taken > 0) await handle.write([bytes.subarray(0, taken)], position);
        throw error;
      },
      read: (into, position) => guard('read', () => handle.read(into, position)),
      datasync: () => guard('change', () => handle.datasync()),
      truncate: (length) => guard('change', () => handle.truncate(length)),
      size: () => handle.size(),
      close: () => handle.close(),
    };
  }

  /** The error of this call; undefined when it may pass. */
  #next(calls: Failure['calls']): Error | undefined {
    const failure = this.#failure;
    if (failure === undefined || failure.calls !== calls) return undefined;
    this.#failed += 1;
    if (failure.times !== null && this.#failed >= failure.times) this.#failure = undefined;
    return Object.assign(new Error(`${failure.code}, injected`), { code: failure.code });
  }
}

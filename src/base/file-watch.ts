/**
 * Notices that a file has another content, by looking at it each second: where it lies, how long it is, when it was
 * written. That is one call of the system, and right where notices of the system are not: for an editor that writes another
 * file and renames it, for a folder behind a symbolic link that is turned (a ConfigMap of Kubernetes), on a network share.
 */
import type { Clock } from './clock.ts';

const fs: typeof import('node:fs') = process.getBuiltinModule('node:fs');

/** Between two looks. A file must be the same in two of them: it may be being written. */
export const LOOK_INTERVAL_MS = 1_000;

export class FileWatch {
  readonly #path: string;
  readonly #clock: Clock;
  /** How the file was when somebody last took notice of it. */
  #noticed: string;

  /** @param noticed its {@link stateOfFile} before it was read */
  constructor(path: string, noticed: string, clock: Clock) {
    this.#path = path;
    this.#noticed = noticed;
    this.#clock = clock;
  }

  /** Resolves when the file is another than it was the last time, and has come to rest; also when the signal is aborted. */
  async changed(signal: AbortSignal): Promise<void> {
    let before = this.#noticed;
    while (!signal.aborted) {
      await this.#clock.sleep(LOOK_INTERVAL_MS, signal);
      const state = await stateOfFile(this.#path);
      if (state === before && state !== this.#noticed) return;
      before = state;
    }
  }

  /** Call it before the file is read: what is written meanwhile is a change again. */
  async notice(): Promise<void> {
    this.#noticed = await stateOfFile(this.#path);
  }
}

/** Of the file to which the path leads, as text that is another when the file is; never rejects. */
export function stateOfFile(path: string): Promise<string> {
  return new Promise((resolve) => {
    fs.stat(path, { bigint: true }, (error, stats) => {
      if (error === null) resolve(`${stats.dev} ${stats.ino} ${stats.size} ${stats.mtimeNs}`);
      else resolve(error.code ?? error.message);
    });
  });
}

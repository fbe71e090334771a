/**
 * Notices that a file has another content, by looking at it each second: where it lies, how long it is, when it was
 * written, and who may read it. That is one call of the system, and right where notices of the system are not: for an editor
 * that writes another file and renames it, for a folder behind a symbolic link that is turned (a ConfigMap of Kubernetes), on
 * a network share.
 */
import type { Clock } from './clock.ts';

const fs: typeof import('node:fs') = process.getBuiltinModule('node:fs');

/** Between two looks. A file must be the same in two of them: it may be being written. */
export const LOOK_INTERVAL_MS = 1_000;
/** So many looks without rest: a file that is written without end must not hold up what is changed in the others. */
export const RESTLESS_LOOKS_MAX = 60;
/** Wait after which what could not be used is tried again; it doubles each time. */
export const AGAIN_MS = { first: 5_000, max: 300_000 } as const;

export class FileWatch {
  readonly #path: string;
  readonly #clock: Clock;
  /** How the files were when somebody last took notice of them, by path. */
  #noticed: ReadonlyMap<string, string>;
  /** 0: what was read last could be used. */
  #waitMs = 0;
  /** By the monotonic clock. */
  #againAtMs = Number.POSITIVE_INFINITY;

  /** @param noticed its {@link stateOfFile} before it was read */
  constructor(path: string, noticed: string, clock: Clock) {
    this.#path = path;
    this.#noticed = new Map([[path, noticed]]);
    this.#clock = clock;
  }

  /**
   * Resolves when one of the files is another than it was the last time, and all have come to rest, or do not; when what could not be
   * used is to be tried again; and when the signal is aborted.
   * @returns whether one is another
   */
  async changed(signal: AbortSignal): Promise<boolean> {
    let before = textOf(this.#noticed);
    let restlessLooks = 0;
    while (!signal.aborted) {
      await this.#clock.sleep(LOOK_INTERVAL_MS, signal);
      const state = textOf(await statesOf(this.#noticed.keys()));
      const isAtRest = state === before;
      before = state;
      restlessLooks = isAtRest ? 0 : restlessLooks + 1;
      if (!isAtRest && restlessLooks < RESTLESS_LOOKS_MAX) continue;
      if (state !== textOf(this.#noticed)) {
        this.#waitMs = 0;
        return true;
      }
      if (this.#clock.monotonicMs() >= this.#againAtMs) return false;
    }
    return false;
  }

  /** Call it before the files are read: what is written meanwhile is a change again. */
  async notice(): Promise<void> {
    this.#noticed = await statesOf(this.#noticed.keys());
  }

  /** These are looked at too, and no others but the first. Those that are new are noticed as they are now. */
  async follow(others: Iterable<string>): Promise<void> {
    const states = await statesOf(new Set([this.#path, ...others]));
    this.#noticed = new Map([...states].map(([path, state]) => [path, this.#noticed.get(path) ?? state]));
  }

  /** Call it when what was read was used, or could not be: then it is told again after a while. */
  used(isGood: boolean): void {
    this.#waitMs = isGood ? 0 : Math.min(AGAIN_MS.max, Math.max(AGAIN_MS.first, 2 * this.#waitMs));
    this.#againAtMs = isGood ? Number.POSITIVE_INFINITY : this.#clock.monotonicMs() + this.#waitMs;
  }
}

/** One after the other: of a share that hangs, each call would keep one of the few threads that the log needs too. */
async function statesOf(paths: Iterable<string>): Promise<ReadonlyMap<string, string>> {
  const states = new Map<string, string>();
  for (const path of paths) states.set(path, await stateOfFile(path));
  return states;
}

function textOf(states: ReadonlyMap<string, string>): string {
  return [...states.values()].join('\n');
}

/** Of the file to which the path leads, as text that is another when the file is; never rejects. */
export function stateOfFile(path: string): Promise<string> {
  return new Promise((resolve) => {
    fs.stat(path, { bigint: true }, (error, stats) => {
      if (error !== null) return resolve(error.code ?? error.message);
      const { dev, ino, size, mtimeNs, mode, uid, gid } = stats;
      resolve([dev, ino, size, mtimeNs, mode, uid, gid].join(' '));
    });
  });
}

/**
 * The children of `millwright up`: the same commands that a person would run, each in a process of its own.
 *
 * What a child logs goes to a file; its warnings and errors also to the terminal. A child that ends without having been
 * asked to is started again, with growing waits, for ever; one that cannot even start (a port in use, a bad
 * configuration: exit code 2) is not, because trying again would not help.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, type WriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { MillwrightError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Random } from '../base/random.ts';
import { EXIT_CANNOT_START } from '../base/process.ts';

export interface ChildOptions {
  /** As warnings call it, such as `hub`. */
  readonly name: string;
  /** Arguments of the command line, e.g. `['hub', '--config', FILE]`. */
  readonly args: readonly string[];
  /** The file of the command line itself. */
  readonly cli: string;
  readonly logFile: string;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: Random;
}

/** A log file larger than this is begun anew at the next start. */
const LOG_FILE_BYTES_MAX: number = 16 * 1024 * 1024;
const RESTART_WAITS = { firstMs: 500, maxMs: 30_000 };
/** The design gives each process 10 s to drain; a child that needs longer is killed. */
const STOP_MS_MAX = 11_000;

export class Child {
  readonly #options: ChildOptions;
  #process: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #stopping = false;

  constructor(options: ChildOptions) {
    this.#options = options;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** Runs the child until the signal is aborted. Rejects, with what it said last, when it cannot start at all. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, name, log } = this.#options;
    const backoff = new Backoff(RESTART_WAITS, this.#options.random);
    const file = await openLogFile(this.#options.logFile);
    try {
      while (!signal.aborted) {
        const startedMs = clock.monotonicMs();
        const { code, lastError } = await this.#runOnce(file);
        if (signal.aborted || this.#stopping) return;
        if (code === EXIT_CANNOT_START)
          throw new MillwrightError(
            'config_invalid',
            `the ${name} cannot start: ${lastError ?? `see ${this.#options.logFile}`}`,
          );
        if (clock.monotonicMs() - startedMs > RESTART_WAITS.maxMs) backoff.reset();
        const waitMs = backoff.nextMs();
        log.warn(`the ${name} ended and is started again`, {
          exit_code: code,
          wait_seconds: Math.round(waitMs / 100) / 10,
        });
        await clock.sleep(waitMs, signal);
      }
    } finally {
      file.end();
    }
  }

  /** Asks the child to drain and end; kills it when it does not within {@link STOP_MS_MAX}. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const child = this.#process;
    if (child === undefined) return;
    child.kill('SIGTERM');
    const impatience = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
    await this.#exited;
    clearTimeout(impatience);
  }

  #runOnce(file: WriteStream): Promise<{ code: number | null; lastError: string | undefined }> {
    const { args, cli, log } = this.#options;
    // A group of its own: Ctrl-C on the terminal must reach it through us only, in the right order.
    const child = spawn(process.execPath, [cli, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
      env: { ...process.env, MILLWRIGHT_PARENT: String(process.pid) },
    });
    this.#process = child;
    let lastError: string | undefined;
    createInterface({ input: child.stderr }).on('line', (line) => {
      file.write(`${line}\n`);
      const entry = parseEntry(line);
      if (entry === undefined || entry.level === 'error') lastError = entry?.message ?? line;
      if (this.#stopping) return;
      if (entry === undefined) log.error(line);
      else if (entry.level === 'error' || entry.level === 'warn') log[entry.level](entry.message, entry.fields);
    });
    const ended = new Promise<{ code: number | null; lastError: string | undefined }>((resolve) => {
      child.once('error', (error) => resolve({ code: null, lastError: error.message }));
      child.once('close', (code) => resolve({ code, lastError }));
    });
    this.#exited = ended.then(() => {
      this.#process = undefined;
    });
    return ended;
  }
}

async function openLogFile(name: string): Promise<WriteStream> {
  const size = await stat(name).then(
    ({ size }) => size,
    () => 0,
  );
  return createWriteStream(name, { flags: size > LOG_FILE_BYTES_MAX ? 'w' : 'a' });
}

function parseEntry(line: string): { level: string; message: string; fields: Record<string, unknown> } | undefined {
  try {
    const { level, message, time: _time, ...fields } = JSON.parse(line) as Record<string, unknown>;
    if (typeof level === 'string' && typeof message === 'string') return { level, message, fields };
  } catch {
    // Not one of our lines: a crash of the runtime, say.
  }
  return undefined;
}

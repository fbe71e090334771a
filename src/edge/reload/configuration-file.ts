/**
 * The configuration file of a running edge (decision 028): read again when it or a file that it names has changed, when a
 * SIGHUP asks for it, and after a while when it could not be used: a share may be away, or a disk full.
 *
 * It is read and checked by a short-lived process, which hands back the settings as JSON: what reading YAML takes would
 * stay in this one for years (decision 003). That process sees the environment with which the edge was started.
 */
import { aborted, type Clock, unlessAborted } from '../../base/clock.ts';
import { MillwrightError, messageOf } from '../../base/errors.ts';
import { FileWatch } from '../../base/file-watch.ts';
import type { Logger } from '../../base/logger.ts';
import type { Configuration, EdgeSettings } from '../settings.ts';

/** On a slow gateway under load it takes some five seconds. */
const READ_MS_MAX = 60_000;
/** Of what it says: a configuration with thousands of sensors. */
const SAID_BYTES_MAX = 64 * 1024 * 1024;

/** What `millwright settings FILE` writes to its standard output. */
export type ReadConfiguration =
  | { readonly settings: EdgeSettings; readonly warnings: readonly string[] }
  | { readonly errors: readonly string[] };

export interface ConfigurationFileOptions {
  /** As the person named it. */
  readonly file: string;
  /** Its `stateOfFile` before it was read for the start. */
  readonly state: string;
  /** The command line's own file. */
  readonly cli: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly applied: (settings: EdgeSettings) => void;
}

export class ConfigurationFile implements Configuration {
  readonly #options: ConfigurationFileOptions;
  readonly #watch: FileWatch;
  /** Aborted when somebody has asked for it to be read. */
  #asked = new AbortController();
  /** What was read last is in force. */
  #isApplied = true;

  constructor(options: ConfigurationFileOptions) {
    this.#options = options;
    this.#watch = new FileWatch(options.file, options.state, options.clock);
  }

  /** Asked for several times while it is being read, it is read once more. */
  ask(): void {
    this.#asked.abort();
  }

  /** Call it before the parts that read the named files are opened: who opens them later gets what is there then, or newer. */
  async follow({ sensors, sinks }: EdgeSettings): Promise<void> {
    await this.#watch.follow([...sensors, ...sinks].flatMap(({ files = {} }) => Object.keys(files)));
  }

  async changed(signal: AbortSignal): Promise<boolean> {
    this.#watch.used(this.#isApplied);
    const over = new AbortController();
    const either = AbortSignal.any([signal, over.signal]);
    const asked = aborted(this.#asked.signal).then(() => true);
    const isNew = await Promise.race([this.#watch.changed(either), asked, aborted(either).then(() => false)]);
    over.abort();
    if (isNew) this.#watch.used(true);
    this.#asked = new AbortController();
    // A share that hangs must not hold up the stop.
    await unlessAborted(this.#watch.notice(), signal);
    return isNew;
  }

  async read(signal: AbortSignal): Promise<EdgeSettings> {
    const { file, cli, log } = this.#options;
    this.#isApplied = false;
    const read = parsed(await said([cli, 'settings', file], signal));
    if ('errors' in read) throw new MillwrightError('config_invalid', read.errors.join('\n'));
    for (const warning of read.warnings) log.warn(`${file}: ${warning}`);
    await unlessAborted(this.follow(read.settings), signal);
    return read.settings;
  }

  applied(settings: EdgeSettings): void {
    this.#isApplied = true;
    this.#options.applied(settings);
  }
}

function said(args: readonly string[], signal: AbortSignal): Promise<string> {
  const { execFile } = process.getBuiltinModule('node:child_process');
  const options = { signal, timeout: READ_MS_MAX, maxBuffer: SAID_BYTES_MAX };
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => {
      reject(new MillwrightError('config_invalid', `the configuration could not be read: ${why}`));
    };
    try {
      execFile(process.execPath, args, options, (cause, stdout, stderr) => {
        if (cause === null) resolve(stdout);
        else fail(stderr.trim() === '' ? messageOf(cause) : stderr.trim());
      });
    } catch (error) {
      // Where there is no memory for one more process, Node throws at once.
      fail(messageOf(error));
    }
  });
}

function parsed(text: string): ReadConfiguration {
  try {
    const read: ReadConfiguration = JSON.parse(text);
    return read;
  } catch (cause) {
    throw new MillwrightError('config_invalid', 'what reads the configuration was cut off', { cause });
  }
}

/**
 * The configuration file of a running edge (decision 028): read again when it has changed, and when a SIGHUP asks for it.
 *
 * It is read and checked by a short-lived process, which hands back the settings as JSON: what reading YAML takes would
 * stay in this one for years (decision 003). That process sees the environment with which the edge was started.
 */
import { aborted, type Clock } from '../../base/clock.ts';
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

  constructor(options: ConfigurationFileOptions) {
    this.#options = options;
    this.#watch = new FileWatch(options.file, options.state, options.clock);
  }

  /** Asked for several times while it is being read, it is read once more. */
  ask(): void {
    this.#asked.abort();
  }

  async changed(signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const either = AbortSignal.any([signal, over.signal]);
    await Promise.race([this.#watch.changed(either), aborted(this.#asked.signal), aborted(signal)]);
    over.abort();
    this.#asked = new AbortController();
    await this.#watch.notice();
  }

  async read(signal: AbortSignal): Promise<EdgeSettings> {
    const { file, cli, log } = this.#options;
    const read = parsed(await said([cli, 'settings', file], signal));
    if ('errors' in read) throw new MillwrightError('config_invalid', read.errors.join('\n'));
    for (const warning of read.warnings) log.warn(`${file}: ${warning}`);
    return read.settings;
  }

  applied(settings: EdgeSettings): void {
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

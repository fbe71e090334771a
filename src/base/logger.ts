/**
 * Structured logs: JSON lines, or one readable line each on a terminal.
 *
 * Levels: debug; info; warn = recovered by itself; error = data lost, or a person is needed.
 * Written here, in a page, because the edge has 70 MB in all and a logging library takes eight of them.
 */
import { messageOf } from './errors.ts';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export type LogFields = { readonly [key: string]: unknown };

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds these fields to every line. */
  with(fields: LogFields): Logger;
}

export interface LoggerOptions {
  /** A function where it may change. */
  readonly level: LogLevel | (() => LogLevel);
  readonly pretty: boolean;
  readonly write: (line: string) => void;
  readonly now: () => string;
}

export function createLogger(options: LoggerOptions, bound: LogFields = {}): Logger {
  const { level: least } = options;
  const log = (level: LogLevel, message: string, fields: LogFields = {}): void => {
    const leastLevel = typeof least === 'function' ? least() : least;
    if (LOG_LEVELS.indexOf(level) < LOG_LEVELS.indexOf(leastLevel)) return;
    const all = { ...bound, ...fields };
    options.write(
      options.pretty ? prettyLine(options.now(), level, message, all) : jsonLine(options.now(), level, message, all),
    );
  };
  return {
    debug: (message, fields) => log('debug', message, fields),
    info: (message, fields) => log('info', message, fields),
    warn: (message, fields) => log('warn', message, fields),
    error: (message, fields) => log('error', message, fields),
    with: (fields) => createLogger(options, { ...bound, ...fields }),
  };
}

/** To standard error; pretty when that is a terminal, or when only a person will read it. */
export function processLogger(level: LoggerOptions['level'], pretty: boolean = process.stderr.isTTY): Logger {
  return createLogger({
    level,
    pretty,
    write: (line) => process.stderr.write(`${line}\n`),
    now: () => new Date().toISOString(),
  });
}

/** Says nothing. */
export const silentLogger: Logger = createLogger({ level: 'error', pretty: false, write: () => {}, now: () => '' });

function jsonLine(time: string, level: LogLevel, message: string, fields: LogFields): string {
  const head = { time, level, message };
  return toJson({ ...head, ...mapValues(fields), ...head }) ?? JSON.stringify({ ...head, untold: Object.keys(fields) });
}

const COLOURS: Record<LogLevel, string> = { debug: '2', info: '32', warn: '33', error: '31' };

function prettyLine(time: string, level: LogLevel, message: string, fields: LogFields): string {
  const rest = Object.entries(mapValues(fields)).map(([key, value]) => {
    return `${key}=${typeof value === 'string' ? printable(value) : (toJson(value) ?? String(value))}`;
  });
  const tail = rest.length === 0 ? '' : ` \u001b[2m${rest.join(' ')}\u001b[0m`;
  return `${time.slice(11, 23)} \u001b[${COLOURS[level]}m${level.padEnd(5)}\u001b[0m ${printable(message)}${tail}`;
}

/** What others sent must not write lines of its own, nor steer the terminal. */
function printable(text: string): string {
  return /\p{Cc}/u.test(text) ? JSON.stringify(text).replaceAll(/\p{Cc}/gu, '\ufffd') : text;
}

/** JSON of what has it; undefined for what has none, such as a ring: that must not cost the caller. */
function toJson(value: unknown): string | undefined {
  try {
    return JSON.stringify(value, (_key, inner: unknown) => (typeof inner === 'bigint' ? String(inner) : inner));
  } catch {
    return undefined;
  }
}

function mapValues(fields: LogFields): Record<string, unknown> {
  const mapped: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(fields)) mapped[key] = value instanceof Error ? messageOf(value) : value;
  return mapped;
}

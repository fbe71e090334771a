/** What every process of Millwright does alike: exit codes, and being told to stop. */
import { MillwrightError, messageOf } from './errors.ts';
import type { Logger } from './logger.ts';
import { isSystemError } from './node-files.ts';

/** Something failed that may pass: whoever supervises may start the process again. */
export const EXIT_FAILED = 1;
/** It cannot start as it is (configuration, a port in use, a folder): starting again would not help. */
export const EXIT_CANNOT_START = 2;

const CANNOT_START: ReadonlySet<string> = new Set([
  'config_invalid',
  'port_unavailable',
  'log_locked',
  'log_format',
  'storage_failed',
  'bad_request',
]);

const PARENT_CHECK_MS = 1000;
/** One Ctrl-C reaches a process several times: from the terminal, and from each parent that passes it on. */
const SAME_SIGNAL_MS = 1000;

/**
 * Runs the work of a process with a signal that is aborted by SIGTERM, by SIGINT, or by the death of the parent that
 * `millwright up` names in MILLWRIGHT_PARENT. A second signal, a second later or more, ends the process at once. Failures become one line of log
 * and an exit code.
 */
export async function runProcess(log: Logger, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const controller = new AbortController();
  let stoppedMs = 0;
  const stop = (reason: string): void => {
    if (controller.signal.aborted) {
      if (performance.now() - stoppedMs > SAME_SIGNAL_MS) process.exit(EXIT_FAILED);
      return;
    }
    stoppedMs = performance.now();
    log.info(`stopping (${reason})`);
    controller.abort();
  };
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGINT', () => stop('SIGINT'));
  const parent = Number(process.env['MILLWRIGHT_PARENT'] ?? 0);
  const watch = setInterval(() => {
    if (parent !== 0 && process.ppid !== parent && !controller.signal.aborted) stop('the parent process is gone');
  }, PARENT_CHECK_MS);
  watch.unref();
  try {
    await work(controller.signal);
    process.exitCode = 0;
  } catch (error) {
    log.error(messageOf(error), error instanceof MillwrightError ? { code: error.code } : { stack: stackOf(error) });
    process.exitCode = exitCodeOf(error);
  }
  clearInterval(watch);
}

export function exitCodeOf(error: unknown): number {
  const cannotStart = error instanceof MillwrightError && CANNOT_START.has(error.code) && !isDiskTrouble(error);
  return cannotStart ? EXIT_CANNOT_START : EXIT_FAILED;
}

/** A disk that is full or fails may be well at the next start; a folder that may not be written will not. */
export function isDiskTrouble(error: unknown): boolean {
  const cause = error instanceof MillwrightError ? error.cause : undefined;
  return ['ENOSPC', 'EDQUOT', 'EIO'].some((code) => isSystemError(cause, code));
}

/** A programmer's error is shown whole; ours need no stack. */
function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? '') : '';
}

/** Every error that Millwright raises on purpose has a code of this table. Decide by `code`, never by the message. */

export const ERROR_CODES = {
  /** A configuration file or value cannot be used. */
  config_invalid: 'config_invalid',
  /** A peer cannot be reached, closed the connection, or went silent. It may pass. */
  connection_failed: 'connection_failed',
  /** A peer said something that its protocol does not allow. */
  protocol_violation: 'protocol_violation',
  /** A peer asks to wait; `retryAfterMs` says how long. It may pass. */
  try_later: 'try_later',
  /** A file or folder cannot be read or written. */
  storage_failed: 'storage_failed',
  /** A file of the log is not of a version or form that can be read. */
  log_format: 'log_format',
  /** Another process has the log open. */
  log_locked: 'log_locked',
  /** The log was closed, or has stopped after an error. */
  log_closed: 'log_closed',
  /** A named limit was exceeded. */
  limit_exceeded: 'limit_exceeded',
  /** A port is taken or may not be used. */
  port_unavailable: 'port_unavailable',
  /** The database cannot be started or reached. */
  database_unavailable: 'database_unavailable',
  /** The database's schema is of a version that this program cannot use. */
  database_version: 'database_version',
  /** A caller of the API asked for something that makes no sense. */
  bad_request: 'bad_request',
  /** There is no such thing. */
  not_found: 'not_found',
  /** The program itself is at fault. Only ever told to a caller of the API; within, such an error has no code. */
  internal: 'internal',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export class MillwrightError extends Error {
  readonly code: ErrorCode;
  /** For `try_later`: how long the peer asks to wait. */
  readonly retryAfterMs: number | undefined;
  /** A part of the work is done and need not be done again: whoever tries again gets further. */
  readonly hasProgressed: boolean;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; retryAfterMs?: number | undefined; hasProgressed?: boolean } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'MillwrightError';
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
    this.hasProgressed = options.hasProgressed ?? false;
  }
}

/** Whether the error is one of ours with that code. */
export function hasCode(error: unknown, code: ErrorCode): error is MillwrightError {
  return error instanceof MillwrightError && error.code === code;
}

/** Causes behind causes that are told. */
const CAUSES_MAX = 8;

/** A sentence for a person, with the causes behind it. */
export function messageOf(error: unknown, causesMax: number = CAUSES_MAX): string {
  if (!(error instanceof Error)) return String(error);
  const own = error.message === '' ? ((error as NodeJS.ErrnoException).code ?? error.name) : error.message;
  return error.cause instanceof Error && causesMax > 0 ? `${own}: ${messageOf(error.cause, causesMax - 1)}` : own;
}

/** A fault of the program itself: to call it somebody else's would hide it, and waiting does not mend it. */
export function isDefect(error: unknown): boolean {
  return error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError;
}

/** How the hub connects to PostgreSQL, and how it tells a fault of the data from trouble that passes. */
import { Client, type ClientConfig, DatabaseError, Pool, type PoolClient, type PoolConfig, TypeOverrides } from 'pg';
import type { Logger } from '../../base/logger.ts';
import type { Timestamp } from '../../model/time.ts';
import type { DatabaseSettings } from '../settings.ts';

/** Keys of the advisory locks, from the text `MILL`. */
export const ADVISORY_LOCKS = {
  migration: 0x4d494c4c01,
  /** Shared by every transaction that stores batches, exclusive to whoever moves their identities about. */
  settled: 0x4d494c4c02,
  /** Held by the one hub that works out roll-ups and removes what is old, for as long as its connection lives. */
  maintenance: 0x4d494c4c03,
} as const;

/** How long a connection may take to be made. */
const CONNECT_TIMEOUT_MS = 5_000;
/** Longest statement of a read and of a write; a stream of rows lifts its own. */
const READ_TIMEOUT_MS = 30_000;
const WRITE_TIMEOUT_MS = 20_000;
/** Of an answer to an edge, which asks again after five seconds. */
const ANSWER_TIMEOUT_MS = 4_000;

/** A connection of its own, not yet connected. Its errors reach the queries under way; `onLost` hears of all others. */
export function createClient(settings: DatabaseSettings, purpose: string, onLost: (error: Error) => void): Client {
  const client = new Client(config(settings, purpose, WRITE_TIMEOUT_MS));
  client.on('error', onLost);
  return client;
}

/** Connections for reading. A connection that is lost while idle is replaced when it is needed. */
export function createReadPool(settings: DatabaseSettings, log: Logger): Pool {
  const pool = new SteadyPool({ ...config(settings, 'read', READ_TIMEOUT_MS), max: settings.readConnectionsMax });
  pool.on('error', (error) => log.warn('a connection to the database was lost', { error }));
  return pool;
}

/** Works with a connection of its own; when the signal is aborted it is closed at once, so that no lock holds up the stop. */
export async function withConnection<Result>(
  settings: DatabaseSettings,
  purpose: string,
  signal: AbortSignal,
  work: (client: Client) => Promise<Result>,
): Promise<Result> {
  const client = createClient(settings, purpose, () => {});
  const end = (): void => client.end(() => {});
  signal.addEventListener('abort', end);
  try {
    await client.connect();
    return await work(client);
  } finally {
    signal.removeEventListener('abort', end);
    await client.end().catch(() => undefined);
  }
}

/**
 * One connection to the database that is written to, for what edges and health checks wait for: beside those of the API,
 * whose requests may be slow. A server that says nothing at all is given up too.
 */
export function createAnswerPool(settings: DatabaseSettings, log: Logger): Pool {
  const limits = { max: 1, query_timeout: ANSWER_TIMEOUT_MS };
  const pool = new SteadyPool({ ...config(settings, 'answer', ANSWER_TIMEOUT_MS), ...limits });
  pool.on('error', (error) => log.debug('the connection for answers to edges was lost', { error }));
  return pool;
}

/** Connections may be lost at any time, and a server that says nothing does not hold up the end. */
class SteadyPool extends Pool {
  readonly #busy = new Set<PoolClient>();

  constructor(settings: PoolConfig) {
    super(settings);
    // Of one that is lost while somebody works with it the query under way tells, which is rejected; the pool listens to
    // idle ones only, and an error that nobody listens to ends the process.
    this.on('connect', (client) => client.on('error', () => {}));
    this.on('acquire', (client) => this.#busy.add(client));
    this.on('release', (_, client) => this.#busy.delete(client));
  }

  /** Whatever is asked when there is nobody left to hear the answer is given up. */
  override end(): Promise<void>;
  override end(callback: () => void): void;
  override end(callback?: () => void): Promise<void> | void {
    const ended = callback === undefined ? super.end() : super.end(callback);
    for (const client of this.#busy) client.end(() => {});
    return ended;
  }
}

function config(settings: DatabaseSettings, purpose: string, statementTimeoutMs: number): ClientConfig {
  const { host, port, dbname, user, password } = settings;
  const session = {
    timezone: 'UTC',
    datestyle: 'ISO',
    statement_timeout: statementTimeoutMs,
    lock_timeout: Math.round(statementTimeoutMs / 2),
    idle_in_transaction_session_timeout: 60_000,
    // A backend whose client has gone ends its query instead of finishing it for nobody.
    client_connection_check_interval: 1_000,
    // The locks of a hub that vanished without a word are let go within half a minute.
    tcp_keepalives_idle: 10,
    tcp_keepalives_interval: 5,
    tcp_keepalives_count: 3,
    // Compiling a query costs more than any of ours gains by it.
    jit: 'off',
    // An acknowledgment means "on the disk", whatever the server's default.
    synchronous_commit: 'on',
  };
  return {
    host,
    port,
    database: dbname,
    user,
    password,
    application_name: `millwright hub ${purpose}`,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    options: Object.entries(session)
      .map(([name, value]) => `-c ${name}=${value}`)
      .join(' '),
    types: PARSERS,
  };
}

const OID_BIGINT = 20;
const OID_TIMESTAMPTZ = 1184;

/** The driver's own parsers cut timestamps to milliseconds and leave `bigint` as text. */
const PARSERS: TypeOverrides = new TypeOverrides();
PARSERS.setTypeParser(OID_BIGINT, Number);
PARSERS.setTypeParser(OID_TIMESTAMPTZ, timestampOfColumn);

/** `2026-01-01 08:00:00.1234+00`, as PostgreSQL prints it in UTC, to the canonical form with six decimals. */
export function timestampOfColumn(text: string): Timestamp {
  const end = text.length - 3;
  const fraction = end > 20 ? text.slice(20, end).padEnd(6, '0') : '000000';
  return `${text.slice(0, 10)}T${text.slice(11, 19)}.${fraction}Z`;
}

/**
 * data: the rows themselves are refused, and would be again. conflict: another transaction came between; the same again
 * succeeds. trouble: everything else (no connection, no space, shutting down, a missing table).
 */
export type FaultKind = 'data' | 'conflict' | 'trouble';

/** Another transaction has stored, between two statements of this one, what this one was to store. */
export class OvertakenError extends Error {
  constructor() {
    super('another hub has stored the same batch meanwhile');
    this.name = 'OvertakenError';
  }
}

/** By the class of the SQLSTATE (PostgreSQL manual, appendix A). */
export function faultKind(error: unknown): FaultKind {
  if (error instanceof OvertakenError) return 'conflict';
  if (!(error instanceof DatabaseError) || error.code === undefined) return 'trouble';
  switch (error.code.slice(0, 2)) {
    case '22': // data exception
    case '23': // integrity constraint violation
    case '54': // program limit exceeded
      return 'data';
    case '40': // transaction rollback
      return 'conflict';
    default:
      return 'trouble';
  }
}

/**
 * The database might take less than that at once: a statement was ended because it took too long (SQLSTATE 57014), or there
 * is no memory for the locks of so many chunks (53200).
 */
export function isTooMuch(error: unknown): boolean {
  return error instanceof DatabaseError && (error.code === '57014' || error.code === '53200');
}

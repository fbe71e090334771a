/**
 * A connection to NATS: any of several servers, for ever. Once it is made, the library connects again by itself, with
 * waits that grow and vary; requests meanwhile fail, and whoever made them tries again.
 *
 * The client library is loaded by the first call: who has no NATS in the configuration does not pay for it.
 */
import type { NatsConnection, NodeConnectionOptions } from '@nats-io/transport-node';
import { Backoff } from './backoff.ts';
import { messageOf, MillwrightError } from './errors.ts';
import { readNamedFile } from './named-file.ts';
import { percentDecoded } from './percent.ts';
import type { Random } from './random.ts';

export type { NatsConnection } from '@nats-io/transport-node';

/** Checked, plain JSON; made by `nats-config.ts`. */
export interface NatsConnectionSettings {
  /** With scheme, without path; a user and password may stand in them. */
  readonly servers: readonly string[];
  readonly user: string | null;
  readonly password: string | null;
  readonly token: string | null;
  readonly nkeySeedFile: string | null;
  readonly credsFile: string | null;
  readonly tlsCaFile: string | null;
  readonly tlsCertFile: string | null;
  readonly tlsKeyFile: string | null;
}

export interface NatsParts {
  /** What the servers' monitoring shows for this connection. */
  readonly name: string;
  readonly random: Random;
  /** Wait before the first attempt to connect again; it grows from there. */
  readonly reconnectFirstMs?: number;
}

const CONNECT_TIMEOUT_MS = 5_000;
const RECONNECT = { firstMs: 250, maxMs: 10_000 };
/** A server that answers no ping is given up after twice this: half-open connections are noticed. */
const PING_INTERVAL_MS = 10_000;
const PINGS_UNANSWERED_MAX = 2;

/**
 * @throws connection_failed when no server answers, or none lets us in: try again
 * @throws storage_failed when a file of keys or certificates cannot be read
 */
export async function connectNats(settings: NatsConnectionSettings, parts: NatsParts): Promise<NatsConnection> {
  const nats = await import('@nats-io/transport-node');
  const { user, password } = loginOf(settings);
  const isTls =
    settings.tlsCaFile !== null ||
    settings.tlsCertFile !== null ||
    settings.servers.some((server) => server.startsWith('tls:'));
  const firstMs = parts.reconnectFirstMs ?? RECONNECT.firstMs;
  const backoff = new Backoff({ firstMs, maxMs: Math.max(firstMs, RECONNECT.maxMs) }, parts.random);
  const servers = hostsOf(settings);
  const options: NodeConnectionOptions = {
    // The library begins with one of them by chance, so that edges spread over a cluster.
    servers,
    name: parts.name,
    timeout: CONNECT_TIMEOUT_MS,
    maxReconnectAttempts: -1,
    reconnectDelayHandler: () => backoff.nextMs(),
    pingInterval: PING_INTERVAL_MS,
    maxPingOut: PINGS_UNANSWERED_MAX,
    // A password that was changed at the server may be changed back, or the file of credentials be renewed.
    ignoreAuthErrorAbort: true,
    // A stack trace for each request, in case it fails, would cost more than the request.
    noAsyncTraces: true,
    ...(user !== null && { user, pass: password ?? '' }),
    ...(settings.token !== null && { token: settings.token }),
    ...(isTls && {
      tls: {
        ...(settings.tlsCaFile !== null && { ca: readText(settings.tlsCaFile) }),
        ...(settings.tlsCertFile !== null && { cert: readText(settings.tlsCertFile) }),
        ...(settings.tlsKeyFile !== null && { key: readText(settings.tlsKeyFile) }),
      },
    }),
  };
  if (settings.credsFile !== null) {
    const { credsFile } = settings;
    options.authenticator = nats.credsAuthenticator(() => readBytes(credsFile));
  } else if (settings.nkeySeedFile !== null) {
    const { nkeySeedFile } = settings;
    options.authenticator = nats.nkeyAuthenticator(() => Buffer.from(readText(nkeySeedFile).trim()));
  }
  let connection: NatsConnection;
  try {
    connection = await nats.connect(options);
  } catch (cause) {
    if (cause instanceof MillwrightError) throw cause;
    throw await natsFailure(settings, cause);
  }
  void forgetWaits(connection, backoff);
  return connection;
}

/** Why a certificate was not believed, as Node's `tls` has it. */
const UNKNOWN_AUTHORITY: readonly unknown[] = [
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
];

/** `connection_failed` with what the servers or the way to them had to say, and what to do where that is known. */
export async function natsFailure(settings: NatsConnectionSettings, cause: unknown): Promise<MillwrightError> {
  const { errors } = await import('@nats-io/transport-node');
  const where = `NATS at ${hostsOf(settings).join(', ')}`;
  // The sentence has the cause's words, which must not be told twice.
  const failure = (sentence: string): MillwrightError => new MillwrightError('connection_failed', sentence);
  if (cause instanceof errors.AuthorizationError || cause instanceof errors.UserAuthenticationExpiredError) {
    return failure(
      `${where} does not let us in (${cause.message}): check user and password, token, nkey or credentials, and the ` +
        'accounts of the server',
    );
  }
  if (cause instanceof Error && 'code' in cause && UNKNOWN_AUTHORITY.includes(cause.code)) {
    return failure(
      `${where} has a certificate of an authority we do not know (${cause.message}): tls_ca_file must name the file of ` +
        'the one that signed it',
    );
  }
  return failure(`${where} cannot be reached: ${messageOf(cause)}`);
}

/** For people: without user and password. */
export function hostsOf({ servers }: NatsConnectionSettings): string[] {
  return servers.map((server) => new URL(server).host);
}

/** After a reconnection the next loss begins with a short wait again. */
async function forgetWaits(connection: NatsConnection, backoff: Backoff): Promise<void> {
  for await (const { type } of connection.status()) if (type === 'reconnect') backoff.reset();
}

/** Keys of their own go before what stands in the first URL. */
function loginOf({ user, password, servers }: NatsConnectionSettings): {
  user: string | null;
  password: string | null;
} {
  if (user !== null) return { user, password };
  const { username, password: own } = new URL(servers[0] ?? '');
  return username === ''
    ? { user: null, password: null }
    : { user: percentDecoded(username), password: percentDecoded(own) };
}

function readText(path: string): string {
  return Buffer.from(readBytes(path)).toString('utf8');
}

function readBytes(path: string): Uint8Array {
  try {
    return readNamedFile(path);
  } catch (cause) {
    throw new MillwrightError('storage_failed', `the file ${path} cannot be read`, { cause });
  }
}

/**
 * From an address to a session: asks the server which endpoints it has, takes the one that is wanted, looks whether its
 * certificate is trusted, and logs in. What only a person can mend is told as `config_invalid`. Loads the library.
 *
 * The library's own reconnecting is off (`maxRetry: 0`): it goes on for ever, makes sessions anew on its own, and cannot be
 * told from a server that is well. Whoever asks here is called again by the runner instead.
 */
import {
  type ClientSession,
  CreateSessionRequest,
  CreateSessionResponse,
  type EndpointDescription,
  MessageSecurityMode,
  OPCUAClient,
  SecurityPolicy,
  type UserIdentityInfo,
  UserTokenType,
} from 'node-opcua';
import { aborted, type Clock } from '../../base/clock.ts';
import { MillwrightError } from '../../base/errors.ts';
import { readNamedFile } from '../../base/named-file.ts';
import { POLICIES } from '../../base/opcua-policies.ts';
import type { CertificateFolder } from './certificates.ts';
import { faultOf, unanswered } from './faults.ts';
import type { Identity, OpcuaOptions } from './options.ts';
import { raw } from './services.ts';

const { X509Certificate } = process.getBuiltinModule('node:crypto');

/** Of closing what may be broken; what takes longer goes on by itself. */
const CLOSE_MS_MAX = 1_000;
/** Of a session that the server is just making, when connecting is given up. */
const LATE_MS_MAX = 1_000;
/**
 * The library ends a connection on which nothing has come for so long, and says only that it was closed. Our own watch is
 * faster, and says more.
 */
const IDLE_MS_MAX = 60_000;
/** Answers that a whole connection takes at most: endpoints, channel, session, login. */
const STEPS_MAX = 4;

export type ConnectOptions = Pick<OpcuaOptions, 'url' | 'security' | 'identity' | 'sessionTimeoutMs' | 'timeoutMs'>;

export interface ConnectParts {
  readonly options: ConnectOptions;
  readonly certificates: CertificateFolder;
  readonly clock: Clock;
  /** As the server shows it to its people. */
  readonly sessionName: string;
  /** Gives connecting up when it is aborted. */
  readonly signal: AbortSignal;
}

export interface Connection {
  readonly client: OPCUAClient;
  readonly session: ClientSession;
  readonly endpoint: EndpointDescription;
}

/**
 * A session whose connection broke, as the server may still have it: makes an object of the library for it that belongs to
 * another client. What the library knows of it, it forgets when it closes the first.
 */
export type Leftover = (client: OPCUAClient) => ClientSession;

/** What outlives a run. */
export interface SessionMemory {
  /** Of a connection that broke, so that the server may still have it; until it could be asked. */
  leftover: Leftover | undefined;
  /** The newest program that was told: a new connection is no change of it. */
  program?: string | undefined;
}

/**
 * Rejects also when it is given up. A session that the server is just making is closed then, if it says within
 * {@link LATE_MS_MAX} which it is.
 *
 * @throws connection_failed, config_invalid, storage_failed
 */
export async function connect(parts: ConnectParts, memory?: SessionMemory): Promise<Connection> {
  const { options, certificates } = parts;
  const endpoint = chosenEndpoint(await endpointsOf(parts), options);
  checkLogin(endpoint, options);
  if (endpoint.securityMode !== MessageSecurityMode.None) {
    const { serverCertificate, server } = endpoint;
    await certificates.check(serverCertificate, options.url, server.applicationUri ?? '');
  }
  const client = await newClient(parts, endpoint);
  const made = sessionMade(client);
  const loggingIn = logIn(client, endpoint, parts, memory);
  try {
    return await limited(parts, STEPS_MAX, loggingIn);
  } catch (error) {
    // The server can be asked to close a session only once it has said which it is.
    await within(Promise.race([made(), loggingIn]), LATE_MS_MAX, parts.clock);
    await closeClient(client, parts.clock);
    throw faultOf(error, parts, 'connecting');
  }
}

/** Asks without security, as everybody may. @throws connection_failed */
export async function endpointsOf(parts: ConnectParts): Promise<EndpointDescription[]> {
  const client = await newClient(parts, undefined);
  const { url } = parts.options;
  const ask = async (): Promise<EndpointDescription[]> => {
    await client.connect(url);
    return await client.getEndpoints({ endpointUrl: url });
  };
  try {
    return await limited(parts, 2, ask());
  } catch (error) {
    throw faultOf(error, parts, 'connecting');
  } finally {
    await closeClient(client, parts.clock);
  }
}

/**
 * Closes the session at the server, as far as the server can be reached.
 * @returns whether the server said that it is closed
 */
export async function closeConnection({ client, session }: Connection, clock: Clock): Promise<boolean> {
  let isClosed = false;
  // The library also calls that closed which it cannot reach.
  const isReached = raw(session).isChannelValid();
  const closing = client.closeSession(session, true).then(
    () => {
      isClosed = isReached;
    },
    () => {},
  );
  await within(closing, CLOSE_MS_MAX, clock);
  await closeClient(client, clock);
  return isClosed;
}

/**
 * Call it before anything is asked of the client.
 * @returns what resolves when no session is being made: at once, or when the server has said which it is
 */
function sessionMade(client: OPCUAClient): () => Promise<void> {
  const made = Promise.withResolvers<void>();
  let isAsked = false;
  client.on('send_request', (request) => {
    if (request instanceof CreateSessionRequest) isAsked = true;
  });
  client.on('receive_response', (response) => {
    if (response instanceof CreateSessionResponse) made.resolve();
  });
  return () => (isAsked ? made.promise : Promise.resolve());
}

/** Closes its sessions too. */
async function closeClient(client: OPCUAClient, clock: Clock): Promise<void> {
  // The library tells here only that there was nothing to be closed.
  const closing = client.disconnect().catch(() => {});
  await within(closing, CLOSE_MS_MAX, clock);
}

async function newClient(parts: ConnectParts, endpoint: EndpointDescription | undefined): Promise<OPCUAClient> {
  const { options, certificates, sessionName } = parts;
  const manager = await certificates.open();
  const isSecure = endpoint !== undefined && endpoint.securityMode !== MessageSecurityMode.None;
  return OPCUAClient.create({
    applicationName: 'Millwright',
    applicationUri: certificates.applicationUri(),
    clientName: sessionName,
    clientCertificateManager: manager,
    certificateFile: certificates.ownFile,
    privateKeyFile: manager.privateKey,
    securityMode: endpoint?.securityMode ?? MessageSecurityMode.None,
    securityPolicy: endpoint?.securityPolicyUri ?? SecurityPolicy.None,
    ...(isSecure ? { serverCertificate: endpoint.serverCertificate } : {}),
    // Servers behind another name or port than they know of are reached by the name that was given.
    endpointMustExist: false,
    connectionStrategy: { maxRetry: 0 },
    keepSessionAlive: false,
    requestedSessionTimeout: options.sessionTimeoutMs,
    transportTimeout: IDLE_MS_MAX,
    defaultTransactionTimeout: options.timeoutMs,
  });
}

async function logIn(
  client: OPCUAClient,
  endpoint: EndpointDescription,
  { options }: ConnectParts,
  memory: SessionMemory | undefined,
): Promise<Connection> {
  await client.connect(options.url);
  const leftover = memory?.leftover;
  if (leftover !== undefined) await endLeftover(client, leftover(client));
  const session = await client.createSession(identityInfo(options.identity));
  if (memory !== undefined) memory.leftover = undefined;
  return { client, session, endpoint };
}

/**
 * A session whose connection broke lives on at the server until its timeout. It may be taken over by a new connection, and
 * then be closed (OPC 10000-4, 5.7.3).
 */
async function endLeftover(client: OPCUAClient, session: ClientSession): Promise<void> {
  try {
    await client.reactivateSession(session);
    await client.closeSession(session, true);
  } catch {
    // The server has closed it, or was restarted, or will close it at its timeout.
  }
}

/** What of a session says which it is, and lets it be taken over. */
const SESSION_KEYS = [
  'name',
  'sessionId',
  'authenticationToken',
  'timeout',
  'serverNonce',
  'serverCertificate',
  'serverSignature',
  'serverEndpoints',
  'userIdentityInfo',
] as const;

export function leftoverOf(session: ClientSession): Leftover {
  const known = session as unknown as { readonly [key: string]: unknown };
  const kept = Object.fromEntries(SESSION_KEYS.map((key) => [key, known[key]]));
  const Session = session.constructor as new (client: OPCUAClient) => ClientSession;
  return (client) => Object.assign(new Session(client), kept);
}

function chosenEndpoint(
  offered: readonly EndpointDescription[],
  { url, security }: ConnectOptions,
): EndpointDescription {
  const { policy, mode } = security;
  const wanted = policy === 'strongest' ? POLICIES : [policy];
  for (const one of wanted) {
    const modeWanted = one === 'None' ? MessageSecurityMode.None : MessageSecurityMode[mode];
    const found = offered.find(
      ({ securityPolicyUri, securityMode }) => securityPolicyUri === SecurityPolicy[one] && securityMode === modeWanted,
    );
    if (found !== undefined) return found;
  }
  const names = [...new Set(offered.map(endpointText))].join('; ');
  const what =
    policy === 'strongest'
      ? `${mode} with ${POLICIES.join(', ')}`
      : policy === 'None'
        ? 'None'
        : `${policy} with ${mode}`;
  const hint = policy === 'strongest' ? '; set policy (and mode) to one of them' : '';
  throw new MillwrightError('config_invalid', `${url} does not offer ${what}; it offers ${names || 'nothing'}${hint}`);
}

const TOKENS: { readonly [Kind in Identity['kind']]: UserTokenType } = {
  anonymous: UserTokenType.Anonymous,
  password: UserTokenType.UserName,
  password_file: UserTokenType.UserName,
  certificate: UserTokenType.Certificate,
};
const LOGINS: readonly (readonly [UserTokenType, string])[] = [
  [UserTokenType.Anonymous, 'anonymous: true'],
  [UserTokenType.UserName, 'user and password'],
  [UserTokenType.Certificate, 'user_certificate'],
];

/** Many servers let nobody log in with a password, or nobody without, over one policy or the other. */
function checkLogin(endpoint: EndpointDescription, { url, identity }: ConnectOptions): void {
  const offered = (endpoint.userIdentityTokens ?? []).map(({ tokenType }) => tokenType);
  const wanted = TOKENS[identity.kind];
  if (offered.includes(wanted)) return;
  const nameOf = (type: UserTokenType): string => LOGINS.find(([one]) => one === type)?.[1] ?? '';
  const others = LOGINS.filter(([type]) => offered.includes(type)).map(([, text]) => text);
  const text = `${url} does not take ${nameOf(wanted)} over ${endpointText(endpoint)}; it takes ${others.join(', ') || 'none of ours'}`;
  throw new MillwrightError('config_invalid', text);
}

/** `Basic256Sha256 with SignAndEncrypt`, or `None`. */
export function endpointText({ securityPolicyUri, securityMode }: EndpointDescription): string {
  const policy = policyName(securityPolicyUri);
  return securityMode === MessageSecurityMode.None ? policy : `${policy} with ${MessageSecurityMode[securityMode]}`;
}

export function policyName(uri: string | null): string {
  return uri?.slice(uri.lastIndexOf('#') + 1) ?? '';
}

/** @throws config_invalid when a file cannot be read */
function identityInfo(identity: Identity): UserIdentityInfo {
  switch (identity.kind) {
    case 'anonymous':
      return { type: UserTokenType.Anonymous };
    case 'password':
      return { type: UserTokenType.UserName, userName: identity.user, password: identity.password };
    case 'password_file': {
      const [password = ''] = readText(identity.file, 'password_file').split(/\r?\n/, 1);
      return { type: UserTokenType.UserName, userName: identity.user, password };
    }
    case 'certificate': {
      const certificate = new X509Certificate(readText(identity.certificateFile, 'user_certificate'));
      const privateKey = readText(identity.keyFile, 'user_key');
      return { type: UserTokenType.Certificate, certificateData: certificate.raw, privateKey };
    }
    default:
      return identity satisfies never;
  }
}

function readText(file: string, key: string): string {
  try {
    return readNamedFile(file).toString('utf8');
  } catch (cause) {
    throw new MillwrightError('config_invalid', `${key}: ${file} cannot be read`, { cause });
  }
}

/** Not all of the library's waits have an end. @throws connection_failed, also when it is given up */
async function limited<Answer>(
  { options, clock, signal }: ConnectParts,
  answers: number,
  work: Promise<Answer>,
): Promise<Answer> {
  const { url, timeoutMs } = options;
  const limitMs = answers * timeoutMs;
  const isDone = await within(Promise.race([work, aborted(signal)]), limitMs, clock);
  if (signal.aborted) throw new MillwrightError('connection_failed', `${url} is not needed any more`);
  if (isDone) return await work;
  throw unanswered(url, limitMs);
}

/** @returns whether the work ended in time, well or not */
export async function within(work: Promise<unknown>, limitMs: number, clock: Clock): Promise<boolean> {
  const ended = new AbortController();
  const done = work.then(
    () => true,
    () => true,
  );
  const isDone = await Promise.race([done, clock.sleep(limitMs, ended.signal).then(() => false)]);
  ended.abort();
  return isDone;
}

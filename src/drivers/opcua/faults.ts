/**
 * Owns the words for what goes wrong between the gateway and a server: makes of an error of the library one plain sentence
 * that says what, where, and what to do. The library's own texts have several lines and speak of its programming interface;
 * what is not known here keeps its first line.
 */
import { MillwrightError, messageOf } from '../../base/errors.ts';
import type { Identity } from './options.ts';

/** Of a text that is not known here. */
const LINE_CHARS_MAX = 200;

/** What a sentence may have to name. */
export interface FaultParts {
  readonly options: { readonly url: string; readonly identity: Identity; readonly timeoutMs: number };
  readonly certificates: { readonly ownFile: string };
}

/** What is going on: the connection is being made, or stands. */
export type Phase = 'connecting' | 'reading';

/** What the server (or the line to it) does, and what is to be done; the code stands between. */
type Trouble = readonly [what: string, advice: string];

const AGAIN = 'it is tried again by itself';
const NO_WAY: Trouble = ['cannot be reached: no way leads there', 'look at cable, address and router'];
const BUSY: Trouble = ['takes no more connections now', 'close other clients, or wait until it is less busy'];
const STOPPED: Trouble = ['is shut down', `start it again; ${AGAIN}`];
const TOO_LARGE: Trouble = ['does not take messages so large', 'read fewer nodes by one sensor'];
const NO_PROTOCOL: Trouble = ['does not speak this protocol', 'look whether url is the address of an OPC UA server'];
const CONNECTION_CLOSED: Trouble = ['closed the connection', AGAIN];
const SESSION_CLOSED: Trouble = ['has closed the session', AGAIN];
const SUBSCRIPTION_ENDED: Trouble = ['has ended the subscription', AGAIN];

/** By the code of the system, or the status code. */
const TROUBLES: { readonly [name: string]: Trouble } = {
  ECONNREFUSED: ['cannot be reached: nothing listens there', 'start the server, or correct host and port in url'],
  ENOTFOUND: ['cannot be reached: there is no such host', 'correct the name in url, or write the address'],
  EAI_AGAIN: [
    'cannot be reached: names cannot be looked up now',
    'look at the DNS of this gateway, or write the address in url',
  ],
  EHOSTUNREACH: NO_WAY,
  ENETUNREACH: NO_WAY,
  ETIMEDOUT: ['cannot be reached: nobody answers there', 'look whether it is on, and at firewalls between'],
  BadTcpServerTooBusy: BUSY,
  BadTcpNotEnoughResources: BUSY,
  BadMaxConnectionsReached: BUSY,
  BadConnectionRejected: BUSY,
  BadTooManyOperations: BUSY,
  BadResourceUnavailable: BUSY,
  BadOutOfMemory: BUSY,
  BadTooManySessions: ['has no session left for one more client', 'close others, or wait until the server does'],
  BadTooManySubscriptions: ['has no subscription left for this client', 'close others, or wait until the server does'],
  BadTcpInternalError: ['has failed in itself', 'look into its own log'],
  BadInternalError: ['has failed in itself', 'look into its own log'],
  BadServerHalted: STOPPED,
  BadShutdown: STOPPED,
  BadTcpMessageTooLarge: TOO_LARGE,
  BadRequestTooLarge: TOO_LARGE,
  BadResponseTooLarge: TOO_LARGE,
  BadEncodingLimitsExceeded: TOO_LARGE,
  BadTcpMessageTypeInvalid: NO_PROTOCOL,
  BadProtocolVersionUnsupported: NO_PROTOCOL,
  BadConnectionClosed: CONNECTION_CLOSED,
  BadSecureChannelClosed: CONNECTION_CLOSED,
  BadSecureChannelIdInvalid: CONNECTION_CLOSED,
  BadTcpSecureChannelUnknown: CONNECTION_CLOSED,
  BadSessionIdInvalid: SESSION_CLOSED,
  BadSessionClosed: SESSION_CLOSED,
  BadNoSubscription: SUBSCRIPTION_ENDED,
  BadSubscriptionIdInvalid: SUBSCRIPTION_ENDED,
};

const POLICY: Trouble = ['does not take this policy and mode', 'millwright probe opcua shows which it offers'];

/** Of those that nothing but a person changes. */
const FOR_A_PERSON: { readonly [name: string]: (parts: FaultParts) => Trouble } = {
  BadUserAccessDenied: login,
  BadIdentityTokenRejected: login,
  BadIdentityTokenInvalid: login,
  BadUserSignatureInvalid: login,
  BadSecurityChecksFailed: certificate,
  BadCertificateUntrusted: certificate,
  BadCertificateInvalid: certificate,
  BadCertificateUriInvalid: certificate,
  BadCertificateUseNotAllowed: certificate,
  BadCertificateIssuerUseNotAllowed: certificate,
  BadCertificateRevocationUnknown: certificate,
  BadCertificateChainIncomplete: certificate,
  BadCertificateTimeInvalid: ({ certificates: { ownFile } }) => [
    'says that the certificate of this gateway is not valid now',
    `look at both clocks, and at the dates in ${ownFile}`,
  ],
  BadSecurityPolicyRejected: () => POLICY,
  BadSecurityModeRejected: () => POLICY,
  BadSecurityModeInsufficient: () => POLICY,
  BadTcpEndpointUrlInvalid: () => [
    'does not know this address as its own',
    'write the one in url that it calls itself',
  ],
};

function login({ options: { identity } }: FaultParts): Trouble {
  switch (identity.kind) {
    case 'anonymous':
      return ['does not let in an anonymous client', 'set a user'];
    case 'certificate':
      return ['does not let in the user of user_certificate', 'have the server trust that certificate'];
    default:
      return [`does not let in user ${identity.user}`, 'correct user or password, or allow it at the server'];
  }
}

function certificate({ certificates: { ownFile } }: FaultParts): Trouble {
  return ['refuses the certificate of this gateway', `have the server trust ${ownFile}`];
}

/** Where the library says neither status nor code, it is known by its text alone (its version is fixed). */
const UNANSWERED = /has timed out|^Timeout\b|\bBad(?:Request)?Timeout\b/;
const CLOSED =
  /ECONNRESET|ECONNABORTED|EPIPE|ended by server|disconnected by third party|in waiting for data on socket|Connection Break|Channel Closed|Socket is closed|No SecureChannel|Client not connected|channel\s+is being closed|premature socket termination/;

/** @returns an error of ours as it is */
export function faultOf(error: unknown, parts: FaultParts, phase: Phase): MillwrightError {
  if (error instanceof MillwrightError) return error;
  const { url, timeoutMs } = parts.options;
  const name = statusOf(error);
  const forPerson = FOR_A_PERSON[name]?.(parts);
  const trouble = forPerson ?? TROUBLES[name];
  if (trouble !== undefined) {
    const [what, advice] = trouble;
    const code = forPerson === undefined ? 'connection_failed' : 'config_invalid';
    return new MillwrightError(code, `${url} ${what} (${name}); ${advice}`);
  }
  const line = lineOf(error);
  if (UNANSWERED.test(line)) return unanswered(url, timeoutMs);
  if (CLOSED.test(line)) return phase === 'connecting' ? closedEarly(url) : closed(url, 'connection');
  const what = phase === 'connecting' ? 'cannot be reached' : 'does not answer as it should';
  return new MillwrightError('connection_failed', `${url} ${what}: ${line}`);
}

export function unanswered(url: string, limitMs: number): MillwrightError {
  const advice = 'look whether it is on, and at firewalls between, or set a longer timeout';
  return new MillwrightError('connection_failed', `${url} did not answer within ${limitMs} ms; ${advice}`);
}

/** Of what stood. @param status that the server said of it */
export function closed(url: string, what: 'connection' | 'session' | 'subscription', status?: string): MillwrightError {
  const code = status === undefined ? '' : ` (${status})`;
  return new MillwrightError('connection_failed', `${url} closed the ${what}${code}; ${AGAIN}`);
}

function closedEarly(url: string): MillwrightError {
  const advice = 'look whether it is an OPC UA server, and takes one more client';
  return new MillwrightError('connection_failed', `${url} closed the connection while it was made; ${advice}`);
}

/**
 * The name of the status code in an error of the library, or that of the system's error; empty: there is neither. Where the
 * server answered, the answer stands beside the error; for the opening of a channel the library has nothing but its text.
 */
export function statusOf(error: unknown): string {
  const { response } = error as { readonly response?: { responseHeader?: { serviceResult?: { name?: string } } } };
  const answered = response?.responseHeader?.serviceResult?.name;
  return answered ?? NAME.exec(messageOf(error))?.[0] ?? '';
}

const NAME = /\b(?:Bad[A-Z][A-Za-z]+|E(?:CONN|HOST|NET|AI_|NOTFOUND|TIMEDOUT|PIPE)[A-Z]*)\b/;

/** One line of a text that was made for programmers; without what the library wraps around it. */
export function lineOf(error: unknown): string {
  const text = messageOf(error);
  const inner = /\bErr = \((.*)\)\s*$/s.exec(text)?.[1] ?? text;
  const [line = ''] = inner.trim().split(/\s*[\r\n]/, 1);
  return line.length > LINE_CHARS_MAX ? `${line.slice(0, LINE_CHARS_MAX).toWellFormed()}…` : line;
}

/** What the commonest codes mean for who has to mend it. */
const STATUS_TEXTS: { readonly [name: string]: string } = {
  BadNodeIdUnknown: 'the server has no such node',
  BadNodeIdInvalid: 'the server does not take such a node id',
  BadAttributeIdInvalid: 'the node is no variable, so it has no value',
  BadNotReadable: 'the node cannot be read',
  BadUserAccessDenied: 'this user may not read it',
  BadTooManyMonitoredItems: 'the server does not monitor so many nodes',
  BadWaitingForInitialData: 'the server has no value yet',
  BadNotConnected: 'the server is not connected to where the value comes from',
  BadNoCommunication: 'the server has no communication with where the value comes from',
  BadDeviceFailure: 'the device has failed',
  BadSensorFailure: 'the sensor has failed',
  BadOutOfService: 'it is out of service',
  BadDataUnavailable: 'the value is not known',
};

/** Of a node that cannot be read. */
export function statusText(name: string): string {
  const text = STATUS_TEXTS[name];
  return text === undefined ? name : `${text} (${name})`;
}

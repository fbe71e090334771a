/**
 * Owns the words for what goes wrong between the gateway and a server: from an error of the library, or a status code, to a
 * coded error that a person understands.
 */
import { MillwrightError, messageOf } from '../../base/errors.ts';
import type { CertificateFolder } from './certificates.ts';
import type { OpcuaOptions } from './options.ts';

/** Of the server's answers, those that nothing but a person changes. */
const FOR_A_PERSON: { readonly [status: string]: 'login' | 'certificate' } = {
  BadUserAccessDenied: 'login',
  BadIdentityTokenRejected: 'login',
  BadIdentityTokenInvalid: 'login',
  BadUserSignatureInvalid: 'login',
  BadSecurityChecksFailed: 'certificate',
  BadCertificateUntrusted: 'certificate',
  BadCertificateInvalid: 'certificate',
  BadCertificateUriInvalid: 'certificate',
  BadCertificateTimeInvalid: 'certificate',
  BadCertificateUseNotAllowed: 'certificate',
  BadCertificateIssuerUseNotAllowed: 'certificate',
  BadCertificateRevocationUnknown: 'certificate',
  BadCertificateChainIncomplete: 'certificate',
};

export interface ConnectFaultParts {
  readonly options: Pick<OpcuaOptions, 'url' | 'identity'>;
  readonly certificates: Pick<CertificateFolder, 'ownFile'>;
}

/** Of an error while the connection is being made. */
export function connectFault(error: unknown, { options, certificates }: ConnectFaultParts): MillwrightError {
  if (error instanceof MillwrightError) return error;
  const { url, identity } = options;
  const status = statusOf(error);
  switch (FOR_A_PERSON[status]) {
    case 'login': {
      const who =
        identity.kind === 'anonymous'
          ? 'an anonymous client'
          : identity.kind === 'certificate'
            ? 'the user of user_certificate'
            : `user ${identity.user}`;
      return new MillwrightError('config_invalid', `${url} does not let in ${who} (${status})`, { cause: error });
    }
    case 'certificate': {
      const text = `${url} refuses the certificate of this gateway (${status}); have the server trust ${certificates.ownFile}`;
      return new MillwrightError('config_invalid', text, { cause: error });
    }
    default: {
      const text = status === 'BadTooManySessions' ? 'has no session left for one more client' : 'cannot be reached';
      return new MillwrightError('connection_failed', `${url} ${text}`, { cause: error });
    }
  }
}

/**
 * The name of the status code in an error of the library; empty: there is none. Where the server answered, the answer
 * stands beside the error; for the opening of a channel the library has nothing but its text.
 */
export function statusOf(error: unknown): string {
  const { response } = error as { readonly response?: { responseHeader?: { serviceResult?: { name?: string } } } };
  return response?.responseHeader?.serviceResult?.name ?? /\bBad[A-Z][A-Za-z]+/.exec(messageOf(error))?.[0] ?? '';
}

/** Of an error while the session stands. */
export function sessionFault(error: unknown, url: string): MillwrightError {
  if (error instanceof MillwrightError) return error;
  const text = TOLD[statusOf(error)] ?? 'does not answer as it should';
  return new MillwrightError('connection_failed', `${url} ${text}`, { cause: error });
}

const TOLD: { readonly [status: string]: string } = {
  BadSessionIdInvalid: 'has closed the session',
  BadSessionClosed: 'has closed the session',
  BadNoSubscription: 'has ended the subscription',
  BadSubscriptionIdInvalid: 'has ended the subscription',
  BadTooManySubscriptions: 'has no subscription left for this client',
};

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

/** What the library's session can do and its main type does not say. */
import type { ClientSession, ClientSessionPublishService, ClientSessionRawSubscriptionService } from 'node-opcua';

/** The plain services, a request and its answer each. */
export type RawSession = ClientSession &
  ClientSessionPublishService &
  ClientSessionRawSubscriptionService & { isChannelValid(): boolean };

export function raw(session: ClientSession): RawSession {
  return session as RawSession;
}

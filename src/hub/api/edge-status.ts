/** An edge's word about itself, by whichever way it came. */
import { type Clock, now } from '../../base/clock.ts';
import { microsOf } from '../../model/time.ts';
import type { Reader } from '../store/reader.ts';
import { checkedName, parseEdgeStatus } from './parse.ts';

/**
 * Checks it and stores it with the time by the hub's clock.
 * @param gatewayId who the sender says it is, outside of the body
 * @throws bad_request when the body is no status of that gateway
 */
export async function saveEdgeStatus(
  { reader, clock }: { readonly reader: Reader; readonly clock: Clock },
  body: unknown,
  gatewayId: string,
): Promise<void> {
  const status = parseEdgeStatus(body, checkedName(gatewayId, 'gateway'));
  const receivedAt = now(clock);
  await reader.saveEdge(status, receivedAt, (microsOf(status.sent_at) - microsOf(receivedAt)) / 1e6);
}

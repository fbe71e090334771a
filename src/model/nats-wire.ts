/**
 * What edges and hubs say to each other over NATS.
 *
 * A batch is one message on `<subject prefix>.<token of the gateway>`: its payload is the batch's, a message of frames
 * (`frame.ts`), and its identity stands in a header. Foreign publishers may send bare JSON, with an id of their own or
 * without one. Outside of any stream are two requests of an edge, each on a subject that ends in the gateway's token: its
 * status, and the question which of its batches are in the database.
 */
import { parseBatchKey, type BatchId } from './batch.ts';

/** Stream and subject prefix where nothing else is configured. */
export const DATA_STREAM = 'CNC_DATA';
export const EDGE_SUBJECT_PREFIX = 'CNC_DATA.edge';

/** By it the stream knows a message that it has; for a batch it is {@link natsMessageId}. */
export const MESSAGE_ID_HEADER = 'Nats-Msg-Id';
/** How the payload is compressed; absent for as it is. */
export const ENCODING_HEADER = 'Content-Encoding';
export const ZSTD_ENCODING = 'zstd';

const STATUS_SUBJECT_PREFIX = 'MILLWRIGHT_STATUS';
const SETTLED_SUBJECT_PREFIX = 'MILLWRIGHT_SETTLED';
/** What hubs subscribe to, in the queue group {@link STATUS_QUEUE}: one of them takes each status. */
export const STATUS_SUBJECTS: string = `${STATUS_SUBJECT_PREFIX}.>`;
export const STATUS_QUEUE = 'hubs';

/** What hubs subscribe to, in the queue group {@link SETTLED_QUEUE}. */
export const SETTLED_SUBJECTS: string = `${SETTLED_SUBJECT_PREFIX}.>`;
export const SETTLED_QUEUE = 'hubs';

/** Of sequences of one log; both ends included. */
export type SequenceRange = readonly [first: number, last: number];

/** Asked as JSON: which of these batches are settled, that is stored or among the dead letters? */
export interface SettledRequest {
  readonly gateway_id: string;
  readonly epoch: string;
  readonly sequences: readonly SequenceRange[];
}

/** Those of them that are; or why that cannot be told now. */
export type SettledReply =
  | { readonly settled: readonly SequenceRange[] }
  | { readonly error: { readonly code: string; readonly message: string } };

/** Where an edge asks. */
export function settledSubject(gatewayId: string): string {
  return `${SETTLED_SUBJECT_PREFIX}.${subjectToken(gatewayId)}`;
}

/** Where an edge sends its `EdgeStatus` as JSON. The answer is `{}`, or `{"error":{"code","message"}}`. */
export function statusSubject(gatewayId: string): string {
  return `${STATUS_SUBJECT_PREFIX}.${subjectToken(gatewayId)}`;
}

/**
 * A gateway's name as one token of a subject, which has no white space, dot or wildcard in it: percent-encoded, so that
 * two names never become one.
 */
export function subjectToken(gatewayId: string): string {
  return encodeURIComponent(gatewayId).replaceAll('.', '%2E').replaceAll('*', '%2A');
}

/** `encoded gateway/epoch/sequence`: plain characters only, fit for a header. */
export function natsMessageId(id: BatchId): string {
  return `${encodeURIComponent(id.gatewayId)}/${id.epoch}/${id.sequence}`;
}

const MESSAGE_ID = /^[^/]+\/[A-Za-z0-9_-]+\/[1-9][0-9]{0,14}$/;

/**
 * The identity in a message id; undefined for any text that {@link natsMessageId} would not have written: such an id is
 * a foreign publisher's own.
 */
export function parseNatsMessageId(messageId: string): BatchId | undefined {
  if (!MESSAGE_ID.test(messageId)) return undefined;
  const gatewayEnd = messageId.indexOf('/');
  let gatewayId: string;
  try {
    gatewayId = decodeURIComponent(messageId.slice(0, gatewayEnd));
  } catch {
    return undefined;
  }
  const id = parseBatchKey(gatewayId + messageId.slice(gatewayEnd));
  return id !== undefined && natsMessageId(id) === messageId ? id : undefined;
}

/** From a request's body to messages with identity. Pure but for the random key of a message that has none. */
import { createHash, randomUUID } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { MillwrightError } from '../../base/errors.ts';
import { BATCHES_MEDIA_TYPE, batchKey, decodeBatches, parseBatchKey } from '../../model/batch.ts';
import type { Identity } from '../store/parcel.ts';
import type { Message } from './prepare.ts';

/** Longest body of a request, in bytes. */
export const BODY_BYTES_MAX: number = 8 * 1024 * 1024;
/** Longest Idempotency-Key, in UTF-16 units. */
export const IDEMPOTENCY_KEY_LENGTH_MAX = 200;

const DAY_SECONDS = 86_400;
export const KEY_REMEMBERED_SECONDS: number = 30 * DAY_SECONDS;
/** Long enough for the hub's own repetitions of one request, whose sender said nothing by which to know it again. */
const ANONYMOUS_REMEMBERED_SECONDS = 600;

export interface IngestRequest {
  readonly mediaType: string;
  readonly idempotencyKey: string | undefined;
  readonly body: Uint8Array;
}

/**
 * The messages of a request.
 * @throws `bad_request` for a key that cannot be one; `try_later` when bytes were damaged on the way
 */
export function messagesOf(request: IngestRequest): Message[] {
  const { body } = request;
  if (request.mediaType !== BATCHES_MEDIA_TYPE)
    return [{ identity: identityOf(request.idempotencyKey), payload: body }];
  const { batches, fault } = decodeBatches(body);
  const messages = batches.map(({ batch, crc32: expected }): Message => {
    if (crc32(batch.payload) !== expected) {
      // The edge checks its own log before it sends, so this happened on the way, and the next try may be whole.
      throw new MillwrightError(
        'try_later',
        `batch ${batchKey(batch)} was damaged on the way (wrong checksum); send again`,
        {
          retryAfterMs: 1_000,
        },
      );
    }
    const { gatewayId, epoch, sequence, payload } = batch;
    return { identity: { kind: 'batch', gatewayId, epoch, sequence }, payload };
  });
  if (fault !== undefined) {
    const digest = createHash('sha256').update(fault.bytes).digest('hex');
    const identity: Identity = { kind: 'key', key: `rest ${digest}`, rememberSeconds: DAY_SECONDS };
    messages.push({ identity, payload: fault.bytes, fault: `body, byte ${fault.offset}: ${fault.reason}` });
  }
  return messages;
}

function identityOf(key: string | undefined): Identity {
  if (key === undefined || key === '') {
    return { kind: 'key', key: `request ${randomUUID()}`, rememberSeconds: ANONYMOUS_REMEMBERED_SECONDS };
  }
  if (key.length > IDEMPOTENCY_KEY_LENGTH_MAX) {
    const limit = `is at most ${IDEMPOTENCY_KEY_LENGTH_MAX} characters, found ${key.length}`;
    throw new MillwrightError('bad_request', `the header Idempotency-Key ${limit}`);
  }
  const id = parseBatchKey(key);
  if (id !== undefined) return { kind: 'batch', ...id };
  return { kind: 'key', key: `sender ${key}`, rememberSeconds: KEY_REMEMBERED_SECONDS };
}

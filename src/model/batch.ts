/**
 * Batches: the unit of the log, of delivery and of deduplication.
 *
 * A batch is a message of frames with an identity that it keeps for ever: (gateway, epoch, sequence). Over HTTP one
 * request carries several, each behind a header that is itself a frame:
 *
 *     body   = (header message)+
 *     header = frame of {"gateway_id","epoch","sequence","readings","bytes","crc32"}
 *
 * `bytes` is the message's length and `crc32` its checksum, so that one damaged batch does not hide the next.
 */
import { decodeMessage, encodeFrame, FRAME_HEADER_BYTES, frameEnd, framesOf } from './frame.ts';
import { NAME_LENGTH_MAX, type Reading } from './reading.ts';

/** Media type of a request's body of batches. */
export const BATCHES_MEDIA_TYPE = 'application/vnd.millwright.batches';
/** Media type of a message of frames without identity. */
export const FRAMES_MEDIA_TYPE = 'application/vnd.millwright.frames';

export interface BatchId {
  readonly gatewayId: string;
  /** Random id of one opening of the gateway's log. */
  readonly epoch: string;
  /** Rises through the log; numbers may be missing. */
  readonly sequence: number;
}

export interface Batch extends BatchId {
  /** How many readings the payload holds. */
  readonly readings: number;
  /** A message of frames. */
  readonly payload: Uint8Array;
  /** Set where this is only one reading of the batch, as dead letters keep it: its place in the whole, from 0. */
  readonly index?: number;
}

/** Longest payload of a batch, in bytes. */
export const BATCH_BYTES_MAX: number = 4 * 1024 * 1024;

/** A reading by its place in its batch, from 0; or why what stands there is none. */
export type PlacedReading = { readonly index: number } & ({ readonly reading: Reading } | { readonly fault: string });

/**
 * The batch's readings in their order.
 * @param including only those whose JSON text has this in it: much cheaper than to decode all, where few are wanted
 */
export function* readingsOfBatch(batch: Batch, including?: string): Generator<PlacedReading> {
  const { payload } = batch;
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  if (including !== undefined && !bytes.includes(including)) return;
  let place = 0;
  for (const frame of framesOf(bytes)) {
    const index = batch.index ?? place;
    place += 1;
    if (including !== undefined && !Buffer.from(frame.buffer, frame.byteOffset, frame.length).includes(including))
      continue;
    const { readings, faults } = decodeMessage(frame);
    const [reading] = readings;
    if (reading !== undefined) yield { index, reading };
    else yield { index, fault: faults[0]?.reason ?? 'is no reading' };
  }
}

/** The one reading of the batch at that place, as a batch of its own; undefined when there is none. */
export function readingOfBatch(batch: Batch, index: number): Batch | undefined {
  if (batch.index !== undefined) return batch.index === index ? batch : undefined;
  const payload = [...framesOf(batch.payload)][index];
  return payload && { ...batch, readings: 1, payload, index };
}

/** `gateway/epoch/sequence`: the Idempotency-Key of one batch. */
export function batchKey(id: BatchId): string {
  return `${id.gatewayId}/${id.epoch}/${id.sequence}`;
}

/** The identity in a key of {@link batchKey}'s form; undefined for any other text. */
export function parseBatchKey(key: string): BatchId | undefined {
  const match = /^(.+)\/([A-Za-z0-9_-]+)\/(\d{1,15})$/s.exec(key);
  if (match === null) return undefined;
  const [, gatewayId = '', epoch = '', sequence = ''] = match;
  return checkBatchId({ gatewayId, epoch, sequence: Number(sequence) }) === undefined
    ? { gatewayId, epoch, sequence: Number(sequence) }
    : undefined;
}

/** The header's bytes of a batch in a request; the payload follows it. `crc32` is that of the payload. */
export function encodeBatchHeader(batch: Batch, crc32: number): Uint8Array {
  return encodeFrame({
    gateway_id: batch.gatewayId,
    epoch: batch.epoch,
    sequence: batch.sequence,
    readings: batch.readings,
    bytes: batch.payload.length,
    crc32,
  });
}

export interface DecodedBatches {
  readonly batches: { readonly batch: Batch; readonly crc32: number }[];
  /** Set when the rest of the body cannot be divided into batches. `offset` in bytes from its start. */
  readonly fault?: { readonly offset: number; readonly reason: string; readonly bytes: Uint8Array };
}

/** Divides a request's body into its batches; the payloads are views of `body`. Never throws. */
export function decodeBatches(body: Uint8Array): DecodedBatches {
  const batches: { batch: Batch; crc32: number }[] = [];
  let offset = 0;
  while (offset < body.length) {
    const refuse = (reason: string): DecodedBatches => {
      return { batches, fault: { offset, reason, bytes: body.subarray(offset) } };
    };
    const end = frameEnd(body, offset);
    if (typeof end === 'string') return refuse(`batch header: ${end}`);
    let header: unknown;
    try {
      header = JSON.parse(new TextDecoder().decode(body.subarray(offset + FRAME_HEADER_BYTES, end)));
    } catch {
      return refuse('batch header: is not JSON');
    }
    const fields = (typeof header === 'object' && header !== null ? header : {}) as Record<string, unknown>;
    const { gateway_id: gatewayId, epoch, sequence, readings, bytes, crc32 } = fields;
    const fault = checkBatchId({ gatewayId, epoch, sequence });
    if (fault !== undefined) return refuse(`batch header: ${fault}`);
    if (!isCount(readings) || !isCount(bytes) || !isCount(crc32) || bytes > BATCH_BYTES_MAX) {
      return refuse(`batch header: readings, bytes (at most ${BATCH_BYTES_MAX}) and crc32 are whole numbers`);
    }
    if (bytes > body.length - end) return refuse(`cut short: a batch of ${bytes} bytes, ${body.length - end} there`);
    const payload = body.subarray(end, end + bytes);
    const id = { gatewayId, epoch, sequence } as BatchId;
    batches.push({ batch: { ...id, readings, payload }, crc32 });
    offset = end + bytes;
  }
  return { batches };
}

/** Why these are not the parts of an identity; undefined when they are. */
export function checkBatchId(id: { gatewayId: unknown; epoch: unknown; sequence: unknown }): string | undefined {
  for (const [name, value] of [
    ['gateway_id', id.gatewayId],
    ['epoch', id.epoch],
  ] as const) {
    if (
      typeof value !== 'string' ||
      value === '' ||
      value.length > NAME_LENGTH_MAX ||
      value.includes('\0') ||
      !value.isWellFormed()
    ) {
      return `${name} is text of 1 to ${NAME_LENGTH_MAX} characters that can be stored`;
    }
  }
  return isCount(id.sequence) && id.sequence >= 1 ? undefined : 'sequence is a whole number from 1';
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

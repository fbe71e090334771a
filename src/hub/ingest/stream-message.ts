/** From a message of a stream to one for the ingestor: its identity and its payload. Pure but for what it remembers. */
import { createHash } from 'node:crypto';
import { zstdDecompressSync } from 'node:zlib';
import type { Msg } from '@nats-io/transport-node';
import { messageOf } from '../../base/errors.ts';
import { ENCODING_HEADER, MESSAGE_ID_HEADER, parseNatsMessageId, ZSTD_ENCODING } from '../../model/nats-wire.ts';
import type { Identity } from '../store/parcel.ts';
import type { Message } from './prepare.ts';
import { BODY_BYTES_MAX, KEY_REMEMBERED_SECONDS } from './request.ts';

/** A message as it stands in the stream. */
export interface StreamMessage {
  readonly identity: Identity;
  /** As it came, perhaps packed. */
  readonly payload: Uint8Array;
  /** How it is packed; empty for not at all. */
  readonly encoding: string;
}

/** Longest id of a foreign publisher that is kept as it is, in UTF-16 units; of a longer one its digest is. */
const KEY_LENGTH_MAX = 200;
/** Publishers of other makes write it as they like. */
const ENCODING_NAME: string = ENCODING_HEADER.toLowerCase();
/** Readings become 3 to 9 times as long when they are unpacked: with so much room there is one piece, and nothing to join. */
const UNPACKED_RATIO = 10;
/** zlib takes no less. */
const UNPACKED_CHUNK_BYTES_MIN = 64;
const UNPACKED_CHUNK_BYTES_MAX = 64 * 1024;
/** Of a word that is not understood. */
const QUOTED_LENGTH_MAX = 50;
/** Logs of which batches come by turns. */
const LOGS_REMEMBERED_MAX = 10_000;

/** The life of one stream, from its creation to its deletion. */
export interface StreamLife {
  readonly stream: string;
  /** When it was created. */
  readonly epoch: string;
}

/** Of one gateway's log, the part of its messages' ids that stands before the number. */
interface LogPrefix {
  readonly prefix: string;
  readonly gatewayId: string;
  readonly epoch: string;
}

/** Tells by what a message is known again. Ids of batches differ in their number only, and there are many of them. */
export class MessageIdentifier {
  readonly #logs = new Map<string, LogPrefix>();
  #last: LogPrefix = { prefix: '\n', gatewayId: '', epoch: '' };

  /** @param messageId empty for a message without one: it is known by its number in the stream */
  identify(messageId: string, { stream, epoch }: StreamLife, sequence: number): Identity {
    if (messageId === '') return { kind: 'stream', stream, epoch, sequence };
    return this.#batchOf(messageId) ?? keyOf(messageId);
  }

  #batchOf(messageId: string): Identity | undefined {
    let log: LogPrefix | undefined = this.#last;
    if (!messageId.startsWith(log.prefix)) {
      log = this.#logs.get(messageId.slice(0, messageId.lastIndexOf('/') + 1)) ?? this.#learn(messageId);
      if (log === undefined) return undefined;
      this.#last = log;
    }
    const sequence = sequenceOf(messageId, log.prefix.length);
    if (sequence === undefined) return undefined;
    return { kind: 'batch', gatewayId: log.gatewayId, epoch: log.epoch, sequence };
  }

  #learn(messageId: string): LogPrefix | undefined {
    const id = parseNatsMessageId(messageId);
    if (id === undefined) return undefined;
    if (this.#logs.size >= LOGS_REMEMBERED_MAX) this.#logs.clear();
    const prefix = messageId.slice(0, messageId.lastIndexOf('/') + 1);
    const log = { prefix, gatewayId: id.gatewayId, epoch: id.epoch };
    this.#logs.set(prefix, log);
    return log;
  }
}

/** What the headers of a message say of it, in small letters where they are words. Never throws. */
export function readHeaders(message: Pick<Msg, 'headers'>): { messageId: string; encoding: string } {
  let messageId = '';
  let encoding = '';
  for (const [name, values] of headersOf(message) ?? []) {
    if (name === MESSAGE_ID_HEADER) messageId = values[0] ?? '';
    else if (name.toLowerCase() === ENCODING_NAME) encoding = (values[0] ?? '').toLowerCase();
  }
  // Bytes that are no UTF-8 have all become this one character, and different ids the same: better none than a wrong one.
  if (messageId.includes('\ufffd')) messageId = '';
  return { messageId, encoding: encoding === 'identity' ? '' : encoding };
}

/**
 * Undefined where there are none, and where the library cannot read them: it throws for a name with a space or a letter that
 * is not ASCII, which other clients write and the server keeps. The connection would not survive it.
 */
function headersOf(message: Pick<Msg, 'headers'>): Msg['headers'] {
  try {
    return message.headers;
  } catch {
    return undefined;
  }
}

/**
 * The message with its payload unpacked; one that cannot be unpacked becomes a message with a fault, for the dead letters.
 * Never throws, and takes no more memory than the largest payload that is allowed.
 */
export function unpack(message: StreamMessage): Message {
  const { identity, payload, encoding } = message;
  if (encoding === '') return message;
  if (encoding !== ZSTD_ENCODING) {
    const fault = `its ${ENCODING_HEADER} is "${encoding.slice(0, QUOTED_LENGTH_MAX)}"; understood is ${ZSTD_ENCODING}`;
    return { identity, payload, fault };
  }
  try {
    const chunkSize = Math.min(
      Math.max(payload.length * UNPACKED_RATIO, UNPACKED_CHUNK_BYTES_MIN),
      UNPACKED_CHUNK_BYTES_MAX,
    );
    return { identity, payload: zstdDecompressSync(payload, { maxOutputLength: BODY_BYTES_MAX, chunkSize }) };
  } catch (error) {
    return { identity, payload, fault: unpackFault(error) };
  }
}

/** A whole number from 1 of at most 15 digits, without a leading zero; undefined for anything else. */
function sequenceOf(text: string, start: number): number | undefined {
  const length = text.length - start;
  if (length < 1 || length > 15 || text.charCodeAt(start) === 0x30) return undefined;
  let value = 0;
  for (let index = start; index < text.length; index += 1) {
    const digit = text.charCodeAt(index) - 0x30;
    if (digit < 0 || digit > 9) return undefined;
    value = value * 10 + digit;
  }
  return value;
}

function keyOf(messageId: string): Identity {
  const isStorable = messageId.length <= KEY_LENGTH_MAX && messageId.isWellFormed() && !messageId.includes('\0');
  const text = isStorable ? messageId : `sha256 ${createHash('sha256').update(messageId).digest('hex')}`;
  return { kind: 'key', key: `nats ${text}`, rememberSeconds: KEY_REMEMBERED_SECONDS };
}

function unpackFault(error: unknown): string {
  return (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE'
    ? `unpacked it is more than ${BODY_BYTES_MAX} bytes`
    : `is not valid ${ZSTD_ENCODING}: ${messageOf(error)}`;
}

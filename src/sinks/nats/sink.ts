/**
 * The sink `nats`: delivers batches to a JetStream stream.
 *
 * Each batch is one message with the batch's identity as its id. All batches of a call are published at once; the stream
 * acknowledges each when it is on its disk. What a stream has already, because the acknowledgment was lost, it acknowledges
 * as a duplicate. A batch is settled when a hub has stored it, or, where so configured, when the stream has it.
 * Whatever the servers may say of themselves (no stream, a full one, no rights) may pass: all is kept and tried again. For
 * good is only the refusal of a message that is too large even when compressed.
 */
import type { zstdCompressSync } from 'node:zlib';
import type { MsgHdrs } from '@nats-io/transport-node';
import { MillwrightError } from '../../base/errors.ts';
import { hostsOf, type NatsConnection } from '../../base/nats.ts';
import type { Batch } from '../../model/batch.ts';
import {
  ENCODING_HEADER,
  MESSAGE_ID_HEADER,
  natsMessageId,
  statusSubject,
  subjectToken,
  ZSTD_ENCODING,
} from '../../model/nats-wire.ts';
import type { EdgeStatus } from '../../model/status.ts';
import type { Checkable } from '../../ports/checkable.ts';
import type { CreateSink, Settlement, Sink, SinkContext, StatusReporter } from '../../ports/sink.ts';
import {
  checkStatusAnswer,
  checkStream,
  type Published,
  publishedOf,
  publishFailure,
  type Place,
  tooLarge,
} from './answers.ts';
import type { NatsSinkOptions } from './config.ts';
import { Confirmation } from './confirmation.ts';
import { Link } from './link.ts';

export const create: CreateSink<NatsSinkOptions> = (options, context) => new NatsSink(options, context);

/** What one call may carry. */
export const CALL_LIMITS: Sink['limits'] = { batchesMax: 64, bytesMax: 256 * 1024 };
/** Of one that waits until hubs have stored it: so long on a busy day that it must carry what was read meanwhile. */
const CONFIRMED_CALL_LIMITS: Sink['limits'] = { batchesMax: 256, bytesMax: 1024 * 1024 };
/**
 * Calls under way at once, one of them kept for the newest batches. They share one connection, in which what is sent later
 * waits: three calls of the backlog carry 12,000 readings a second over a line of 200 ms, and do not hold the fourth up.
 */
const CALLS_MAX = 4;
const REPORT_TIMEOUT_MS = 5_000;

/** Memory is taken in steps of this for what is compressed; the library's 64 KiB would be held by 2 KiB until they are sent. */
const COMPRESSED_CHUNK_BYTES = 8 * 1024;

/** With it a stream refuses what is meant for another. */
const EXPECTED_STREAM_HEADER = 'Nats-Expected-Stream';

class NatsSink implements Sink, StatusReporter, Checkable {
  readonly limits: Sink['limits'];
  readonly window = CALLS_MAX;
  readonly #options: NatsSinkOptions;
  readonly #statusSubject: string;
  readonly #place: Place;
  readonly #link: Link;
  /** Null where a batch is settled when the stream has it. */
  readonly #confirmation: Confirmation | null;
  readonly #compress: typeof zstdCompressSync;

  constructor(options: NatsSinkOptions, { gatewayId, clock, random }: SinkContext) {
    const { connection, stream, subjectPrefix, ackTimeoutMs, reconnectFirstMs, confirm } = options;
    this.#options = options;
    this.#statusSubject = statusSubject(gatewayId);
    const subject = `${subjectPrefix}.${subjectToken(gatewayId)}`;
    this.#place = { hosts: hostsOf(connection).join(', '), stream, subject, ackTimeoutMs };
    this.#link = new Link(connection, { name: `millwright edge ${gatewayId}`, reconnectFirstMs, clock, random });
    const parts = { gatewayId, stream, link: this.#link, clock };
    this.#confirmation = confirm === 'stored' ? new Confirmation(parts) : null;
    this.limits = confirm === 'stored' ? CONFIRMED_CALL_LIMITS : CALL_LIMITS;
    this.#compress = process.getBuiltinModule('node:zlib').zstdCompressSync;
  }

  async deliver(batches: readonly Batch[], signal: AbortSignal): Promise<Settlement> {
    const confirmation = this.#confirmation;
    if (confirmation === null) {
      const published = await this.#publishAll(batches, signal);
      return { refused: refusedOf(batches, published), known: published.filter(isKnown).length };
    }
    const refused: { sequence: number; reason: string }[] = [];
    const deadlineMs = confirmation.deadlineMs();
    let open = batches;
    do {
      await confirmation.prepare(signal);
      const unpublished = confirmation.unpublished(open);
      refused.push(...refusedOf(unpublished, await this.#publishAll(unpublished, signal)));
      open = open.filter(({ sequence }) => !refused.some((one) => one.sequence === sequence));
    } while (!(await confirmation.wait(open, deadlineMs, signal)));
    return { refused };
  }

  async report(status: EdgeStatus, signal: AbortSignal): Promise<void> {
    const timeout = Math.min(REPORT_TIMEOUT_MS, this.#options.ackTimeoutMs);
    await this.#link.use(async (connection) => {
      const asked = connection.request(this.#statusSubject, JSON.stringify(status), { timeout });
      const answer = await asked.catch(() => {
        throw new MillwrightError('connection_failed', `no hub takes the status on ${this.#statusSubject}`);
      });
      checkStatusAnswer(answer.string());
    }, signal);
  }

  /** By a look at the stream. Whether we may publish there is known when we do. */
  async check(signal: AbortSignal): Promise<string> {
    return await this.#link.use((connection) => checkStream(this.#place, connection), signal);
  }

  async close(): Promise<void> {
    await this.#link.close();
  }

  async #publishAll(batches: readonly Batch[], signal: AbortSignal): Promise<Published[]> {
    return this.#link.use(async (connection) => {
      const { headers } = await import('@nats-io/transport-node');
      const publish = async (batch: Batch): Promise<Published> => {
        const confirm = this.#confirmation?.publishing(batch);
        const published = await this.#publish(connection, batch, headers);
        if ('number' in published) confirm?.(published.number);
        return published;
      };
      try {
        return await Promise.all(batches.map(publish));
      } catch (error) {
        throw await publishFailure(error, this.#place, connection);
      }
    }, signal);
  }

  /** What is too large as it is goes compressed, whatever is configured. */
  async #publish(connection: NatsConnection, batch: Batch, headers: () => MsgHdrs): Promise<Published> {
    const isCompressed = this.#options.compression === 'zstd';
    const published = await this.#send(connection, batch, { isCompressed, headers: headers() });
    if (isCompressed || !('reason' in published)) return published;
    return await this.#send(connection, batch, { isCompressed: true, headers: headers() });
  }

  /** Rejects when it may pass. */
  async #send(
    connection: NatsConnection,
    batch: Batch,
    { isCompressed, headers }: { isCompressed: boolean; headers: MsgHdrs },
  ): Promise<Published> {
    const { stream, subject, ackTimeoutMs } = this.#place;
    headers.set(MESSAGE_ID_HEADER, natsMessageId(batch));
    headers.set(EXPECTED_STREAM_HEADER, stream);
    let { payload } = batch;
    if (isCompressed) {
      const compressed = this.#compress(payload, { chunkSize: COMPRESSED_CHUNK_BYTES });
      if (compressed.length < payload.length) {
        payload = compressed;
        headers.set(ENCODING_HEADER, ZSTD_ENCODING);
      }
    }
    const bytes = headerBytes(headers) + payload.length;
    const bytesMax = connection.info?.max_payload ?? Number.POSITIVE_INFINITY;
    if (bytes > bytesMax) return tooLarge(bytes, `max_payload of the NATS server (${bytesMax})`);
    const answer = await connection.request(subject, payload, { headers, timeout: ackTimeoutMs });
    return publishedOf(answer.string(), bytes, this.#place);
  }
}

function refusedOf(batches: readonly Batch[], published: readonly Published[]): { sequence: number; reason: string }[] {
  return published.flatMap((one, index) => {
    return 'reason' in one ? [{ sequence: batches[index]!.sequence, reason: one.reason }] : [];
  });
}

function isKnown(published: Published): boolean {
  return 'isKnown' in published && published.isKnown;
}

/** As they are written: `NATS/1.0`, a line for each, and an empty one. All ours are plain characters. */
function headerBytes(headers: MsgHdrs): number {
  let bytes = 'NATS/1.0\r\n\r\n'.length;
  for (const [key, values] of headers) for (const value of values) bytes += `${key}: ${value}\r\n`.length;
  return bytes;
}

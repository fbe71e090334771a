/**
 * Publishes to a JetStream stream fast, and until each message is acknowledged.
 *
 * Messages go out by the core client, each with a reply subject of its own below one inbox; one subscription takes all
 * acknowledgments, and a window limits how many are awaited. This carries three times what a promise for each message
 * does. What is not acknowledged (the stream is full or missing, the server is gone, the answer is late) is published
 * again with the same message id, by which the stream, and behind it the hub, know what they have.
 *
 *     const publisher = startNatsPublisher({ connection, clock: systemClock, random: Math.random });
 *     for (const { subject, payload, id } of messages) {
 *       if (!publisher.hasRoom) await publisher.room(signal);
 *       publisher.publish(subject, payload, id);
 *     }
 *     await publisher.settled(signal);
 *     await publisher.close();
 */
import { createInbox, headers, type Msg, type NatsConnection, type Subscription } from '@nats-io/transport-node';
import { Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { MillwrightError, messageOf } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { ENCODING_HEADER, MESSAGE_ID_HEADER, ZSTD_ENCODING } from '../model/nats-wire.ts';
import { newFigures, type PublisherFigures, Waiters } from './publisher.ts';

export interface NatsPublisherOptions {
  /** Stays open when the publisher is closed. Several publishers may share one. */
  readonly connection: NatsConnection;
  readonly clock: Clock;
  readonly random: Random;
  /** Most messages that are awaited at a time. */
  readonly windowMessages?: number;
  /** Most bytes of payloads that are awaited at a time; a single message may be longer. */
  readonly windowBytes?: number;
  /** How the payloads are compressed; absent for as they are. */
  readonly encoding?: typeof ZSTD_ENCODING;
  /**
   * After so long a message is published again, if one that was sent later is acknowledged. When nothing at all is
   * acknowledged for so long, one message is, and again: a stream that is only slow is left in peace.
   */
  readonly ackTimeoutMs?: number;
  /** Called for each message when it is acknowledged. */
  readonly onAcknowledged?: (messageId: string, latencyMs: number) => void;
}

export interface NatsPublisher {
  readonly hasRoom: boolean;
  /** Resolves when half of the window is free, or the signal is aborted. */
  room(signal: AbortSignal): Promise<void>;
  /**
   * Takes a message; the payload must not be changed until it is acknowledged. Does not look at the window.
   * @throws limit_exceeded for a payload that the server would not take
   */
  publish(subject: string, payload: Uint8Array, messageId: string): void;
  /** Resolves when everything published is acknowledged, or the signal is aborted. */
  settled(signal: AbortSignal): Promise<void>;
  readonly figures: PublisherFigures;
  /** Gives up what is not acknowledged. */
  close(): Promise<void>;
}

export const WINDOW_MESSAGES = 4_000;
export const WINDOW_BYTES: number = 16 * 1024 * 1024;
const ACK_TIMEOUT_MS = 3_000;
/** How often it is looked for what is late. */
const LOOK_INTERVAL_MS = 50;
/** Waits between attempts with one message, while nothing gets through. */
const PROBE = { firstMs: 100, maxMs: 2_000 };

export function startNatsPublisher(options: NatsPublisherOptions): NatsPublisher {
  const publisher = new WindowedPublisher(options);
  publisher.start();
  return publisher;
}

interface Awaited {
  readonly subject: string;
  readonly payload: Uint8Array;
  readonly messageId: string;
  readonly publishedMs: number;
  sentMs: number;
}

class WindowedPublisher implements NatsPublisher {
  readonly figures: PublisherFigures = newFigures();
  readonly #options: NatsPublisherOptions;
  readonly #windowMessages: number;
  readonly #windowBytes: number;
  readonly #ackTimeoutMs: number;
  readonly #inbox: string = createInbox();
  readonly #backoff: Backoff;
  readonly #waiters = new Waiters();
  readonly #closing = new AbortController();
  /** By the number at the end of the reply subject; the one that was sent longest ago comes first. */
  readonly #awaited = new Map<number, Awaited>();
  /** Of the awaited, those that must be sent again. */
  readonly #toSend = new Set<number>();
  #awaitedBytes = 0;
  #number = 0;
  #probeDueMs = 0;
  #acknowledgedMs = 0;
  /** When the newest of the acknowledged was sent. */
  #overtakenMs = 0;
  #isConnected = true;
  #subscription: Subscription | undefined;
  #watching: Promise<void> = Promise.resolve();

  constructor(options: NatsPublisherOptions) {
    this.#options = options;
    this.#windowMessages = options.windowMessages ?? WINDOW_MESSAGES;
    this.#windowBytes = options.windowBytes ?? WINDOW_BYTES;
    this.#ackTimeoutMs = options.ackTimeoutMs ?? ACK_TIMEOUT_MS;
    this.#backoff = new Backoff(PROBE, options.random);
  }

  start(): void {
    const callback = (error: Error | null, message: Msg): void => {
      if (error === null) this.#answered(message);
      else this.#troubled(`NATS: ${messageOf(error)}`);
    };
    this.#subscription = this.#options.connection.subscribe(`${this.#inbox}.*`, { callback });
    void this.#watchConnection();
    this.#watching = this.#sendAgain();
  }

  get hasRoom(): boolean {
    return (
      this.figures.trouble === null &&
      this.#awaited.size < this.#windowMessages &&
      this.#awaitedBytes < this.#windowBytes &&
      this.#waiters.failure === null
    );
  }

  room(signal: AbortSignal): Promise<void> {
    return this.#waiters.wait(() => this.#isHalfFree(), signal);
  }

  settled(signal: AbortSignal): Promise<void> {
    return this.#waiters.wait(() => this.#awaited.size === 0, signal);
  }

  publish(subject: string, payload: Uint8Array, messageId: string): void {
    const limit = this.#options.connection.info?.max_payload ?? Number.POSITIVE_INFINITY;
    if (payload.length > limit) {
      const message = `a message of ${payload.length} bytes; the NATS server takes at most ${limit} (max_payload)`;
      throw new MillwrightError('limit_exceeded', message);
    }
    const number = (this.#number += 1);
    const nowMs = this.#options.clock.monotonicMs();
    const message = { subject, payload, messageId, publishedMs: nowMs, sentMs: nowMs };
    this.#awaited.set(number, message);
    this.#awaitedBytes += payload.length;
    this.figures.published += 1;
    if (this.figures.trouble === null) this.#send(number, message);
    else this.#toSend.add(number);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#subscription?.unsubscribe();
    await this.#watching;
  }

  #isHalfFree(): boolean {
    return (
      this.hasRoom &&
      this.#awaited.size <= this.#windowMessages / 2 &&
      (this.#awaitedBytes <= this.#windowBytes / 2 || this.#awaited.size === 0)
    );
  }

  #send(number: number, { subject, payload, messageId }: Awaited): void {
    const fields = headers();
    const { connection, encoding } = this.#options;
    fields.append(MESSAGE_ID_HEADER, messageId);
    if (encoding !== undefined) fields.append(ENCODING_HEADER, encoding);
    connection.publish(subject, payload, { headers: fields, reply: `${this.#inbox}.${number}` });
  }

  #answered(reply: Msg): void {
    const number = Number(reply.subject.slice(this.#inbox.length + 1));
    const message = this.#awaited.get(number);
    // Acknowledged before: this is the answer to one that was sent again.
    if (message === undefined) return;
    const answer = readAnswer(reply);
    if (answer.kind === 'stored') {
      this.#awaited.delete(number);
      this.#toSend.delete(number);
      this.#awaitedBytes -= message.payload.length;
      this.figures.acknowledged += 1;
      if (answer.isDuplicate) this.figures.duplicates += 1;
      this.figures.trouble = null;
      this.#backoff.reset();
      this.#acknowledgedMs = this.#options.clock.monotonicMs();
      this.#overtakenMs = Math.max(this.#overtakenMs, message.sentMs);
      this.#options.onAcknowledged?.(message.messageId, this.#acknowledgedMs - message.publishedMs);
      this.#waiters.check();
    } else if (answer.kind === 'later') {
      this.#toSend.add(number);
      this.#troubled(`${message.subject}: ${answer.reason}`);
    } else {
      this.#closing.abort();
      this.#waiters.fail(new MillwrightError('limit_exceeded', `${message.subject}: ${answer.reason}`));
    }
  }

  /** From now on only one message at a time is tried, until one gets through. */
  #troubled(reason: string): void {
    if (this.figures.trouble === null) this.#probeDueMs = this.#options.clock.monotonicMs() + this.#backoff.nextMs();
    this.figures.trouble = reason;
  }

  async #sendAgain(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#closing;
    for (; !signal.aborted; await clock.sleep(LOOK_INTERVAL_MS, signal)) {
      if (!this.#isConnected) continue;
      this.#noteLate(clock.monotonicMs());
      if (this.figures.trouble !== null) this.#probe(clock.monotonicMs());
      else for (const number of this.#toSend) this.#repeat(number);
    }
  }

  /** A stream answers in order, so what was overtaken by another is lost, and all else may be on its way. */
  #noteLate(nowMs: number): void {
    for (const [number, { sentMs }] of this.#awaited) {
      if (nowMs - sentMs < this.#ackTimeoutMs) return;
      if (sentMs >= this.#overtakenMs) {
        const isSilent = nowMs - this.#acknowledgedMs >= this.#ackTimeoutMs;
        const seconds = Math.round(this.#ackTimeoutMs / 100) / 10;
        if (isSilent && this.figures.trouble === null)
          this.#troubled(`no acknowledgment from the stream in ${seconds} s`);
        return;
      }
      this.#toSend.add(number);
    }
  }

  #probe(nowMs: number): void {
    if (nowMs < this.#probeDueMs) return;
    this.#probeDueMs = nowMs + this.#backoff.nextMs();
    const [number] = this.#toSend.size > 0 ? this.#toSend : this.#awaited.keys();
    if (number === undefined) this.figures.trouble = null;
    else this.#repeat(number);
    this.#waiters.check();
  }

  #repeat(number: number): void {
    const message = this.#awaited.get(number);
    this.#toSend.delete(number);
    if (message === undefined) return;
    // To the end of the order, as the one sent last.
    this.#awaited.delete(number);
    message.sentMs = this.#options.clock.monotonicMs();
    this.#awaited.set(number, message);
    this.figures.repeated += 1;
    this.#send(number, message);
  }

  async #watchConnection(): Promise<void> {
    for await (const status of this.#options.connection.status()) {
      if (this.#closing.signal.aborted) return;
      if (status.type === 'disconnect') {
        this.#isConnected = false;
        for (const number of this.#awaited.keys()) this.#toSend.add(number);
        this.#troubled(`the connection to ${status.server} is lost; connecting again`);
      } else if (status.type === 'reconnect') {
        this.#isConnected = true;
        this.#probeDueMs = 0;
        this.#backoff.reset();
      } else if (status.type === 'error') this.#troubled(`NATS: ${messageOf(status.error, 0)}`);
    }
  }
}

type Answer =
  | { readonly kind: 'stored'; readonly isDuplicate: boolean }
  /** Trouble that may pass. */
  | { readonly kind: 'later'; readonly reason: string }
  | { readonly kind: 'refused'; readonly reason: string };

const STORED: Answer = { kind: 'stored', isDuplicate: false };
const NO_RESPONDERS = 503;
/** The stream would not be able to take it at any time, such as a message longer than it allows. */
const BAD_REQUEST = 400;

/** JetStream's PubAck (NATS documentation, ADR-1 and ADR-22): most are only looked at, not parsed. */
function readAnswer({ data, headers: fields }: Msg): Answer {
  if (data.length === 0) {
    if (fields?.code === NO_RESPONDERS) return { kind: 'later', reason: NO_STREAM };
    return { kind: 'later', reason: 'an empty answer, which is none of a stream' };
  }
  const text = Buffer.from(data.buffer, data.byteOffset, data.length).toString('latin1');
  if (!text.includes('"error"') && !text.includes('"duplicate"') && text.includes('"seq"')) return STORED;
  let answer: { error?: { code?: number; description?: string }; duplicate?: boolean; seq?: number };
  try {
    answer = JSON.parse(text) as typeof answer;
  } catch {
    return { kind: 'later', reason: 'an answer that is not JSON, which is none of a stream' };
  }
  if (answer.error === undefined) {
    if (answer.seq === undefined) return { kind: 'later', reason: 'an answer without a sequence, from no stream' };
    return { kind: 'stored', isDuplicate: answer.duplicate === true };
  }
  const { code, description } = answer.error;
  const reason = `the stream says "${description ?? 'nothing'}" (${code ?? 'no code'})`;
  return { kind: code === BAD_REQUEST ? 'refused' : 'later', reason };
}

/** Why nobody answers. */
export const NO_STREAM =
  'no stream takes this subject: no hub has made it yet, or JetStream is off, or is just starting';

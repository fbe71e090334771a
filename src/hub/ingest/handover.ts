/**
 * Between a stream and the ingestor: holds the messages that were delivered and are not settled, hands them over in lots,
 * and acknowledges each once it is committed.
 *
 * A lone message is handed over in the turn in which it came; under load the lots grow, several are under way, and the
 * next ones are decoded while the last transaction commits. What is held is bounded, and {@link Handover.room} says how
 * much more may be pulled.
 *
 * When the database fails, the messages are kept and the server is told that they are worked on; a few of them are tried
 * again and again (with a growing wait), and the first that is stored lets all others follow. After a while they are given
 * back to the server with a growing delay, so that another hub may have them, and only as many are pulled as are tried.
 */
import type { Msg } from '@nats-io/transport-node';
import { Backoff } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { Random } from '../../base/random.ts';
import type { Ingestor } from './ingestor.ts';
import type { Message } from './prepare.ts';
import { AckSubjects } from './ack-subjects.ts';
import { MessageIdentifier, readHeaders, type StreamLife, type StreamMessage, unpack } from './stream-message.ts';

export interface HandoverLimits {
  /** Messages that are held, delivered and not settled. */
  readonly messagesMax: number;
  /** Their bytes, as they came. */
  readonly bytesMax: number;
  /** Of unpacked messages that the ingestor has. */
  readonly submittedBytesMax: number;
  /** While the ingestor holds so much from all its senders together, nothing is handed to it. */
  readonly ingestorBytesMax: number;
  readonly lotMessagesMax: number;
  readonly lotBytesMax: number;
  /** Tried at once while the database fails. */
  readonly probeMessages: number;
  /** How long messages are kept while the database fails, before they are given back. */
  readonly holdMs: number;
  /** Between two tries; the ingestor itself has waited before it refuses. */
  readonly retry: { readonly firstMs: number; readonly maxMs: number };
  /** After how long the server delivers again what was given back. */
  readonly giveBack: { readonly firstMs: number; readonly maxMs: number };
}

export const HANDOVER_LIMITS: HandoverLimits = {
  messagesMax: 32_768,
  bytesMax: 32 * 1024 * 1024,
  submittedBytesMax: 24 * 1024 * 1024,
  ingestorBytesMax: 48 * 1024 * 1024,
  lotMessagesMax: 4_000,
  lotBytesMax: 1024 * 1024,
  probeMessages: 100,
  holdMs: 30_000,
  retry: { firstMs: 100, maxMs: 2_000 },
  giveBack: { firstMs: 2_000, maxMs: 10_000 },
};

/** What the objects around a message take besides its bytes. */
const MESSAGE_OVERHEAD_BYTES = 500;
/** How soon it is looked again whether other senders have left room in the ingestor. */
const BUSY_LOOK_MS = 20;

export interface HandoverParts {
  readonly ingestor: Pick<Ingestor, 'submit' | 'queuedBytes'>;
  /** To the server; false when there is no connection. */
  readonly publish: (subject: string, payload: Uint8Array) => boolean;
  /** Called when there is more room than before. */
  readonly relieved: () => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** Since the start of the process. */
export interface HandoverCounters {
  received: number;
  /** Deliveries of a message that had been delivered before, to whichever hub. */
  redelivered: number;
  acknowledged: number;
  /** Given back, to be delivered again. */
  givenBack: number;
  /** Settled as dead letters because they could not be unpacked. */
  terminated: number;
}

/** How much more may be pulled. */
export interface Room {
  readonly messages: number;
  readonly bytes: number;
  /** Nothing is held. */
  readonly isEmpty: boolean;
}

/** The library's own object is not kept: it and what hangs on it are half of what a small message takes. */
interface Delivery extends StreamMessage {
  readonly life: StreamLife;
  readonly sequence: number;
  readonly bytes: number;
  /** Where the acknowledgment goes: to the newest delivery. */
  reply: string;
  /** When the server last heard of it. */
  toldMs: number;
}

interface Lot {
  readonly deliveries: readonly Delivery[];
  readonly messages: readonly Message[];
  readonly bytes: number;
}

/** Nothing at all acknowledges as "+ACK" does, with less to write and to read. */
const ACK = Buffer.alloc(0);
const WORKING = Buffer.from('+WPI');
const TERMINATE = Buffer.from('+TERM it cannot be unpacked; it is in the dead letters');

export class Handover {
  readonly counters: HandoverCounters = {
    received: 0,
    redelivered: 0,
    acknowledged: 0,
    givenBack: 0,
    terminated: 0,
  };
  readonly #parts: HandoverParts;
  readonly #limits: HandoverLimits;
  readonly #identifier = new MessageIdentifier();
  readonly #ackSubjects = new AckSubjects();
  readonly #retry: Backoff;
  readonly #giveBack: Backoff;
  /** What is held of the present life, by sequence in the stream. */
  #held = new Map<number, Delivery>();
  #life: StreamLife | undefined;
  /** Not with the ingestor, oldest first. */
  readonly #waiting: Delivery[] = [];
  #count = 0;
  #bytes = 0;
  #lots = 0;
  #submittedBytes = 0;
  #isScheduled = false;
  #turnMs = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Since when the ingestor refuses; undefined while it takes. */
  #troubleMs: number | undefined;
  #notBeforeMs = 0;
  #stopped: (() => void) | undefined;

  constructor(parts: HandoverParts, limits: HandoverLimits = HANDOVER_LIMITS) {
    this.#parts = parts;
    this.#limits = limits;
    this.#retry = new Backoff(limits.retry, parts.random);
    this.#giveBack = new Backoff(limits.giveBack, parts.random);
  }

  /** Messages that are held. */
  get count(): number {
    return this.#count;
  }

  get room(): Room {
    const { messagesMax, bytesMax, probeMessages } = this.#limits;
    const isEmpty = this.#count === 0;
    if (this.#stopped !== undefined) return { messages: 0, bytes: 0, isEmpty };
    if (this.#troubleMs !== undefined) return { messages: isEmpty ? probeMessages : 0, bytes: bytesMax, isEmpty };
    return { messages: messagesMax - this.#count, bytes: bytesMax - this.#bytes, isEmpty };
  }

  /** From now on messages come from this stream. Those of one that is gone are stored, and there is nobody to tell. */
  begin(life: StreamLife): void {
    if (life.stream === this.#life?.stream && life.epoch === this.#life.epoch) return;
    this.#life = life;
    this.#held = new Map();
  }

  /** A message that was delivered. One that is held already is not taken twice. */
  take(message: Msg): void {
    const life = this.#life;
    const reply = message.reply ?? '';
    const delivered = this.#ackSubjects.parse(reply);
    if (life === undefined || delivered === undefined) return;
    const { sequence, isFirst } = delivered;
    this.counters.received += 1;
    if (!isFirst) this.counters.redelivered += 1;
    this.#schedule();
    const known = this.#held.get(sequence);
    if (known !== undefined) {
      known.reply = reply;
      known.toldMs = this.#turnMs;
      return;
    }
    const { messageId, encoding } = readHeaders(message);
    const identity = this.#identifier.identify(messageId, life, sequence);
    const payload = message.data;
    const bytes = payload.length + MESSAGE_OVERHEAD_BYTES;
    const delivery = { identity, payload, encoding, life, sequence, bytes, reply, toldMs: this.#turnMs };
    this.#held.set(sequence, delivery);
    this.#waiting.push(delivery);
    this.#count += 1;
    this.#bytes += bytes;
  }

  /** Tells the server of every message that it has not heard of for so long that it is worked on. */
  keepAlive(silentMs: number): void {
    const nowMs = this.#parts.clock.monotonicMs();
    for (const delivery of this.#held.values()) {
      if (nowMs - delivery.toldMs < silentMs) continue;
      if (!this.#parts.publish(delivery.reply, WORKING)) return;
      delivery.toldMs = nowMs;
    }
  }

  /** Gives back what the ingestor does not have, and resolves when it has settled the rest. */
  async stop(): Promise<void> {
    const settled = new Promise<void>((resolve) => {
      this.#stopped = resolve;
    });
    clearTimeout(this.#timer);
    this.#giveBackWaiting(0);
    if (this.#lots > 0) await settled;
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#turnMs = this.#parts.clock.monotonicMs();
    setImmediate(() => {
      this.#isScheduled = false;
      this.#handOver();
    });
  }

  /** One lot in a turn, so that the connections are served in between. */
  #handOver(): void {
    if (this.#stopped !== undefined) return this.#giveBackWaiting(0);
    if (this.#waiting.length === 0) return;
    const nowMs = this.#parts.clock.monotonicMs();
    const { ingestor } = this.#parts;
    const { submittedBytesMax, ingestorBytesMax } = this.#limits;
    if (this.#troubleMs !== undefined) {
      if (this.#lots > 0) return;
      if (nowMs < this.#notBeforeMs) return this.#lookAgain(this.#notBeforeMs - nowMs);
    }
    if (this.#submittedBytes >= submittedBytesMax && this.#lots > 0) return;
    if (ingestor.queuedBytes >= ingestorBytesMax) return this.#lots > 0 ? undefined : this.#lookAgain(BUSY_LOOK_MS);
    const lot = this.#takeLot();
    this.#lots += 1;
    this.#submittedBytes += lot.bytes;
    void this.#submit(lot);
    if (this.#waiting.length > 0) this.#schedule();
  }

  #lookAgain(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#handOver(), ms);
  }

  #takeLot(): Lot {
    const { lotBytesMax, lotMessagesMax, probeMessages } = this.#limits;
    const countMax = this.#troubleMs === undefined ? lotMessagesMax : probeMessages;
    const messages: Message[] = [];
    let bytes = 0;
    for (const delivery of this.#waiting) {
      if (messages.length >= countMax || bytes >= lotBytesMax) break;
      const message = unpack(delivery);
      // What is not unpacked may have taken as long as the largest that is: many of them would stop this process for minutes.
      bytes += message.fault === undefined ? message.payload.length : lotBytesMax;
      messages.push(message);
    }
    return { deliveries: this.#waiting.splice(0, messages.length), messages, bytes };
  }

  async #submit(lot: Lot): Promise<void> {
    try {
      await this.#parts.ingestor.submit(lot.messages);
    } catch (error) {
      this.#release(lot);
      this.#refused(lot, error);
      return;
    }
    this.#release(lot);
    this.#settled(lot);
  }

  #release(lot: Lot): void {
    this.#lots -= 1;
    this.#submittedBytes -= lot.bytes;
    if (this.#lots === 0) this.#stopped?.();
  }

  #settled(lot: Lot): void {
    if (this.#troubleMs !== undefined) {
      this.#parts.log.info('readings are stored again');
      this.#troubleMs = undefined;
      this.#retry.reset();
      this.#giveBack.reset();
    }
    for (const [index, delivery] of lot.deliveries.entries()) {
      this.#forget(delivery);
      const isFault = lot.messages[index]?.fault !== undefined;
      if (!this.#tell(delivery, isFault ? TERMINATE : ACK)) continue;
      if (isFault) this.counters.terminated += 1;
      else this.counters.acknowledged += 1;
    }
    this.#parts.relieved();
    if (this.#waiting.length > 0) this.#schedule();
  }

  #refused(lot: Lot, error: unknown): void {
    if (this.#stopped !== undefined) return this.#giveBackAll(lot.deliveries, 0);
    const nowMs = this.#parts.clock.monotonicMs();
    this.#waiting.unshift(...lot.deliveries);
    if (this.#troubleMs === undefined) {
      this.#troubleMs = nowMs;
      this.#parts.log.warn('readings from NATS cannot be stored now; trying again', { error: messageOf(error) });
    }
    if (nowMs - this.#troubleMs >= this.#limits.holdMs) {
      this.#giveBackWaiting(this.#giveBack.nextMs());
      this.#parts.relieved();
    }
    if (this.#lots > 0) return;
    const waitMs = this.#retry.nextMs();
    this.#notBeforeMs = nowMs + waitMs;
    this.#lookAgain(waitMs);
  }

  #giveBackWaiting(delayMs: number): void {
    this.#giveBackAll(this.#waiting.splice(0), delayMs);
  }

  #giveBackAll(deliveries: readonly Delivery[], delayMs: number): void {
    if (deliveries.length === 0) return;
    const payload = Buffer.from(delayMs > 0 ? `-NAK {"delay":${Math.round(delayMs * 1e6)}}` : '-NAK');
    for (const delivery of deliveries) {
      this.#forget(delivery);
      if (this.#tell(delivery, payload)) this.counters.givenBack += 1;
    }
  }

  #forget(delivery: Delivery): void {
    this.#count -= 1;
    this.#bytes -= delivery.bytes;
    if (delivery.life === this.#life) this.#held.delete(delivery.sequence);
  }

  /** Not to a new stream of the same name, where another message has this one's number. */
  #tell(delivery: Delivery, payload: Uint8Array): boolean {
    return delivery.life === this.#life && this.#parts.publish(delivery.reply, payload);
  }
}

/**
 * The pull requests that one connection has open at a durable consumer, with the protocol of JetStream's pull consumers
 * (ADR-13) on plain subscriptions. Each has a subscription of its own, so what it still may bring is known exactly.
 *
 * Why not the library's `consume()`: it limits what it asks for either by messages or by bytes and cannot be held
 * (decision 014).
 */
import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node';
import type { ConsumerConfig } from '@nats-io/jetstream';
import type { Clock } from '../../base/clock.ts';
import type { Room } from './handover.ts';

export interface PullLimits {
  /** Requests that are open at once: while one ends and the next is on its way, the others bring. */
  readonly requests: number;
  /** Of one request. */
  readonly messagesMax: number;
  /** Of one request, and never less than the largest message that the server takes. */
  readonly bytesMax: number;
  readonly expiresMs: number;
  /** A server with nothing to bring says so at least so often. */
  readonly heartbeatMs: number;
}

export const PULL_LIMITS: PullLimits = {
  requests: 4,
  messagesMax: 4_096,
  bytesMax: 4 * 1024 * 1024,
  expiresMs: 30_000,
  heartbeatMs: 2_000,
};

/** Room for subject, reply subject and headers beside a payload. */
const ENVELOPE_BYTES_MAX = 64 * 1024;
/** After so many heartbeats without one the server has forgotten the request. */
const HEARTBEATS_MISSED_MAX = 3;
/** A request that the server ends at once is not made again before this. */
const QUICK_END_MS = 100;

/** What the server says in place of a message, or after the last one. Anything else is of the kind 409, with words. */
const HEARTBEAT = 100;
const BAD_REQUEST = 400;
const NO_MESSAGES = 404;
const EXPIRED = 408;
const NO_RESPONDERS = 503;

export interface PullParts {
  readonly connection: NatsConnection;
  readonly stream: string;
  readonly consumer: ConsumerConfig & { readonly name: string };
  readonly room: () => Room;
  readonly received: (message: Msg) => void;
  readonly clock: Clock;
}

interface Request {
  /** Where this request's answers come, and those of the ones before it. */
  readonly subscription: Subscription;
  isOpen: boolean;
  /** Where the server says how it fares with the present one. */
  inbox: string;
  /** What it may still bring. */
  messages: number;
  bytes: number;
  hasBrought: boolean;
  openedMs: number;
  heardMs: number;
  /** Messages came since `heardMs`. */
  isHeard: boolean;
}

export class Pulls {
  /** Resolves to the sentence that says why nothing more will come; a new one of these must be made. */
  readonly ended: Promise<string>;
  readonly #parts: PullParts;
  readonly #limits: PullLimits;
  readonly #requests: Request[] = [];
  readonly #subject: string;
  #end: (reason: string) => void = () => {};
  #isEnded = false;
  #isDeleted = false;
  #asked = 0;
  /** The next message is larger than the server itself allows: it is asked for without a limit. */
  #isOversized = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: PullParts, limits: PullLimits = PULL_LIMITS) {
    this.#parts = parts;
    this.#limits = limitsOf(parts, limits);
    this.#subject = `$JS.API.CONSUMER.MSG.NEXT.${parts.stream}.${parts.consumer.name}`;
    this.ended = new Promise((resolve) => {
      this.#end = (reason) => {
        this.#isEnded = true;
        clearTimeout(this.#timer);
        resolve(reason);
      };
    });
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** @param newInbox a subject that nobody else uses, of which there are as many as wanted */
  open(newInbox: () => string): void {
    for (let index = 0; index < this.#limits.requests; index += 1) this.#requests.push(this.#subscribe(newInbox()));
    this.fill();
  }

  /** Makes as many requests as there is room for. */
  fill(): void {
    if (this.#isEnded) return;
    const nowMs = this.#parts.clock.monotonicMs();
    for (const request of this.#requests) {
      if (request.isOpen) continue;
      const left = QUICK_END_MS - (nowMs - request.openedMs);
      if (!request.hasBrought && left > 0) {
        this.#timer ??= setTimeout(() => {
          this.#timer = undefined;
          this.fill();
        }, left);
        continue;
      }
      const messages = this.#messagesWanted();
      if (messages < 1) return;
      this.#ask(request, messages, nowMs);
    }
  }

  /** Ends when the server has gone silent. */
  check(): void {
    const nowMs = this.#parts.clock.monotonicMs();
    const silentMsMax = HEARTBEATS_MISSED_MAX * this.#limits.heartbeatMs;
    for (const request of this.#requests) {
      if (request.isHeard) request.heardMs = nowMs;
      request.isHeard = false;
      if (request.isOpen && nowMs - request.heardMs > silentMsMax) return this.end('the server no longer answers');
    }
  }

  end(reason: string): void {
    if (!this.#isEnded) this.#end(reason);
  }

  /** Asks for nothing more; resolves when all that was on its way has been handed on. */
  async close(): Promise<void> {
    this.end('closed');
    await Promise.allSettled(this.#requests.map(({ subscription }) => subscription.drain()));
  }

  /** By one request more: none, or a worthwhile number. What is larger than all room there is comes alone. */
  #messagesWanted(): number {
    const { bytesMax, messagesMax, requests } = this.#limits;
    const room = this.#parts.room();
    let messages = room.messages;
    let bytes = room.bytes;
    for (const request of this.#requests) {
      if (!request.isOpen) continue;
      messages -= request.messages;
      bytes -= request.bytes;
    }
    const isAlone = !this.#requests.some(({ isOpen }) => isOpen);
    const isWorthwhile = bytes >= bytesMax && (isAlone || messages >= messagesMax / requests);
    return isWorthwhile || (isAlone && room.isEmpty) ? Math.min(messages, messagesMax) : 0;
  }

  #ask(request: Request, messages: number, nowMs: number): void {
    const { bytesMax, expiresMs, heartbeatMs } = this.#limits;
    this.#asked += 1;
    request.inbox = `${request.subscription.getSubject().slice(0, -1)}${this.#asked}`;
    request.isOpen = true;
    request.hasBrought = false;
    request.messages = this.#isOversized ? 1 : messages;
    request.bytes = bytesMax;
    request.openedMs = request.heardMs = nowMs;
    const asked = {
      batch: request.messages,
      ...(this.#isOversized ? {} : { max_bytes: bytesMax }),
      expires: nanos(expiresMs),
      idle_heartbeat: nanos(heartbeatMs),
    };
    this.#isOversized = false;
    this.#parts.connection.publish(this.#subject, JSON.stringify(asked), { reply: request.inbox });
  }

  #subscribe(inbox: string): Request {
    const request: Request = {
      subscription: this.#parts.connection.subscribe(`${inbox}.*`, {
        callback: (error, message) => {
          if (error !== null) this.end(`the server closed the inbox: ${error.message}`);
          else if (message.subject.startsWith(inbox)) this.#hear(request, message);
          else this.#receive(request, message);
        },
      }),
      isOpen: false,
      inbox: '',
      messages: 0,
      bytes: 0,
      hasBrought: true,
      openedMs: 0,
      heardMs: 0,
      isHeard: false,
    };
    return request;
  }

  #receive(request: Request, message: Msg): void {
    // Then it is of another consumer, and perhaps of another stream, where its number is another message's. It comes again.
    if (this.#isDeleted) return;
    request.hasBrought = request.isHeard = true;
    request.messages -= 1;
    request.bytes -= message.data.length;
    if (request.messages <= 0) this.#close(request);
    this.#parts.received(message);
  }

  /** A word of the server about the request itself. */
  #hear(request: Request, { headers, subject }: Msg): void {
    request.isHeard = true;
    const code = headers?.code ?? 0;
    const description = headers?.description ?? '';
    // A request that has brought all it was asked for is over before the server says so.
    if (code === HEARTBEAT || !request.isOpen || subject !== request.inbox) return;
    if (code === EXPIRED || code === NO_MESSAGES) request.hasBrought = true;
    if (code === NO_RESPONDERS) return this.end('nobody answers for the consumer');
    if (code === BAD_REQUEST) return this.end(`the server refuses to be asked: ${description}`);
    if (/consumer deleted/i.test(description)) {
      this.#isDeleted = true;
      return this.end('the consumer was deleted');
    }
    // Its limits of a request have changed since it was looked at. That of all requests (max_waiting) may have room again soon.
    if (/exceeded maxrequest/i.test(description)) return this.end(`the consumer refuses to be asked: ${description}`);
    if (/message size exceeds/i.test(description) && !request.hasBrought) {
      this.#isOversized = true;
      request.hasBrought = true;
    }
    this.#close(request);
  }

  #close(request: Request): void {
    if (!request.isOpen) return;
    request.isOpen = false;
    request.messages = 0;
    request.bytes = 0;
    this.fill();
  }
}

/** A user's consumer may allow less. */
function limitsOf({ connection, consumer }: PullParts, limits: PullLimits): PullLimits {
  const expiresMs = atMost(limits.expiresMs, (consumer.max_expires ?? 0) / 1e6);
  return {
    ...limits,
    messagesMax: atMost(limits.messagesMax, consumer.max_batch ?? 0),
    bytesMax: atMost(
      Math.max(limits.bytesMax, (connection.info?.max_payload ?? 0) + ENVELOPE_BYTES_MAX),
      consumer.max_bytes ?? 0,
    ),
    expiresMs,
    heartbeatMs: Math.min(limits.heartbeatMs, expiresMs / 3),
  };
}

function atMost(own: number, theirs: number): number {
  return theirs > 0 ? Math.min(own, theirs) : own;
}

/** The server takes whole numbers only. */
function nanos(ms: number): number {
  return Math.round(ms * 1e6);
}

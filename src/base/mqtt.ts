/**
 * One connection to an MQTT broker, from CONNECT to its end; who wants another makes another. Packets are read and written
 * by the library `mqtt-packet`, which is loaded with the first connection.
 *
 * What comes in is taken by {@link MqttLink.messages}, as fast as its reader does: while too much waits, the socket is not
 * read and the broker has to wait. A message of quality of service 1 is acknowledged when its reader says so, and not
 * before: the broker then sends it again to who comes back for it.
 */
import type { Socket } from 'node:net';
import type { IConnackPacket, IPublishPacket, Packet } from 'mqtt-packet';
import { aborted, type Clock } from './clock.ts';
import { MillwrightError } from './errors.ts';
import { PACKET_BYTES_MAX, type PacketLibrary, PacketReader, publishBytes } from './mqtt-packets.ts';
import { type BrokerAddress, openSocket, placeOf } from './mqtt-socket.ts';
import type { Random } from './random.ts';

/** Checked, plain JSON; made by `mqtt-config.ts`. */
export interface BrokerSettings extends BrokerAddress {
  /** null: one by chance. */
  readonly clientId: string | null;
  readonly user: string | null;
  readonly password: string | null;
  /** 4 is MQTT 3.1.1. */
  readonly protocolVersion: 4 | 5;
  readonly keepAliveMs: number;
}

/** For commands that are told an address only. */
export const BROKER_DEFAULTS: Omit<BrokerSettings, 'url'> = {
  clientId: null,
  user: null,
  password: null,
  protocolVersion: 5,
  keepAliveMs: 15_000,
  timeoutMs: 10_000,
  tls: { caFile: null, certFile: null, keyFile: null },
};

export type Quality = 0 | 1;

export interface OutgoingMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: Quality;
  readonly retain: boolean;
}

export interface IncomingMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  /** 2 where the session that the broker has kept was another program's: never asked for, and taken like 1. */
  readonly qos: Quality | 2;
  /** It was published before we subscribed. */
  readonly isRetained: boolean;
  /** The broker has sent it before, to us or to the connection before this one. */
  readonly isDuplicate: boolean;
  /** To acknowledge it; 0 for quality 0. */
  readonly packetId: number;
}

export interface Subscription {
  readonly filter: string;
  readonly qos: Quality;
  /** Of a subscription that the session has already, retained messages are not sent again (MQTT 5). */
  readonly isKept?: boolean;
}

export interface LinkOptions {
  readonly broker: BrokerSettings;
  /** The session that the broker keeps for us while we are away; 0: none. In milliseconds. */
  readonly sessionExpiryMs?: number;
  readonly will?: OutgoingMessage;
  /** The broker has answered a ping; the next answer is due after so long. */
  readonly onPong?: (nextWithinMs: number) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
}

/** Messages of quality 1 that may be unacknowledged, either way. */
export const UNACKNOWLEDGED_MAX = 500;
/** Messages and bytes that wait to be taken before the socket is read no more. */
const WAITING_MAX = 256;
const WAITING_BYTES_MAX: number = 2 * PACKET_BYTES_MAX;
/** What may wait to be written before who publishes must wait. */
const WRITE_BYTES_MAX: number = 1024 * 1024;
/** How long a goodbye may take. */
const CLOSE_MS_MAX = 800;
const PACKET_IDS = 65_535;
/** Fixed header, length of the topic, packet id and properties of a publication. */
const HEADER_BYTES_MAX = 16;
/** Of a reason that a broker gives, in UTF-16 units. */
const REASON_LENGTH_MAX = 200;

/** What a person must mend, of CONNACK's reasons: MQTT 3.1.1, 3.2.2.3 and MQTT 5, 3.2.2.2. */
const REFUSALS: { readonly [code: number]: string } = {
  1: 'it does not speak this version of MQTT: set "protocol"',
  2: 'it does not take the client id',
  4: 'user or password is wrong',
  5: 'this user may not connect',
  132: 'it does not speak this version of MQTT: set "protocol"',
  133: 'it does not take the client id',
  134: 'user or password is wrong',
  135: 'this user may not connect',
  138: 'this client is banned',
  140: 'it wants another way of logging in',
};

/** Of a publication or a subscription that the broker refuses, or of its goodbye: MQTT 5, 2.4. */
const REASONS: { readonly [code: number]: string } = {
  0: 'it gives no reason',
  128: 'refused',
  131: 'refused by a rule of the broker',
  135: 'not allowed for this user',
  137: 'the broker is busy',
  139: 'the broker is going down',
  141: 'it has not heard us for too long',
  142: 'another client has come with our client id',
  143: 'no valid topic filter',
  144: 'no valid topic',
  147: 'too much was sent to it at once',
  149: 'too large for the broker',
  150: 'too much is sent to it',
  151: 'a quota of the broker is used up',
  152: 'somebody at the broker has ended it',
  153: 'the payload is not as the broker wants it',
  154: 'the broker keeps no newest values ("retain")',
  155: 'the broker does not take this quality of service',
  156: 'another broker is to be used',
  157: 'the broker has moved',
  159: 'we come too often',
  162: 'the broker has no wildcards in filters',
};
const TOO_LARGE = 149;
/** Two clients with one id end each other's connection, without end. */
const TAKEN_OVER = 142;

/** The broker has taken a message in and refuses it; `code` of MQTT 5, 3.4.2.1. */
export class PublishRefusal extends MillwrightError {
  readonly reasonCode: number;

  constructor(topic: string, reasonCode: number) {
    super('connection_failed', `the broker does not take ${topic}: ${reasonOf(reasonCode)}`);
    this.reasonCode = reasonCode;
  }
}

/**
 * @throws connection_failed when the broker cannot be reached or does not take us now: try again
 * @throws config_invalid when it will not take us before a person has mended something
 * @throws storage_failed when a file of certificates cannot be read
 */
export async function connectMqtt(options: LinkOptions): Promise<MqttLink> {
  const { broker, random, clock, signal } = options;
  const { default: library } = await import('mqtt-packet');
  // Else it keeps a buffer for each number of 16 bits: 17 MB, measured.
  library.writeToStream.cacheNumbers = false;
  const place = placeOf(broker.url);
  const clientId = broker.clientId ?? `millwright-${Math.floor(random() * 2 ** 48).toString(36)}`;
  const socket = await openSocket(broker, place, signal);
  const link = new MqttLink({ library, socket, place, clientId, options });
  const limit = new AbortController();
  void clock.sleep(broker.timeoutMs, limit.signal).then(() => {
    if (!limit.signal.aborted) link.fail(`${place} did not let us in within ${broker.timeoutMs} ms`);
  });
  const abort = (): void => link.fail('it was given up');
  signal.addEventListener('abort', abort, { once: true });
  try {
    await link.open();
  } catch (error) {
    link.destroy();
    throw error;
  } finally {
    limit.abort();
    signal.removeEventListener('abort', abort);
  }
  return link;
}

interface LinkParts {
  readonly library: PacketLibrary;
  readonly socket: Socket;
  readonly place: string;
  readonly clientId: string;
  readonly options: LinkOptions;
}

interface Waiting<Answer> {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: MillwrightError) => void;
}

export class MqttLink {
  readonly clientId: string;
  /** Aborted when the connection has ended. */
  readonly ended: AbortSignal;
  readonly #parts: LinkParts;
  readonly #reader: PacketReader;
  readonly #packetOptions: { readonly protocolVersion: 4 | 5 };
  readonly #end = new AbortController();
  #failure: MillwrightError | undefined;
  #heardMs: number;
  #isPaused = false;
  #isLeaving = false;

  #opening: Waiting<IConnackPacket> | undefined;
  #isSessionPresent = false;
  #pingEveryMs = 0;
  #unacknowledgedMax = UNACKNOWLEDGED_MAX;
  #packetBytesMax = Number.POSITIVE_INFINITY;
  readonly #publications = new Map<number, Waiting<number>>();
  readonly #subscriptions = new Map<number, Waiting<readonly number[]>>();
  readonly #pings: Waiting<void>[] = [];
  readonly #slots: (() => void)[] = [];
  /** How many publications were acknowledged. */
  #answers = 0;
  #nextId = 0;
  #draining: Promise<void> | undefined;

  readonly #messages: IncomingMessage[] = [];
  #messageBytes = 0;
  #onMessage: (() => void) | undefined;

  constructor(parts: LinkParts) {
    const { library, socket, options, clientId } = parts;
    const { protocolVersion } = options.broker;
    this.#parts = parts;
    this.clientId = clientId;
    this.ended = this.#end.signal;
    this.#packetOptions = { protocolVersion };
    this.#reader = new PacketReader(library, protocolVersion);
    this.#heardMs = options.clock.monotonicMs();
    socket.on('data', (chunk) => this.#read(chunk as Buffer));
    socket.on('error', (error) => this.fail(`the connection to ${parts.place} broke`, error));
    socket.on('close', () => this.fail(`${parts.place} closed the connection`));
  }

  get place(): string {
    return this.#parts.place;
  }

  /** The broker has kept our session, with its subscriptions and what came meanwhile. */
  get isSessionPresent(): boolean {
    return this.#isSessionPresent;
  }

  /** Time between two pings, and so between two answers of a broker that is well. */
  get pingEveryMs(): number {
    return this.#pingEveryMs;
  }

  /** For {@link connectMqtt}. */
  async open(): Promise<void> {
    const { broker, will, sessionExpiryMs = 0 } = this.#parts.options;
    const { promise, resolve, reject } = Promise.withResolvers<IConnackPacket>();
    this.#opening = { resolve, reject };
    if (this.#failure !== undefined) throw this.#failure;
    const isFive = broker.protocolVersion === 5;
    this.#send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: broker.protocolVersion,
      clientId: this.clientId,
      clean: sessionExpiryMs === 0,
      keepalive: Math.ceil(broker.keepAliveMs / 1000),
      ...(broker.user !== null && { username: broker.user }),
      ...(broker.password !== null && { password: Buffer.from(broker.password) }),
      ...(will !== undefined && { will: { ...will, payload: Buffer.from(will.payload) } }),
      ...(isFive && {
        properties: {
          sessionExpiryInterval: Math.ceil(sessionExpiryMs / 1000),
          receiveMaximum: UNACKNOWLEDGED_MAX,
          maximumPacketSize: PACKET_BYTES_MAX,
        },
      }),
    });
    const { returnCode, reasonCode, sessionPresent, properties } = await promise;
    const code = (isFive ? reasonCode : returnCode) ?? returnCode ?? 0;
    if (code !== 0) {
      const refusal = REFUSALS[code];
      const said = properties?.reasonString;
      const what = typeof said === 'string' ? said.slice(0, REASON_LENGTH_MAX) : reasonOf(code);
      throw refusal === undefined
        ? new MillwrightError('connection_failed', `${this.place} does not take us now: ${what}`)
        : new MillwrightError('config_invalid', `${this.place} does not let us in: ${refusal} (reason ${code})`);
    }
    this.#isSessionPresent = sessionPresent;
    this.#unacknowledgedMax = Math.min(UNACKNOWLEDGED_MAX, limitOf(properties?.receiveMaximum));
    this.#packetBytesMax = limitOf(properties?.maximumPacketSize);
    // 0: the broker does not watch us. We watch it all the same.
    const keepAliveMs = Math.min(broker.keepAliveMs, limitOf(properties?.serverKeepAlive) * 1000);
    this.#pingEveryMs = keepAliveMs / 2;
    void this.#keepAlive(keepAliveMs);
  }

  /**
   * Quality 0: resolves when it is handed to the system. Quality 1: when the broker has taken it in.
   * @throws PublishRefusal when the broker refuses it; connection_failed
   */
  async publish({ topic, payload, qos, retain }: OutgoingMessage): Promise<void> {
    const bytes = Buffer.byteLength(topic) + payload.length + HEADER_BYTES_MAX;
    if (bytes > this.#packetBytesMax) throw new PublishRefusal(topic, TOO_LARGE);
    const { protocolVersion } = this.#packetOptions;
    if (qos === 0) {
      this.#write(publishBytes({ topic, payload, qos, retain }, protocolVersion));
      return this.#written();
    }
    while (this.#publications.size >= this.#unacknowledgedMax && this.#failure === undefined) {
      await new Promise<void>((resolve) => this.#slots.push(resolve));
    }
    if (this.#failure !== undefined) throw this.#failure;
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const messageId = this.#freeId();
    this.#publications.set(messageId, { resolve, reject });
    this.#write(publishBytes({ topic, payload, qos, retain, messageId }, protocolVersion));
    await this.#written();
    const code = await this.#answered(promise, 'acknowledge a message');
    if (code >= 128) throw new PublishRefusal(topic, code);
  }

  /** @throws config_invalid when the broker grants one of them not, connection_failed */
  async subscribe(subscriptions: readonly Subscription[]): Promise<void> {
    const messageId = this.#freeId();
    const { promise, resolve, reject } = Promise.withResolvers<readonly number[]>();
    this.#subscriptions.set(messageId, { resolve, reject });
    this.#send({
      cmd: 'subscribe',
      messageId,
      subscriptions: subscriptions.map(({ filter, qos, isKept }) => {
        return { topic: filter, qos, nl: false, rap: false, rh: isKept === true ? 1 : 0 };
      }),
    });
    const granted = await this.#answered(promise, 'grant the subscriptions');
    // Who is to have what comes while he is away must have it with quality 1.
    const isEnough = subscriptions.map(({ qos, isKept }, index) => {
      const code = granted[index] ?? 128;
      return code < 128 && (isKept !== true || code >= qos);
    });
    const place = isEnough.indexOf(false);
    if (place < 0) return;
    const code = granted[place] ?? 128;
    const reason = code < 128 ? 'only with quality 0, of which it keeps nothing' : reasonOf(code);
    throw new MillwrightError(
      'config_invalid',
      `${this.place} does not grant ${subscriptions[place]?.filter}: ${reason}`,
    );
  }

  /** Of a session that the broker has kept. @throws connection_failed */
  async unsubscribe(filters: readonly string[]): Promise<void> {
    const messageId = this.#freeId();
    const { promise, resolve, reject } = Promise.withResolvers<readonly number[]>();
    this.#subscriptions.set(messageId, { resolve, reject });
    this.#send({ cmd: 'unsubscribe', messageId, unsubscriptions: [...filters] });
    await this.#answered(promise, 'end the subscriptions');
  }

  /** Resolves when the broker has read all that was sent before. */
  async ping(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#pings.push({ resolve, reject });
    this.#send({ cmd: 'pingreq' });
    await this.#answered(promise, 'answer');
  }

  /** In the order in which they came. @throws connection_failed, protocol_violation when the connection has ended */
  async *messages(): AsyncGenerator<IncomingMessage> {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined) {
        this.#messageBytes -= message.payload.length;
        if (this.#isPaused && this.#messages.length < WAITING_MAX / 2 && this.#messageBytes < WAITING_BYTES_MAX / 2) {
          this.#resume();
        }
        yield message;
        continue;
      }
      if (this.#failure !== undefined) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#onMessage = resolve;
      });
      this.#onMessage = undefined;
    }
  }

  /** The broker need not send it again. Does nothing for a message of quality 0. */
  acknowledge({ qos, packetId }: IncomingMessage): void {
    if (qos > 0) this.#send({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId: packetId, reasonCode: 0 });
  }

  /**
   * Says goodbye; the broker then does not publish the will. `last` is published before. A broker that is not there is not
   * waited for.
   */
  async close(last?: OutgoingMessage): Promise<void> {
    const { clock } = this.#parts.options;
    if (this.#failure === undefined) {
      const over = new AbortController();
      const limit = clock.sleep(CLOSE_MS_MAX, over.signal);
      // The broker ends the connection when it has read so far. What it sends meanwhile is read and thrown away: a socket
      // that is closed over unread bytes takes back what the other has not read yet, acknowledgments among it.
      this.#isLeaving = true;
      this.#resume();
      if (last !== undefined) await Promise.race([this.publish(last).catch(() => {}), limit]);
      this.#send({ cmd: 'disconnect', reasonCode: 0 });
      this.#parts.socket.end();
      await Promise.race([aborted(this.ended), limit]);
      over.abort();
    }
    this.destroy();
  }

  destroy(): void {
    this.fail('the connection was closed');
  }

  fail(what: string, cause?: unknown): void {
    this.#fail(new MillwrightError('connection_failed', what, cause === undefined ? {} : { cause }));
  }

  #fail(error: MillwrightError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#parts.socket.destroy();
    this.#end.abort();
    this.#opening?.reject(error);
    const all = [...this.#publications.values(), ...this.#subscriptions.values(), ...this.#pings];
    for (const { reject } of all) reject(error);
    for (const free of this.#slots) free();
    this.#onMessage?.();
  }

  #read(chunk: Buffer): void {
    this.#heardMs = this.#parts.options.clock.monotonicMs();
    try {
      this.#reader.push(chunk, (packet) => this.#received(packet));
    } catch (error) {
      if (!(error instanceof MillwrightError)) throw error;
      this.#fail(new MillwrightError(error.code, `${this.place} ${error.message}`, { cause: error.cause }));
    }
  }

  #received(packet: Packet): void {
    if (this.#failure !== undefined) return;
    switch (packet.cmd) {
      case 'connack':
        return this.#opening?.resolve(packet);
      case 'publish':
        return this.#took(packet);
      case 'puback':
        this.#answers += 1;
        this.#slots.shift()?.();
        return settle(this.#publications, packet.messageId, packet.reasonCode ?? 0);
      case 'pubrel':
        // Of a message of quality 2, which was taken when it came.
        return this.#send({ cmd: 'pubcomp', messageId: packet.messageId ?? 0, reasonCode: 0 });
      case 'suback':
        return settle(this.#subscriptions, packet.messageId, packet.granted.map(Number));
      case 'unsuback':
        return settle(this.#subscriptions, packet.messageId, []);
      case 'pingresp':
        this.#parts.options.onPong?.(this.#pingEveryMs);
        return this.#pings.shift()?.resolve();
      case 'disconnect':
        return this.#dismissed(packet.reasonCode ?? 0, packet.properties?.reasonString);
      default:
        return this.#fail(new MillwrightError('protocol_violation', `${this.place} sent ${packet.cmd}`));
    }
  }

  #dismissed(code: number, reason: string | undefined): void {
    const said = typeof reason === 'string' ? ` (${reason.slice(0, REASON_LENGTH_MAX)})` : '';
    const what = `${this.place} has ended the connection: ${reasonOf(code)}${said}`;
    // To come again at once would only end the other's connection.
    if (code === TAKEN_OVER) return this.#fail(new MillwrightError('config_invalid', what));
    this.fail(what);
  }

  #took({ topic, payload, qos, retain, dup, messageId }: IPublishPacket): void {
    if (this.#isLeaving) return;
    this.#messageBytes += payload.length;
    this.#messages.push({
      topic,
      payload: typeof payload === 'string' ? Buffer.from(payload) : payload,
      qos,
      isRetained: retain,
      isDuplicate: dup,
      packetId: messageId ?? 0,
    });
    const isFull = this.#messages.length >= WAITING_MAX || this.#messageBytes >= WAITING_BYTES_MAX;
    if (isFull && !this.#isPaused) {
      this.#isPaused = true;
      this.#parts.socket.pause();
    }
    this.#onMessage?.();
  }

  #resume(): void {
    this.#isPaused = false;
    this.#heardMs = this.#parts.options.clock.monotonicMs();
    this.#parts.socket.resume();
  }

  #send(packet: Packet): void {
    this.#write(this.#parts.library.generate(packet, this.#packetOptions));
  }

  #write(bytes: Buffer): void {
    const { socket } = this.#parts;
    // Who still acknowledges what has come must not break the goodbye that is under way.
    if (this.#failure !== undefined || socket.writableEnded) return;
    // What is sent in one turn goes out in one write.
    if (socket.writableCorked === 0) {
      socket.cork();
      process.nextTick(() => socket.uncork());
    }
    socket.write(bytes);
  }

  /** @throws connection_failed */
  async #written(): Promise<void> {
    if (this.#parts.socket.writableLength > WRITE_BYTES_MAX && this.#failure === undefined) {
      this.#draining ??= this.#drain();
      await this.#draining;
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** One wait, shared by all who write. */
  async #drain(): Promise<void> {
    const { socket } = this.#parts;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        socket.off('drain', done);
        this.ended.removeEventListener('abort', done);
        resolve();
      };
      socket.once('drain', done);
      this.ended.addEventListener('abort', done, { once: true });
    });
    this.#draining = undefined;
  }

  /** The answer, within the time that the broker may take. */
  async #answered<Answer>(answer: Promise<Answer>, what: string): Promise<Answer> {
    const { clock, broker } = this.#parts.options;
    const { timeoutMs } = broker;
    if (this.#failure !== undefined) throw this.#failure;
    const end = new AbortController();
    const expire = async (): Promise<void> => {
      for (let told = -1; told !== this.#answers; ) {
        // On a slow line answers come late, but they come; and what we do not read we cannot know.
        told = this.#answers;
        do await clock.sleep(timeoutMs, end.signal);
        while (this.#isPaused && !end.signal.aborted);
      }
      if (!end.signal.aborted) this.fail(`${this.place} did not ${what} within ${timeoutMs} ms`);
    };
    void expire();
    try {
      return await answer;
    } finally {
      end.abort();
    }
  }

  /** Half-open connections are noticed: a broker answers a ping. While we do not read we cannot know. */
  async #keepAlive(keepAliveMs: number): Promise<void> {
    const { clock } = this.#parts.options;
    while (!this.ended.aborted) {
      await clock.sleep(this.#pingEveryMs, this.ended);
      if (this.ended.aborted) return;
      const silentMs = clock.monotonicMs() - this.#heardMs;
      if (silentMs > keepAliveMs * 1.5 && !this.#isPaused) {
        return this.fail(`${this.place} was silent for ${Math.round(silentMs)} ms`);
      }
      this.#pings.push({ resolve: () => {}, reject: () => {} });
      this.#send({ cmd: 'pingreq' });
    }
  }

  #freeId(): number {
    do this.#nextId = (this.#nextId % PACKET_IDS) + 1;
    while (this.#publications.has(this.#nextId) || this.#subscriptions.has(this.#nextId));
    return this.#nextId;
  }
}

function settle<Answer>(waiting: Map<number, Waiting<Answer>>, id: number | undefined, answer: Answer): void {
  waiting.get(id ?? 0)?.resolve(answer);
  waiting.delete(id ?? 0);
}

function reasonOf(code: number): string {
  return `${REASONS[code] ?? 'refused'} (reason ${code})`;
}

/** What a property of CONNACK limits, which may be absent, or none by its value. */
function limitOf(value: unknown): number {
  return typeof value === 'number' && value > 0 ? value : Number.POSITIVE_INFINITY;
}

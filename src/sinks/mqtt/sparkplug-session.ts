/**
 * A Sparkplug B edge node over its connections (Sparkplug 3.0, 5): the number of each connection on the disk, its births,
 * its primary host, and the order to be born again.
 *
 * Data have quality of service 0, as the specification wants it. A call is settled when the broker has answered a ping that
 * was sent after its data: it has read them by then, since it reads in order. What it then does with them is its own: a host
 * that is lost just then may miss them, and a broker that dies may too (docs/sinks/mqtt.md).
 */
import type { Clock } from '../../base/clock.ts';
import { MillwrightError, messageOf } from '../../base/errors.ts';
import { type BrokerSettings, connectMqtt, type MqttLink, type OutgoingMessage } from '../../base/mqtt.ts';
import { readSmallFile, saveSmallFile } from '../../base/small-files.ts';
import { DATATYPES, valueOf } from '../../base/sparkplug/metric.ts';
import type { EdgeNode } from '../../base/sparkplug/node.ts';
import {
  decodeHostState,
  type HostState,
  type NodeId,
  REBIRTH,
  stateTopicOf,
  topicOf,
} from '../../base/sparkplug/topics.ts';
import type { Refusal, SinkContext } from '../../ports/sink.ts';
import type { Reading } from '../../model/reading.ts';
import { deviceIdOf, type MetricOfReading, metricsOf, saysOffline } from './metrics.ts';

/** Metrics of one device; a reading that would add more is refused. */
export const METRICS_MAX = 5_000;
/** How long a call waits for the primary host before it says that it is not there. */
const HOST_WAIT_MS = 5_000;
/** A retained STATE comes with the subscription. */
const HOST_ANSWER_MS = 2_000;
const BD_SEQ_COUNT = 256;
/** A birth tells everything: it is not told more often on demand. */
const REBIRTH_INTERVAL_MS = 1_000;
const FILE = 'connections';
const BACKLOG = 'backlog_readings';

/** A reading by its place in the log. */
export interface Placed {
  readonly sequence: number;
  readonly index: number;
  readonly reading: Reading;
}

export interface SparkplugParts {
  readonly broker: BrokerSettings;
  readonly id: NodeId;
  readonly node: EdgeNode;
  readonly codec: typeof import('../../base/sparkplug/payload.ts');
  readonly primaryHost: string | null;
  readonly place: NonNullable<SinkContext['place']>;
  readonly context: SinkContext;
}

interface Connection {
  readonly link: MqttLink;
  readonly bdSeq: number;
  isBorn: boolean;
}

export class SparkplugSession {
  readonly #parts: SparkplugParts;
  readonly #closing = new AbortController();
  #connection: Connection | undefined;
  #connecting: Promise<Connection> | undefined;
  #bdSeq: number | undefined;
  #host: HostState | undefined;
  #onHost: (() => void)[] = [];
  #backlogTold: number | undefined;
  #isToBeBorn = false;
  #bornAgainMs = Number.NEGATIVE_INFINITY;
  /** Devices that have metrics which no birth has told yet. */
  readonly #changed = new Set<string>();
  /** Devices whose machine said so last. */
  readonly #offline = new Set<string>();

  constructor(parts: SparkplugParts) {
    this.#parts = parts;
    parts.node.define(null, [{ name: BACKLOG, datatype: DATATYPES.Int64 }]);
  }

  /** @returns what can never be told */
  async deliver(
    placed: readonly Placed[],
    isLate: (name: string, micros: number) => boolean,
    signal: AbortSignal,
  ): Promise<Refusal[]> {
    const connection = await this.#born(signal);

    const refused: Refusal[] = [];
    const told = placed.filter(({ sequence, index, reading }) => {
      const isDefined = this.#define(reading);
      const reason = `the device ${deviceIdOf(reading.machine_id)} would have more than ${METRICS_MAX} metrics`;
      if (!isDefined) refused.push({ sequence, index, reason });
      return isDefined;
    });
    await this.#publish(connection, this.#messages(told, isLate));
    // Until then it is not known whether the broker has read them.
    await connection.link.ping();
    if (!this.#isHostOnline()) throw this.#hostIsOffline();
    return refused;
  }

  /** Whether a birth can tell the reading's metrics. */
  #define(reading: Reading): boolean {
    const { node } = this.#parts;
    const device = deviceIdOf(reading.machine_id);
    const metrics = this.#metricsOf(reading);
    const added = metrics.filter(({ name }) => node.datatypeOf(device, name) === undefined).length;
    if (added > 0 && node.metricsOf(device) + added > METRICS_MAX) return false;
    if (node.define(device, metrics)) this.#changed.add(device);
    return true;
  }

  /** Made at once: nobody else's message may come between a birth and the data that rely on it. */
  #messages(told: readonly Placed[], isLate: (name: string, micros: number) => boolean): OutgoingMessage[] {
    const { node } = this.#parts;
    const nowMs = this.#nowMs();
    const devices = new Set(told.map(({ reading }) => deviceIdOf(reading.machine_id)));
    const toBeBorn = [...devices].filter((device) => this.#changed.has(device) || !node.isBorn(device));
    const messages = toBeBorn.map((device) => node.deviceBirth(device, nowMs));
    for (const device of toBeBorn) this.#changed.delete(device);
    for (const { reading } of told) {
      const device = deviceIdOf(reading.machine_id);
      const data = this.#metricsOf(reading).map(({ name, value, micros }) => {
        const isHistorical = isLate(`${device}/${name}`, micros);
        return { name, value, timestampMs: Math.floor(micros / 1_000), isHistorical };
      });
      if (data.length > 0) messages.push(node.data(device, data, nowMs));
      const isOffline = saysOffline(reading);
      const isNews = data.some(({ isHistorical }) => !isHistorical);
      if (isNews && isOffline === true) this.#offline.add(device);
      else if (isNews && isOffline === false) this.#offline.delete(device);
    }
    for (const device of devices) if (this.#offline.has(device)) messages.push(node.deviceDeath(device, nowMs));
    return messages;
  }

  #metricsOf(reading: Reading): MetricOfReading[] {
    return metricsOf(reading, (device, metric) => this.#parts.node.datatypeOf(device, metric));
  }

  /** How much waits in the log, as a metric of the node. */
  async publishBacklog(readings: number): Promise<void> {
    const connection = this.#connection;
    if (connection?.isBorn !== true || connection.link.ended.aborted || readings === this.#backlogTold) return;
    this.#backlogTold = readings;
    const nowMs = this.#nowMs();
    const value = { name: BACKLOG, value: BigInt(readings), timestampMs: nowMs };
    await this.#publish(connection, [this.#parts.node.data(null, [value], nowMs)]);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#connecting?.catch(() => undefined);
    await this.#leave();
  }

  /** The node's death, on purpose: with MQTT 5 as with 3.1.1 the broker drops the will of who says goodbye. */
  async #leave(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection === undefined || connection.link.ended.aborted) return;
    const { link, bdSeq, isBorn } = connection;
    await link.close(isBorn ? this.#parts.node.death(bdSeq, this.#nowMs()) : undefined);
  }

  /** A connection on which the node is born. */
  async #born(signal: AbortSignal): Promise<Connection> {
    let connection = this.#connection;
    if (connection === undefined || connection.link.ended.aborted) {
      this.#connecting ??= this.#connect().finally(() => {
        this.#connecting = undefined;
      });
      connection = await this.#connecting;
    }
    if (!this.#isHostOnline()) await this.#hostOrLong(signal);
    if (!this.#isHostOnline()) throw this.#hostIsOffline();
    if (connection.link.ended.aborted) throw new MillwrightError('connection_failed', 'the broker is lost again');
    if (!connection.isBorn) {
      connection.isBorn = true;
      this.#backlogTold = undefined;
      await this.#publish(connection, this.#parts.node.birth(connection.bdSeq, this.#nowMs()));
    }
    return connection;
  }

  async #connect(): Promise<Connection> {
    const { broker, node, id, primaryHost, context } = this.#parts;
    const { clock, random } = context;
    const bdSeq = await this.#nextBdSeq();
    this.#host = undefined;
    const will = node.death(bdSeq, this.#nowMs());
    const link = await connectMqtt({ broker, will, clock, random, signal: this.#closing.signal });
    const connection: Connection = { link, bdSeq, isBorn: false };
    this.#connection = connection;
    void this.#listen(connection);
    const filters = [topicOf('NCMD', id), ...(primaryHost === null ? [] : [stateTopicOf(primaryHost)])];
    await link.subscribe(filters.map((filter) => ({ filter, qos: 1 })));
    return connection;
  }

  /** Kept on the disk before it is used: two connections in a row do not have the same. */
  async #nextBdSeq(): Promise<number> {
    const { folder, files } = this.#parts.place;
    if (this.#bdSeq === undefined) {
      await files.makeFolder(folder);
      const file = await readSmallFile(files, `${folder}/${FILE}`);
      const last = typeof file === 'string' ? -1 : Number(file['bdSeq']);
      this.#bdSeq = Number.isInteger(last) ? last : -1;
    }
    const next = (this.#bdSeq + 1) % BD_SEQ_COUNT;
    this.#bdSeq = next;
    try {
      await saveSmallFile(files, { folder, name: FILE, value: { bdSeq: next } });
    } catch (error) {
      // A disk that is full is one more reason to deliver what is on it.
      const reason = messageOf(error);
      this.#parts.context.log.warn('the number of the connection cannot be kept; it may come again', { reason });
    }
    return next;
  }

  async #listen(connection: Connection): Promise<void> {
    const { id, primaryHost, context } = this.#parts;
    try {
      for await (const message of connection.link.messages()) {
        connection.link.acknowledge(message);
        // It may have to wait, and the host's word must not.
        if (message.topic === topicOf('NCMD', id)) void this.#commanded(connection, message.payload);
        else if (primaryHost !== null && message.topic === stateTopicOf(primaryHost)) {
          await this.#hostSaid(connection, decodeHostState(message.payload));
        }
      }
    } catch (error) {
      // The next call makes a new connection, and tells why where that fails.
      context.log.debug('the connection to the broker has ended', { reason: messageOf(error) });
    }
    this.#wakeAll();
  }

  async #commanded(connection: Connection, payload: Uint8Array): Promise<void> {
    const { codec, context } = this.#parts;
    try {
      const { metrics } = codec.decodePayload(payload);
      const isRebirth = metrics.some((metric) => {
        return metric.name === REBIRTH && valueOf(metric, metric.datatype ?? DATATYPES.Boolean) === true;
      });
      if (isRebirth) await this.#beBornAgain(connection);
    } catch (error) {
      if (!(error instanceof MillwrightError)) throw error;
      context.log.warn('a command to this node cannot be obeyed', { reason: error.message });
    }
  }

  /** At once, but not again and again: orders that come meanwhile are obeyed by the next birth, all by one. */
  async #beBornAgain(connection: Connection): Promise<void> {
    const { clock } = this.#parts.context;
    if (!connection.isBorn || this.#isToBeBorn) return;
    this.#isToBeBorn = true;
    const waitMs = this.#bornAgainMs + REBIRTH_INTERVAL_MS - clock.monotonicMs();
    if (waitMs > 0) await clock.sleep(waitMs, connection.link.ended);
    this.#isToBeBorn = false;
    this.#bornAgainMs = clock.monotonicMs();
    if (this.#connection !== connection) return;
    await this.#publish(connection, this.#parts.node.rebirth(this.#nowMs()));
  }

  async #hostSaid(connection: Connection, state: HostState | undefined): Promise<void> {
    // What is older than what is known is the late will of a connection before.
    if (state === undefined || (this.#host !== undefined && state.timestamp < this.#host.timestamp)) return;
    this.#host = state;
    this.#wakeAll();
    // An edge node ends its connection when its host goes, and is born again on another one.
    if (!state.online && connection.isBorn) await this.#leave();
  }

  #wakeAll(): void {
    const waiting = this.#onHost;
    this.#onHost = [];
    for (const wake of waiting) wake();
  }

  #isHostOnline(): boolean {
    return this.#parts.primaryHost === null || this.#host?.online === true;
  }

  async #hostOrLong(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts.context;
    const end = AbortSignal.any([signal, this.#closing.signal]);
    const over = new AbortController();
    void clock.sleep(HOST_WAIT_MS, over.signal).then(() => over.abort());
    end.addEventListener('abort', () => over.abort(), { once: true });
    while (!this.#isHostOnline() && !over.signal.aborted && !end.aborted) {
      await new Promise<void>((resolve) => {
        this.#onHost.push(resolve);
        over.signal.addEventListener('abort', () => resolve(), { once: true });
      });
      if (this.#connection === undefined || this.#connection.link.ended.aborted) break;
    }
    over.abort();
  }

  /** It is asked again at once, since it may be there at any moment: the wait is in the call. */
  #hostIsOffline(): MillwrightError {
    const message = `the primary host ${this.#parts.primaryHost} is not online: readings wait in the log`;
    return new MillwrightError('connection_failed', message, { hasProgressed: true });
  }

  /** In their order, which their sequence numbers tell. */
  async #publish({ link }: Connection, messages: readonly OutgoingMessage[]): Promise<void> {
    const sent = messages.map((message) => link.publish(message));
    const failed = (await Promise.allSettled(sent)).find((one) => one.status === 'rejected');
    if (failed !== undefined) throw failed.reason as Error;
  }

  #nowMs(): number {
    return Math.floor(this.#parts.context.clock.nowMicros() / 1_000);
  }
}

/** What the host says of itself; undefined where it says nothing. */
export async function hostOf(link: MqttLink, hostId: string, clock: Clock): Promise<HostState | undefined> {
  await link.subscribe([{ filter: stateTopicOf(hostId), qos: 1 }]);
  const over = new AbortController();
  const first = (async (): Promise<HostState | undefined> => {
    for await (const { payload } of link.messages()) return decodeHostState(payload);
    return undefined;
  })().catch(() => undefined);
  const answer = await Promise.race([first, clock.sleep(HOST_ANSWER_MS, over.signal).then(() => undefined)]);
  over.abort();
  return answer;
}

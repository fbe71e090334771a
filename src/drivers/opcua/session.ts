/**
 * One run against a server: a session, one subscription in it, and a monitored item for each node. The server tells what
 * changes; each message of it becomes one sample for each time in it.
 *
 *     connect ─▶ server's clock ─▶ subscription ─▶ items ─▶ publish, publish, … ─▶ close the session
 *
 * Subscriptions are known to freeze without an error. So the server's own time is monitored beside the nodes: when that
 * stands still, it is read once more, and if it has gone on, or cannot be read, the session is given up.
 *
 * Subscription and publishing are asked for by the plain services, not by the library's own engine for them: that one hides
 * lost answers, and makes subscriptions and sessions anew by itself.
 */
import {
  AttributeIds,
  DataChangeNotification,
  type DataValue,
  extractDataValueToPromote,
  MonitoringMode,
  promoteOpaqueStructure,
  PublishRequest,
  type PublishResponse,
  StatusChangeNotification,
  TimestampsToReturn,
} from 'node-opcua';
import { aborted, now } from '../../base/clock.ts';
import { MillwrightError } from '../../base/errors.ts';
import { type JsonValue, type MachineEvent, NAME_LENGTH_MAX, TEXT_LENGTH_MAX } from '../../model/reading.ts';
import type { MachineState } from '../../model/signals.ts';
import type { DriverContext } from '../../ports/driver.ts';
import type { CertificateFolder } from './certificates.ts';
import {
  closeConnection,
  connect,
  type Connection,
  leftoverOf,
  type SessionMemory,
  statusOf,
  within,
} from './connection.ts';
import { NodeFinder } from './nodes.ts';
import type { FieldSettings, NodeSettings, OpcuaOptions } from './options.ts';
import { Gathering } from './samples.ts';
import { raw } from './services.ts';
import { clockTrouble, judgeTime } from './times.ts';
import { show, takeField } from './values.ts';
import { jsonOfVariant, timesOf } from './variants.ts';

/** How often the server's own time is to be told, and a subscription to give a sign of life when nothing changes. */
const SIGN_MS = 5_000;
/** So many signs may be missing. */
const SIGNS_MISSING_MAX = 2;
/** Between two looks whether the subscription is silent. */
const WATCH_MS = 500;
/** Requests for messages that wait at the server, so that one is there while another is answered. */
const PUBLISH_REQUESTS = 2;
/** Nodes in one request; some servers take no more. */
const ITEMS_PER_REQUEST = 100;
/** What cannot be read is tried again so often. */
export const RETRY_MS = 60_000;
/** Of our own certificate. */
const LOOK_AT_CERTIFICATE_MS = 3_600_000;
/** Values lost for a node are told by one event in this time. */
const TELL_LOST_MS = 60_000;
/** A stop waits so long for a connection that is being made. */
const LATE_MS_MAX = 1_000;
const SERVER_TIME = 'i=2258';
const SERVER_TIME_HANDLE = 0;
const STATE = 'machine_state';
const PROGRAM = 'program';
/** Of a node that has gone; servers say either. */
const GONE: readonly string[] = ['BadNodeIdUnknown', 'BadNodeIdInvalid'];

export type SessionContext = Pick<
  DriverContext,
  'machineId' | 'emit' | 'connected' | 'alive' | 'problem' | 'clock' | 'log'
>;

export interface SessionParts {
  readonly options: OpcuaOptions;
  readonly certificates: CertificateFolder;
  readonly memory: SessionMemory;
  readonly context: SessionContext;
}

/** A node that is wanted. */
interface Item {
  readonly settings: NodeSettings;
  /** In messages of the server, from 1. */
  readonly handle: number;
  /** Given by the server when it is monitored. */
  monitoredItemId: number | null;
  /** The server's clock when it was monitored, in its own time: what is older held then. */
  sinceMicros: number | null;
  /** It has told a value since. */
  hasTold: boolean;
  isUncertain: boolean;
  /** What was told of it last. */
  fault: string | null;
  lost: number;
  lostToldMs: number;
}

/** Resolves when aborted, with the session closed; rejects for every other end. */
export async function readServer(parts: SessionParts, signal: AbortSignal): Promise<void> {
  const { options, certificates, memory, context } = parts;
  const sessionName = `Millwright ${context.machineId}`.slice(0, NAME_LENGTH_MAX);
  const connecting = connect({ options, certificates, clock: context.clock, sessionName }, memory);
  const opened = await Promise.race([connecting, aborted(signal)]);
  if (opened === undefined) {
    // What it opens meanwhile is closed, as far as a stop may wait for that.
    const closing = connecting.then((late) => closeConnection(late, context.clock)).catch(() => {});
    await within(closing, LATE_MS_MAX, context.clock);
    return;
  }
  const reading = new ServerReading(parts, opened);
  try {
    await Promise.race([reading.run(), aborted(signal)]);
  } catch (error) {
    reading.lose();
    throw error;
  } finally {
    reading.end();
    const leftover = leftoverOf(opened.session);
    const isClosed = await closeConnection(opened, context.clock);
    if (!isClosed) memory.leftover = leftover;
  }
}

class ServerReading {
  readonly #parts: SessionParts;
  readonly #connection: Connection;
  readonly #items: readonly Item[];
  readonly #failed = Promise.withResolvers<never>();
  readonly #ended = new AbortController();
  readonly #known = new Set<string>();
  #finder: NodeFinder | undefined;
  #subscriptionId = 0;
  #acknowledgements: { subscriptionId: number; sequenceNumber: number }[] = [];
  #publishing = 0;
  /** Messages are dealt with one after the other, also where the type of a structure has to be asked for. */
  #taking: Promise<void> = Promise.resolve();
  #state: MachineState | undefined;

  #isServerClockBad = false;
  /** As it was told last. */
  #serverTimeMicros: number | null = null;

  #isTimeMonitored = false;
  #heardMs = 0;
  #timeHeardMs = 0;
  #silenceMsMax = 0;
  /** Between two signs of life of the subscription, at most. */
  #signMs = 0;
  #timeSilenceMsMax = 0;

  constructor(parts: SessionParts, connection: Connection) {
    this.#parts = parts;
    this.#connection = connection;
    this.#items = parts.options.nodes.map((settings, index) => ({
      settings,
      handle: index + 1,
      monitoredItemId: null,
      sinceMicros: null,
      hasTold: false,
      isUncertain: false,
      fault: null,
      lost: 0,
      lostToldMs: Number.NEGATIVE_INFINITY,
    }));
    this.#failed.promise.catch(() => {});
  }

  /** Never resolves: it goes on until it fails, or until whoever called it has enough. */
  async run(): Promise<void> {
    const { client, session } = this.#connection;
    const { url } = this.#parts.options;
    client.on('close', () => this.#fail(new MillwrightError('connection_failed', `${url} closed the connection`)));
    session.on('session_closed', () =>
      this.#fail(new MillwrightError('connection_failed', `${url} closed the session`)),
    );
    await Promise.race([this.#begin(), this.#failed.promise]);
    await this.#failed.promise;
  }

  end(): void {
    this.#ended.abort();
  }

  /** What was known is not known any more; that the machine is offline, the runner says. */
  lose(): void {
    const { context } = this.#parts;
    if (this.#known.size === 0) return;
    const values = [...this.#known].map((name) => [name, name === STATE ? 'offline' : null]);
    context.emit({ machine_id: context.machineId, timestamp: now(context.clock), ...Object.fromEntries(values) });
  }

  #fail(error: MillwrightError): void {
    if (!this.#ended.signal.aborted) this.#failed.reject(error);
  }

  /** @throws connection_failed, config_invalid */
  async #begin(): Promise<void> {
    const { options, context, certificates } = this.#parts;
    try {
      await this.#readClock();
      this.#finder = new NodeFinder(this.#connection.session, await this.#connection.session.readNamespaceArray());
      await this.#subscribe();
      await this.#monitorTime();
      const faults = await this.#monitor(this.#items);
      const [first] = faults;
      if (first !== undefined && faults.length === this.#items.length) {
        const more = faults.length > 1 ? `; and ${faults.length - 1} more` : '';
        throw new MillwrightError('config_invalid', `${options.url}: ${first}${more}`);
      }
    } catch (error) {
      throw this.#told(error);
    }
    context.connected();
    context.problem('certificate', certificates.ownTrouble(context.clock));
    const timeoutMs = this.#connection.session.timeout;
    if (timeoutMs > options.sessionTimeoutMs) {
      const text = 'the server keeps the session of an edge that was killed for longer than it was asked to';
      context.log.warn(text, { asked_ms: options.sessionTimeoutMs, kept_ms: timeoutMs });
    }
    this.#heard();
    this.#timeHeardMs = context.clock.monotonicMs();
    void this.#watch();
    void this.#retry();
    void this.#watchCertificate();
  }

  async #readClock(): Promise<void> {
    const { clock } = this.#parts.context;
    const { value } = await this.#connection.session.read({ nodeId: SERVER_TIME, attributeId: AttributeIds.Value });
    this.#judgeClock(value.value, clock.nowMicros());
  }

  #judgeClock(serverTime: unknown, gatewayMicros: number): void {
    const { options, context } = this.#parts;
    if (!(serverTime instanceof Date)) return;
    this.#serverTimeMicros = serverTime.getTime() * 1000;
    const trouble = clockTrouble(this.#serverTimeMicros, gatewayMicros, options.clockDifferenceMsMax * 1000);
    this.#isServerClockBad = trouble !== null;
    context.problem("the server's clock", trouble);
  }

  async #subscribe(): Promise<void> {
    const { publishingIntervalMs, sessionTimeoutMs } = this.#parts.options;
    const keepAliveCount = Math.max(1, Math.round(SIGN_MS / publishingIntervalMs));
    const answer = await raw(this.#connection.session).createSubscription({
      requestedPublishingInterval: publishingIntervalMs,
      requestedMaxKeepAliveCount: keepAliveCount,
      // As long as the session: what is left of a killed edge goes at once.
      requestedLifetimeCount: Math.max(3 * keepAliveCount, Math.round(sessionTimeoutMs / publishingIntervalMs)),
      maxNotificationsPerPublish: 0,
      // Left out it would mean false.
      publishingEnabled: true,
      priority: 0,
    });
    this.#subscriptionId = answer.subscriptionId;
    const { revisedPublishingInterval, revisedMaxKeepAliveCount } = answer;
    this.#signMs = revisedPublishingInterval * revisedMaxKeepAliveCount;
    const allowed = SIGNS_MISSING_MAX * Math.max(SIGN_MS, revisedPublishingInterval) + revisedPublishingInterval;
    this.#silenceMsMax = Math.max(allowed, SIGNS_MISSING_MAX * this.#signMs);
    this.#timeSilenceMsMax = allowed;
    for (let count = 0; count < PUBLISH_REQUESTS; count += 1) void this.#publish();
  }

  /** Asks for one message after the other. */
  async #publish(): Promise<void> {
    this.#publishing += 1;
    while (!this.#ended.signal.aborted) {
      const acknowledgements = this.#acknowledgements.splice(0);
      try {
        const answer = await this.#nextMessage(acknowledgements);
        this.#heard();
        this.#accept(answer);
      } catch (error) {
        // A server may keep only one of them.
        if (statusOf(error) === 'BadTooManyPublishRequests' && this.#publishing > 1) {
          this.#acknowledgements.push(...acknowledgements);
          break;
        }
        this.#fail(this.#told(error));
        break;
      }
    }
    this.#publishing -= 1;
  }

  #nextMessage(
    subscriptionAcknowledgements: { subscriptionId: number; sequenceNumber: number }[],
  ): Promise<PublishResponse> {
    // It waits as long as nothing happens; how long that may be, the watch knows.
    const timeoutHint = 10 * this.#silenceMsMax;
    const request = new PublishRequest({ requestHeader: { timeoutHint }, subscriptionAcknowledgements });
    return new Promise((resolve, reject) => {
      raw(this.#connection.session).publish(request, (error, response) => {
        if (response === undefined || error !== null) reject(error ?? new Error('there is no answer'));
        else resolve(response);
      });
    });
  }

  #heard(): void {
    const { context } = this.#parts;
    this.#heardMs = context.clock.monotonicMs();
    if (!this.#ended.signal.aborted) context.alive(this.#signMs);
  }

  #accept({ subscriptionId, notificationMessage }: PublishResponse): void {
    if (subscriptionId !== this.#subscriptionId) return;
    const parts = notificationMessage.notificationData ?? [];
    if (parts.length === 0) return;
    this.#acknowledgements.push({ subscriptionId, sequenceNumber: notificationMessage.sequenceNumber });
    const changes: { clientHandle: number; value: DataValue }[] = [];
    for (const part of parts) {
      if (part instanceof StatusChangeNotification) {
        const { url } = this.#parts.options;
        const text = `${url} ended the subscription (${part.status.name})`;
        this.#fail(new MillwrightError('connection_failed', text));
      } else if (part instanceof DataChangeNotification) changes.push(...(part.monitoredItems ?? []));
    }
    const gatewayMicros = this.#parts.context.clock.nowMicros();
    this.#taking = this.#taking
      .then(() => this.#take(changes, gatewayMicros))
      .catch((error: unknown) => this.#fail(this.#told(error)));
  }

  async #take(changes: readonly { clientHandle: number; value: DataValue }[], gatewayMicros: number): Promise<void> {
    const values = changes.map(({ value }) => value);
    if (extractDataValueToPromote(values).length > 0) await promoteOpaqueStructure(this.#connection.session, values);
    if (this.#ended.signal.aborted) return;
    const { context } = this.#parts;
    const gathering = new Gathering();
    const events: MachineEvent[] = [];
    for (const { clientHandle, value } of changes) {
      if (clientHandle === SERVER_TIME_HANDLE) {
        this.#timeHeardMs = context.clock.monotonicMs();
        this.#judgeClock(value.value.value, gatewayMicros);
        continue;
      }
      const item = this.#items[clientHandle - 1];
      if (item !== undefined) this.#takeValue(item, value, { gathering, events, gatewayMicros });
    }
    for (const sample of gathering.samples(context.machineId)) context.emit(sample);
    for (const event of events) context.emit(event);
  }

  #takeValue(
    item: Item,
    dataValue: DataValue,
    { gathering, events, gatewayMicros }: { gathering: Gathering; events: MachineEvent[]; gatewayMicros: number },
  ): void {
    const { context, options } = this.#parts;
    const { statusCode, value: variant } = dataValue;
    // The two highest bits: 0 good, 1 uncertain, 2 bad (OPC 10000-4, 7.39.1).
    const severity = statusCode.value >>> 30;
    const isBad = severity >= 2;
    const time = judgeTime(timesOf(dataValue), {
      gatewayMicros,
      sinceMicros: item.sinceMicros,
      changeAgeMicrosMax: item.hasTold ? this.#changeAgeMicrosMax(item) : null,
      isServerClockBad: this.#isServerClockBad,
      differenceMicrosMax: options.clockDifferenceMsMax * 1000,
    });
    item.hasTold = true;
    if (statusCode.hasOverflowBit) this.#tellLost(item, events);
    const whole = isBad ? null : jsonOfVariant(variant);
    const faults: string[] = [];
    if (isBad) faults.push(statusText(statusCode.name));
    else if (whole === null && variant.value !== null && variant.value !== undefined) {
      faults.push('its value cannot be understood: the server does not describe its type');
    }
    for (const field of item.settings.fields) {
      const taken = takeField(field, whole);
      if ('fault' in taken) faults.push(`${field.name}: ${taken.fault}`);
      const value = 'fault' in taken ? null : taken.value;
      if (value === null && !this.#known.has(field.name)) continue;
      gathering.put(time, field.name, value);
      this.#mark(item, field, {
        isUncertain: severity === 1,
        name: statusCode.name,
        put: (name, text) => gathering.put(time, name, text),
      });
      if (value === null) this.#known.delete(field.name);
      else this.#known.add(field.name);
      const event = this.#changeOf(field, value, { item, raw: whole });
      if (event !== undefined)
        events.push({ machine_id: context.machineId, timestamp: time.timestamp, kind: 'event', ...event });
    }
    item.isUncertain = severity === 1;
    this.#tellFault(item, faults.length === 0 ? null : faults.join('; '));
    if (GONE.includes(statusCode.name)) void this.#release(item);
  }

  /** What has just changed did so not longer ago than the server may take to look at it and to tell it. */
  #changeAgeMicrosMax({ settings: { samplingIntervalMs } }: Item): number {
    const { clockDifferenceMsMax } = this.#parts.options;
    return (samplingIntervalMs + this.#silenceMsMax + clockDifferenceMsMax) * 1000;
  }

  /** Called for each value, so only what is new goes to the other thread. */
  #tellFault(item: Item, fault: string | null): void {
    if (item.fault === fault) return;
    item.fault = fault;
    this.#parts.context.problem(item.settings.node, fault);
  }

  /** A value that is not certain says so beside it, until it is. */
  #mark(
    item: Item,
    { name }: FieldSettings,
    status: { isUncertain: boolean; name: string; put: (name: string, text: string) => void },
  ): void {
    const key = `${name.slice(0, NAME_LENGTH_MAX - '_status'.length)}_status`;
    if (status.isUncertain) status.put(key, status.name);
    else if (item.isUncertain) status.put(key, 'Good');
  }

  #changeOf(
    { name }: FieldSettings,
    value: JsonValue,
    { item, raw }: { item: Item; raw: JsonValue },
  ): Omit<MachineEvent, 'machine_id' | 'timestamp' | 'kind'> | undefined {
    if (typeof value !== 'string') return undefined;
    if (name === STATE && value !== this.#state) {
      const previous = this.#state === undefined ? {} : { previous_state: this.#state };
      this.#state = value as MachineState;
      const text = `${item.settings.node} is ${show(raw)}`.slice(0, TEXT_LENGTH_MAX);
      return { event_type: 'state', state: this.#state, ...previous, text };
    }
    if (name === PROGRAM && value !== '' && value !== this.#parts.memory.program) {
      this.#parts.memory.program = value;
      return { event_type: 'program', item: item.settings.node, text: value.slice(0, TEXT_LENGTH_MAX).toWellFormed() };
    }
    return undefined;
  }

  /** The server had to throw values away, since more came between two messages than it keeps. */
  #tellLost(item: Item, events: MachineEvent[]): void {
    const { context, options } = this.#parts;
    const nowMs = context.clock.monotonicMs();
    item.lost += 1;
    if (nowMs - item.lostToldMs < TELL_LOST_MS) return;
    item.lostToldMs = nowMs;
    const { node } = item.settings;
    const text = `the server's queue of ${options.queueSize} values for ${node} ran over; set queue_size or publishing_interval`;
    const details = { reason: 'queue_overflow', node, times: item.lost };
    item.lost = 0;
    context.log.error('values of a node are lost', { text });
    const origin = { machine_id: context.machineId, timestamp: now(context.clock), kind: 'event' } as const;
    events.push({ ...origin, event_type: 'gap', text: text.slice(0, TEXT_LENGTH_MAX).toWellFormed(), details });
  }

  /** Some servers do not let their time be monitored: then only the messages themselves are signs of life. */
  async #monitorTime(): Promise<void> {
    const [result] = await this.#createItems([
      { nodeId: SERVER_TIME, handle: SERVER_TIME_HANDLE, samplingIntervalMs: SIGN_MS, queueSize: 1 },
    ]);
    this.#isTimeMonitored = result !== undefined && !('fault' in result);
  }

  /** @returns why those cannot be monitored that cannot */
  async #monitor(items: readonly Item[]): Promise<string[]> {
    const { options } = this.#parts;
    const faults: string[] = [];
    const tell = (item: Item, fault: string): void => {
      faults.push(`${item.settings.node}: ${fault}`);
      this.#tellFault(item, fault);
    };
    const found: { item: Item; nodeId: string }[] = [];
    for (const item of items) {
      const one = await this.#finder!.find(item.settings.node);
      item.hasTold = false;
      item.sinceMicros = this.#serverTimeMicros;
      if ('fault' in one) tell(item, one.fault);
      else found.push({ item, nodeId: one.nodeId });
    }
    const results = await this.#createItems(
      found.map(({ item, nodeId }) => {
        const { samplingIntervalMs } = item.settings;
        return { nodeId, handle: item.handle, samplingIntervalMs, queueSize: options.queueSize };
      }),
    );
    for (const [index, { item }] of found.entries()) {
      const result = results[index];
      if (result === undefined || 'fault' in result) tell(item, result?.fault ?? 'the server did not answer');
      else item.monitoredItemId = result.id;
    }
    return faults;
  }

  async #createItems(
    wanted: readonly { nodeId: string; handle: number; samplingIntervalMs: number; queueSize: number }[],
  ): Promise<({ readonly id: number } | { readonly fault: string })[]> {
    const done: ({ readonly id: number } | { readonly fault: string })[] = [];
    for (let first = 0; first < wanted.length; first += ITEMS_PER_REQUEST) {
      const part = wanted.slice(first, first + ITEMS_PER_REQUEST);
      const answer = await raw(this.#connection.session).createMonitoredItems({
        subscriptionId: this.#subscriptionId,
        timestampsToReturn: TimestampsToReturn.Both,
        itemsToCreate: part.map(({ nodeId, handle, samplingIntervalMs, queueSize }) => ({
          itemToMonitor: { nodeId, attributeId: AttributeIds.Value },
          monitoringMode: MonitoringMode.Reporting,
          requestedParameters: {
            clientHandle: handle,
            samplingInterval: samplingIntervalMs,
            queueSize,
            discardOldest: true,
          },
        })),
      });
      for (const { statusCode, monitoredItemId } of answer.results ?? []) {
        done.push(statusCode.isGood() ? { id: monitoredItemId } : { fault: statusText(statusCode.name) });
      }
    }
    return done;
  }

  /** The node has gone; when it is there again, the server would not tell by the old item. */
  async #release(item: Item): Promise<void> {
    const { monitoredItemId } = item;
    if (monitoredItemId === null) return;
    item.monitoredItemId = null;
    const request = { subscriptionId: this.#subscriptionId, monitoredItemIds: [monitoredItemId] };
    await new Promise<void>((resolve) => raw(this.#connection.session).deleteMonitoredItems(request, () => resolve()));
  }

  async #retry(): Promise<void> {
    const { clock } = this.#parts.context;
    for (;;) {
      await clock.sleep(RETRY_MS, this.#ended.signal);
      if (this.#ended.signal.aborted) return;
      const missing = this.#items.filter(({ monitoredItemId }) => monitoredItemId === null);
      if (missing.length === 0) continue;
      this.#finder?.forget();
      try {
        await this.#monitor(missing);
      } catch (error) {
        return this.#fail(this.#told(error));
      }
    }
  }

  async #watchCertificate(): Promise<void> {
    const { context, certificates } = this.#parts;
    for (;;) {
      await context.clock.sleep(LOOK_AT_CERTIFICATE_MS, this.#ended.signal);
      if (this.#ended.signal.aborted) return;
      context.problem('certificate', certificates.ownTrouble(context.clock));
    }
  }

  async #watch(): Promise<void> {
    const { clock } = this.#parts.context;
    for (;;) {
      await clock.sleep(WATCH_MS, this.#ended.signal);
      if (this.#ended.signal.aborted) return;
      const silence = this.#silence();
      if (silence === null) continue;
      const error = await this.#lookAgain(silence);
      if (error !== undefined) return this.#fail(error);
      this.#heard();
      this.#timeHeardMs = clock.monotonicMs();
    }
  }

  /** Since when nothing was told that should have been, in milliseconds; null: all is well. */
  #silence(): number | null {
    const nowMs = this.#parts.context.clock.monotonicMs();
    const silentMs = nowMs - this.#heardMs;
    if (silentMs > this.#silenceMsMax) return silentMs;
    const timeSilentMs = nowMs - this.#timeHeardMs;
    return this.#isTimeMonitored && timeSilentMs > this.#timeSilenceMsMax ? timeSilentMs : null;
  }

  /** Undefined when the silence has a good reason: the server's clock stands still. */
  async #lookAgain(silentMs: number): Promise<MillwrightError | undefined> {
    const { options, context } = this.#parts;
    const before = this.#serverTimeMicros;
    const what = `${options.url} has told nothing for ${Math.round(silentMs / 1000)} s`;
    let after: unknown;
    const reading = this.#connection.session
      .read({ nodeId: SERVER_TIME, attributeId: AttributeIds.Value })
      .then(({ value }) => {
        after = value.value;
      });
    const isAnswered = await within(reading, options.timeoutMs, context.clock);
    try {
      if (isAnswered) await reading;
    } catch (cause) {
      return new MillwrightError('connection_failed', `${what}, and does not answer`, { cause });
    }
    if (!isAnswered) return new MillwrightError('connection_failed', `${what}, and does not answer`);
    const isStanding = after instanceof Date && after.getTime() * 1000 === before;
    if (isStanding && context.clock.monotonicMs() - this.#heardMs < this.#silenceMsMax) return undefined;
    return new MillwrightError('connection_failed', `${what}, though it answers: its subscription is frozen`);
  }

  #told(error: unknown): MillwrightError {
    if (error instanceof MillwrightError) return error;
    const { url } = this.#parts.options;
    const text = TOLD[statusOf(error)] ?? 'does not answer as it should';
    return new MillwrightError('connection_failed', `${url} ${text}`, { cause: error });
  }
}

const TOLD: { readonly [status: string]: string } = {
  BadSessionIdInvalid: 'has closed the session',
  BadSessionClosed: 'has closed the session',
  BadNoSubscription: 'has ended the subscription',
  BadSubscriptionIdInvalid: 'has ended the subscription',
  BadTooManySubscriptions: 'has no subscription left for this client',
};

/** What the commonest codes mean for who has to mend it. */
const STATUS_TEXTS: { readonly [name: string]: string } = {
  BadNodeIdUnknown: 'the server has no such node',
  BadNodeIdInvalid: 'the server does not take such a node id',
  BadAttributeIdInvalid: 'the node is no variable, so it has no value',
  BadNotReadable: 'the node cannot be read',
  BadUserAccessDenied: 'this user may not read it',
  BadTooManyMonitoredItems: 'the server does not monitor so many nodes',
  BadWaitingForInitialData: 'the server has no value yet',
  BadNotConnected: 'the server is not connected to where the value comes from',
  BadNoCommunication: 'the server has no communication with where the value comes from',
  BadDeviceFailure: 'the device has failed',
  BadSensorFailure: 'the sensor has failed',
  BadOutOfService: 'it is out of service',
  BadDataUnavailable: 'the value is not known',
};

function statusText(name: string): string {
  const text = STATUS_TEXTS[name];
  return text === undefined ? name : `${text} (${name})`;
}

/**
 * Hears what machines, PLCs and gateways publish at an MQTT broker: plain topics with JSON or bare values, or Sparkplug B
 * as its host application.
 *
 * With a session that the broker keeps, messages of quality 1 are acknowledged after the log has them, and one that comes
 * again is left out where it is there already ({@link Acknowledgments}). Without one, what is published while the
 * connection is away is not heard.
 */
import { type Clock, now, unlessAborted } from '../../base/clock.ts';
import { hasCode, MillwrightError, messageOf } from '../../base/errors.ts';
import { connectMqtt, type IncomingMessage, type MqttLink, type Subscription } from '../../base/mqtt.ts';
import { readSmallFile, saveSmallFile } from '../../base/small-files.ts';
import { withReadFrom } from '../../model/read-from.ts';
import type { Reading } from '../../model/reading.ts';
import type { Checkable } from '../../ports/checkable.ts';
import type { CreateDriver, Driver, DriverContext, ReadMemory, ReadsOnce } from '../../ports/driver.ts';
import { Acknowledgments } from './acknowledgments.ts';
import { HostSession } from './host-session.ts';
import { Machines } from './machines.ts';
import type { MqttOptions, PlainOptions } from './options.ts';
import { PlainReader } from './plain.ts';

export const create: CreateDriver<MqttOptions> = (options) => {
  const driver = new MqttDriver(options);
  const { source } = options;
  if (source.kind === 'sparkplug' || source.sessionExpiryMs === 0) return driver;
  return Object.assign(driver, { useMemory: driver.remember.bind(driver) } satisfies ReadsOnce);
};

/** Unacknowledged messages after which the log is asked at once; some brokers send no more than 20 before they wait. */
const ACKNOWLEDGE_AT = 10;
/** Else a few are gathered, so that not each costs a sync of its own. */
const ACKNOWLEDGE_AFTER_MS = 200;
/** How long a check listens. */
const CHECK_MS = 2_000;
/** Beside what is acknowledged. */
const SUBSCRIPTIONS_FILE = 'subscriptions';
/** A connection that ends sooner is short; so many in a row are no accident. */
const SHORT_MS = 5_000;
const SHORT_MAX = 3;
/** Parts that cannot be read whose end is told. */
const PROBLEMS_MAX = 100;
/** Of a topic or a metric's name that is shown, in UTF-16 units. */
const ITEM_LENGTH_MAX = 256;

class MqttDriver implements Driver, Checkable {
  readonly #options: MqttOptions;
  readonly #machines: Machines;
  #memory: ReadMemory | undefined;
  #acknowledgments: Acknowledgments | undefined;
  #host: HostSession | undefined;
  #context: DriverContext | undefined;
  readonly #problems = new Map<string, string>();
  /** Connections in a row that did not last. */
  #short = 0;

  constructor(options: MqttOptions) {
    this.#options = options;
    this.#machines = new Machines((item, fault) => this.#problem(item, fault));
  }

  remember(memory: ReadMemory): void {
    this.#memory = memory;
    this.#acknowledgments = new Acknowledgments(memory);
  }

  async run(context: DriverContext, signal: AbortSignal): Promise<void> {
    this.#context = context;
    this.#problems.clear();
    const { source, broker } = this.#options;
    await this.#acknowledgments?.load();
    this.#host ??= source.kind === 'sparkplug' ? await this.#openHost(source) : undefined;
    const link = await connectMqtt({
      broker,
      onPong: (nextWithinMs) => context.alive(nextWithinMs),
      clock: context.clock,
      random: context.random,
      signal,
      ...(source.kind === 'plain' && { sessionExpiryMs: source.sessionExpiryMs }),
      ...(this.#host !== undefined && { will: this.#host.will(context.clock) }),
    }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
    if (link === undefined) return;
    const openedMs = context.clock.monotonicMs();
    let leaving: Promise<void> | undefined;
    const leave = (): void => {
      leaving ??= link.close(this.#host?.farewell(context.clock));
    };
    signal.addEventListener('abort', leave, { once: true });
    if (signal.aborted) leave();
    // From the first: a broker sends what it has kept before it answers, and would wait for us while we wait for it.
    const hearing = this.#hear(link, context, this.#host ?? this.#plainHearer(source, context), signal);
    try {
      await Promise.all([hearing, this.#greet(link, context)]);
    } catch (error) {
      if (signal.aborted) return;
      this.#lose(context, messageOf(error));
      const lastedMs = context.clock.monotonicMs() - openedMs;
      this.#short = lastedMs < SHORT_MS && hasCode(error, 'connection_failed') ? this.#short + 1 : 0;
      if (this.#short < SHORT_MAX) throw error;
      // Not every broker says why. Two clients with one id would end each other's connection every second.
      const why = `as each of the last ${this.#short} soon after it began; does another client have our client id?`;
      throw new MillwrightError('config_invalid', `${messageOf(error)}, ${why}`, { cause: error });
    } finally {
      signal.removeEventListener('abort', leave);
      leave();
      await leaving;
      await hearing.catch(() => {});
    }
  }

  async #greet(link: MqttLink, context: DriverContext): Promise<void> {
    const subscriptions = subscriptionsOf(this.#options);
    const filters = subscriptions.map(({ filter }) => filter);
    const before = await this.#savedFilters();
    const old = before.filter((filter) => !filters.includes(filter));
    // Before the broker knows of them, so that a crash leaves none that the next configuration does not know of.
    if (filters.some((filter) => !before.includes(filter))) await this.#saveFilters([...old, ...filters]);
    await link.subscribe(subscriptions);
    context.connected();
    context.alive(link.pingEveryMs);
    // The session has them still, and sends what nobody wants, or twice.
    if (old.length > 0) {
      if (link.isSessionPresent) await link.unsubscribe(old);
      await this.#saveFilters(filters);
    }
    await this.#host?.opened(link);
  }

  /** Of this configuration, and of an earlier one if a crash has come between. */
  async #savedFilters(): Promise<readonly string[]> {
    if (this.#memory === undefined) return [];
    const { files, folder } = this.#memory;
    const file = await readSmallFile(files, `${folder}/${SUBSCRIPTIONS_FILE}`);
    return typeof file === 'string' ? [] : ((file['filters'] ?? []) as string[]);
  }

  async #saveFilters(filters: readonly string[]): Promise<void> {
    if (this.#memory === undefined) return;
    const { files, folder } = this.#memory;
    await saveSmallFile(files, { folder, name: SUBSCRIPTIONS_FILE, value: { filters } });
  }

  async check(signal: AbortSignal): Promise<string> {
    const { broker } = this.#options;
    // Another name: the broker would end the connection of the edge that runs.
    const own = { ...broker, clientId: null };
    const { systemClock } = await import('../../base/clock.ts');
    const link = await connectMqtt({ broker: own, clock: systemClock, random: Math.random, signal });
    try {
      const subscriptions = subscriptionsOf(this.#options);
      await link.subscribe(subscriptions);
      const topics = new Set<string>();
      const end = AbortSignal.any([AbortSignal.timeout(CHECK_MS), signal, link.ended]);
      const hearing = (async (): Promise<void> => {
        for await (const message of link.messages()) {
          link.acknowledge(message);
          topics.add(message.topic);
        }
      })().catch(() => {});
      await new Promise<void>((resolve) => {
        if (end.aborted) return resolve();
        end.addEventListener('abort', () => resolve(), { once: true });
      });
      await link.close();
      await hearing;
      const filters = subscriptions.map(({ filter }) => filter).join(', ');
      const heard = topics.size === 0 ? 'nothing was heard' : `${topics.size} topics were heard`;
      return `${link.place} grants ${filters}; ${heard} in ${CHECK_MS / 1000} s`;
    } finally {
      await link.close();
    }
  }

  async #openHost(options: Extract<MqttOptions['source'], { kind: 'sparkplug' }>): Promise<HostSession> {
    const codec = await import('../../base/sparkplug/payload.ts');
    const problem = this.#problem.bind(this);
    return new HostSession({ options, codec, machines: this.#machines, problem });
  }

  #plainHearer(source: MqttOptions['source'], context: DriverContext): Hearer {
    const machines = this.#machines;
    const problem = this.#problem.bind(this);
    const reader = new PlainReader({
      options: source as PlainOptions,
      machines,
      problem,
      machineId: context.machineId,
    });
    return { hear: (message) => reader.read(message, now(context.clock)) };
  }

  async #hear(link: MqttLink, context: DriverContext, hearer: Hearer, signal: AbortSignal): Promise<void> {
    const memory = this.#acknowledgments;
    if (!link.isSessionPresent) await memory?.forget();
    const acknowledging = memory && new Acknowledging({ memory, link, context, signal });
    try {
      for await (const message of link.messages()) {
        await context.room();
        context.alive();
        const readings = hearer.hear(message, link);
        if (acknowledging !== undefined && message.qos > 0) acknowledging.take(message, readings);
        else {
          for (const reading of readings) context.emit(reading);
          link.acknowledge(message);
        }
      }
    } finally {
      await acknowledging?.ended();
    }
  }

  #lose(context: DriverContext, reason: string): void {
    const { source } = this.#options;
    // With a session, what is missed will be told; so values stay, and only the state is not known.
    const keepsValues = source.kind === 'plain' && source.sessionExpiryMs > 0;
    const timestamp = now(context.clock);
    const lost =
      this.#host?.lose(timestamp, reason) ??
      this.#machines.ids.flatMap((id) => this.#machines.lose(id, timestamp, reason, keepsValues));
    for (const reading of lost) context.emit(reading);
  }

  /** Called for every value, so what stands is not told again. */
  #problem(what: string, reason: string | null): void {
    const item = what.length > ITEM_LENGTH_MAX ? `${what.slice(0, ITEM_LENGTH_MAX).toWellFormed()}…` : what;
    if ((this.#problems.get(item) ?? null) === reason) return;
    if (reason === null) this.#problems.delete(item);
    else if (this.#problems.size >= PROBLEMS_MAX && !this.#problems.has(item)) return;
    else this.#problems.set(item, reason);
    this.#context?.problem(item, reason);
  }
}

/** What makes readings of messages. */
interface Hearer {
  hear(message: IncomingMessage, link: MqttLink): readonly Reading[];
}

function subscriptionsOf({ source }: MqttOptions): Subscription[] {
  if (source.kind === 'plain') {
    const { topics, qos, sessionExpiryMs } = source;
    return topics.map(({ filter }) => ({ filter, qos, isKept: sessionExpiryMs > 0 }));
  }
  return HostSession.subscriptions(source);
}

interface AcknowledgingParts {
  readonly memory: Acknowledgments;
  readonly link: MqttLink;
  readonly context: DriverContext;
  readonly signal: AbortSignal;
}

/** Emits messages of quality 1, and acknowledges them when the log has them. */
class Acknowledging {
  readonly #memory: Acknowledgments;
  readonly #link: MqttLink;
  readonly #context: DriverContext;
  readonly #signal: AbortSignal;
  #pending: IncomingMessage[] = [];
  #due = new AbortController();
  #running: Promise<void> | undefined;

  constructor(parts: AcknowledgingParts) {
    this.#memory = parts.memory;
    this.#link = parts.link;
    this.#context = parts.context;
    this.#signal = parts.signal;
  }

  take(message: IncomingMessage, readings: readonly Reading[]): void {
    const marks = this.#memory.marksOf(message, readings.length);
    this.#memory.begin(message);
    for (const [place, reading] of readings.entries()) {
      const mark = marks[place];
      if (mark !== undefined) this.#context.emit(withReadFrom(reading, { source: this.#memory.source, mark }));
    }
    this.#pending.push(message);
    if (this.#pending.length >= ACKNOWLEDGE_AT) this.#due.abort();
    this.#running ??= this.#run(this.#context.clock);
  }

  /** Resolves when nothing is done any more. */
  async ended(): Promise<void> {
    this.#due.abort();
    await this.#running;
  }

  async #run(clock: Clock): Promise<void> {
    while (this.#pending.length > 0) {
      await clock.sleep(this.#link.ended.aborted ? 0 : ACKNOWLEDGE_AFTER_MS, this.#due.signal);
      this.#due = new AbortController();
      const messages = this.#pending;
      this.#pending = [];
      // Of what is not known to be kept when all stops, the broker is told nothing, and sends it again.
      if (!(await unlessAborted(this.#memory.kept(messages), this.#signal))) break;
      for (const message of messages) this.#link.acknowledge(message);
      try {
        await this.#memory.saveWhenDue(clock);
      } catch (error) {
        this.#context.log.warn('which messages are kept cannot be written; it is tried again', {
          reason: messageOf(error),
        });
      }
    }
    this.#running = undefined;
  }
}

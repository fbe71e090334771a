/**
 * The hub's reader of a JetStream stream: connects for ever, sees to it that stream and consumer are there, and keeps
 * requests open for as much as there is room for. Whatever goes wrong is one sentence, and is tried again.
 */
import { aborted, type Clock } from '../../base/clock.ts';
import { Backoff } from '../../base/backoff.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import { connectNats, type NatsConnection } from '../../base/nats.ts';
import type { Random } from '../../base/random.ts';
import type { NatsStatus } from '../../model/api.ts';
import type { NatsSettings } from '../settings.ts';
import type { EdgeReports } from './edge-reports.ts';
import { Handover, HANDOVER_LIMITS, type HandoverCounters, type HandoverLimits } from './handover.ts';
import type { Ingestor } from './ingestor.ts';
import { Pulls } from './pulls.ts';
import type { SettledAnswers } from './settled-answers.ts';
import { pendingOf, readConsumer, setUpStream, type StreamSetup } from './stream-setup.ts';

export interface JetStreamParts {
  readonly ingestor: Pick<Ingestor, 'submit' | 'queuedBytes'>;
  /** What edges say of themselves over the same connection. */
  readonly edgeReports: EdgeReports;
  /** What edges ask over it. */
  readonly settledAnswers: SettledAnswers;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

const RETRY = { firstMs: 200, maxMs: 5_000 };
/** How often the consumer is looked at: what is pending, and whether it is still the same one. */
const LOOK_MS = 2_000;
/** The server hears of a message that is worked on when this part of the ack wait has passed; looked at twice as often. */
const KEEP_ALIVE_PART = 1 / 3;
/** Longest wait for the last acknowledgments to leave when the hub stops. */
const CLOSE_MS_MAX = 1_000;

export class JetStreamReader {
  readonly #settings: NatsSettings;
  readonly #parts: JetStreamParts;
  readonly #handover: Handover;
  readonly #backoff: Backoff;
  readonly #warned = new Set<string>();
  #connection: NatsConnection | undefined;
  #isOnline = false;
  #pulls: Pulls | undefined;
  #setup: StreamSetup | undefined;
  #state: NatsStatus['state'] = 'connecting';
  #lastError: string | null = null;
  #pending: number | null = null;
  #ackWaitMs: number;

  constructor(settings: NatsSettings, parts: JetStreamParts, limits: HandoverLimits = HANDOVER_LIMITS) {
    this.#settings = settings;
    this.#parts = parts;
    this.#ackWaitMs = settings.ackWaitMs;
    this.#backoff = new Backoff(RETRY, parts.random);
    const { ingestor, clock, random, log } = parts;
    this.#handover = new Handover(
      {
        ingestor,
        publish: (subject, payload) => this.#publish(subject, payload),
        relieved: () => this.#pulls?.fill(),
        clock,
        random,
        log,
      },
      limits,
    );
  }

  get counters(): HandoverCounters {
    return this.#handover.counters;
  }

  get status(): NatsStatus {
    const { received, redelivered, acknowledged, givenBack, terminated } = this.counters;
    return {
      servers: this.#settings.connection.servers.map((server) => new URL(server).host),
      stream: this.#settings.streamName,
      consumer: this.#settings.consumerName,
      state: this.#state,
      last_error: this.#lastError,
      messages_pending: this.#pending,
      messages_in_flight: this.#handover.count,
      messages_received: received,
      messages_redelivered: redelivered,
      messages_acknowledged: acknowledged,
      messages_given_back: givenBack,
      messages_terminated: terminated,
    };
  }

  /** Why nothing can be read now; null when the stream is being read. */
  get lastError(): string | null {
    return this.#state === 'ok' ? null : (this.#lastError ?? 'connecting to NATS');
  }

  /**
   * Reads until the signal is aborted. Then nothing more is pulled, what the ingestor has is acknowledged once it is
   * committed, and the rest is given back; so the ingestor must run on until it has stored what it has.
   */
  async run(signal: AbortSignal): Promise<void> {
    const keptAlive = this.#keepAlive(signal);
    while (!signal.aborted) {
      try {
        const connection = await this.#connect(signal);
        if (connection !== undefined) await this.#serve(connection, signal);
      } catch (error) {
        this.#wait(messageOf(error));
        await this.#parts.clock.sleep(this.#backoff.nextMs(), signal);
      }
    }
    await keptAlive;
  }

  /** Undefined when the hub stops first. */
  async #connect(signal: AbortSignal): Promise<NatsConnection | undefined> {
    const { clock: _, random } = this.#parts;
    const connecting = connectNats(this.#settings.connection, { name: 'millwright hub', random });
    const connection = await Promise.race([connecting, aborted(signal)]);
    if (connection === undefined)
      connecting.then(
        (late) => late.close(),
        () => undefined,
      );
    return connection ?? undefined;
  }

  /** With one connection, which the library makes anew by itself until it gives up for good. */
  async #serve(connection: NatsConnection, signal: AbortSignal): Promise<void> {
    this.#connection = connection;
    this.#isOnline = true;
    const watched = this.#watch(connection);
    this.#parts.edgeReports.serve(connection);
    this.#parts.settledAnswers.serve(connection);
    while (!signal.aborted && !connection.isClosed()) {
      if (this.#isOnline) {
        try {
          await this.#read(connection, signal);
        } catch (error) {
          this.#wait(messageOf(error));
        }
      }
      if (!signal.aborted) await this.#parts.clock.sleep(this.#backoff.nextMs(), signal);
    }
    if (signal.aborted) await this.#handover.stop();
    await within(CLOSE_MS_MAX, connection.flush());
    await within(CLOSE_MS_MAX, connection.close());
    await watched;
  }

  /** Until something must be looked at again: the connection, the consumer, the stream. */
  async #read(connection: NatsConnection, signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    const { streamName, consumerName } = this.#settings;
    const setup = await setUpStream(connection, this.#settings);
    this.#tell(setup);
    this.#setup = setup;
    this.#ackWaitMs = (setup.consumer.config.ack_wait ?? this.#settings.ackWaitMs * 1e6) / 1e6;
    this.#pending = pendingOf(setup.consumer);
    this.#handover.begin({ stream: streamName, epoch: setup.epoch });
    const { createInbox } = await import('@nats-io/transport-node');
    const pulls = new Pulls({
      connection,
      stream: streamName,
      consumer: { ...setup.consumer.config, name: consumerName },
      room: () => this.#handover.room,
      received: (message) => this.#handover.take(message),
      clock,
    });
    this.#pulls = pulls;
    const looking = new AbortController();
    const looked = this.#look(connection, pulls, looking.signal);
    try {
      pulls.open(() => createInbox());
      // A request that is not allowed is refused before this is answered.
      await connection.flush();
      if (!pulls.isEnded) this.#resume();
      const reason = await Promise.race([pulls.ended, aborted(signal)]);
      if (typeof reason === 'string') this.#wait(reason);
    } finally {
      looking.abort();
      await within(CLOSE_MS_MAX, pulls.close());
      this.#pulls = undefined;
      await looked;
    }
  }

  #resume(): void {
    const { streamName, consumerName } = this.#settings;
    if (this.#state !== 'ok') this.#parts.log.info('reading from NATS', { stream: streamName, consumer: consumerName });
    this.#state = 'ok';
    this.#lastError = null;
    this.#backoff.reset();
  }

  /** Looks now and then whether the consumer is the one that was set up. */
  async #look(connection: NatsConnection, pulls: Pulls, signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#parts.clock.sleep(LOOK_MS, signal);
      if (signal.aborted) return;
      pulls.check();
      try {
        const consumer = await readConsumer(connection, this.#settings);
        this.#pending = pendingOf(consumer);
        if (consumer.created !== this.#setup?.consumer.created) pulls.end('the consumer was deleted and created again');
      } catch (error) {
        pulls.end(messageOf(error));
      }
    }
  }

  async #watch(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (status.type === 'disconnect') {
        this.#isOnline = false;
        this.#wait('the connection to NATS was lost; connecting again');
        this.#pulls?.end('the connection to NATS was lost; connecting again');
      } else if (status.type === 'reconnect') {
        this.#isOnline = true;
      } else if (status.type === 'error' && status.error.name === 'PermissionViolationError') {
        this.#pulls?.end(`NATS does not let this user do what a hub must: ${status.error.message}`);
      }
    }
  }

  async #keepAlive(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const silentMs = this.#ackWaitMs * KEEP_ALIVE_PART;
      await this.#parts.clock.sleep(silentMs / 2, signal);
      this.#handover.keepAlive(silentMs);
    }
  }

  #publish(subject: string, payload: Uint8Array): boolean {
    if (!this.#isOnline || this.#connection === undefined || this.#connection.isClosed()) return false;
    this.#connection.publish(subject, payload);
    return true;
  }

  #tell({ created, warnings }: StreamSetup): void {
    const { streamName, consumerName } = this.#settings;
    const { log } = this.#parts;
    for (const what of created) {
      const name = what === 'stream' ? streamName : consumerName;
      if (this.#setup === undefined) log.info(`the ${what} ${name} was not there and has been created`);
      else log.warn(`the ${what} ${name} was gone and has been created again`);
    }
    for (const warning of warnings) {
      if (!this.#warned.has(warning)) log.warn(warning);
      this.#warned.add(warning);
    }
  }

  /** One sentence, once, however often it is found again. */
  #wait(reason: string): void {
    if (this.#lastError !== reason || this.#state === 'ok') this.#parts.log.warn('waiting for NATS', { reason });
    this.#state = 'failing';
    this.#lastError = reason;
  }
}

/** The promise, but no longer; what becomes of it afterwards is nobody's concern. */
async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([
    work.then(
      () => undefined,
      () => undefined,
    ),
    limit,
  ]);
  clearTimeout(timer);
}

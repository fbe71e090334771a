/** For tests: a stream of its own on a real NATS server, a reader of it into a real database, and a publisher. */
import assert from 'node:assert/strict';
import { after } from 'node:test';
import {
  type ConsumerConfig,
  type ConsumerInfo,
  type JetStreamManager,
  jetstreamManager,
  type StreamConfig,
} from '@nats-io/jetstream';
import { headers, type NatsConnection } from '@nats-io/transport-node';
import { systemClock } from '../../base/clock.ts';
import { createLogger } from '../../base/logger.ts';
import { connectNats } from '../../base/nats.ts';
import { natsConnectionOf } from '../../base/nats-config.ts';
import { seededRandom } from '../../base/random.ts';
import { encodeFrame } from '../../model/frame.ts';
import { MESSAGE_ID_HEADER, natsMessageId } from '../../model/nats-wire.ts';
import type { DatabaseSettings, NatsSettings } from '../settings.ts';
import { createAnswerPool, createClient } from '../store/connection.ts';
import { select } from '../../../test/support/hub-database.ts';
import { until } from '../../../test/support/until.ts';
import { EdgeReports } from './edge-reports.ts';
import { HANDOVER_LIMITS, type HandoverLimits } from './handover.ts';
import { INGEST_LIMITS, type IngestLimits, Ingestor } from './ingestor.ts';
import { JetStreamReader } from './jetstream.ts';
import { SettledAnswers } from './settled-answers.ts';

const MIB = 2 ** 20;
let streams = 0;

/** Of a stream that no other test has; it is not there yet. */
export function natsSettings(url: string, changes: Partial<NatsSettings> = {}): NatsSettings {
  streams += 1;
  const streamName = changes.streamName ?? `TEST_${streams}`;
  return {
    connection: natsConnectionOf({ url }),
    streamName,
    consumerName: 'PROCESSOR',
    subjects: [`${streamName}.>`],
    streamBytesMax: 64 * MIB,
    replicas: 1,
    persistMode: 'default',
    ackWaitMs: 30_000,
    ...changes,
  };
}

export interface TestReader {
  readonly reader: JetStreamReader;
  readonly ingestor: Ingestor;
  /** What it has logged at the levels warn and error. */
  readonly warnings: string[];
  /** As at SIGTERM. */
  readonly stop: () => Promise<void>;
}

export function startReader(
  database: DatabaseSettings,
  settings: NatsSettings,
  { ingest = {}, handover = {} }: { ingest?: Partial<IngestLimits>; handover?: Partial<HandoverLimits> } = {},
): TestReader {
  const warnings: string[] = [];
  const write = (line: string): void => {
    const { level, message, ...rest } = JSON.parse(line) as { level: string; message: string };
    if (level === 'warn' || level === 'error') warnings.push(`${message} ${JSON.stringify(rest)}`);
  };
  const log = createLogger({ level: 'info', pretty: false, write, now: () => '' });
  const parts = { clock: systemClock, random: seededRandom(1), log };
  const ingestor = new Ingestor(
    {
      ...parts,
      connection: (onLost) => createClient(database, 'write', onLost),
      isWatched: () => false,
      committed: () => {},
    },
    { ...INGEST_LIMITS, ...ingest },
  );
  const answers = createAnswerPool(database, log);
  after(() => answers.end());
  const edgeReports = new EdgeReports({ save: () => Promise.resolve(), log });
  const reader = new JetStreamReader(
    settings,
    { ...parts, ingestor, edgeReports, settledAnswers: new SettledAnswers(answers) },
    { ...HANDOVER_LIMITS, ...handover },
  );
  const stopping = new AbortController();
  const running = [ingestor.run(stopping.signal), reader.run(stopping.signal)];
  const stop = async (): Promise<void> => {
    stopping.abort();
    await Promise.all(running);
  };
  after(stop);
  return { reader, ingestor, warnings, stop };
}

export interface PublishOptions {
  /** Default: a batch of the gateway `gw`, whose sequence rises. null: none. */
  readonly messageId?: string | null;
  readonly encoding?: string;
  /** How long the stream's answer may take. */
  readonly timeoutMs?: number;
}

/** Publishes to one stream, and asks the server about it. */
export class TestPublisher {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly #settings: NatsSettings;
  #sequence = 0;

  constructor(parts: { connection: NatsConnection; manager: JetStreamManager; settings: NatsSettings }) {
    this.connection = parts.connection;
    this.manager = parts.manager;
    this.#settings = parts.settings;
  }

  /** Resolves when the stream has it. @throws what the stream answers instead */
  async publish(
    payload: Uint8Array | string,
    { messageId, encoding, timeoutMs = 20_000 }: PublishOptions = {},
  ): Promise<void> {
    const given = headers();
    if (messageId !== null) given.set(MESSAGE_ID_HEADER, messageId ?? this.batchId((this.#sequence += 1)));
    if (encoding !== undefined) given.set('Content-Encoding', encoding);
    const subject = `${this.#settings.streamName}.edge.gw`;
    const answer = await this.connection.request(subject, payload, { headers: given, timeout: timeoutMs });
    const { error } = answer.json<{ error?: { description: string } }>();
    if (error !== undefined) throw new Error(error.description);
  }

  get streamName(): string {
    return this.#settings.streamName;
  }

  batchId(sequence: number): string {
    return natsMessageId({ gatewayId: 'gw', epoch: 'e1', sequence });
  }

  /** As a user might have set it up. */
  async createStream(changes: Partial<StreamConfig> = {}): Promise<void> {
    const { streamName, subjects } = this.#settings;
    await this.manager.streams.add({
      name: streamName,
      subjects: [...subjects],
      retention: 'workqueue',
      discard: 'new',
      ...changes,
    });
  }

  async createConsumer(changes: Partial<ConsumerConfig> = {}): Promise<void> {
    const { streamName, consumerName } = this.#settings;
    await this.manager.consumers.add(streamName, { durable_name: consumerName, ack_policy: 'explicit', ...changes });
  }

  consumerInfo(): Promise<ConsumerInfo> {
    return this.manager.consumers.info(this.#settings.streamName, this.#settings.consumerName);
  }

  /** As the hub does that gives the message back, whichever hub it was delivered to. */
  refuse(sequence: number): void {
    const { streamName, consumerName } = this.#settings;
    this.connection.publish(`$JS.ACK.${streamName}.${consumerName}.1.${sequence}.${sequence}.0.0`, '-NAK');
  }

  /** Messages that the stream has taken so far. */
  async taken(): Promise<number> {
    return (await this.manager.streams.info(this.#settings.streamName)).state.last_seq;
  }

  /** Messages that the stream still has. */
  async left(): Promise<number> {
    return (await this.manager.streams.info(this.#settings.streamName)).state.messages;
  }

  /** Resolves when the stream holds no message, so that each is acknowledged. */
  async drained(): Promise<void> {
    await until(async () => (await this.left()) === 0);
  }

  /** Resolves when the hub has created the stream. */
  async created(): Promise<void> {
    const isThere = (): Promise<boolean> =>
      this.consumerInfo().then(
        () => true,
        () => false,
      );
    await until(isThere);
  }
}

export async function connectPublisher(settings: NatsSettings): Promise<TestPublisher> {
  const connection = await connectNats(settings.connection, {
    name: 'test',
    random: seededRandom(2),
    reconnectFirstMs: 20,
  });
  after(() => connection.close());
  return new TestPublisher({ connection, manager: await jetstreamManager(connection), settings });
}

/** One reading in wire form, each at a time of its own. */
export function sample(index: number, fields: object = {}): object {
  return { machine_id: 'CNC-1', timestamp: new Date(Date.UTC(2026, 0, 1) + index).toISOString(), ...fields };
}

export function frames(...readings: unknown[]): Buffer {
  return Buffer.concat(readings.map((reading) => encodeFrame(reading)));
}

export async function rowsStored(database: DatabaseSettings): Promise<number> {
  const [row] = await select<{ n: number }>(database, 'select count(*)::integer as n from sensor_data');
  return row?.n ?? 0;
}

/** Fails unless exactly the samples of 1 to `count` are there, each once. */
export async function assertStored(database: DatabaseSettings, count: number): Promise<void> {
  const [row] = await select<{ rows: number; times: number }>(
    database,
    'select count(*)::integer as rows, count(distinct time)::integer as times from sensor_data',
  );
  assert.deepEqual(row, { rows: count, times: count });
}

/** For tests of the sink `nats`: a sink, batches, and a look at what a stream of a real server has. */
import { randomBytes } from 'node:crypto';
import type { TestContext } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import { jetstreamManager, type JetStreamManager, type StreamConfig } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { type NatsOptions, type NatsServer, startNats } from '../../../test/support/nats-server.ts';
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import type { Batch } from '../../model/batch.ts';
import type { Sink, StatusReporter } from '../../ports/sink.ts';
import { schema } from './config.ts';
import { create } from './sink.ts';

export const GATEWAY = 'gw 1';
export const never: AbortSignal = new AbortController().signal;

export async function openServer(context: TestContext, options?: NatsOptions): Promise<NatsServer> {
  const server = await startNats(options);
  context.after(() => server.stop());
  return server;
}

/** With the keys of its configuration. Unless they say otherwise, a batch is settled when the stream has it: there is no hub. */
export function openSink(context: TestContext, keys: object): Sink & StatusReporter {
  const options = schema.parse({ reconnect_delay: '20ms', confirm: 'published', ...keys });
  const parts = {
    gatewayId: GATEWAY,
    clock: systemClock,
    random: Math.random,
    log: silentLogger,
    backlogReadings: () => 0,
  };
  const sink = create(options, parts) as Sink & StatusReporter;
  context.after(() => sink.close());
  return sink;
}

/** Its payload cannot be compressed where `isRandom`. */
export function batch(sequence: number, bytes = 1_000, isRandom = false): Batch {
  const payload = isRandom ? randomBytes(bytes) : new Uint8Array(bytes).fill(sequence);
  return { gatewayId: GATEWAY, epoch: 'ep-1', sequence, readings: 1, payload };
}

export interface Stored {
  readonly subject: string;
  readonly id: string;
  readonly encoding: string;
  readonly payload: Buffer;
}

/** Makes streams and looks into them, with rights of its own. */
export class Observer {
  readonly manager: JetStreamManager;

  constructor(manager: JetStreamManager) {
    this.manager = manager;
  }

  static async open(context: TestContext, url: string): Promise<Observer> {
    const { username: user, password: pass, host } = new URL(url);
    const connection = await connect({ servers: host, user, pass });
    context.after(() => connection.close());
    return new Observer(await jetstreamManager(connection, { checkAPI: false }));
  }

  async addStream(config: Partial<StreamConfig> = {}): Promise<void> {
    const policies = { retention: 'workqueue', discard: 'new' } as const;
    await this.manager.streams.add({ name: 'CNC_DATA', subjects: ['CNC_DATA.>'], ...policies, ...config });
  }

  /** All messages of the stream in its order, decompressed. */
  async stored(stream = 'CNC_DATA'): Promise<Stored[]> {
    const { state } = await this.manager.streams.info(stream);
    const stored: Stored[] = [];
    for (let seq = Math.max(1, state.first_seq); seq <= state.last_seq; seq += 1) {
      const message = await this.manager.streams.getMessage(stream, { seq });
      if (message === null) continue;
      const { subject, header, data } = message;
      const encoding = header.get('Content-Encoding');
      const payload = encoding === 'zstd' ? zstdDecompressSync(data) : Buffer.from(data);
      stored.push({ subject, id: header.get('Nats-Msg-Id'), encoding, payload });
    }
    return stored;
  }
}

/** What a delivery that may pass says: its code and its sentence. */
export async function failure(delivery: Promise<unknown>): Promise<{ code: unknown; message: string }> {
  try {
    return { code: 'none', message: JSON.stringify(await delivery) };
  } catch (error) {
    return { code: (error as { code?: unknown }).code, message: (error as Error).message };
  }
}

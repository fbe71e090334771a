/** For tests: plain clients of a NATS server, closed with the test. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after } from 'node:test';
import {
  AckPolicy,
  DeliverPolicy,
  jetstream,
  type JetStreamClient,
  jetstreamManager,
  type StreamConfig,
} from '@nats-io/jetstream';
import { connectNats, type NatsConnection, type NatsConnectionSettings } from '../../src/base/nats.ts';
import { natsConnectionKeys, natsConnectionOf } from '../../src/base/nats-config.ts';
import { seededRandom } from '../../src/base/random.ts';
import { z } from 'zod';
import { NATS_CONFIGURATIONS } from './nats-server.ts';
import { waitUntil } from './system.ts';

/** Connects again soon, so that no test waits for it. */
const RECONNECT_FIRST_MS = 25;
const PULLED_MAX = 500;

/** With what is not in the URL given besides. */
export async function natsClient(url: string, besides: Partial<NatsConnectionSettings> = {}): Promise<NatsConnection> {
  const settings = { ...natsConnectionOf(z.object(natsConnectionKeys).parse({ url })), ...besides };
  const connection = await connectNats(settings, {
    name: 'test',
    random: seededRandom(1),
    reconnectFirstMs: RECONNECT_FIRST_MS,
  });
  after(() => connection.close());
  return connection;
}

/** A stream as deploy/nats/ has it for users. */
export async function streamOf(file: 'leaf-stream.json' | 'centre-stream.json'): Promise<StreamConfig> {
  return JSON.parse(await readFile(path.join(NATS_CONFIGURATIONS, file), 'utf8')) as StreamConfig;
}

export function idsOf(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${name}-${index}`);
}

/** Publishes one message for each id, again until it is acknowledged, as an edge does. */
export async function publishAll(stream: JetStreamClient, subject: string, ids: readonly string[]): Promise<void> {
  const publish = async (msgID: string): Promise<true> => {
    await stream.publish(subject, msgID, { msgID, timeout: 2_000 });
    return true;
  };
  await Promise.all(ids.map((id) => waitUntil(`the acknowledgment of ${id}`, () => publish(id))));
}

/** Reads and acknowledges until every one of the ids has come; resolves to the `Nats-Msg-Id` of all that came, in order. */
export async function readAll(connection: NatsConnection, stream: string, ids: readonly string[]): Promise<string[]> {
  const config = { ack_policy: AckPolicy.Explicit, deliver_policy: DeliverPolicy.All, durable_name: 'READER' };
  // The server may just have been started again.
  await waitUntil(`${stream} at the server`, async () =>
    (await jetstreamManager(connection, { checkAPI: false })).consumers.add(stream, config),
  );
  const missing = new Set(ids);
  const came: string[] = [];
  await waitUntil(
    `${ids.length} messages in ${stream}`,
    async () => {
      const consumer = await jetstream(connection).consumers.get(stream, 'READER');
      for await (const message of await consumer.fetch({ max_messages: PULLED_MAX, expires: 1_000 })) {
        const id = message.headers?.get('Nats-Msg-Id') ?? '';
        came.push(id);
        missing.delete(id);
        await message.ackAck();
      }
      return missing.size === 0 ? true : undefined;
    },
    { timeoutMs: 180_000 },
  );
  return came;
}

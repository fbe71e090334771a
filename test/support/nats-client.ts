/** For tests: plain clients of a NATS server, closed with the test. */
import { after } from 'node:test';
import { AckPolicy, DeliverPolicy, jetstream, type JetStreamClient, jetstreamManager } from '@nats-io/jetstream';
import { connectNats, type NatsConnection, type NatsConnectionSettings } from '../../src/base/nats.ts';
import { natsConnectionKeys, natsConnectionOf } from '../../src/base/nats-config.ts';
import { seededRandom } from '../../src/base/random.ts';
import { z } from 'zod';
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

/** Publishes one message for each id, again until it is acknowledged, as an edge does. */
export async function publishAll(stream: JetStreamClient, subject: string, ids: readonly string[]): Promise<void> {
  const publish = async (msgID: string): Promise<true> => {
    await stream.publish(subject, msgID, { msgID, timeout: 2_000 });
    return true;
  };
  await Promise.all(ids.map((id) => waitUntil(`the acknowledgment of ${id}`, () => publish(id))));
}

/** Reads and acknowledges until every one of the ids has come; resolves to all that came, in order. */
export async function readAll(connection: NatsConnection, stream: string, ids: readonly string[]): Promise<string[]> {
  const manager = await jetstreamManager(connection);
  const config = { ack_policy: AckPolicy.Explicit, deliver_policy: DeliverPolicy.All, durable_name: 'READER' };
  await manager.consumers.add(stream, config);
  const missing = new Set(ids);
  const came: string[] = [];
  await waitUntil(
    `${ids.length} messages in ${stream}`,
    async () => {
      const consumer = await jetstream(connection).consumers.get(stream, 'READER');
      for await (const message of await consumer.fetch({ max_messages: PULLED_MAX, expires: 1_000 })) {
        came.push(message.string());
        missing.delete(message.string());
        await message.ackAck();
      }
      return missing.size === 0 ? true : undefined;
    },
    { timeoutMs: 180_000 },
  );
  return came;
}

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startTestServer } from '../../../test/support/hub-database.ts';
import { type NatsServer, startNats } from '../../../test/support/nats-server.ts';
import { until } from '../../../test/support/until.ts';
import type { NatsSettings } from '../settings.ts';
import { setUpStream } from './stream-setup.ts';
import {
  assertStored,
  connectPublisher,
  frames,
  natsSettings,
  sample,
  startReader,
  type TestReader,
} from './jetstream.test-support.ts';

const database = await startTestServer();

async function start(text: string): Promise<NatsServer> {
  const server = await startNats({ config: { text } });
  after(() => server.stop());
  return server;
}

/** A reader that waits, and the sentence for which. */
async function waiting(settings: NatsSettings, sentence: RegExp): Promise<TestReader> {
  const started = startReader(await database.database(), settings);
  await until(() => sentence.test(started.reader.lastError ?? '')).catch((cause: unknown) => {
    throw new Error(`it says: ${started.reader.lastError}`, { cause });
  });
  const { state, last_error } = started.reader.status;
  assert.deepEqual([state, last_error], ['failing', started.reader.lastError]);
  return started;
}

test('nobody at the address, and a wrong password: waiting states', async () => {
  const server = await start('authorization { user: hub, password: right }');
  const { port } = new URL(server.address);
  await waiting(natsSettings(`nats://127.0.0.1:1`), /^NATS at 127\.0\.0\.1:1 cannot be reached: connection refused/);
  const wrong = natsSettings(`nats://hub:wrong@127.0.0.1:${port}`);
  const { warnings } = await waiting(wrong, /^NATS at 127\.0\.0\.1:\d+ does not let us in \(Authorization/i);
  assert.doesNotMatch(warnings.join(), /wrong@/);
});

test('an account without JetStream, one without the storage, a user without the right: each has its sentence', async () => {
  const server = await start(`
    accounts {
      NONE { users: [{ user: none, password: x }] }
      SMALL { jetstream { max_file: 4MB, max_mem: 0 }, users: [{ user: small, password: x }] }
      MUTE { jetstream: enabled, users: [
        { user: mute, password: x, permissions { publish: { deny: ["$JS.API.STREAM.CREATE.>"] } } }
        { user: deaf, password: x, permissions { publish: { deny: ["$JS.API.CONSUMER.MSG.NEXT.>"] } } }
      ] }
    }`);
  const as = (user: string): string => server.address.replace('//', `//${user}:x@`);
  await waiting(natsSettings(as('none')), /no JetStream, or this account may not use it|JetStream is not enabled/);
  await waiting(
    natsSettings(as('small')),
    /^the NATS server has not enough storage for the stream TEST_\d+ of 67108864 bytes \(nats\.stream_max_bytes\)/,
  );
  const may = /^NATS does not let this user do what a hub must: Permissions Violation for Publish to "\$JS\.API\./;
  await waiting(natsSettings(as('mute')), may);
  await waiting(natsSettings(as('deaf')), may);
});

test('copies that there are no servers for, subjects that are taken, a consumer that hubs cannot use: each has its sentence', async () => {
  const server = await start('');
  await waiting(natsSettings(server.address, { replicas: 3 }), /cannot keep 3 copies of the stream/);
  const taken = natsSettings(server.address);
  const publisher = await connectPublisher(taken);
  await publisher.createStream();
  await waiting(
    natsSettings(server.address, { subjects: taken.subjects }),
    /^another stream has subjects of TEST_\d+\.> /,
  );
  await publisher.createConsumer({ deliver_subject: 'somewhere' });
  await waiting(taken, /^the consumer PROCESSOR is a push consumer/);
  const bare = natsSettings(server.address);
  const without = await connectPublisher(bare);
  await without.createStream();
  await without.createConsumer({ headers_only: true });
  await without.publish(frames(sample(1)));
  await waiting(bare, /^the consumer PROCESSOR delivers the headers only/);
  assert.equal(await without.left(), 1);
  const other = natsSettings(server.address);
  const its = await connectPublisher(other);
  await its.createStream();
  await its.manager.consumers.add(other.streamName, { durable_name: 'ANOTHER', ack_policy: 'explicit' });
  const { reader } = await waiting(other, /has another consumer than PROCESSOR, and a work queue has one/);
  // What was in the way is taken away: the hub goes on by itself.
  await its.manager.consumers.delete(other.streamName, 'ANOTHER');
  await until(() => reader.lastError === null);
});

test('a stream that may acknowledge before it has written is made so, and only where that is asked for', async () => {
  const server = await start('');
  for (const persistMode of ['default', 'async'] as const) {
    const settings = natsSettings(server.address, { persistMode });
    const { reader } = startReader(await database.database(), settings);
    await until(() => reader.lastError === null);
    const { manager } = await connectPublisher(settings);
    const { config } = await manager.streams.info(settings.streamName);
    assert.equal(config.persist_mode ?? 'default', persistMode);
  }
});

test('a stream and a consumer of the user’s are used as they are, with a warning for each setting that can lose readings', async () => {
  const server = await start('');
  const settings = natsSettings(server.address);
  const publisher = await connectPublisher(settings);
  const limits = { max_age: 60e9, max_msgs_per_subject: 1_000 };
  await publisher.createStream({ retention: 'limits', discard: 'old', storage: 'memory', ...limits });
  await publisher.createConsumer({
    ack_policy: 'explicit',
    max_deliver: 5,
    filter_subject: `${settings.streamName}.edge.*`,
  });
  const rows = await database.database();
  const { reader, warnings } = startReader(rows, settings);
  await publisher.publish(frames(sample(1)));
  await until(() => reader.counters.acknowledged === 1);
  await assertStored(rows, 1);
  const said = warnings.join('\n');
  for (const sentence of [
    /the discard policy "old": when it is full, the oldest unread messages are deleted/,
    /the retention "limits"/,
    /is kept in memory: a restart of the server loses unread messages/,
    /a max_age of 60 s: unread messages that are older are deleted/,
    /a max_msgs_per_subject of 1000: beyond it the oldest unread messages of an edge are deleted/,
    /a max_deliver of 5: after so many tries a message is never read/,
    /a filter \(TEST_\d+\.edge\.\*\): messages of other subjects are never read/,
  ]) {
    assert.match(said, sentence);
  }
  assert.equal(warnings.length, 7);
  assert.deepEqual((await publisher.manager.streams.info(settings.streamName)).config.retention, 'limits');
});

test('a stream that is deleted and created again while it is set up is not taken for the one that it was', async () => {
  const server = await start('');
  const settings = natsSettings(server.address);
  const publisher = await connectPublisher(settings);
  await publisher.createStream();
  const replace = async (): Promise<void> => {
    await publisher.manager.streams.delete(settings.streamName);
    await publisher.createStream();
  };
  let isReplaced = false;
  const connection = new Proxy(publisher.connection, {
    get: (own, key) => {
      const value: unknown = Reflect.get(own, key, own);
      if (typeof value !== 'function') return value;
      if (key !== 'request') return value.bind(own) as unknown;
      return async (subject: string, ...rest: unknown[]): Promise<unknown> => {
        if (subject.startsWith('$JS.API.CONSUMER.INFO.') && !isReplaced) {
          isReplaced = true;
          await replace();
        }
        return Reflect.apply(value, own, [subject, ...rest]) as unknown;
      };
    },
  });
  await assert.rejects(setUpStream(connection, settings), /was deleted and created again meanwhile/);
  const { created } = await publisher.manager.streams.info(settings.streamName);
  assert.equal((await setUpStream(connection, settings)).epoch, created);
});

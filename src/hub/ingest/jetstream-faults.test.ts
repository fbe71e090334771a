import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startTestServer, withClient } from '../../../test/support/hub-database.ts';
import { freePort } from '../../../test/support/system.ts';
import { until } from '../../../test/support/until.ts';
import { TcpProxy } from '../../../test/oracle/tcp-proxy.ts';
import type { DatabaseSettings } from '../settings.ts';
import {
  assertStored,
  connectPublisher,
  frames,
  natsSettings,
  rowsStored,
  sample,
  startReader,
  type TestPublisher,
} from './jetstream.test-support.ts';
import { startNats } from '../../../test/support/nats-server.ts';

const database = await startTestServer();
const nats = await startNats({ config: { text: '' } });
after(() => nats.stop());

/** Longer than a busy machine lets a test's process stand still. */
const ACK_WAIT_MS = 6_000;

/** Samples `first` to `last`, one a message. */
async function publishSamples(publisher: TestPublisher, first: number, last: number): Promise<void> {
  const messages = Array.from({ length: last - first + 1 }, (_, index) => frames(sample(first + index)));
  await Promise.all(messages.map((message) => publisher.publish(message)));
}

/** A way to the database that can be cut. */
async function databaseBehindProxy(): Promise<{ rows: DatabaseSettings; far: DatabaseSettings; proxy: TcpProxy }> {
  const rows = await database.database();
  const port = await freePort();
  const proxy = new TcpProxy({ port, targetPort: rows.port });
  await proxy.start();
  after(() => proxy.stop());
  return { rows, far: { ...rows, host: '127.0.0.1', port }, proxy };
}

/** Resolves when the server has given up waiting for one that took a message and said nothing. */
async function ackWaitPassed(publisher: TestPublisher, ackWaitMs: number): Promise<void> {
  const stream = `${publisher.streamName}_WITNESS`;
  await publisher.manager.streams.add({ name: stream, subjects: [stream] });
  await publisher.manager.consumers.add(stream, {
    durable_name: 'W',
    ack_policy: 'explicit',
    ack_wait: ackWaitMs * 1e6,
  });
  await publisher.connection.request(stream, '');
  const ask = async (): Promise<boolean> => {
    // A message comes with its own subject, by which a shared inbox cannot tell whose it is.
    const options = { noMux: true, timeout: 20_000 };
    const answer = await publisher.connection.request(`$JS.API.CONSUMER.MSG.NEXT.${stream}.W`, '{"batch":1}', options);
    return answer.reply?.includes('.W.1.') ?? false;
  };
  assert.equal(await ask(), true);
  assert.equal(await ask(), false);
}

test('a database slower than the ack wait: the server hears that the messages are worked on, and all are stored once', async () => {
  const [rows, settings] = [await database.database(), natsSettings(nats.url, { ackWaitMs: ACK_WAIT_MS })];
  const publisher = await connectPublisher(settings);
  const { reader } = startReader(rows, settings);
  await publisher.created();
  await withClient(rows, async (client) => {
    await client.query('begin; lock table sensor_data in access exclusive mode');
    await publishSamples(publisher, 1, 2_000);
    await until(() => reader.status.messages_in_flight === 2_000);
    await ackWaitPassed(publisher, ACK_WAIT_MS * 1.25);
    assert.equal(await publisher.left(), 2_000);
    await client.query('commit');
  });
  await publisher.drained();
  await assertStored(rows, 2_000);
  const { redelivered, acknowledged } = reader.counters;
  assert.equal(acknowledged, 2_000);
  // If nothing were said, each would have come again.
  assert.ok(redelivered < 1_000, `${redelivered} delivered again`);
});

test('the database away for long: messages are kept, then given back with growing delays, and all stored after', async () => {
  const { rows, far, proxy } = await databaseBehindProxy();
  const settings = natsSettings(nats.url);
  const publisher = await connectPublisher(settings);
  const { reader, warnings } = startReader(far, settings, {
    ingest: { patienceMs: 100, backoff: { firstMs: 20, maxMs: 50 } },
    handover: {
      holdMs: 200,
      giveBack: { firstMs: 50, maxMs: 200 },
      retry: { firstMs: 20, maxMs: 100 },
      messagesMax: 500,
    },
  });
  await publisher.created();
  await publishSamples(publisher, 1, 100);
  await publisher.drained();
  const mend = await proxy.add({ kind: 'cut' });
  await publishSamples(publisher, 101, 3_000);
  await until(() => reader.counters.givenBack > 1_000);
  assert.ok(reader.status.messages_in_flight <= 500);
  assert.equal(await publisher.left(), 2_900);
  assert.equal(reader.counters.acknowledged, 100);
  await mend();
  await publisher.drained();
  await assertStored(rows, 3_000);
  assert.equal(reader.counters.acknowledged, 3_000);
  assert.equal(warnings.filter((line) => line.startsWith('readings from NATS cannot be stored now')).length, 1);
});

test('what is kept while the database is away is stored as soon as it is back, without being delivered again', async () => {
  const { rows, far, proxy } = await databaseBehindProxy();
  const settings = natsSettings(nats.url, { ackWaitMs: ACK_WAIT_MS });
  const publisher = await connectPublisher(settings);
  const { reader, ingestor } = startReader(far, settings, {
    ingest: { patienceMs: 100, backoff: { firstMs: 20, maxMs: 50 } },
    handover: { retry: { firstMs: 20, maxMs: 100 } },
  });
  await publisher.created();
  const mend = await proxy.add({ kind: 'cut' });
  await publishSamples(publisher, 1, 3_000);
  await until(() => ingestor.counters.failures > 5 && reader.status.messages_in_flight === 3_000);
  await ackWaitPassed(publisher, ACK_WAIT_MS * 1.25);
  await mend();
  await publisher.drained();
  await assertStored(rows, 3_000);
  const { redelivered, acknowledged, givenBack } = reader.counters;
  assert.deepEqual([acknowledged, givenBack], [3_000, 0]);
  assert.ok(redelivered < 1_000, `${redelivered} delivered again`);
});

test('a storm of redelivery of messages that are being stored: all stored once', async () => {
  const [rows, settings] = [await database.database(), natsSettings(nats.url)];
  const publisher = await connectPublisher(settings);
  const { reader } = startReader(rows, settings);
  await publisher.created();
  await withClient(rows, async (client) => {
    await client.query('begin; lock table sensor_data in access exclusive mode');
    await publishSamples(publisher, 1, 500);
    await until(() => reader.status.messages_in_flight === 500);
    for (let round = 1; round <= 5; round += 1) {
      // In the reader's name the server is told that each is refused; so it delivers them at once.
      for (let sequence = 1; sequence <= 500; sequence += 1) publisher.refuse(sequence);
      await until(() => reader.counters.redelivered === round * 500);
    }
    assert.equal(reader.status.messages_in_flight, 500);
    await client.query('commit');
  });
  await publisher.drained();
  await assertStored(rows, 500);
  assert.deepEqual([reader.counters.received, reader.counters.acknowledged], [3_000, 500]);
});

test('two hubs share a consumer; when one stops in order, the other has the rest at once', async () => {
  const [rows, settings] = [await database.database(), natsSettings(nats.url, { ackWaitMs: 3_600_000 })];
  const publisher = await connectPublisher(settings);
  const one = startReader(rows, settings);
  await publisher.created();
  const other = startReader(rows, settings);
  await until(() => one.reader.lastError === null && other.reader.lastError === null);
  const publishing = publishSamples(publisher, 1, 10_000);
  await until(() => one.reader.counters.acknowledged > 0 && other.reader.counters.acknowledged > 0);
  await one.stop();
  await publishing;
  await publisher.drained();
  await assertStored(rows, 10_000);
  assert.equal(one.reader.counters.acknowledged + other.reader.counters.acknowledged, 10_000);
});

test('a hub that stops while the database is away gives everything back', { timeout: 60_000 }, async () => {
  const { rows, far, proxy } = await databaseBehindProxy();
  const settings = natsSettings(nats.url, { ackWaitMs: 3_600_000 });
  const publisher = await connectPublisher(settings);
  const one = startReader(far, settings);
  await publisher.created();
  await proxy.add({ kind: 'cut' });
  await publishSamples(publisher, 1, 1_000);
  await until(() => one.reader.status.messages_in_flight === 1_000);
  await one.stop();
  assert.deepEqual([one.reader.counters.givenBack, one.reader.counters.acknowledged], [1_000, 0]);
  startReader(rows, settings);
  await publisher.drained();
  await assertStored(rows, 1_000);
});

test('the consumer deleted, then the stream, under a reader: created again, told, and nothing of what was held is lost', async () => {
  const [rows, settings] = [await database.database(), natsSettings(nats.url)];
  const publisher = await connectPublisher(settings);
  const { reader, warnings } = startReader(rows, settings);
  await publisher.created();
  await publishSamples(publisher, 1, 100);
  await publisher.drained();
  await publisher.manager.consumers.delete(settings.streamName, 'PROCESSOR');
  await publisher.created();
  await publishSamples(publisher, 101, 200);
  await publisher.drained();
  await withClient(rows, async (client) => {
    await client.query('begin; lock table sensor_data in access exclusive mode');
    await publishSamples(publisher, 201, 300);
    await until(() => reader.status.messages_in_flight === 100);
    await publisher.manager.streams.delete(settings.streamName);
    await publisher.created();
    // They have the numbers of those that are held, and must not be taken for them.
    await publishSamples(publisher, 301, 400);
    await until(() => reader.status.messages_in_flight === 200);
    await client.query('commit');
  });
  await publisher.drained();
  // Those that were held are no longer in any stream that could tell that they are stored.
  await until(async () => (await rowsStored(rows)) === 400);
  await assertStored(rows, 400);
  assert.equal(reader.counters.acknowledged, 300);
  const said = warnings.join('\n');
  assert.match(said, /the consumer PROCESSOR was gone and has been created again/);
  assert.match(said, new RegExp(`the stream ${settings.streamName} was gone and has been created again`));
});

test('a stream at its limit refuses publishers, and takes again what is read', async () => {
  const { rows, far, proxy } = await databaseBehindProxy();
  const settings = natsSettings(nats.url, { streamBytesMax: 2 ** 20 });
  const publisher = await connectPublisher(settings);
  const { ingestor } = startReader(far, settings, { ingest: { backoff: { firstMs: 20, maxMs: 50 } } });
  await publisher.created();
  const mend = await proxy.add({ kind: 'cut' });
  let taken = 0;
  await assert.rejects(async () => {
    for (;;) {
      await publisher.publish(frames(sample(taken + 1, { note: 'x'.repeat(10_000) })));
      taken += 1;
    }
  }, /maximum bytes exceeded/);
  await until(() => ingestor.counters.failures > 0);
  await mend();
  await publisher.drained();
  await publisher.publish(frames(sample(taken + 1)));
  await publisher.drained();
  await assertStored(rows, taken + 1);
});

test('the server killed in the midst and started again: everything that it has taken is stored once', async () => {
  const own = await startNats({ config: { text: '' } });
  after(() => own.stop());
  const [rows, settings] = [await database.database(), natsSettings(own.url, { ackWaitMs: 1_000 })];
  const publisher = await connectPublisher(settings);
  const { reader, warnings } = startReader(rows, settings);
  await publisher.created();
  // As an edge does: again, until the stream says that it has it.
  const deliver = (index: number): Promise<void> => {
    const options = { messageId: publisher.batchId(index), timeoutMs: 1_000 };
    const attempt = (): Promise<boolean> =>
      publisher.publish(frames(sample(index)), options).then(
        () => true,
        () => false,
      );
    return until(attempt);
  };
  let delivered = 0;
  const delivering = (async () => {
    for (; delivered < 1_000; delivered += 1) await deliver(delivered + 1);
  })();
  await until(() => delivered > 300);
  await own.kill('SIGKILL');
  await until(() => reader.lastError !== null);
  assert.equal(reader.status.state, 'failing');
  await own.restart();
  await delivering;
  await publisher.drained();
  await assertStored(rows, 1_000);
  assert.match(warnings.join('\n'), /the connection to NATS was lost; connecting again/);
});

test('messages that are delivered when nothing can be stored stay within the limits', async () => {
  const { rows, far, proxy } = await databaseBehindProxy();
  const settings = natsSettings(nats.url);
  const publisher = await connectPublisher(settings);
  const { reader } = startReader(far, settings, { handover: { bytesMax: 8 * 2 ** 20 } });
  await publisher.created();
  const mend = await proxy.add({ kind: 'cut' });
  const large = Array.from({ length: 100 }, (_, index) => frames(sample(index + 1, { note: 'x'.repeat(300_000) })));
  for (const message of large) await publisher.publish(message);
  await until(async () => {
    const { num_waiting, num_ack_pending } = await publisher.consumerInfo();
    return num_waiting === 0 && num_ack_pending > 0 && num_ack_pending === reader.status.messages_in_flight;
  });
  const most = reader.status.messages_in_flight;
  assert.ok(most <= 28, `${most} messages of 0.3 MB`);
  await mend();
  await publisher.drained();
  await assertStored(rows, 100);
  assert.equal(await rowsStored(rows), 100);
});

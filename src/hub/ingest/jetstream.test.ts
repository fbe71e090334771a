import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { select, startTestServer } from '../../../test/support/hub-database.ts';
import { until } from '../../../test/support/until.ts';
import {
  assertStored,
  connectPublisher,
  frames,
  natsSettings,
  rowsStored,
  sample,
  startReader,
} from './jetstream.test-support.ts';
import { startNats } from '../../../test/support/nats-server.ts';

const database = await startTestServer();
const nats = await startNats({ config: { text: '' } });
after(() => nats.stop());

const lettersOf = async (settings: Parameters<typeof select>[0]): Promise<{ reason: string; bytes: Buffer }[]> =>
  select(settings, 'select reason, bytes from dead_letters order by id');

test('frames, bare JSON, arrays and packed batches are stored, each acknowledged once', async () => {
  const [rows, settings] = [await database.database(), natsSettings(nats.url)];
  const publisher = await connectPublisher(settings);
  const { reader, warnings } = startReader(rows, settings);
  await publisher.created();
  await publisher.publish(frames(sample(1), sample(2)));
  await publisher.publish(JSON.stringify(sample(3)), { messageId: null });
  await publisher.publish(JSON.stringify([sample(4), sample(5)]), { messageId: 'of my own' });
  await publisher.publish(zstdCompressSync(frames(sample(6), sample(7))), { encoding: 'zstd' });
  await publisher.publish(JSON.stringify(sample(8)), { messageId: null, encoding: 'identity' });
  await publisher.drained();
  await assertStored(rows, 8);
  assert.deepEqual(warnings, []);
  const { messages_received, messages_acknowledged, messages_in_flight, last_error, state } = reader.status;
  assert.deepEqual([messages_received, messages_acknowledged, messages_in_flight], [5, 5, 0]);
  assert.deepEqual([state, last_error, reader.lastError], ['ok', null, null]);
});

test('the stream and the consumer that are created give nothing up', async () => {
  const [rows, settings] = [await database.database(), natsSettings(nats.url, { ackWaitMs: 5_000 })];
  const publisher = await connectPublisher(settings);
  startReader(rows, settings);
  await publisher.created();
  const { config } = await publisher.manager.streams.info(settings.streamName);
  const { retention, discard, storage, max_bytes, max_age, duplicate_window, subjects } = config;
  assert.deepEqual(
    { retention, discard, storage, max_bytes, max_age, duplicate_window, subjects },
    {
      retention: 'workqueue',
      discard: 'new',
      storage: 'file',
      max_bytes: settings.streamBytesMax,
      max_age: 0,
      duplicate_window: 120e9,
      subjects: settings.subjects,
    },
  );
  const consumer = (await publisher.manager.consumers.info(settings.streamName, 'PROCESSOR')).config;
  assert.deepEqual([consumer.ack_policy, consumer.ack_wait, consumer.max_deliver], ['explicit', 5e9, -1]);
});

test('what cannot be understood becomes a dead letter with its reason, and the rest is stored', async () => {
  const [rows, settings] = [await database.database(), natsSettings(nats.url)];
  const publisher = await connectPublisher(settings);
  const { reader } = startReader(rows, settings);
  await publisher.created();
  const packed = zstdCompressSync(frames(sample(1)));
  const bomb = zstdCompressSync(Buffer.alloc(64 * 2 ** 20));
  assert.ok(bomb.length < 20_000);
  await publisher.publish(frames(sample(1), { machine_id: 'CNC-MALFORMED', temperature: 'hot' }, sample(2)));
  await publisher.publish('{"machine_id":');
  await publisher.publish(packed.subarray(0, -3), { encoding: 'zstd' });
  await publisher.publish('no zstd at all', { encoding: 'zstd' });
  await publisher.publish(bomb, { encoding: 'zstd' });
  await publisher.publish(frames(sample(9)), { encoding: 'br' });
  await publisher.publish('');
  await publisher.publish(frames(sample(3)));
  await publisher.drained();
  await assertStored(rows, 3);
  const letters = await lettersOf(rows);
  const reasons = letters.map(({ reason }) => reason).join('\n');
  assert.match(reasons, /^timestamp is required$/m);
  assert.match(reasons, /^is not valid JSON/m);
  assert.equal(reasons.match(/^is not valid zstd: /gm)?.length, 2);
  assert.match(reasons, /^unpacked it is more than 8388608 bytes$/m);
  assert.match(reasons, /^its Content-Encoding is "br"; understood is zstd$/m);
  const { received, redelivered, acknowledged, terminated, givenBack } = reader.counters;
  assert.deepEqual([received, redelivered, acknowledged, terminated, givenBack], [8, 0, 4, 4, 0]);
  assert.equal(letters.length, 7, reasons);
});

test('5 machines of 20 messages and a malformed one: exactly 20 each, one dead letter, nothing acknowledged twice', async () => {
  const [rows, settings] = [await database.database(), natsSettings(nats.url)];
  const publisher = await connectPublisher(settings);
  const { reader } = startReader(rows, settings);
  await publisher.created();
  const bad = { machine_id: 'CNC-MALFORMED', timestamp: '2026-01-01T08:00:00Z', temperature: 'not-a-float' };
  const messages = Array.from({ length: 100 }, (_, index) => sample(index, { machine_id: `CNC-${index % 5}` }));
  messages.splice(50, 0, bad);
  await Promise.all(messages.map((message) => publisher.publish(frames(message))));
  await publisher.drained();
  const counts = await select(
    rows,
    'select machine_id, count(*)::integer as n from sensor_data group by machine_id order by machine_id',
  );
  assert.deepEqual(
    counts,
    Array.from({ length: 5 }, (_, index) => ({ machine_id: `CNC-${index}`, n: 20 })),
  );
  const letters = await lettersOf(rows);
  assert.deepEqual(
    letters.map(({ reason, bytes }) => [reason, JSON.parse(bytes.toString())]),
    [['temperature is a number, found "not-a-float"', bad]],
  );
  assert.deepEqual([reader.counters.received, reader.counters.acknowledged], [101, 101]);
});

test('a batch published again outside of the duplicate window, and a foreign message, are stored once', async () => {
  const [rows, settings] = [await database.database(), natsSettings(nats.url)];
  const publisher = await connectPublisher(settings);
  // A window of nearly nothing stands for one that has passed.
  await publisher.createStream({ duplicate_window: 100e6 });
  const { reader } = startReader(rows, settings);
  await publisher.created();
  const long = 'k'.repeat(5_000);
  for (const messageId of [publisher.batchId(7), 'their own', long, publisher.batchId(7), 'their own', long]) {
    const again = async (): Promise<boolean> => {
      const before = reader.counters.received;
      await publisher.publish(frames(sample(messageId.length)), { messageId });
      await publisher.drained();
      return reader.counters.received > before;
    };
    await until(again);
  }
  await assertStored(rows, 3);
  assert.equal(reader.counters.received, 6);
});

test('messages without an id are each stored, also when the stream was deleted and numbers begin again', async () => {
  const [rows, settings] = [await database.database(), natsSettings(nats.url)];
  const publisher = await connectPublisher(settings);
  const { reader, warnings } = startReader(rows, settings);
  await publisher.created();
  await publisher.publish(JSON.stringify(sample(1)), { messageId: null });
  await publisher.publish(JSON.stringify(sample(1)), { messageId: null });
  await publisher.drained();
  await publisher.manager.streams.delete(settings.streamName);
  await publisher.created();
  await publisher.publish(JSON.stringify(sample(1)), { messageId: null });
  await publisher.drained();
  assert.equal(await rowsStored(rows), 3);
  assert.match(
    warnings.join('\n'),
    new RegExp(`the stream ${settings.streamName} was gone and has been created again`),
  );
  assert.equal(reader.lastError, null);
});

test('what a consumer of the user’s allows is kept to, and a message that is larger than that is read all the same', async () => {
  const [rows, settings] = [await database.database(), natsSettings(nats.url)];
  const publisher = await connectPublisher(settings);
  await publisher.createStream();
  await publisher.createConsumer({ max_batch: 10, max_bytes: 100_000, max_expires: 3e9 });
  const { warnings } = startReader(rows, settings);
  for (let index = 1; index <= 50; index += 1) {
    await publisher.publish(frames(sample(index, { note: 'x'.repeat(index === 25 ? 200_000 : 3_000) })));
  }
  await publisher.drained();
  await assertStored(rows, 50);
  assert.deepEqual(warnings, []);
});

test('a consumer that allows fewer requests than a hub makes is read with those', async () => {
  const [rows, settings] = [await database.database(), natsSettings(nats.url)];
  const publisher = await connectPublisher(settings);
  await publisher.createStream();
  await publisher.createConsumer({ max_waiting: 1, max_batch: 5 });
  const { warnings } = startReader(rows, settings);
  for (let index = 1; index <= 50; index += 1) await publisher.publish(frames(sample(index)));
  await publisher.drained();
  await assertStored(rows, 50);
  assert.deepEqual(warnings, []);
});

test('what a consumer allows is changed under a reader: that is told, and kept to from then on', async () => {
  const [rows, settings] = [await database.database(), natsSettings(nats.url)];
  const publisher = await connectPublisher(settings);
  await publisher.createStream();
  await publisher.createConsumer({ max_batch: 50, max_expires: 1e9 });
  const { reader, warnings } = startReader(rows, settings);
  await until(() => reader.lastError === null);
  await publisher.manager.consumers.update(settings.streamName, settings.consumerName, { max_batch: 5 });
  await until(() => warnings.length > 0);
  for (let index = 1; index <= 20; index += 1) await publisher.publish(frames(sample(index)));
  await publisher.drained();
  await assertStored(rows, 20);
  assert.match(warnings.join(), /^waiting for NATS .*the consumer refuses to be asked: Exceeded MaxRequestBatch of 5/);
  await until(() => reader.lastError === null);
});

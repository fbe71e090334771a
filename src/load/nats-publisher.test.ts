/** Against a real server with JetStream. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { jetstreamManager, type JetStreamManager, type StreamConfig } from '@nats-io/jetstream';
import { systemClock } from '../base/clock.ts';
import { hasCode } from '../base/errors.ts';
import { connectNats, type NatsConnection } from '../base/nats.ts';
import { natsConnectionOf } from '../base/nats-config.ts';
import { seededRandom } from '../base/random.ts';
import { type NatsServer, startNats } from '../../test/support/nats-server.ts';
import { until } from '../../test/support/until.ts';
import { type NatsPublisher, type NatsPublisherOptions, startNatsPublisher } from './nats-publisher.ts';

let server: NatsServer;
let connection: NatsConnection;
let manager: JetStreamManager;
before(async () => {
  server = await startNats();
  const settings = natsConnectionOf({ url: server.url });
  connection = await connectNats(settings, { name: 'test', random: seededRandom(1), reconnectFirstMs: 20 });
  manager = await jetstreamManager(connection);
});
after(async () => {
  await connection.close();
  await server.stop();
});

const STREAM = 'CNC_DATA';
const SUBJECT = `${STREAM}.edge.test`;
const never = new AbortController().signal;

beforeEach(() => manager.streams.delete(STREAM).catch(() => {}));

async function addStream(more: Partial<StreamConfig> = {}): Promise<void> {
  await manager.streams.add({
    name: STREAM,
    subjects: [`${STREAM}.>`],
    retention: 'workqueue',
    discard: 'new',
    ...more,
  });
}

async function stored(): Promise<number> {
  return (await manager.streams.info(STREAM)).state.messages;
}

function start(more: Partial<NatsPublisherOptions> = {}): NatsPublisher {
  const publisher = startNatsPublisher({ connection, clock: systemClock, random: seededRandom(2), ...more });
  after(() => publisher.close());
  return publisher;
}

async function publishAll(publisher: NatsPublisher, first: number, count: number): Promise<void> {
  for (let number = first; number < first + count; number += 1) {
    if (!publisher.hasRoom) await publisher.room(never);
    publisher.publish(SUBJECT, Buffer.from(`reading ${number}`), `gw/e/${number}`);
  }
}

test('everything is stored once, and each message is told when it is acknowledged', async () => {
  await addStream();
  const acknowledged: string[] = [];
  const publisher = start({ onAcknowledged: (id) => acknowledged.push(id) });
  await publishAll(publisher, 1, 5_000);
  await publisher.settled(never);
  assert.equal(await stored(), 5_000);
  assert.equal(new Set(acknowledged).size, 5_000);
  assert.equal(publisher.figures.acknowledged, 5_000);
  assert.equal(publisher.figures.trouble, null);
});

test('the window limits what is awaited, in messages and in bytes', async () => {
  await addStream();
  const few = start({ windowMessages: 10 });
  let awaitedMax = 0;
  for (let number = 1; number <= 200; number += 1) {
    if (!few.hasRoom) await few.room(never);
    few.publish(SUBJECT, Buffer.from('x'), `few/e/${number}`);
    awaitedMax = Math.max(awaitedMax, few.figures.published - few.figures.acknowledged);
  }
  assert.equal(awaitedMax, 10);
  const small = start({ windowBytes: 1_000 });
  for (let number = 1; number <= 3; number += 1) {
    assert.ok(small.hasRoom, `message ${number}`);
    small.publish(SUBJECT, Buffer.alloc(400), `small/e/${number}`);
  }
  assert.ok(!small.hasRoom);
  await small.room(never);
  small.publish(SUBJECT, Buffer.alloc(100_000), 'small/e/4');
  assert.ok(!small.hasRoom, 'one message may be longer than the window, and is then alone');
  await small.room(never);
  assert.equal(small.figures.acknowledged, 4);
});

test('a server that is killed and comes back: nothing is lost and nothing doubled', { timeout: 60_000 }, async () => {
  await addStream();
  const publisher = start({ windowMessages: 200 });
  const publishing = publishAll(publisher, 1, 9_000);
  for (let kills = 1; kills <= 3; kills += 1) {
    const before = publisher.figures.acknowledged;
    await until(() => publisher.figures.acknowledged >= before + 1_000);
    await server.kill('SIGKILL');
    await until(() => publisher.figures.trouble !== null);
    assert.match(publisher.figures.trouble ?? '', /the connection to .* is lost; connecting again|no acknowledgment/);
    await server.restart();
  }
  await publishing;
  await publisher.settled(never);
  assert.equal(await stored(), 9_000);
  assert.equal(publisher.figures.acknowledged, 9_000);
  assert.ok(publisher.figures.repeated > 0);
});

test('without a stream it waits and says why, and goes on when there is one', async () => {
  const publisher = start();
  await publishAll(publisher, 1, 100);
  await until(() => publisher.figures.trouble !== null);
  assert.match(publisher.figures.trouble ?? '', /CNC_DATA\.edge\.test: no stream takes this subject/);
  assert.ok(!publisher.hasRoom);
  await addStream();
  await publisher.settled(never);
  assert.equal(publisher.figures.trouble, null);
  assert.equal(await stored(), 100);
});

test('a full stream holds back until there is room', async () => {
  await addStream({ max_msgs: 50 });
  const publisher = start();
  await publishAll(publisher, 1, 80);
  await until(() => publisher.figures.acknowledged === 50 && publisher.figures.trouble !== null);
  assert.match(publisher.figures.trouble ?? '', /the stream says "maximum messages exceeded" \(503\)/);
  assert.equal(await stored(), 50);
  await manager.streams.purge(STREAM);
  await publisher.settled(never);
  assert.equal(await stored(), 30);
});

test('a message whose acknowledgment was lost is known already when it comes again', async () => {
  await addStream();
  await publishAll(start(), 1, 10);
  const again = start();
  await publishAll(again, 1, 20);
  await again.settled(never);
  assert.equal(await stored(), 20);
  assert.equal(again.figures.duplicates, 10);
});

test('what is never answered is published again until somebody answers', async () => {
  // A subscriber that says nothing: there is a responder, but no stream.
  const silent = connection.subscribe(SUBJECT);
  const publisher = start({ ackTimeoutMs: 50 });
  await publishAll(publisher, 1, 5);
  await until(() => publisher.figures.repeated >= 2);
  assert.match(publisher.figures.trouble ?? '', /no acknowledgment from the stream in 0\.1 s/);
  silent.unsubscribe();
  await addStream();
  await publisher.settled(never);
  assert.equal(await stored(), 5, 'those that nobody had answered are overtaken by the first that is');
});

test('what can never be taken is an error, for every wait', async () => {
  await addStream({ max_msg_size: 1_000 });
  const publisher = start();
  const limit = connection.info?.max_payload ?? 0;
  assert.throws(
    () => publisher.publish(SUBJECT, Buffer.alloc(limit + 1), 'gw/e/1'),
    (error) => hasCode(error, 'limit_exceeded'),
  );
  publisher.publish(SUBJECT, Buffer.alloc(2_000), 'gw/e/2');
  for (const wait of ['settled', 'room'] as const) {
    await assert.rejects(
      publisher[wait](never),
      (error) => hasCode(error, 'limit_exceeded') && /message size exceeds/.test(error.message),
    );
  }
  assert.ok(!publisher.hasRoom);
});

test('a wait ends with its signal', async () => {
  const publisher = start();
  await publishAll(publisher, 1, 1);
  const stop = new AbortController();
  const waits = Promise.all([publisher.settled(stop.signal), publisher.room(stop.signal)]);
  await until(() => publisher.figures.trouble !== null);
  stop.abort();
  await waits;
  assert.equal(publisher.figures.acknowledged, 0);
});

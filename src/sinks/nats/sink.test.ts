import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { connect } from '@nats-io/transport-node';
import { freePort, suspend } from '../../../test/support/system.ts';
import { parseNatsMessageId } from '../../model/nats-wire.ts';
import type { EdgeStatus } from '../../model/status.ts';
import type { Sink, StatusReporter } from '../../ports/sink.ts';
import { batch, failure, GATEWAY, never, Observer, openServer, openSink } from './nats.test-support.ts';
import { CALL_LIMITS } from './sink.ts';

async function open(
  context: TestContext,
  keys: object = {},
): Promise<{ sink: Sink & StatusReporter; observer: Observer; url: string }> {
  const { url, edgeUrl } = await openServer(context);
  const observer = await Observer.open(context, url);
  await observer.addStream();
  return { sink: openSink(context, { url: edgeUrl, ...keys }), observer, url };
}

test('each batch is a message with its identity, on the subject of the gateway', async (context) => {
  const { sink, observer } = await open(context);
  const batches = [batch(4), batch(5, 5_000, true), batch(6, 10)];
  assert.deepEqual(await sink.deliver(batches, never), { refused: [], known: 0 });
  const stored = await observer.stored();
  assert.deepEqual(
    stored.map(({ id }) => parseNatsMessageId(id)),
    batches.map(({ gatewayId, epoch, sequence }) => ({ gatewayId, epoch, sequence })),
  );
  assert.deepEqual(
    stored.map(({ payload }) => payload),
    batches.map(({ payload }) => Buffer.from(payload)),
  );
  assert.deepEqual(new Set(stored.map(({ subject }) => subject)), new Set(['CNC_DATA.edge.gw%201']));
  assert.deepEqual(
    stored.map(({ encoding }) => encoding),
    ['zstd', '', ''],
    'compressed only where that makes it shorter',
  );
});

test('what the stream has already is known, and is there once', async (context) => {
  const { sink, observer } = await open(context);
  await sink.deliver([batch(1), batch(2)], never);
  assert.deepEqual(await sink.deliver([batch(1), batch(2), batch(3)], never), { refused: [], known: 2 });
  assert.equal((await observer.stored()).length, 3);
  assert.deepEqual(await sink.deliver([], never), { refused: [], known: 0 });
});

test('several full calls at once arrive whole', async (context) => {
  const { sink, observer } = await open(context);
  const calls = Array.from({ length: sink.window }, (_, call) =>
    Array.from({ length: CALL_LIMITS.batchesMax }, (_, index) =>
      batch(call * CALL_LIMITS.batchesMax + index + 1, 4096),
    ),
  );
  await Promise.all(calls.map((batches) => sink.deliver(batches, never)));
  const sequences = (await observer.stored()).map(({ id }) => parseNatsMessageId(id)?.sequence ?? 0);
  assert.deepEqual(
    sequences.toSorted((a, b) => a - b),
    calls.flat().map(({ sequence }) => sequence),
  );
});

test('another stream and other subjects where they are configured, and nothing compressed', async (context) => {
  const keys = { stream: 'SITE_7', subject_prefix: 'SITE_7.edges', compression: 'none' };
  const { url } = await openServer(context, { config: { text: '' } });
  const observer = await Observer.open(context, url);
  await observer.addStream({ name: 'SITE_7', subjects: ['SITE_7.>'] });
  const sink = openSink(context, { url, ...keys });
  assert.deepEqual(await sink.deliver([batch(1)], never), { refused: [], known: 0 });
  const [stored] = await observer.stored('SITE_7');
  assert.deepEqual([stored?.subject, stored?.encoding], ['SITE_7.edges.gw%201', '']);
});

test('what is larger than the server takes goes compressed; what is still too large is refused, and only that', async (context) => {
  const { url } = await openServer(context, { config: { text: 'max_payload: 10000' } });
  const observer = await Observer.open(context, url);
  await observer.addStream();
  const sink = openSink(context, { url, compression: 'none' });
  const { refused, known } = await sink.deliver([batch(1), batch(2, 20_000, true), batch(3, 20_000)], never);
  assert.equal(known, 0);
  assert.deepEqual(
    refused.map(({ sequence }) => sequence),
    [2],
  );
  assert.match(
    refused[0]?.reason ?? '',
    /^a message of 20\d\d\d bytes, compressed, exceeds max_payload of the NATS server \(10000\): raise it there and replay/,
  );
  assert.deepEqual(
    (await observer.stored()).map(({ encoding, payload }) => [encoding, payload.length]),
    [
      ['', 1_000],
      ['zstd', 20_000],
    ],
  );
});

test('a message just as large as the server takes is taken', async (context) => {
  const { url } = await openServer(context, { config: { text: 'max_payload: 10000' } });
  const observer = await Observer.open(context, url);
  await observer.addStream();
  const sink = openSink(context, { url });
  const reason = (await sink.deliver([batch(1, 20_000, true)], never)).refused[0]?.reason ?? '';
  const headerBytes = Number(/of (\d+) bytes/.exec(reason)?.[1]) - 20_000;
  const fits = await sink.deliver([batch(2, 10_000 - headerBytes, true)], never);
  assert.deepEqual(fits, { refused: [], known: 0 });
  assert.equal((await sink.deliver([batch(3, 10_001 - headerBytes, true)], never)).refused.length, 1);
});

test('the limit of the stream on a message counts as that of the server', async (context) => {
  const { sink, observer } = await open(context, { compression: 'none' });
  await observer.manager.streams.update('CNC_DATA', { max_msg_size: 5_000 });
  const { refused } = await sink.deliver([batch(1, 20_000, true), batch(2, 20_000)], never);
  assert.deepEqual(
    refused.map(({ sequence }) => sequence),
    [1],
  );
  assert.match(refused[0]?.reason ?? '', /exceeds max_msg_size of the stream CNC_DATA: raise it there and replay/);
  assert.deepEqual(
    (await observer.stored()).map(({ encoding }) => encoding),
    ['zstd'],
  );
});

test('a status is a request that a hub answers', async (context) => {
  const { sink, url } = await open(context, { ack_timeout: '100ms' });
  const status = { gateway_id: GATEWAY } as EdgeStatus;
  const subject = 'MILLWRIGHT_STATUS.gw%201';
  assert.deepEqual(await failure(sink.report(status, never)), {
    code: 'connection_failed',
    message: `no hub takes the status on ${subject}`,
  });

  const { username: user, password: pass, host } = new URL(url);
  const hub = await connect({ servers: host, user, pass });
  context.after(() => hub.close());
  let answer: string | undefined = '{}';
  const told: unknown[] = [];
  hub.subscribe('MILLWRIGHT_STATUS.>', {
    callback: (_, message) => {
      told.push(message.json());
      if (answer !== undefined) message.respond(answer);
    },
  });
  await hub.flush();
  await sink.report(status, never);
  assert.deepEqual(told, [{ gateway_id: GATEWAY }]);
  answer = '{"error":{"code":"bad_request","message":"gateway_id is missing"}}';
  assert.deepEqual(await failure(sink.report(status, never)), {
    code: 'connection_failed',
    message: 'a hub refuses the status: gateway_id is missing',
  });
  answer = undefined;
  assert.equal((await failure(sink.report(status, never))).message, `no hub takes the status on ${subject}`);
});

test('a delivery ends when it is told to, and a sink that is closed delivers nothing', async (context) => {
  const { sink, observer } = await open(context);
  await sink.deliver([batch(1)], never);
  const ended = { code: 'connection_failed', message: 'the delivery was stopped' };
  assert.deepEqual(await failure(sink.deliver([batch(2)], AbortSignal.abort())), ended);
  await sink.close();
  assert.deepEqual(await failure(sink.deliver([batch(3)], never)), ended);
  assert.deepEqual(
    (await observer.stored()).map(({ id }) => parseNatsMessageId(id)?.sequence),
    [1],
  );
});

test('closing does not wait for a server that says nothing, whatever is under way', async (context) => {
  const { url, pid } = await openServer(context);
  const observer = await Observer.open(context, url);
  await observer.addStream();
  const sink = openSink(context, { url });
  await sink.deliver([batch(1)], never);
  await suspend(pid);
  try {
    const delivery = failure(sink.deliver([batch(2)], never));
    await sink.close();
    assert.deepEqual(await delivery, { code: 'connection_failed', message: 'the delivery was stopped' });
  } finally {
    process.kill(pid, 'SIGCONT');
  }

  const port = await freePort();
  const silent = createServer().listen(port, '127.0.0.1');
  await once(silent, 'listening');
  context.after(() => silent.close());
  const accepted = once(silent, 'connection');
  const opening = openSink(context, { url: `nats://127.0.0.1:${port}` });
  const delivery = failure(opening.deliver([batch(1)], never));
  const [socket] = await accepted;
  await opening.close();
  assert.equal((await delivery).message, 'the delivery was stopped');
  (socket as { destroy(): void }).destroy();
});

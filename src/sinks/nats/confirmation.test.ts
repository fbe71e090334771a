/** A batch is settled when a hub says that it is stored; what a stream has lost before that is published again. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { connect } from '@nats-io/transport-node';
import { until } from '../../../test/support/until.ts';
import { SETTLED_SUBJECTS, type SettledReply, type SettledRequest } from '../../model/nats-wire.ts';
import type { Sink } from '../../ports/sink.ts';
import { batch, failure, GATEWAY, never, Observer, openServer, openSink } from './nats.test-support.ts';

/** What takes the place of hubs: tells of the sequences that it is told of, as hubs do of what is in their database. */
class Hub {
  readonly stored = new Set<number>();
  readonly asked: SettledRequest[] = [];
  trouble: string | undefined;

  static async open(context: TestContext, url: string): Promise<Hub> {
    const { username: user, password: pass, host } = new URL(url);
    const connection = await connect({ servers: host, user, pass });
    context.after(() => connection.close());
    const hub = new Hub();
    connection.subscribe(SETTLED_SUBJECTS, {
      callback: (_error, message) => void message.respond(JSON.stringify(hub.#answer(message.json<SettledRequest>()))),
    });
    await connection.flush();
    return hub;
  }

  #answer(request: SettledRequest): SettledReply {
    this.asked.push(request);
    if (this.trouble !== undefined) return { error: { code: 'try_later', message: this.trouble } };
    const settled = [...this.stored].filter((one) => request.first <= one && one <= request.last);
    return { settled: settled.map((one) => [one, one]) };
  }
}

interface Setup {
  readonly sink: Sink;
  readonly observer: Observer;
  readonly url: string;
}

async function setup(context: TestContext): Promise<Setup> {
  const server = await openServer(context);
  const observer = await Observer.open(context, server.url);
  // Of a purged stream the server remembers what it has had.
  await observer.addStream({ duplicate_window: 100e6 });
  return { sink: openSink(context, { url: server.edgeUrl, confirm: 'stored' }), observer, url: server.url };
}

async function idsIn(observer: Observer): Promise<string[]> {
  const stored = await observer.stored();
  return stored.map(({ id }) => id);
}

test('a batch is settled when a hub has stored it, not when the stream has it', async (context) => {
  const { sink, observer, url } = await setup(context);
  const hub = await Hub.open(context, url);
  hub.stored.add(1);
  let isSettled = false;
  const delivery = sink.deliver([batch(1), batch(2), batch(3)], never).then((settlement) => {
    isSettled = true;
    return settlement;
  });
  await until(() => hub.asked.length > 2);
  assert.deepEqual(hub.asked[0], { gateway_id: GATEWAY, epoch: 'ep-1', first: 1, last: 3 });
  assert.equal((await idsIn(observer)).length, 3);
  assert.equal(isSettled, false);
  hub.stored.add(2).add(3);
  assert.deepEqual(await delivery, { refused: [] });
  assert.equal((await idsIn(observer)).length, 3);
});

test('without hubs a batch waits in the stream, once, and the edge says so', async (context) => {
  const { sink, observer, url } = await setup(context);
  const expected = {
    code: 'try_later',
    message: `published to the stream CNC_DATA; no hub has confirmed yet: no hub listens on MILLWRIGHT_SETTLED.gw%201`,
  };
  assert.deepEqual(await failure(sink.deliver([batch(1)], never)), expected);
  // Later than the stream would know by itself that it has the batch.
  await until(async () => {
    assert.deepEqual(await failure(sink.deliver([batch(1)], never)), expected);
    const { state } = await observer.manager.streams.info('CNC_DATA');
    return Date.now() - Date.parse(state.first_ts) > 300;
  });
  assert.equal((await idsIn(observer)).length, 1);

  const hub = await Hub.open(context, url);
  hub.trouble = "the hub's database: connect ECONNREFUSED";
  const { message } = await failure(sink.deliver([batch(1)], never));
  assert.match(message, /no hub has confirmed yet: the hub's database: connect ECONNREFUSED$/);
  hub.trouble = undefined;
  hub.stored.add(1);
  assert.deepEqual(await sink.deliver([batch(1)], never), { refused: [] });
  assert.equal((await idsIn(observer)).length, 1);
});

test('what went with a deleted stream is published again, to the one that takes its place', async (context) => {
  const { sink, observer, url } = await setup(context);
  const hub = await Hub.open(context, url);
  const delivery = sink.deliver([batch(1), batch(2)], never);
  await until(async () => (await idsIn(observer)).length === 2);
  hub.stored.add(1);
  await observer.manager.streams.delete('CNC_DATA');
  await observer.addStream();
  await until(async () => (await idsIn(observer)).length === 1);
  assert.deepEqual(await idsIn(observer), ['gw%201/ep-1/2']);
  hub.stored.add(2);
  assert.deepEqual(await delivery, { refused: [] });
});

test('what was purged is published again, what hubs have taken out is not', async (context) => {
  const { sink, observer, url } = await setup(context);
  const hub = await Hub.open(context, url);
  const delivery = sink.deliver([batch(1), batch(2)], never);
  await until(async () => (await idsIn(observer)).length === 2);
  hub.stored.add(1);
  await observer.manager.streams.purge('CNC_DATA');
  await until(async () => (await idsIn(observer)).length === 1);
  assert.deepEqual(await idsIn(observer), ['gw%201/ep-1/2']);
  hub.stored.add(2);
  assert.deepEqual(await delivery, { refused: [] });
});

test('a batch that is too large is refused, and the others are waited for', async (context) => {
  const { sink, url } = await setup(context);
  const hub = await Hub.open(context, url);
  hub.stored.add(2);
  const { refused } = await sink.deliver([batch(1, 9 * 2 ** 20, true), batch(2)], never);
  assert.deepEqual(
    refused.map(({ sequence }) => sequence),
    [1],
  );
});

/** What servers say when they do not take a batch: each sentence from a real one, and nothing of it is a loss. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { connect } from '@nats-io/transport-node';
import type { NatsServer } from '../../../test/support/nats-server.ts';
import { suspend } from '../../../test/support/system.ts';
import type { Sink } from '../../ports/sink.ts';
import { batch, failure, never, Observer, openServer, openSink } from './nats.test-support.ts';

const STORED = { refused: [], known: 0 };

interface Opened {
  readonly server: NatsServer;
  readonly observer: Observer;
  readonly sink: Sink;
}

/** Users a, b, c … of accounts, or one for all where the configuration has none. */
async function open(context: TestContext, text = '', [maker, user] = ['', '']): Promise<Opened> {
  const server = await openServer(context, { config: { text } });
  const as = (name: string): string => server.address.replace('//', name === '' ? '//' : `//${name}:${name}-secret@`);
  return {
    server,
    observer: await Observer.open(context, as(maker)),
    sink: openSink(context, { url: as(user), ack_timeout: '1s' }),
  };
}

async function says(delivery: Promise<unknown>, code: string, message: RegExp): Promise<void> {
  const told = await failure(delivery);
  assert.match(told.message, message);
  assert.equal(told.code, code);
}

test('a stream that is missing is waited for until it is made', async (context) => {
  const { observer, sink, server } = await open(context);
  const missing = new RegExp(
    `^there is no stream CNC_DATA at NATS ${server.address.slice(7)}: a hub with the same servers makes it, or make it`,
  );
  await says(sink.deliver([batch(1)], never), 'try_later', missing);
  await observer.addStream();
  assert.deepEqual(await sink.deliver([batch(1)], never), STORED);
  await observer.manager.streams.delete('CNC_DATA');
  await says(sink.deliver([batch(2)], never), 'try_later', missing);
});

test('a stream that is full is waited for until it is drained, by messages and by bytes', async (context) => {
  const { observer, sink } = await open(context);
  for (const limit of [{ max_msgs: 2 }, { max_bytes: 2_500 }]) {
    await observer.addStream(limit);
    const batches = [1, 2, 3].map((sequence) => batch(sequence, 900, true));
    await says(
      sink.deliver(batches, never),
      'try_later',
      /^the stream CNC_DATA stores nothing now \(maximum (messages|bytes) exceeded\): when it is full, hubs must take/,
    );
    const before = await observer.stored();
    await observer.manager.streams.purge('CNC_DATA');
    assert.deepEqual(await sink.deliver(batches.slice(before.length), never), STORED);
    assert.deepEqual(
      [...before, ...(await observer.stored())].map(({ id }) => id),
      ['gw%201/ep-1/1', 'gw%201/ep-1/2', 'gw%201/ep-1/3'],
    );
    await observer.manager.streams.delete('CNC_DATA');
  }
});

test('a stream that takes other subjects, and a subject that is of another stream', async (context) => {
  const { observer, sink } = await open(context);
  await observer.addStream({ subjects: ['OTHER.>'] });
  await says(
    sink.deliver([batch(1)], never),
    'try_later',
    /^the stream CNC_DATA does not take CNC_DATA\.edge\.gw%201: add it to the subjects of the stream, or mend subject_prefix$/,
  );
  await observer.addStream({ name: 'SECOND' });
  await says(
    sink.deliver([batch(1)], never),
    'try_later',
    /^CNC_DATA\.edge\.gw%201 belongs to another stream than CNC_DATA: mend stream or subject_prefix, or the subjects/,
  );
  assert.deepEqual(await observer.stored('SECOND'), [], 'nothing is put where it does not belong');
});

test('something else that answers on the subject is not believed', async (context) => {
  const { server, sink } = await open(context);
  const other = await connect({ servers: server.address.slice(7) });
  context.after(() => other.close());
  let answer = '';
  other.subscribe('CNC_DATA.>', { callback: (_, message) => void message.respond(answer) });
  await other.flush();
  for (answer of ['', 'ok', '{}', '{"stream":"CNC_DATA"}', '{"stream":"OTHER","seq":1}', '[1]', 'null']) {
    await says(
      sink.deliver([batch(1)], never),
      'protocol_violation',
      /^what answers on CNC_DATA\.edge\.gw%201 at NATS 127\.0\.0\.1:\d+ is not the stream CNC_DATA: nothing else may listen/,
    );
  }
  answer = '{"error":{"code":500,"err_code":19999,"description":"moon is full"}}';
  const unknown = /^the stream CNC_DATA takes nothing now: moon is full \(NATS error 19999\)$/;
  await says(sink.deliver([batch(1)], never), 'try_later', unknown);
});

const ACCOUNTS = `accounts {
  WITH {
    users: [
      { user: maker, password: maker-secret }
      { user: mute, password: mute-secret, permissions: { publish: [ "OTHER.>" ] } }
      { user: deaf, password: deaf-secret, permissions: { subscribe: [ "OTHER.>" ] } }
      { user: blind, password: blind-secret, permissions: { publish: [ "CNC_DATA.>" ] } }
    ]
    jetstream: { max_file: 1MB }
  }
  WITHOUT { users: [ { user: guest, password: guest-secret } ] }
}`;

test('an account without JetStream', async (context) => {
  const { sink } = await open(context, ACCOUNTS, ['maker', 'guest']);
  await says(
    sink.deliver([batch(1)], never),
    'try_later',
    /^NATS at 127\.0\.0\.1:\d+ is without JetStream: switch it on at the server and for the account of this user$/,
  );
});

test('a server without JetStream', async (context) => {
  const { address } = await openServer(context, { config: { text: '' }, jetStream: false });
  const sink = openSink(context, { url: address });
  await says(
    sink.deliver([batch(1)], never),
    'try_later',
    /^NATS at 127\.0\.0\.1:\d+ is without JetStream: switch it on/,
  );
});

test('a user who may not publish, hear an answer, or ask for the stream', async (context) => {
  const { server, observer } = await open(context, ACCOUNTS, ['maker', 'maker']);
  const as = (name: string): Sink =>
    openSink(context, { url: server.address.replace('//', `//${name}:${name}-secret@`), ack_timeout: '1s' });
  const blind = as('blind');
  await says(
    blind.deliver([batch(1)], never),
    'try_later',
    /^no stream takes CNC_DATA\.edge\.gw%201 at NATS 127\.0\.0\.1:\d+ now: a hub with the same servers makes CNC_DATA$/,
  );
  await observer.addStream();
  assert.deepEqual(await blind.deliver([batch(1)], never), STORED);
  await says(
    as('mute').deliver([batch(2), batch(3)], never),
    'connection_failed',
    /^NATS at 127\.0\.0\.1:\d+ does not let us publish on CNC_DATA\.edge\.gw%201: permit it to this user at the server$/,
  );
  await says(
    as('deaf').deliver([batch(2)], never),
    'connection_failed',
    /^NATS at 127\.0\.0\.1:\d+ does not let us receive acknowledgments on _INBOX\.\S+: permit it to this user at the server$/,
  );
});

test('an account that has no room left', async (context) => {
  const { observer, sink } = await open(context, ACCOUNTS, ['maker', 'maker']);
  await observer.addStream();
  const deliverAll = async (): Promise<void> => {
    for (let sequence = 1; sequence <= 5; sequence += 1) await sink.deliver([batch(sequence, 300_000, true)], never);
  };
  await says(
    deliverAll(),
    'try_later',
    /^the NATS account has no room left \(resource limits exceeded for account\): hubs must take from the stream, or/,
  );
  await observer.manager.streams.purge('CNC_DATA');
  assert.deepEqual(await sink.deliver([batch(9, 300_000, true)], never), STORED);
});

test('a server that has no room left', async (context) => {
  const { observer, sink } = await open(context, 'jetstream { max_file_store: 1MB }');
  await observer.addStream();
  const deliverAll = async (): Promise<void> => {
    for (let sequence = 1; sequence <= 5; sequence += 1) await sink.deliver([batch(sequence, 300_000, true)], never);
  };
  await says(
    deliverAll(),
    'try_later',
    /^JetStream at 127\.0\.0\.1:\d+ has no room left \(insufficient resources\): hubs must take from the stream, or max_file/,
  );
});

test('a stream that does not acknowledge in time is sent the same again', async (context) => {
  const { server, observer, sink } = await open(context);
  await observer.addStream();
  await sink.deliver([batch(1)], never);
  await suspend(server.pid);
  await says(
    sink.deliver([batch(2)], never),
    'connection_failed',
    /^the stream CNC_DATA did not acknowledge in 1000 ms: the same batches are sent again$/,
  );
  process.kill(server.pid, 'SIGCONT');
  const { known } = await sink.deliver([batch(2)], never);
  assert.equal(known, 1, 'the server has found the first one in its socket');
  assert.equal((await observer.stored()).length, 2);
});

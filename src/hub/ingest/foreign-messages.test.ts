/** Messages as our own library does not write them: straight over a socket, byte for byte. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, test } from 'node:test';
import { startTestServer } from '../../../test/support/hub-database.ts';
import { startNats } from '../../../test/support/nats-server.ts';
import { until } from '../../../test/support/until.ts';
import {
  assertStored,
  connectPublisher,
  natsSettings,
  sample,
  startReader,
  type TestPublisher,
} from './jetstream.test-support.ts';

const database = await startTestServer();
const nats = await startNats({ config: { text: '' } });
after(() => nats.stop());

/** One sample of the machine, under these lines of headers (Latin-1). Resolves when the stream has it. */
async function publishRaw(publisher: TestPublisher, headers: readonly string[], index: number): Promise<void> {
  const head = Buffer.from(`NATS/1.0\r\n${headers.map((line) => `${line}\r\n`).join('')}\r\n`, 'latin1');
  const payload = Buffer.from(JSON.stringify(sample(index)));
  const before = await publisher.taken();
  const socket = connect(Number(new URL(nats.address).port), '127.0.0.1');
  socket.write('CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\n');
  socket.write(`HPUB ${publisher.streamName}.raw ${head.length} ${head.length + payload.length}\r\n`);
  socket.write(Buffer.concat([head, payload, Buffer.from('\r\n')]));
  await until(async () => (await publisher.taken()) > before);
  socket.destroy();
}

test('headers that the library cannot read do not hold the hub up: the message is known by its number', async () => {
  const [rows, settings] = [await database.database(), natsSettings(nats.url)];
  const publisher = await connectPublisher(settings);
  const { reader, warnings } = startReader(rows, settings);
  await publisher.created();
  await publishRaw(publisher, ['Machine Name: CNC-1', 'Nats-Msg-Id: one'], 1);
  await publishRaw(publisher, ['Gr\xf6\xdfe: 3', 'Nats-Msg-Id: two'], 2);
  await publishRaw(publisher, ['no header at all', ': ', 'Nats-Msg-Id:'], 3);
  await publishRaw(publisher, ['Note: two\nlines\rof it'], 4);
  await publisher.publish(JSON.stringify(sample(5)));
  await publisher.drained();
  await assertStored(rows, 5);
  assert.deepEqual([reader.counters.redelivered, warnings], [0, []]);
});

test('ids that differ in bytes only that are no UTF-8 are two', async () => {
  const [rows, settings] = [await database.database(), natsSettings(nats.url)];
  const publisher = await connectPublisher(settings);
  startReader(rows, settings);
  await publisher.created();
  await publishRaw(publisher, ['Nats-Msg-Id: S\xe4ge'], 1);
  await publishRaw(publisher, ['Nats-Msg-Id: S\xf6ge'], 2);
  await publisher.drained();
  await assertStored(rows, 2);
});

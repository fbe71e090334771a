/** Whatever happens to the connection, the machine is read again within 30 s, and the server has one session, then none. */
import assert from 'node:assert/strict';
import { createServer, connect as connectTcp, type Socket } from 'node:net';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import type { OpcuaTestServer } from '../../../test/support/opcua-server.ts';
import { freePort, waitUntil } from '../../../test/support/system.ts';
import { comes, newest, NODES, read, type Reader, startServer } from './driver.test-support.ts';

const RECOVERY_MS_MAX = 30_000;
const open = { policy: 'None' } as const;
/** A Publish answer begins with this node id, 829, where messages are not encrypted (OPC 10000-6, 5.2.5, 6.7.2). */
const PUBLISH_RESPONSE = Buffer.from([0x01, 0x00, 0x3d, 0x03]);
const SEQUENCE_NUMBER_AT = 16;
const TYPE_AT = 24;
/** A keep-alive is shorter than a message with a value. */
const KEEP_ALIVE_BYTES_MAX = 110;

/** What the way from the server to the client lets through. */
type Passes = 'all' | 'no-publish' | 'no-values' | 'nothing';

interface Way {
  readonly url: string;
  passes: Passes;
  /** Connections that were made. */
  connections: number;
}

/** A way to the server on which messages can be lost, also in both directions without the connection breaking. */
async function wayTo(context: TestContext, port: number): Promise<Way> {
  const own = await freePort();
  const way: Way = { url: `opc.tcp://127.0.0.1:${own}`, passes: 'all', connections: 0 };
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    way.connections += 1;
    const target = connectTcp(port, '127.0.0.1');
    for (const socket of [client, target]) {
      sockets.add(socket);
      socket.on('error', () => {});
    }
    // Of a half-open connection neither end hears that the other has gone.
    const endBoth = (): void => {
      if (way.passes === 'nothing') return;
      client.destroy();
      target.destroy();
    };
    client.on('close', endBoth);
    target.on('close', endBoth);
    client.on('data', (data: Buffer) => way.passes !== 'nothing' && target.write(data));
    let rest = Buffer.alloc(0);
    let dropped = 0;
    target.on('data', (data: Buffer) => {
      rest = Buffer.concat([rest, data]);
      while (rest.length >= 8 && rest.length >= rest.readUInt32LE(4)) {
        const message = rest.subarray(0, rest.readUInt32LE(4));
        rest = rest.subarray(message.length);
        if (!isPassed(message, way.passes)) dropped += 1;
        else client.write(renumbered(message, dropped));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(own, '127.0.0.1', resolve));
  context.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return way;
}

function isPassed(message: Buffer, passes: Passes): boolean {
  if (passes === 'nothing') return false;
  const isPublish = message.subarray(TYPE_AT, TYPE_AT + PUBLISH_RESPONSE.length).equals(PUBLISH_RESPONSE);
  if (passes === 'no-publish') return !isPublish;
  return passes === 'all' || !isPublish || message.length <= KEEP_ALIVE_BYTES_MAX;
}

/** So that the client does not notice by the numbers of messages that some are missing. */
function renumbered(message: Buffer, dropped: number): Buffer {
  if (dropped === 0 || message.toString('latin1', 0, 3) !== 'MSG') return message;
  const copy = Buffer.from(message);
  copy.writeUInt32LE(message.readUInt32LE(SEQUENCE_NUMBER_AT) - dropped, SEQUENCE_NUMBER_AT);
  return copy;
}

/** Changes the temperature until it is read, and looks what the server has left. */
async function recovers(
  context: TestContext,
  { reader, server, sinceMs }: { reader: Reader; server: OpcuaTestServer; sinceMs: number },
): Promise<void> {
  await server.set({ name: 'Temperature', value: 99 });
  await comes(reader, 'temperature', 99);
  const tookMs = performance.now() - sinceMs;
  context.diagnostic(`read again after ${Math.round(tookMs)} ms`);
  assert.ok(tookMs < RECOVERY_MS_MAX, `it took ${tookMs} ms`);
  assert.equal(await server.sessions(), 1);
  assert.equal(await server.subscriptions(), 1);
  await reader.running.stop();
  await waitUntil('the session to be closed', async () => (await server.sessions()) === 0 || undefined);
  assert.equal(await server.subscriptions(), 0);
}

test('a server that was killed and started again', async (context) => {
  const { server, folder } = await startServer(context);
  const reader = read(context, { url: server.url, pki: path.join(folder, 'client'), ...open });
  await comes(reader, 'temperature', 21.5);
  const sinceMs = performance.now();
  await server.kill();
  await waitUntil('the loss to be told', () => reader.running.lastError || undefined);
  assert.equal(newest(reader, 'temperature'), null);
  assert.equal(newest(reader, 'machine_state'), 'offline');
  await server.start();
  await recovers(context, { reader, server, sinceMs });
});

test('a session that the server has closed', async (context) => {
  const { server, folder } = await startServer(context);
  const nodes = [...NODES, { node: 'Objects/Machines/CNC-001/Program', extra: 'program' }];
  const reader = read(context, { url: server.url, pki: path.join(folder, 'client'), nodes, ...open });
  await server.set({ name: 'Program', value: 'O1001' });
  await comes(reader, 'program', 'O1001');
  await comes(reader, 'temperature', 21.5);
  const sinceMs = performance.now();
  await server.closeSessions();
  await waitUntil('the loss to be told', () => reader.running.lastError || undefined);
  assert.match(reader.running.lastError, /has closed the session|closed the connection|closed the session/);
  await recovers(context, { reader, server, sinceMs });
  const programs = reader.gateway.events.filter(({ event_type }) => event_type === 'program');
  assert.deepEqual(
    programs.map(({ text }) => text),
    ['O1001'],
    'a new session is no change of program',
  );
});

for (const passes of ['no-publish', 'no-values'] as const) {
  test(`a subscription that is frozen: ${passes}`, async (context) => {
    const { server, port, folder } = await startServer(context);
    const way = await wayTo(context, port);
    const reader = read(context, { url: way.url, pki: path.join(folder, 'client'), ...open });
    await comes(reader, 'temperature', 21.5);
    const sinceMs = performance.now();
    way.passes = passes;
    await waitUntil('the silence to be told', () => reader.running.lastError || undefined);
    way.passes = 'all';
    assert.match(reader.running.lastError, /has told nothing for \d+ s, though it answers: its subscription is frozen/);
    assert.equal(newest(reader, 'temperature'), null);
    await recovers(context, { reader, server, sinceMs });
  });
}

test('a connection on which nothing comes through any more: the session before it is closed with the next', async (context) => {
  const { server, port, folder } = await startServer(context);
  const way = await wayTo(context, port);
  const reader = read(context, {
    url: way.url,
    pki: path.join(folder, 'client'),
    timeout: '2s',
    session_timeout: '120s',
    ...open,
  });
  await comes(reader, 'temperature', 21.5);
  const sinceMs = performance.now();
  way.passes = 'nothing';
  await waitUntil('the silence to be told', () => reader.running.lastError || undefined);
  assert.match(reader.running.lastError, /has told nothing for \d+ s, and does not answer/);
  assert.equal(await server.sessions(), 1, 'the server does not know');
  // An outage is longer than the first try to connect again.
  await waitUntil('a try that fails', () => reader.running.errors.length > 1 || undefined);
  way.passes = 'all';
  await recovers(context, { reader, server, sinceMs });
});

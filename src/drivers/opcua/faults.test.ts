/** What a person is told when something goes wrong, where it can be made to go wrong. More of it in `driver.test.ts`. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { OpcuaServerProcess } from '../../../test/support/opcua-server.ts';
import { freePort, waitUntil } from '../../../test/support/system.ts';
import { systemClock } from '../../base/clock.ts';
import { type ErrorCode, MillwrightError } from '../../base/errors.ts';
import { silentLogger } from '../../base/logger.ts';
import { CertificateFolder } from './certificates.ts';
import { schema } from './config.ts';
import { closeConnection, connect, type Connection } from './connection.ts';
import { folderFor, NODES, startServer } from './driver.test-support.ts';
import { faultOf } from './faults.ts';
import type { OpcuaOptions } from './options.ts';
import { readServer } from './session.ts';

const clock = systemClock;

function optionsFor(url: string, timeout = '60s'): OpcuaOptions {
  return schema.parse({ url, policy: 'None', anonymous: true, timeout, nodes: NODES });
}

async function certificatesFor(context: TestContext): Promise<CertificateFolder> {
  const certificates = new CertificateFolder(path.join(await folderFor(context), 'client'));
  context.after(() => certificates.close());
  return certificates;
}

function connecting(options: OpcuaOptions, certificates: CertificateFolder): Promise<Connection> {
  const { signal } = new AbortController();
  return connect({ options, certificates, clock, signal, sessionName: 'test' });
}

/** Code and text of the error, which is one of ours with nothing behind it. */
async function told(work: Promise<unknown>): Promise<{ code: ErrorCode; message: string }> {
  const error = await work.then(
    () => assert.fail('it did not fail'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof MillwrightError, String(error));
  assert.equal(error.cause, undefined);
  return { code: error.code, message: error.message };
}

async function listen(context: TestContext, server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  context.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return `opc.tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Answers whatever comes with an error message (OPC 10000-6, 7.1.2.5). */
function refusing(status: number): Server {
  const reason = Buffer.from('what the server says\nof it');
  const message = Buffer.alloc(16 + reason.length);
  message.write('ERRF');
  message.writeUInt32LE(message.length, 4);
  message.writeUInt32LE(status, 8);
  message.writeUInt32LE(reason.length, 12);
  reason.copy(message, 16);
  return createServer((socket) => socket.on('error', () => {}).on('data', () => void socket.write(message)));
}

test('a server that is not there, or is none', async (context) => {
  const certificates = await certificatesFor(context);
  const closesEarly =
    'closed the connection while it was made; look whether it is an OPC UA server, and takes one more client';
  // A label of a name has 63 characters at most: this one nobody asks anybody for.
  const unknown = `opc.tcp://${'x'.repeat(64)}.invalid:4840`;
  const busy =
    'takes no more connections now (BadTcpServerTooBusy); close other clients, or wait until it is less busy';
  for (const [url, text, code = 'connection_failed', timeout = '60s'] of [
    [
      `opc.tcp://127.0.0.1:${await freePort()}`,
      'cannot be reached: nothing listens there (ECONNREFUSED); start the server, or correct host and port in url',
    ],
    [unknown, 'cannot be reached: there is no such host (ENOTFOUND); correct the name in url, or write the address'],
    [
      await listen(context, createServer()),
      'did not answer within 2000 ms; look whether it is on, and at firewalls between, or set a longer timeout',
      'connection_failed',
      '1s',
    ],
    [await listen(context, createHttpServer() as Server), closesEarly],
    [
      await listen(
        context,
        createServer((socket) => void socket.end()),
      ),
      closesEarly,
    ],
    [
      await listen(
        context,
        createServer((socket) => void socket.on('data', () => socket.resetAndDestroy())),
      ),
      closesEarly,
    ],
    [await listen(context, refusing(0x80_7d_00_00)), busy],
    [
      await listen(context, refusing(0x80_0e_00_00)),
      'is shut down (BadServerHalted); start it again; it is tried again by itself',
    ],
    [
      await listen(context, refusing(0x80_83_00_00)),
      'does not know this address as its own (BadTcpEndpointUrlInvalid); write the one in url that it calls itself',
      'config_invalid',
    ],
    // What is not known here is told in the words of the library, without those around them.
    [
      await listen(context, refusing(0x80_39_00_00)),
      'cannot be reached: ACK: ERR received BadDataEncodingUnsupported (0x80390000) : what the server says',
    ],
  ] as const) {
    const { code: toldCode, message } = await told(connecting(optionsFor(url, timeout), certificates));
    assert.equal(message, `${url} ${text}`);
    assert.equal(toldCode, code, message);
  }
});

test('a server that has no session left, or no connection', async (context) => {
  const { server } = await startServer(context, { maxSessions: 1 });
  const certificates = await certificatesFor(context);
  const first = await connecting(optionsFor(server.url), certificates);
  const { code, message } = await told(connecting(optionsFor(server.url), certificates));
  const why =
    'has no session left for one more client (BadTooManySessions); close others, or wait until the server does';
  assert.deepEqual([code, message], ['connection_failed', `${server.url} ${why}`]);
  await closeConnection(first, clock);
  await server.shutDown();
  await server.start({ maxConnections: 1 });
  // The server may not have seen yet that the connection by which the endpoints were asked for is closed.
  const second = await waitUntil('the only connection', () => connecting(optionsFor(server.url), certificates));
  const noConnection = await told(connecting(optionsFor(server.url), certificates));
  assert.match(noConnection.message, /closed the connection while it was made; look .* takes one more client$/);
  await closeConnection(second, clock);
});

test('a server that is shut down, or killed, while it is read', async (context) => {
  const { server } = await startServer(context, { process: new OpcuaServerProcess() });
  const certificates = await certificatesFor(context);
  const options = optionsFor(server.url);
  const reading = async (end: () => Promise<unknown>): Promise<string> => {
    const connected = Promise.withResolvers<void>();
    const ignored = { emit: () => {}, alive: () => {}, problem: () => {}, log: silentLogger, clock };
    const session = { machineId: 'M-1', connected: () => connected.resolve(), ...ignored };
    const { signal } = new AbortController();
    const failed = told(
      readServer({ options, certificates, memory: { leftover: undefined }, context: session }, signal),
    );
    await Promise.race([connected.promise, failed]);
    await end();
    const { code, message } = await failed;
    assert.equal(code, 'connection_failed', message);
    return message;
  };
  // Which of them is heard first is a matter of chance.
  const closed =
    /^opc\.tcp:\S+ (?:has )?(?:closed|ended) the (?:connection|session|subscription)(?: \(Bad\w+\))?; it is tried again by itself$/;
  assert.match(await reading(() => server.shutDown()), closed);
  await server.start();
  assert.match(await reading(() => server.kill()), closed);
});

test('of a text that is not known one line is told, and not more than fits a line', () => {
  const parts = {
    options: { url: 'opc.tcp://plc:4840', identity: { kind: 'anonymous' }, timeoutMs: 5_000 },
    certificates: { ownFile: '/pki/own.pem' },
  } as const;
  const text = (message: string, phase: 'connecting' | 'reading'): string =>
    faultOf(new Error(message), parts, phase).message;
  assert.equal(
    text(' strange things\n    at Function.x (/a/b.ts:1)\nplease set keepSessionAlive', 'reading'),
    'opc.tcp://plc:4840 does not answer as it should: strange things',
  );
  const wrapped = 'The connection may have been rejected by server,\n Err = (strange\nthings)';
  assert.equal(text(wrapped, 'connecting'), 'opc.tcp://plc:4840 cannot be reached: strange');
  const long = text('x'.repeat(100_000), 'connecting');
  assert.ok(long.length < 300 && long.endsWith('x…'), long);
  assert.equal(text('', 'reading'), 'opc.tcp://plc:4840 does not answer as it should: Error');
  const own = new MillwrightError('not_found', 'as it is');
  assert.equal(faultOf(own, parts, 'reading'), own);
});

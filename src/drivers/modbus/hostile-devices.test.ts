/** What a device, a gateway or the network does to a reader other than to answer it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { until } from '../../../test/support/until.ts';
import { messageOf } from '../../base/errors.ts';
import { Running } from '../../ports/driver.test-support.ts';
import { schema } from './config.ts';
import { create } from './driver.ts';
import { encodeTcp } from './framing.ts';

const cleanup: (() => unknown)[] = [];
afterEach(async () => {
  for (const undo of cleanup.splice(0).reverse()) await undo();
});

const REGISTERS = [{ extra: 'a', address: 0, type: 'uint16' }];

function run(config: object, options: ConstructorParameters<typeof Running>[1] = {}): Running {
  const driver = create(schema.parse({ host: '127.0.0.1', registers: REGISTERS, timeout: '200ms', ...config }));
  const running = new Running(driver, options);
  cleanup.push(() => running.stop());
  return running;
}

/** @param answer called with each request @returns the port */
async function device(answer: (request: Buffer, socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('data', (request: Buffer) => answer(request, socket));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  cleanup.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return address.port;
}

/** The answer to a request for one register, with this value. */
function answerTo(request: Buffer, value: number): Buffer {
  return encodeTcp(request.readUInt16BE(0), 1, Buffer.from([3, 2, value >> 8, value & 0xff]));
}

/** Listens, takes nobody in, and has its queue full: who connects gets no answer. */
async function silentHost(): Promise<number> {
  const code = `
    const { createServer } = require('node:net');
    const { parentPort } = require('node:worker_threads');
    const server = createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
      parentPort.postMessage(server.address().port);
      // It never turns to those who knock.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });`;
  const worker = new Worker(code, { eval: true });
  cleanup.push(() => worker.terminate());
  const [port] = (await once(worker, 'message')) as [number];
  const fillers = [1, 2, 3, 4].map(() => connect(port, '127.0.0.1').on('error', () => {}));
  cleanup.push(() => fillers.forEach((filler) => filler.destroy()));
  // The system itself has answered the first; the others have knocked by then.
  await once(fillers[0]!, 'connect');
  return port;
}

test('a run that is stopped while it connects ends at once, not after the timeout', { timeout: 30_000 }, async () => {
  const port = await silentHost();
  // As the system sees it: 02 is SYN_SENT.
  const place = `:${port.toString(16).toUpperCase().padStart(4, '0')} 02 `;
  const knocking = (): number => readFileSync('/proc/net/tcp', 'latin1').split(place).length - 1;
  const others = knocking();
  const running = run({ port, connect_timeout: '600s' });
  await until(() => knocking() > others);
  assert.deepEqual(running.errors, []);
  await running.stop();
  // The bus is given back whole: another sensor may use it with other settings.
  const next = run({ port, connect_timeout: '100ms' });
  assert.match(messageOf(await next.failure()), /no answer within 100 ms/);
});

test('an answer that comes byte by byte is one', async () => {
  const port = await device((request, socket) => {
    const left = [...answerTo(request, 7)];
    socket.setNoDelay(true);
    const next = (): void => {
      const byte = left.shift();
      if (byte === undefined) return;
      socket.write(Buffer.from([byte]));
      setTimeout(next, 2);
    };
    next();
  });
  const { gateway } = run({ port });
  await until(() => gateway.samples.length > 2);
  assert.ok(gateway.samples.every((one) => one['a'] === 7));
});

test('answers to other requests, any number of them, are not taken', async () => {
  const port = await device((request, socket) => {
    const own = request.readUInt16BE(0);
    const others = Array.from({ length: 2_000 }, (_, index) => (own + 1 + index) & 0xffff).map((transaction) =>
      encodeTcp(transaction, 1, Buffer.from([3, 2, 0, 99])),
    );
    socket.write(Buffer.concat([...others, answerTo(request, 7), ...others]));
  });
  const { gateway } = run({ port });
  await until(() => gateway.samples.length > 5);
  assert.ok(gateway.samples.every((one) => one['a'] === 7));
});

test('a device that closes its half of the connection is connected to again', async () => {
  let requests = 0;
  const port = await device((request, socket) => {
    requests += 1;
    if (requests % 2 === 0) socket.end();
    else socket.write(answerTo(request, requests));
  });
  const { gateway, errors } = run({ port }, { again: true });
  await until(() => gateway.samples.filter((one) => one['a'] !== null).length > 2);
  assert.match(messageOf(errors[0]), /closed the connection/);
  assert.ok(gateway.connections > 2);
});

import assert from 'node:assert/strict';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, beforeEach, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { systemClock } from '../../base/clock.ts';
import type { MillwrightError } from '../../base/errors.ts';
import { silentLogger } from '../../base/logger.ts';
import { type Batch, BATCHES_MEDIA_TYPE, decodeBatches } from '../../model/batch.ts';
import { encodeFrame } from '../../model/frame.ts';
import type { EdgeStatus } from '../../model/status.ts';
import type { Settlement, Sink, StatusReporter } from '../../ports/sink.ts';
import { type HubSinkOptions, schema } from './config.ts';
import { create, REQUEST_LIMITS } from './sink.ts';

interface Seen {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}
type Answer = (seen: Seen, response: http.ServerResponse, request: http.IncomingMessage) => void;

const STORED = { stored: 1, duplicate_batches: 0, dead_letters: 0, refused: [] };

let answer: Answer = () => {};
let seen: Seen[] = [];
let connections = 0;
const server = http.createServer((request, response) => {
  const parts: Buffer[] = [];
  request.on('data', (part: Buffer) => parts.push(part));
  request.on('end', () => {
    const { method, url, headers } = request;
    const one = { method, url, headers, body: Buffer.concat(parts) };
    seen.push(one);
    answer(one, response, request);
  });
});
server.on('connection', () => {
  connections += 1;
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const { port } = server.address() as AddressInfo;

const sinks: Sink[] = [];
beforeEach(() => {
  seen = [];
  connections = 0;
  answer = (_, response) => json(response, 200, STORED);
});
after(async () => {
  for (const sink of sinks) await sink.close();
  server.closeAllConnections();
  server.close();
});

function json(
  response: http.ServerResponse,
  status: number,
  value: unknown,
  headers: http.OutgoingHttpHeaders = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(value));
}

function open(options: Partial<HubSinkOptions> = {}): Sink & StatusReporter {
  const all = { url: `http://127.0.0.1:${port}/`, timeoutMs: 5_000, token: null, tlsCaFile: null, ...options };
  const parts = { clock: systemClock, random: Math.random, log: silentLogger, backlogReadings: () => 0 };
  const sink = create(all, { gatewayId: 'gw 1', ...parts });
  sinks.push(sink);
  assert.ok('report' in sink);
  return sink as Sink & StatusReporter;
}

function batch(sequence: number, bytes = 100): Batch {
  const payload = encodeFrame({
    machine_id: 'CNC-001',
    timestamp: '2026-01-01T08:00:00.000000Z',
    pad: 'x'.repeat(bytes),
  });
  return { gatewayId: 'gw 1', epoch: 'ep-1', sequence, readings: 1, payload };
}

const never = new AbortController().signal;

function deliver(batches: readonly Batch[], options: Partial<HubSinkOptions> = {}): Promise<Settlement> {
  return open(options).deliver(batches, never);
}

test('one request carries the batches with their identities, lengths and checksums', async () => {
  const batches = [batch(4), batch(5, 5_000), batch(6)];
  assert.deepEqual(await deliver(batches), { refused: [], known: 0 });
  const [request] = seen;
  assert.ok(request !== undefined && seen.length === 1);
  assert.equal(request.method, 'POST');
  assert.equal(request.url, '/api/v1/ingest');
  assert.equal(request.headers['content-type'], BATCHES_MEDIA_TYPE);
  assert.equal(request.headers['idempotency-key'], 'gw%201/ep-1/4-6');
  assert.equal(request.headers['content-length'], String(request.body.length));
  assert.equal(request.headers['authorization'], undefined);
  const decoded = decodeBatches(request.body);
  assert.equal(decoded.fault, undefined);
  assert.deepEqual(
    decoded.batches.map(({ batch: one, crc32: sum }) => [one.gatewayId, one.epoch, one.sequence, one.readings, sum]),
    batches.map((one) => [one.gatewayId, one.epoch, one.sequence, one.readings, crc32(one.payload)]),
  );
  assert.deepEqual(
    decoded.batches.map((one) => Buffer.from(one.batch.payload)),
    batches.map((one) => Buffer.from(one.payload)),
  );
});

test('a path in the url and a token are used', async () => {
  await deliver([batch(1)], { url: `http://127.0.0.1:${port}/mill/`, token: 'secret' });
  assert.equal(seen[0]?.url, '/mill/api/v1/ingest');
  assert.equal(seen[0]?.headers['authorization'], 'Bearer secret');
});

test('the connection is kept for the next request', async () => {
  const sink = open();
  for (let sequence = 1; sequence <= 5; sequence += 1) await sink.deliver([batch(sequence)], never);
  assert.equal(seen.length, 5);
  assert.equal(connections, 1);
});

test('a kept connection that the hub has closed is no failure', async () => {
  const sink = open();
  await sink.deliver([batch(1)], never);
  answer = (_, response, request) => {
    answer = (_one, other) => json(other, 200, STORED);
    response.socket?.resetAndDestroy();
    request.destroy();
  };
  assert.deepEqual(await sink.deliver([batch(2)], never), { refused: [], known: 0 });
  assert.equal(connections, 2);
});

test('what may pass rejects, and nothing is refused', async () => {
  for (const status of [408, 425, 429, 500, 502, 503, 401, 403, 404, 405, 407, 415]) {
    answer = (_, response) => json(response, status, { error: { code: 'x', message: 'not now' } });
    await assert.rejects(deliver([batch(1), batch(2)]), {
      code: 'connection_failed',
      message: `HTTP ${status}: not now`,
    });
  }
  assert.equal(seen.length, 12, 'one request each');
});

test('Retry-After is honoured, in seconds and as a date', async () => {
  answer = (_, response) => json(response, 503, {}, { 'retry-after': '7' });
  await assert.rejects(deliver([batch(1)]), { code: 'try_later', retryAfterMs: 7_000 });
  const inTenSeconds = new Date(Date.now() + 10_000).toUTCString();
  answer = (_, response) => json(response, 429, {}, { 'retry-after': inTenSeconds });
  await assert.rejects(deliver([batch(1)]), (error: MillwrightError) => {
    assert.equal(error.code, 'try_later');
    assert.ok((error.retryAfterMs ?? 0) > 8_000 && (error.retryAfterMs ?? 0) <= 10_000, `${error.retryAfterMs}`);
    return true;
  });
  answer = (_, response) => json(response, 429, {}, { 'retry-after': 'soon' });
  await assert.rejects(deliver([batch(1)]), { code: 'connection_failed' });
});

test('of several batches only the guilty one is refused', async () => {
  for (const status of [400, 413, 422]) {
    seen = [];
    answer = ({ body }, response) => {
      const guilty = decodeBatches(body).batches.some((one) => one.batch.sequence === 2);
      json(response, guilty ? status : 200, guilty ? { error: { code: 'bad_request', message: 'bad frame' } } : STORED);
    };
    assert.deepEqual(await deliver([batch(1), batch(2), batch(3)]), {
      refused: [{ sequence: 2, reason: `HTTP ${status}: bad frame` }],
      known: 0,
    });
    assert.equal(seen.length, 4);
  }
});

test('a single batch that is refused is not sent twice', async () => {
  answer = (_, response) => json(response, 400, { error: { code: 'bad_request', message: 'what is this?' } });
  assert.deepEqual(await deliver([batch(9)]), {
    refused: [{ sequence: 9, reason: 'HTTP 400: what is this?' }],
    known: 0,
  });
  assert.equal(seen.length, 1);
});

test('a refusal that is not in the hub’s words is not believed', async () => {
  const words = '<h1>400 The plain HTTP request was sent to HTTPS port</h1>';
  answer = (_, response) => response.writeHead(400, { 'content-type': 'text/html' }).end(words);
  await assert.rejects(deliver([batch(1), batch(2)]), { code: 'connection_failed', message: `HTTP 400: ${words}` });
  answer = (_, response) => json(response, 413, { error: 'too large' });
  await assert.rejects(deliver([batch(1)]), { code: 'connection_failed' });
});

test('trouble while the batches go one by one settles none of them', async () => {
  answer = ({ body }, response) => {
    const sequences = decodeBatches(body).batches.map((one) => one.batch.sequence);
    if (sequences.length > 1) json(response, 400, { error: { code: 'bad_request', message: 'one of them' } });
    else json(response, sequences[0] === 2 ? 503 : 200, STORED);
  };
  await assert.rejects(deliver([batch(1), batch(2)]), { code: 'connection_failed' });
});

test('a 200 that is not the hub’s is not believed', async () => {
  const answers: Answer[] = [
    (_, response) => response.end('<html>Welcome to the hotel</html>'),
    (_, response) => json(response, 200, { ok: true }),
    (_, response) => json(response, 200, null),
    (_, response) => response.end(),
  ];
  for (const one of answers) {
    answer = one;
    await assert.rejects(deliver([batch(1)]), { code: 'protocol_violation' });
  }
  for (const status of [204, 302]) {
    answer = (_, response) => response.writeHead(status, { location: 'http://127.0.0.1:9/' }).end();
    await assert.rejects(deliver([batch(1)]), { code: 'protocol_violation' });
  }
});

test('an answer without end is not read to its end', async () => {
  answer = (_, response) => {
    const more = (): void => {
      while (!response.destroyed && response.write('x'.repeat(10_000)));
    };
    response.on('drain', more);
    response.on('error', () => {});
    more();
  };
  await assert.rejects(deliver([batch(1)]), { code: 'protocol_violation' });
});

test('silence ends at the time limit, also in the middle of an answer', async () => {
  answer = () => {};
  await assert.rejects(deliver([batch(1)], { timeoutMs: 80 }), { code: 'connection_failed', message: /80 ms/ });
  answer = (_, response) => response.writeHead(200, { 'content-type': 'application/json' }).write('{"stored":');
  await assert.rejects(deliver([batch(1)], { timeoutMs: 80 }), { code: 'connection_failed' });
});

test('an answer that breaks off, and nobody there, are trouble on the way', async () => {
  answer = (_, response) => {
    response.writeHead(200, { 'content-length': 100 }).write('{"stored":1,');
    setImmediate(() => response.destroy());
  };
  await assert.rejects(deliver([batch(1)]), { code: 'connection_failed' });
  const other = http.createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const free = (other.address() as AddressInfo).port;
  await new Promise((resolve) => other.close(resolve));
  const url = `http://127.0.0.1:${free}`;
  await assert.rejects(deliver([batch(1)], { url }), {
    code: 'connection_failed',
    message: `${url} cannot be reached`,
  });
});

test('a delivery ends at once when it is stopped', async () => {
  answer = () => {};
  const stop = new AbortController();
  const delivered = open().deliver([batch(1)], stop.signal);
  setTimeout(() => stop.abort(), 20);
  await assert.rejects(delivered, { code: 'connection_failed' });
  await assert.rejects(open().deliver([batch(1)], AbortSignal.abort()), { code: 'connection_failed' });
});

test('a certificate file that is not there is told at each try', async () => {
  const options = { url: `https://127.0.0.1:${port}`, tlsCaFile: '/nowhere/ca.pem' };
  await assert.rejects(deliver([batch(1)], options), { code: 'storage_failed', message: /nowhere\/ca\.pem/ });
});

test('the status goes to the hub', async () => {
  answer = (_, response) => response.writeHead(204).end();
  const status = { gateway_id: 'gw 1', losses: 0 } as EdgeStatus;
  await open().report(status, never);
  assert.equal(seen[0]?.method, 'PUT');
  assert.equal(seen[0]?.url, '/api/v1/edges/gw%201/status');
  assert.deepEqual(JSON.parse(seen[0]?.body.toString() ?? ''), status);
  answer = (_, response) => json(response, 404, { error: { code: 'not_found', message: 'no such path' } });
  await assert.rejects(open().report(status, never), { code: 'connection_failed' });
});

test('the options are checked, and have defaults', () => {
  assert.deepEqual(schema.parse({ url: 'http://hub:8081' }), {
    url: 'http://hub:8081',
    timeoutMs: 30_000,
    token: null,
    tlsCaFile: null,
  });
  assert.equal(schema.parse({ url: 'https://hub', timeout: '500ms' }).timeoutMs, 500);
  assert.throws(() => schema.parse({ url: 'ftp://hub' }), /http or https/);
  assert.throws(() => schema.parse({}), /url/);
  assert.throws(() => schema.parse({ url: 'http://hub', timeout: 'soon' }), /duration/);
  assert.throws(() => schema.parse({ url: 'http://hub', token: 'a b' }), /one word/);
  assert.throws(() => schema.parse({ url: 'http://hub', urls: [] }), /urls/);
  assert.deepEqual(REQUEST_LIMITS, { batchesMax: 64, bytesMax: 262_144 });
});

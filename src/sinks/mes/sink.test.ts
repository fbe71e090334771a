import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { type TestContext, test } from 'node:test';
import { makeCertificates } from '../../../test/support/certificates.ts';
import { until } from '../../../test/support/until.ts';
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import type { Batch } from '../../model/batch.ts';
import { encodeFrame } from '../../model/frame.ts';
import type { Settlement, Sink } from '../../ports/sink.ts';
import { schema } from './config.ts';
import { CALL_LIMITS, create } from './sink.ts';

interface Posted {
  readonly key: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly url: string | undefined;
  readonly body: unknown;
}
/** The status, and what else the answer has; undefined: the connection is closed. */
type Said = { status: number; text?: string; headers?: http.OutgoingHttpHeaders } | undefined;
type Answer = (posted: Posted) => Said | Promise<Said>;

interface Rig {
  readonly posted: Posted[];
  readonly keys: () => string[];
  answer: Answer;
  readonly url: string;
  open(keys?: object): Sink;
}

/** A MES of one page: it answers as the test says. */
async function setup(context: TestContext, tls?: https.ServerOptions): Promise<Rig> {
  const handle = (request: http.IncomingMessage, response: http.ServerResponse): void => {
    void request.toArray().then(async (parts: Buffer[]) => {
      const { headers, url } = request;
      const body: unknown = JSON.parse(Buffer.concat(parts).toString());
      const posted = { key: String(headers['idempotency-key']), headers, url, body };
      rig.posted.push(posted);
      const said = await rig.answer(posted);
      if (said === undefined) response.destroy();
      else response.writeHead(said.status, said.headers).end(said.text);
    });
  };
  const server = tls === undefined ? http.createServer(handle) : https.createServer(tls, handle);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const sinks: Sink[] = [];
  context.after(async () => {
    for (const sink of sinks) await sink.close();
    server.closeAllConnections();
    server.close();
  });
  const url = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const rig: Rig = {
    posted: [],
    keys: () => rig.posted.map(({ key }) => key),
    answer: () => ({ status: 201 }),
    url,
    open: (keys = {}) => {
      const parts = { clock: systemClock, random: Math.random, log: silentLogger, backlogReadings: () => 0 };
      const sink = create(schema.parse({ url, ...keys }), { gatewayId: 'EDGE 1', ...parts });
      sinks.push(sink);
      return sink;
    },
  };
  return rig;
}

function measurement(number: number, more: object = {}): object {
  const timestamp = `2026-01-01T08:00:00.${String(number).padStart(6, '0')}Z`;
  const what = { kind: 'measurement', characteristic: 'length', measured_value: 100 + number / 1e6, unit: 'mm' };
  return { machine_id: 'CMM-1', timestamp, temperature_c: 20, ...what, ...more };
}

function batch(sequence: number, readings: readonly object[]): Batch {
  const payload = Buffer.concat(readings.map((reading) => encodeFrame(reading)));
  return { gatewayId: 'EDGE 1', epoch: 'ep', sequence, readings: readings.length, payload };
}

const sample = { machine_id: 'CNC-1', timestamp: '2026-01-01T08:00:00Z', temperature: 40, note: 'kind measurement' };
const never = new AbortController().signal;

test('each measurement is one request with its key, in order, and nothing else is sent', async (context) => {
  const rig = await setup(context);
  const sink = rig.open({ token: 'secret', headers: { 'X-Plant': 'Ulm 2' } });
  const batches = [batch(3, [sample, measurement(1), sample, measurement(2)]), batch(4, [measurement(3)])];
  assert.deepEqual(await sink.deliver(batches, never), { refused: [] });
  assert.deepEqual(rig.keys(), ['EDGE%201/ep/3/1', 'EDGE%201/ep/3/3', 'EDGE%201/ep/4/0']);
  const [first] = rig.posted;
  assert.equal(first?.url, '/api/v1/cmm/measurements');
  assert.equal(first.headers['content-type'], 'application/json');
  assert.equal(first.headers.authorization, 'Bearer secret');
  assert.equal(first.headers['x-plant'], 'Ulm 2');
  assert.deepEqual(first.body, {
    machine_id: 'CMM-1',
    timestamp: '2026-01-01T08:00:00.000001Z',
    temperature: 20,
    length: 100.000001,
    status: 'ACTIVE',
  });
  assert.deepEqual([sink.ordered, sink.window, sink.limits], [true, 1, CALL_LIMITS]);
});

test('batches without measurements are settled at once', async (context) => {
  const rig = await setup(context);
  assert.deepEqual(await rig.open().deliver([batch(1, [sample]), batch(2, [sample, sample])], never), { refused: [] });
  assert.equal(rig.posted.length, 0);
});

test('only the machines and characteristics that are named are sent', async (context) => {
  const rig = await setup(context);
  const sink = rig.open({ machines: ['CMM-2'], characteristics: ['bore'] });
  const readings = [
    measurement(1, { machine_id: 'CMM-2' }),
    measurement(2, { machine_id: 'CMM-2', characteristic: 'bore' }),
    measurement(3, { characteristic: 'bore' }),
  ];
  await sink.deliver([batch(1, readings)], never);
  assert.deepEqual(rig.keys(), ['EDGE%201/ep/1/1']);
});

test('machines go beside each other, those of one machine one after the other', async (context) => {
  const rig = await setup(context);
  const readings = Array.from({ length: 60 }, (_, number) => measurement(number, { machine_id: `CMM-${number % 3}` }));
  // No request is answered before that of another machine is there too.
  rig.answer = async () => {
    const { length } = rig.posted;
    if (length % 2 === 1 && length < 40) await until(() => rig.posted.length > length);
    return { status: 201 };
  };
  await rig.open({ connections: 2 }).deliver([batch(1, readings)], never);
  for (const machine of ['CMM-0', 'CMM-1', 'CMM-2']) {
    const times = rig.posted.map(({ body }) => body as { machine_id: string; timestamp: string });
    const own = times.filter(({ machine_id }) => machine_id === machine).map(({ timestamp }) => timestamp);
    assert.equal(own.length, 20);
    assert.deepEqual(own, own.toSorted());
  }
});

test('trouble rejects, with the wait that the MES asks for; what is accepted is not sent again', async (context) => {
  const rig = await setup(context);
  const sink = rig.open();
  const batches = [batch(1, [measurement(0), measurement(1), measurement(2)])];
  for (const [status, headers, error] of [
    [500, {}, { code: 'connection_failed', message: 'HTTP 500: oh', hasProgressed: true }],
    [408, {}, { code: 'connection_failed', hasProgressed: false }],
    [425, {}, { code: 'connection_failed' }],
    [503, { 'retry-after': '7' }, { code: 'try_later', retryAfterMs: 7_000 }],
    [429, { 'retry-after': '0' }, { code: 'try_later', retryAfterMs: 0 }],
    [401, {}, { code: 'connection_failed' }],
    [302, { location: '/login' }, { code: 'protocol_violation' }],
    [0, {}, { code: 'connection_failed' }],
  ] as const) {
    rig.answer = ({ key }) => {
      if (!key.endsWith('/1')) return { status: 201 };
      return status === 0 ? undefined : { status, headers, text: 'oh' };
    };
    await assert.rejects(sink.deliver(batches, never), error);
  }
  assert.deepEqual(
    rig.keys().filter((key) => key.endsWith('/0')),
    ['EDGE%201/ep/1/0'],
  );
  rig.answer = () => ({ status: 200 });
  assert.deepEqual(await sink.deliver(batches, never), { refused: [] });
  assert.deepEqual(rig.keys().slice(-2), ['EDGE%201/ep/1/1', 'EDGE%201/ep/1/2']);
  // Once settled it is forgotten: whoever delivers it again means it.
  rig.posted.length = 0;
  await sink.deliver(batches, never);
  assert.equal(rig.posted.length, 3);
});

test('after the first failure nothing more is sent in that call', async (context) => {
  const rig = await setup(context);
  rig.answer = () => ({ status: 429, headers: { 'retry-after': '1' } });
  const readings = Array.from({ length: 50 }, (_, number) => measurement(number, { machine_id: `CMM-${number % 10}` }));
  await assert.rejects(rig.open({ connections: 4 }).deliver([batch(1, readings)], never), { code: 'try_later' });
  assert.ok(rig.posted.length <= 4, `${rig.posted.length} requests`);
});

test('any other 4xx refuses just that measurement, with the words of the MES', async (context) => {
  const rig = await setup(context);
  for (const status of [400, 404, 409, 413, 422]) {
    rig.answer = ({ key }) => (key.endsWith('/1') ? { status, text: '{"error":"no such part"}' } : { status: 201 });
    const refused = [{ sequence: 5, index: 1, reason: `HTTP ${status}: {"error":"no such part"}` }];
    assert.deepEqual(await rig.open().deliver([batch(5, [measurement(0), measurement(1), measurement(2)])], never), {
      refused,
    });
  }
  rig.answer = () => ({ status: 404 });
  await assert.rejects(rig.open({ wait_on: [404] }).deliver([batch(5, [measurement(0)])], never), {
    message: 'HTTP 404',
  });
});

test('an answer may be as long as it likes: its status counts', async (context) => {
  const rig = await setup(context);
  const page = '<html>'.repeat(50_000);
  rig.answer = ({ key }) => ({ status: key.endsWith('/1') ? 400 : 201, text: page });
  const { refused } = await rig.open().deliver([batch(5, [measurement(0), measurement(1), measurement(2)])], never);
  assert.equal(refused.length, 1);
  assert.match(refused[0]?.reason ?? '', /^HTTP 400: <html>/);
});

test('a key file that holds no key is trouble that may pass, and says so', async (context) => {
  const rig = await setup(context);
  const folder = mkdtempSync(`${tmpdir()}/millwright-mes-`);
  context.after(() => rmSync(folder, { recursive: true }));
  const file = `${folder}/key.pem`;
  writeFileSync(file, 'not a key');
  const sink = rig.open({ url: 'https://127.0.0.1:9', tls_key_file: file, tls_cert_file: file });
  const error = { code: 'connection_failed', message: 'https://127.0.0.1:9 cannot be reached' };
  await assert.rejects(sink.deliver([batch(1, [measurement(0)])], never), error);
});

test('an address with a user or a query stops the start', () => {
  for (const url of ['http://me:secret@mes', 'http://me@mes', 'http://mes?x=1', 'http://mes#x']) {
    assert.throws(() => schema.parse({ url }), /an http or https address/);
  }
});

test('a refusal is told when its batch is settled, though the call in which it came failed', async (context) => {
  const rig = await setup(context);
  const sink = rig.open();
  const batches = [batch(1, [measurement(0), measurement(1)])];
  rig.answer = ({ key }) => ({ status: key.endsWith('/0') ? 400 : 500 });
  await assert.rejects(sink.deliver(batches, never), { hasProgressed: true });
  rig.answer = () => ({ status: 201 });
  assert.deepEqual(await sink.deliver(batches, never), { refused: [{ sequence: 1, index: 0, reason: 'HTTP 400' }] });
});

test('lists carry a key for each measurement; of one that is refused, only the guilty ones are', async (context) => {
  const rig = await setup(context);
  rig.answer = ({ key }) => (key.split(', ').includes('EDGE%201/ep/1/4') ? { status: 422 } : { status: 201 });
  const readings = Array.from({ length: 7 }, (_, number) => measurement(number, { machine_id: `CMM-${number % 2}` }));
  const settlement = await rig.open({ list_size: 3 }).deliver([batch(1, readings)], never);
  assert.deepEqual(settlement, { refused: [{ sequence: 1, index: 4, reason: 'HTTP 422' }] });
  const key = (index: number): string => `EDGE%201/ep/1/${index}`;
  assert.deepEqual(rig.keys(), [
    [0, 1, 2].map(key).join(', '),
    [3, 4, 5].map(key).join(', '),
    key(3),
    key(4),
    key(5),
    key(6),
  ]);
  assert.ok(
    rig.posted.every(({ body }) => Array.isArray(body)),
    'always lists',
  );
});

test('keys of a long list stay within what servers take as headers', async (context) => {
  const rig = await setup(context);
  const batches = [
    batch(
      123_456_789,
      Array.from({ length: 100 }, (_, number) => measurement(number)),
    ),
  ];
  const long = batches.map((one) => ({ ...one, gatewayId: 'ö'.repeat(100) }));
  await rig.open({ list_size: 100 }).deliver(long, never);
  assert.ok(rig.posted.length > 1 && rig.keys().every((keys) => keys.length < 8_000));
});

test('a part of a batch that is delivered again has the key that it had', async (context) => {
  const rig = await setup(context);
  const parts = [2, 5].map((index) => ({ ...batch(9, [measurement(index)]), index }));
  rig.answer = ({ key }) => ({ status: key.endsWith('/5') ? 400 : 201 });
  const settlement = await rig.open().deliver(parts, never);
  assert.deepEqual(rig.keys(), ['EDGE%201/ep/9/2', 'EDGE%201/ep/9/5']);
  assert.deepEqual(settlement, { refused: [{ sequence: 9, index: 5, reason: 'HTTP 400' }] });
});

test('what is no measurement though it says so is refused with the reason', async (context) => {
  const rig = await setup(context);
  const bad = measurement(1, { measured_value: 'long' });
  const { refused } = await rig.open().deliver([batch(1, [measurement(0), bad])], never);
  assert.deepEqual(
    refused.map(({ index, reason }) => [index, reason]),
    [[1, 'measured_value is a number, found "long"']],
  );
  assert.equal(rig.posted.length, 1);
});

test('a delivery ends at once when it is stopped', async (context) => {
  const rig = await setup(context);
  const stop = new AbortController();
  rig.answer = () => {
    stop.abort();
    return { status: 201 };
  };
  const readings = [measurement(0), measurement(1)];
  await assert.rejects(rig.open().deliver([batch(1, readings)], stop.signal), { code: 'connection_failed' });
});

test('a MES that asks for our certificate gets it, and its own is checked', async (context) => {
  const folder = mkdtempSync(`${tmpdir()}/millwright-mes-`);
  context.after(() => rmSync(folder, { recursive: true }));
  const { caFile, certFile, keyFile } = await makeCertificates(folder);
  const [ca, cert, key] = [caFile, certFile, keyFile].map((file) => readFileSync(file));
  const rig = await setup(context, { ca: ca!, cert: cert!, key: key!, requestCert: true, rejectUnauthorized: true });
  const deliver = (keys: object): Promise<Settlement> => rig.open(keys).deliver([batch(1, [measurement(0)])], never);
  await assert.rejects(deliver({}), { code: 'connection_failed' });
  await assert.rejects(deliver({ tls_ca_file: caFile }), { code: 'connection_failed' });
  assert.equal(rig.posted.length, 0);
  const own = { tls_ca_file: caFile, tls_cert_file: certFile, tls_key_file: keyFile };
  assert.deepEqual(await deliver({ ...own, user: 'edge', password: 'a:b' }), { refused: [] });
  assert.equal(rig.posted[0]?.headers.authorization, `Basic ${Buffer.from('edge:a:b').toString('base64')}`);
  await assert.rejects(deliver({ ...own, tls_key_file: '/nowhere/key.pem' }), { code: 'storage_failed' });
});

test('the options are checked, and have defaults', () => {
  const { listSize, connections, length, failAboveC, waitOn, headers } = schema.parse({ url: 'http://mes:8080' });
  assert.deepEqual(
    { listSize, connections, length, failAboveC, waitOn, headers },
    { listSize: 1, connections: 4, length: 'compensated', failAboveC: 24, waitOn: [401, 403, 407], headers: {} },
  );
  const bad = (keys: object, message: RegExp): void =>
    assert.throws(() => schema.parse({ url: 'http://mes', ...keys }), message);
  bad({ url: 'ftp://mes' }, /http or https/);
  bad({ path: 'api' }, /slash/);
  bad({ template: { a: ['{lenght}'] } }, /there is no field lenght; allowed in braces: machine_id, .*length/);
  bad({ template: 'x' }, /mapping/);
  bad({ headers: { 'bad name': 'x' } }, /headers/);
  bad({ headers: { name: 'a\nb' } }, /line breaks/);
  bad({ token: 'a', user: 'b' }, /token, or user/);
  bad({ fail_verdicts: ['bad'] }, /conform, nonconform/);
  bad({ lists: 2 }, /lists/);
});

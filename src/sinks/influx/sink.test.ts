import assert from 'node:assert/strict';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import type { Batch } from '../../model/batch.ts';
import { encodeFrame } from '../../model/frame.ts';
import type { EdgeStatus } from '../../model/status.ts';
import { isStatusReporter, type Sink } from '../../ports/sink.ts';
import { schema } from './config.ts';
import { CALL_LIMITS, create } from './sink.ts';

interface Posted {
  readonly url: string | undefined;
  readonly headers: http.IncomingHttpHeaders;
  readonly lines: readonly string[];
}
interface Said {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: http.OutgoingHttpHeaders;
}

interface Rig {
  readonly posted: Posted[];
  answer: (posted: Posted) => Said;
  open(keys?: object): Sink;
}

async function setup(context: TestContext): Promise<Rig> {
  const server = http.createServer((request, response) => {
    void request.toArray().then((parts: Buffer[]) => {
      const { headers, url } = request;
      const body = Buffer.concat(parts);
      const text = (headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString();
      const posted = { url, headers, lines: text.split('\n') };
      rig.posted.push(posted);
      const { status, body: said, headers: own } = rig.answer(posted);
      response.writeHead(status, own).end(typeof said === 'string' ? said : JSON.stringify(said));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const sinks: Sink[] = [];
  context.after(async () => {
    for (const sink of sinks) await sink.close();
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const rig: Rig = {
    posted: [],
    answer: () => ({ status: 204 }),
    open: (keys = {}) => {
      const parts = { clock: systemClock, random: Math.random, log: silentLogger, backlogReadings: () => 5 };
      const sink = create(schema.parse({ url, ...keys }), { gatewayId: 'EDGE-1', ...parts });
      sinks.push(sink);
      return sink;
    },
  };
  return rig;
}

const event = { kind: 'event', machine_id: 'CNC-1', timestamp: '2026-01-01T08:00:00Z', event_type: 'part' };

function sample(number: number): object {
  return { machine_id: 'CNC-1', timestamp: `2026-01-01T08:00:00.${String(number).padStart(6, '0')}Z`, value: number };
}

function batch(sequence: number, readings: readonly object[]): Batch {
  const payload = Buffer.concat(readings.map((reading) => encodeFrame(reading)));
  return { gatewayId: 'EDGE-1', epoch: 'ep', sequence, readings: readings.length, payload };
}

const samples = (count: number): object[] => Array.from({ length: count }, (_, number) => sample(number));
const never = new AbortController().signal;
const numberOf = (line: string): number => Number(/ value=(\d+) /.exec(line)?.[1]);

test('one request has a line for each sample and measurement, compressed, with token and place', async (context) => {
  const rig = await setup(context);
  const measurement = { kind: 'measurement', characteristic: 'length', measured_value: 100.5, unit: 'mm' };
  const measured = { machine_id: 'CMM-1', timestamp: '2026-01-01T08:00:00.123456Z', temperature_c: 21, ...measurement };
  const sink = rig.open({ token: 't0k', org: 'a b', bucket: 'shop/one' });
  assert.deepEqual(await sink.deliver([batch(1, [sample(1), event]), batch(2, [measured])], never), { refused: [] });
  assert.equal(rig.posted.length, 1);
  const { url, headers, lines } = rig.posted[0]!;
  assert.equal(url, '/api/v2/write?org=a+b&bucket=shop%2Fone&precision=ns');
  assert.equal(headers.authorization, 'Token t0k');
  assert.equal(headers['content-encoding'], 'gzip');
  assert.deepEqual(lines, [
    'cnc,machine_id=CNC-1 value=1 1767254400000001000',
    'cmm_metrology,characteristic=length,machine_id=CMM-1 ' +
      'measured_length_mm=100.5,temperature_c=21,buffer_queue_size=5i 1767254400123456000',
  ]);
  assert.deepEqual([sink.limits, sink.ordered], [CALL_LIMITS, undefined]);
});

test('only what is wanted is written, and nothing is asked for where there is nothing', async (context) => {
  const rig = await setup(context);
  const keys = { machines: ['CNC-2'], compression: 'none' };
  await rig.open(keys).deliver([batch(1, [sample(1), event])], never);
  await rig.open({ samples: false }).deliver([batch(1, [sample(1)])], never);
  assert.equal(rig.posted.length, 0);
  await rig.open(keys).deliver([batch(1, [{ ...sample(1), machine_id: 'CNC-2' }])], never);
  assert.equal(rig.posted[0]?.headers['content-encoding'], undefined);
});

test('trouble rejects, with the wait that is asked for', async (context) => {
  const rig = await setup(context);
  for (const [said, error] of [
    [
      { status: 429, headers: { 'retry-after': '9' } },
      { code: 'try_later', retryAfterMs: 9_000 },
    ],
    [
      { status: 503, headers: { 'retry-after': '2' } },
      { code: 'try_later', retryAfterMs: 2_000 },
    ],
    [{ status: 503 }, { code: 'connection_failed' }],
    [{ status: 500, body: { code: 'internal error', message: 'disk' } }, { message: 'HTTP 500: disk' }],
    [{ status: 401, body: { code: 'unauthorized', message: 'unauthorized access' } }, { code: 'connection_failed' }],
    [{ status: 404, body: { message: 'bucket "shop" not found' } }, { message: 'HTTP 404: bucket "shop" not found' }],
    [{ status: 503, headers: { 'retry-after': '-5' } }, { code: 'connection_failed' }],
    [{ status: 503, headers: { 'retry-after': 'soon' } }, { code: 'connection_failed' }],
    [{ status: 400, body: `<h1>${'no '.repeat(40_000)}</h1>` }, { code: 'connection_failed' }],
    [{ status: 302 }, { code: 'protocol_violation' }],
    [{ status: 400, body: '<h1>plain HTTP to an HTTPS port</h1>' }, { code: 'connection_failed' }],
  ] as const) {
    rig.answer = () => said;
    await assert.rejects(rig.open().deliver([batch(1, samples(3))], never), error);
  }
});

test('lines that the answer names are refused, the others are written', async (context) => {
  const rig = await setup(context);
  rig.answer = ({ lines }) => {
    const data = lines.flatMap((line, place) =>
      [3, 4].includes(numberOf(line)) ? [{ line_number: place + 1, error_message: 'no', original_line: line }] : [],
    );
    if (data.length === 0) return { status: 204 };
    return { status: 400, body: { error: 'partial write of line protocol occurred', data } };
  };
  const settlement = await rig.open().deliver([batch(6, samples(3)), batch(7, samples(9).slice(3))], never);
  assert.deepEqual(settlement.refused, [
    { sequence: 7, index: 0, reason: 'HTTP 400: no' },
    { sequence: 7, index: 1, reason: 'HTTP 400: no' },
  ]);
  assert.deepEqual(rig.posted.at(-1)?.lines.map(numberOf), [0, 1, 2, 5, 6, 7, 8]);
});

test('an answer that names more lines than are read of it is halved too', async (context) => {
  const rig = await setup(context);
  rig.answer = ({ lines }) => {
    const data = lines.map((line, place) => ({
      line_number: place + 1,
      error_message: 'too old',
      original_line: line,
    }));
    return { status: 400, body: { error: 'partial write of line protocol occurred', data } };
  };
  const { refused } = await rig.open().deliver([batch(6, samples(2_000))], never);
  assert.equal(refused.length, 2_000);
  assert.ok(refused.every(({ reason }) => reason === 'HTTP 400: too old'));
});

test('where no line is named, halving finds the guilty one', async (context) => {
  const rig = await setup(context);
  const written = new Set<number>();
  rig.answer = ({ lines }) => {
    const numbers = lines.map(numberOf);
    if (numbers.includes(77))
      return { status: 422, body: { code: 'unprocessable entity', message: 'field type conflict' } };
    for (const number of numbers) written.add(number);
    return { status: 204 };
  };
  const { refused } = await rig.open().deliver([batch(2, samples(100))], never);
  assert.deepEqual(refused, [{ sequence: 2, index: 77, reason: 'HTTP 422: field type conflict' }]);
  assert.equal(written.size, 99);
  assert.ok(rig.posted.length < 20, `${rig.posted.length} requests`);
});

test('a request that is too large becomes smaller, and the next ones are so at once', async (context) => {
  const rig = await setup(context);
  rig.answer = ({ lines }) => ({ status: lines.length > 30 ? 413 : 204 });
  const sink = rig.open();
  assert.deepEqual(await sink.deliver([batch(1, samples(100))], never), { refused: [] });
  const sizes = rig.posted.map(({ lines }) => lines.length);
  assert.deepEqual(sizes, [100, 50, 25, 25, 25, 25]);
  assert.deepEqual(
    rig.posted.filter(({ lines }) => lines.length <= 30).flatMap(({ lines }) => lines.map(numberOf)),
    [...Array.from({ length: 100 }).keys()],
  );
  rig.posted.length = 0;
  await sink.deliver([batch(2, samples(50))], never);
  assert.deepEqual(
    rig.posted.map(({ lines }) => lines.length),
    [25, 25],
  );
  rig.answer = () => ({ status: 413 });
  const { refused } = await rig.open().deliver([batch(3, samples(2))], never);
  assert.deepEqual(
    refused.map(({ index, reason }) => [index, reason]),
    [
      [0, 'HTTP 413'],
      [1, 'HTTP 413'],
    ],
  );
});

/** What the edge tells at the n-th moment, with a sink of which so many readings wait. */
function statusAt(second: number, lagReadings: number): EdgeStatus {
  const sink = { name: 'mes', type: 'mes', state: 'failing', cursor: 7, lag_batches: 2, lag_readings: lagReadings };
  const rates = { drained_in_seconds: null, readings_per_second: 0.5, retries: 4, dead_letters: 1 };
  const log = { bytes: 4096, bytes_max: 8192, bytes_possible: null, last_sequence: 9, readings_thinned: 0 };
  const sources = [
    { state: 'ok', sampling_factor: 2 },
    { state: 'failing', sampling_factor: 1 },
  ];
  return {
    gateway_id: 'EDGE 1',
    state: 'degraded',
    sent_at: `2026-01-01T08:00:${String(second).padStart(2, '0')}.000000Z`,
    memory_bytes: 1000,
    readings_per_second: 10,
    losses: 0,
    sources,
    log: { ...log, readings_dropped: 3, quarantined_batches: 0 },
    sinks: [{ ...sink, ...rates, oldest_unsent_age_seconds: 1.5 }],
  } as unknown as EdgeStatus;
}

test('how the edge, its log and its sinks fare is written too, under the names of the metrics', async (context) => {
  const rig = await setup(context);
  const sink = rig.open();
  assert.ok(isStatusReporter(sink));
  await sink.report(statusAt(1, 42), never);
  assert.deepEqual(rig.posted[0]?.lines, [
    'millwright_sink,gateway_id=EDGE\\ 1,sink=mes state="failing",up=0i,cursor=7i,lag_batches=2i,lag_readings=42i,' +
      'oldest_unsent_age_seconds=1.5,readings_per_second=0.5,retries_total=4i,dead_letters_total=1i 1767254401000000000',
    'millwright_log,gateway_id=EDGE\\ 1 bytes=4096i,max_bytes=8192i,last_sequence=9i,readings_thinned_total=0i,' +
      'readings_dropped_total=3i,quarantined_batches_total=0i 1767254401000000000',
    'millwright_edge,gateway_id=EDGE\\ 1 state="degraded",sources=2i,sources_up=1i,sampling_factor=2,' +
      'readings_per_second=10,losses_total=0i,memory_bytes=1000i 1767254401000000000',
  ]);
  assert.ok(!isStatusReporter(rig.open({ status: false })));
});

test('what the historian did not take of it is written when it does, and what it refuses for good is not', async (context) => {
  const rig = await setup(context);
  const sink = rig.open();
  assert.ok(isStatusReporter(sink));
  const depths = (lines: readonly string[] = []): string[] =>
    lines.flatMap((line) => /lag_readings=(\d+)i/.exec(line)?.[1] ?? []);
  rig.answer = () => ({ status: 503 });
  for (const second of [1, 2, 3]) {
    await assert.rejects(sink.report(statusAt(second, second), never), { code: 'connection_failed' });
  }
  rig.answer = () => ({ status: 204 });
  await sink.report(statusAt(4, 4), never);
  assert.deepEqual(depths(rig.posted.at(-1)?.lines), ['1', '2', '3', '4']);
  rig.answer = () => ({ status: 400, body: { message: 'no such measurement' } });
  await assert.rejects(sink.report(statusAt(5, 5), never), { message: 'HTTP 400: no such measurement' });
  rig.answer = () => ({ status: 204 });
  await sink.report(statusAt(6, 6), never);
  assert.deepEqual(depths(rig.posted.at(-1)?.lines), ['6']);
});

test('a wait that the historian asks for holds for the status too', async (context) => {
  const rig = await setup(context);
  const sink = rig.open();
  assert.ok(isStatusReporter(sink));
  rig.answer = () => ({ status: 429, headers: { 'retry-after': '60' } });
  await assert.rejects(sink.deliver([batch(1, [sample(1)])], never), { code: 'try_later' });
  await assert.rejects(sink.report(statusAt(1, 1), never), { code: 'try_later' });
  assert.equal(rig.posted.length, 1);
});

test('the options are checked, and have defaults', () => {
  const { org, bucket, samples, status, compression, token } = schema.parse({ url: 'http://historian:8086' });
  assert.deepEqual(
    { org, bucket, samples, status, compression, token },
    { org: 'millwright', bucket: 'millwright', samples: true, status: true, compression: 'gzip', token: null },
  );
  assert.throws(() => schema.parse({ url: 'historian' }), /http or https/);
  assert.throws(() => schema.parse({ url: 'http://h', token: 'a\nb' }), /line breaks/);
  assert.throws(() => schema.parse({ url: 'http://h', database: 'x' }), /database/);
});

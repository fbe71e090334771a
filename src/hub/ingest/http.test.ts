import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import { BATCHES_MEDIA_TYPE, encodeBatchHeader, FRAMES_MEDIA_TYPE } from '../../model/batch.ts';
import { encodeFrame } from '../../model/frame.ts';
import { select, startTestServer } from '../../../test/support/hub-database.ts';
import { type Answer, ask, startHub } from '../../../test/support/hub-server.ts';

const server = await startTestServer();
const settings = await server.database();
const hub = await startHub(settings);
const INGEST = `${hub.url}/api/v1/ingest`;

let machines = 0;
/** A name of its own for each test, so that they do not see each other's rows. */
const nextMachine = (): string => `CNC-${(machines += 1)}`;
const sample = (machine_id: string, second: number, fields: object = {}): object => {
  return { machine_id, timestamp: `2026-01-01T08:00:${String(second).padStart(2, '0')}Z`, ...fields };
};
const frames = (...readings: unknown[]): Buffer => Buffer.concat(readings.map((reading) => encodeFrame(reading)));
const batch = (sequence: number, payload: Uint8Array, { gatewayId = 'gw', epoch = 'e', damage = 0 } = {}): Buffer => {
  const header = encodeBatchHeader(
    { gatewayId, epoch, sequence, readings: 1, payload },
    (crc32(payload) ^ damage) >>> 0,
  );
  return Buffer.concat([header, payload]);
};
const post = (
  body: string | Uint8Array,
  type = 'application/json',
  headers: Record<string, string> = {},
): Promise<Answer> => {
  return ask(INGEST, { method: 'POST', body, headers: { 'content-type': type, ...headers } });
};
const postBatches = (...parts: Uint8Array[]): Promise<Answer> => post(Buffer.concat(parts), BATCHES_MEDIA_TYPE);
const count = async (machine: string): Promise<number> => {
  const rows = await select<{ n: number }>(
    settings,
    `select count(*) as n from sensor_data where machine_id = '${machine}'`,
  );
  return rows[0]?.n ?? 0;
};
const answer = (stored: number, duplicates = 0, letters = 0): object => {
  return { stored, duplicate_batches: duplicates, dead_letters: letters };
};
const countsOf = ({ json }: Answer): object => {
  const { stored, duplicate_batches, dead_letters } = json as Record<string, number>;
  return { stored, duplicate_batches, dead_letters };
};
const lastLetter = async (): Promise<{
  reason: string;
  bytes: Buffer;
  sequence: number | null;
  bytes_length: number;
}> => {
  const [row] = await select<Awaited<ReturnType<typeof lastLetter>>>(
    settings,
    'select reason, bytes, sequence, bytes_length from dead_letters order by id desc limit 1',
  );
  assert.ok(row !== undefined);
  return row;
};

test('JSON from any publisher: one reading, an array, and a key that stores once', async () => {
  const machine = nextMachine();
  assert.deepEqual(countsOf(await post(JSON.stringify(sample(machine, 1)))), answer(1));
  assert.deepEqual(countsOf(await post(JSON.stringify([sample(machine, 2), sample(machine, 3)]))), answer(2));
  const key = { 'idempotency-key': `any text ${machine}` };
  assert.deepEqual(countsOf(await post(JSON.stringify(sample(machine, 4)), 'application/json', key)), answer(1));
  assert.deepEqual(countsOf(await post(JSON.stringify(sample(machine, 4)), 'application/json', key)), answer(0, 1));
  assert.equal(await count(machine), 4);
  const tooLong = await post('{}', 'application/json', { 'idempotency-key': 'k'.repeat(201) });
  assert.equal(tooLong.status, 400);
  assert.match(tooLong.text, /Idempotency-Key is at most 200 characters, found 201/);
});

test('identities whose parts are divided differently are different', async () => {
  const machine = nextMachine();
  const one = batch(1, frames(sample(machine, 1)), { gatewayId: 'hall/2', epoch: 'e' });
  const other = batch(1, frames(sample(machine, 2)), { gatewayId: 'hall', epoch: '2/e' });
  assert.deepEqual(countsOf(await postBatches(one, other)), answer(2));
  assert.equal(await count(machine), 2);
});

test('a batch by its key and the same batch by its header are the same', async () => {
  const machine = nextMachine();
  const payload = frames(sample(machine, 1), sample(machine, 2));
  assert.deepEqual(countsOf(await post(payload, FRAMES_MEDIA_TYPE, { 'idempotency-key': 'gw/e/7' })), answer(2));
  assert.deepEqual(countsOf(await postBatches(batch(7, payload))), answer(0, 1));
  assert.equal(await count(machine), 2);
});

test('the same batch twice in a request and from two connections at once is stored once', async () => {
  const machine = nextMachine();
  const payload = frames(sample(machine, 1));
  const same = batch(8, payload);
  const answers = await Promise.all([postBatches(same, same), postBatches(same), postBatches(batch(9, payload), same)]);
  assert.equal(await count(machine), 2);
  const duplicates = answers.map(({ json }) => (json as { duplicate_batches: number }).duplicate_batches);
  assert.equal(
    duplicates.reduce((sum, one) => sum + one),
    3,
  );
});

test('one bad reading among 99 good ones: the good are stored, the bad one is kept with its reason', async () => {
  const machine = nextMachine();
  const bad = { machine_id: 'CNC-MALFORMED', temperature: 'not-a-float' };
  const readings: object[] = Array.from({ length: 99 }, (_, index) => sample(machine, index % 60));
  const response = await postBatches(batch(20, frames(...readings.slice(0, 50), bad, ...readings.slice(50))));
  assert.deepEqual([response.status, countsOf(response)], [200, answer(99, 0, 1)]);
  assert.equal(await count(machine), 99);
  const letter = await lastLetter();
  assert.deepEqual([letter.sequence, letter.reason], [20, 'timestamp is required']);
  assert.deepEqual(JSON.parse(letter.bytes.toString()), bad);
  const again = { ...bad, timestamp: '2026-01-01T08:00:00Z' };
  assert.match((await post(JSON.stringify(again))).text, /temperature is a number, found \\"not-a-float\\"/);
});

test('what cannot be understood becomes a dead letter and is answered, so that nobody sends it for ever', async (t) => {
  const good = (machine: string): Buffer => frames(sample(machine, 1));
  const raw = (json: string | Buffer): Buffer => {
    const bytes = Buffer.from(json);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  const text = (machine: string, fields: string): string => {
    return `{"machine_id":"${machine}","timestamp":"2026-01-01T08:00:00Z",${fields}}`;
  };
  const nested = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
  const cases: Record<string, (machine: string) => [body: Buffer, reason: RegExp, stored: number]> = {
    'a frame cut short': (m) => [Buffer.concat([good(m), good(m).subarray(0, 20)]), /cut short/, 1],
    'a length that lies': (m) => [
      Buffer.concat([good(m), Buffer.from([0, 0, 1, 0, 0x7b])]),
      /cut short: a frame of 256/,
      1,
    ],
    'a length of 300 MB': (m) => [Buffer.concat([good(m), Buffer.from([0x12, 0, 0, 0])]), /exceeds the limit/, 1],
    'invalid UTF-8': (m) => {
      const bytes = Buffer.from(text(m, '"tool":"X"'));
      bytes[bytes.indexOf('X')] = 0xff;
      return [Buffer.concat([raw(bytes), good(m)]), /not valid UTF-8/, 1];
    },
    'U+0000': (m) => [Buffer.concat([raw(text(m, '"tool":"\\u0000"')), good(m)]), /cannot be stored/, 1],
    'half a surrogate pair': (m) => [raw(text(m, '"tool":{"\\ud800":1}')), /cannot be stored/, 0],
    'a number that is infinite': (m) => [raw(text(m, '"temperature":1e400')), /temperature is a number/, 0],
    'an infinite number in extra': (m) => [raw(text(m, '"flow":1e400')), /too large/, 0],
    'deep nesting in a frame': (m) => [raw(text(m, `"deep":${nested}`)), /deeper than 8 levels/, 0],
    'deep nesting in an array': (m) => [
      Buffer.from(`[${text(m, `"deep":${nested}`)},${text(m, '"x":1')}]`),
      /deeper|nest/,
      1,
    ],
    'no JSON': () => [raw('{'), /not valid JSON/, 0],
    'an empty body': () => [Buffer.alloc(0), /empty/, 0],
  };
  for (const [name, make] of Object.entries(cases)) {
    await t.test(name, async () => {
      const machine = nextMachine();
      const [body, reason, stored] = make(machine);
      const response = await post(body, 'application/octet-stream');
      assert.deepEqual([response.status, countsOf(response)], [200, answer(stored, 0, 1)]);
      assert.match(response.text, reason);
      assert.equal(await count(machine), stored);
      assert.match((await lastLetter()).reason, reason);
    });
  }
});

test('of a body that cannot be divided, what came before is stored and the rest is kept once', async () => {
  const machine = nextMachine();
  const rest = Buffer.alloc(100_000, 0x41);
  const body = Buffer.concat([batch(40, frames(sample(machine, 1))), rest]);
  assert.deepEqual(countsOf(await post(body, BATCHES_MEDIA_TYPE)), answer(1, 0, 1));
  assert.deepEqual(countsOf(await post(body, BATCHES_MEDIA_TYPE)), answer(0, 2, 0));
  const letter = await lastLetter();
  assert.deepEqual([letter.bytes.length, letter.bytes_length], [65_536, 100_000]);
  assert.match(letter.reason, /batch header/);
});

test('a message of nothing but bad frames is kept within a limit', async () => {
  const bad = Buffer.concat(Array.from({ length: 1_500 }, () => encodeFrame(1)));
  const response = await post(bad, FRAMES_MEDIA_TYPE);
  assert.deepEqual(countsOf(response), answer(0, 0, 1_500));
  assert.equal((response.json as { refused: unknown[] }).refused.length, 5);
  assert.match((await lastLetter()).reason, /500 more parts of the message/);
});

test('bytes damaged on the way are asked for again, and nothing of that request is stored', async () => {
  const machine = nextMachine();
  const response = await postBatches(
    batch(50, frames(sample(machine, 1))),
    batch(51, frames(sample(machine, 2)), { damage: 1 }),
  );
  assert.equal(response.status, 503);
  assert.equal(response.headers['retry-after'], '1');
  assert.match(response.text, /gw\/e\/51 was damaged on the way/);
  assert.equal(await count(machine), 0);
});

test('a request that says 300 MB is refused at once, without being read', async () => {
  const socket = net.connect(Number(new URL(hub.url).port), '127.0.0.1');
  socket.write(
    'POST /api/v1/ingest HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 300000000\r\n\r\n{',
  );
  const [answered] = (await once(socket, 'data')) as [Buffer];
  assert.match(answered.toString(), /^HTTP\/1\.1 413 /);
  assert.match(answered.toString(), /at most 8388608 bytes; found 300000000/);
  socket.destroy();
  const type = await post('x', 'text/csv');
  assert.equal(type.status, 415);
  assert.match(type.text, /found text\/csv/);
});

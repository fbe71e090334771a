import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../base/random.ts';
import {
  type Batch,
  BATCH_BYTES_MAX,
  batchKey,
  decodeBatches,
  encodeBatchHeader,
  parseBatchKey,
  readingOfBatch,
  readingsOfBatch,
} from './batch.ts';
import { encodeFrame } from './frame.ts';

function batch(sequence: number, content: string): Batch {
  return { gatewayId: 'pi-1', epoch: 'e1', sequence, readings: 1, payload: Buffer.from(content) };
}

function bodyOf(batches: readonly Batch[]): Buffer {
  return Buffer.concat(batches.flatMap((one, index) => [encodeBatchHeader(one, index), one.payload]));
}

test('batches go into a body and come out, with their checksums', () => {
  const batches = [batch(1, 'one'), batch(2, ''), batch(3, 'three')];
  const decoded = decodeBatches(bodyOf(batches));
  assert.equal(decoded.fault, undefined);
  assert.deepEqual(
    decoded.batches.map(({ batch: { payload, ...id }, crc32 }) => ({ ...id, payload: String(payload), crc32 })),
    batches.map(({ payload, ...id }, crc32) => ({ ...id, payload: String(payload), crc32 })),
  );
  assert.deepEqual(decodeBatches(new Uint8Array()), { batches: [] });
});

test('a gateway has any name that can be stored', () => {
  for (const gatewayId of ['🏭 1', 'a/b', "O'Neil", 'x'.repeat(128)]) {
    const decoded = decodeBatches(bodyOf([{ ...batch(1, 'one'), gatewayId }]));
    assert.deepEqual(
      decoded.batches.map((one) => one.batch.gatewayId),
      [gatewayId],
    );
  }
});

test('what cannot be divided is told with its offset, and what was before it stands', () => {
  const good = bodyOf([batch(1, 'one')]);
  const header = {
    gateway_id: 'pi-1',
    epoch: 'e1',
    sequence: 2,
    readings: 1,
    bytes: 3,
    crc32: 0,
  };
  const cases: [Uint8Array, RegExp][] = [
    [Buffer.from('xy'), /^batch header: cut short/],
    [Uint8Array.of(0, 0, 0, 1, 0x78), /^batch header: is not JSON$/],
    [encodeFrame(null), /^batch header: gateway_id is text/],
    [
      encodeFrame({ ...header, gateway_id: '' }),
      /^batch header: gateway_id is text of 1 to 128 characters that can be stored$/,
    ],
    [encodeFrame({ ...header, gateway_id: 'a\0' }), /gateway_id/],
    [encodeFrame({ ...header, epoch: 'x'.repeat(129) }), /epoch/],
    [encodeFrame({ ...header, sequence: 0 }), /sequence is a whole number from 1$/],
    [encodeFrame({ ...header, sequence: 1.5 }), /sequence/],
    [encodeFrame({ ...header, bytes: -1 }), /bytes/],
    [encodeFrame({ ...header, bytes: BATCH_BYTES_MAX + 1 }), /bytes \(at most 4194304\)/],
    [encodeFrame({ ...header, crc32: '7' }), /crc32/],
    [Buffer.concat([encodeFrame(header), Buffer.from('ab')]), /^cut short: a batch of 3 bytes, 2 there$/],
  ];
  for (const [tail, reason] of cases) {
    const decoded = decodeBatches(Buffer.concat([good, tail]));
    assert.equal(decoded.batches.length, 1);
    assert.match(decoded.fault?.reason ?? '', reason);
    assert.equal(decoded.fault?.offset, good.length);
    assert.deepEqual(Buffer.from(decoded.fault?.bytes ?? []), Buffer.from(tail));
  }
});

test('a key tells the identity and is read back', () => {
  const id = { gatewayId: 'hall/2', epoch: 'a_B-9', sequence: 42 };
  assert.equal(batchKey(id), 'hall/2/a_B-9/42');
  assert.deepEqual(parseBatchKey(batchKey(id)), id);
  for (const key of ['', 'g/e', 'g/e/', 'g/e/x', 'g/e/0', '/e/1', 'g/e e/1', 'g/e/1234567890123456', 'a\0/e/1']) {
    assert.equal(parseBatchKey(key), undefined, key);
  }
});

test('random bytes never throw', () => {
  const random = seededRandom(5);
  const good = bodyOf([batch(1, 'one'), batch(2, 'two')]);
  for (let round = 0; round < 5_000; round += 1) {
    const body = new Uint8Array(good);
    for (let flips = 0; flips < 3; flips += 1) body[Math.floor(random() * body.length)] = Math.floor(random() * 256);
    const { batches, fault } = decodeBatches(body.subarray(0, Math.floor(random() * body.length)));
    assert.ok(batches.length <= 2);
    assert.ok(fault === undefined || fault.reason !== '');
  }
});

test('readings are told with their places, also where only some are wanted and some are none', () => {
  const time = '2026-01-01T08:00:00.000000Z';
  const sample = { machine_id: 'CNC-1', timestamp: time, temperature: 1 };
  const measurement = { ...sample, kind: 'measurement' };
  const payload = Buffer.concat([sample, measurement, sample].map((one) => encodeFrame(one)));
  const whole: Batch = { gatewayId: 'gw', epoch: 'e', sequence: 1, readings: 3, payload };
  const told = (batch: Batch, including?: string): unknown[] =>
    [...readingsOfBatch(batch, including)].map((placed) =>
      'fault' in placed ? [placed.index, placed.fault] : [placed.index, placed.reading.machine_id],
    );
  const fault = [1, 'characteristic is required'];
  assert.deepEqual(told(whole), [[0, 'CNC-1'], fault, [2, 'CNC-1']]);
  assert.deepEqual(told(whole, '"kind":"measurement"'), [fault]);
  assert.deepEqual(told(whole, '"kind":"event"'), []);
  const part = readingOfBatch(whole, 2);
  assert.deepEqual([part?.index, part?.readings, part?.payload], [2, 1, Buffer.from(encodeFrame(sample))]);
  assert.deepEqual(told(part!), [[2, 'CNC-1']]);
  assert.equal(readingOfBatch(whole, 3), undefined);
});

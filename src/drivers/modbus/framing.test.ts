import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../base/random.ts';
import { crc16, encodeRtu, encodeTcp, RtuAnswer, TcpFrames } from './framing.ts';
import { decodeAnswer, encodeRequest, ModbusException, type ReadRequest } from './pdu.ts';

const REQUEST: ReadRequest = { function: 3, address: 0x6b, count: 3 };
const ANSWER = Buffer.from('0306022b00000064', 'hex');

test('frames are those of the specification', () => {
  // MODBUS Application Protocol V1.1b3, 6.3: read holding registers 108 to 110.
  assert.equal(encodeRequest(REQUEST).toString('hex'), '03006b0003');
  assert.equal(encodeTcp(0x1501, 0x11, encodeRequest(REQUEST)).toString('hex'), '1501000000061103006b0003');
  // A request that is in many manuals: unit 17, CRC 0x8776.
  assert.equal(encodeRtu(17, encodeRequest(REQUEST)).toString('hex'), '1103006b00037687');
  // The check value of CRC-16/MODBUS.
  assert.equal(crc16(Buffer.from('123456789')), 0x4b37);
});

test('frames of TCP are found however they are divided', () => {
  const bytes = Buffer.concat([1, 2, 3].map((transaction) => encodeTcp(transaction, 9, ANSWER)));
  for (let size = 1; size <= bytes.length; size += 1) {
    const frames = new TcpFrames();
    const found = [];
    for (let at = 0; at < bytes.length; at += size) found.push(...frames.push(bytes.subarray(at, at + size)));
    assert.deepEqual(
      found.map(({ transaction, unit, pdu }) => [transaction, unit, pdu.toString('hex')]),
      [1, 2, 3].map((transaction) => [transaction, 9, ANSWER.toString('hex')]),
    );
  }
});

test('what is no Modbus TCP is refused', () => {
  for (const bytes of ['000100010006110300', '00010000000211', '000100000fff1103']) {
    const refused = (): unknown => new TcpFrames().push(Buffer.from(bytes, 'hex'));
    assert.throws(refused, { code: 'protocol_violation' });
  }
});

test('an RTU answer is found in noise, byte by byte, and an exception too', () => {
  const answer = encodeRtu(17, ANSWER);
  const exception = encodeRtu(17, Buffer.from([0x83, 2]));
  for (const [frame, pdu] of [
    [answer, ANSWER],
    [exception, Buffer.from([0x83, 2])],
  ] as const) {
    const finder = new RtuAnswer(17, REQUEST);
    const noise = [encodeRtu(17, encodeRequest(REQUEST)), encodeRtu(18, ANSWER), Buffer.from([17, 3, 6, 17]), frame];
    const found = [...Buffer.concat(noise)].map((byte) => finder.push(Buffer.from([byte]))).filter(Boolean);
    assert.deepEqual(found, [pdu]);
  }
});

test('a spoiled RTU answer is none', () => {
  const answer = encodeRtu(17, ANSWER);
  for (let bit = 0; bit < answer.length * 8; bit += 1) {
    const spoiled = Buffer.from(answer);
    spoiled[bit >> 3] = (spoiled[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.equal(new RtuAnswer(17, REQUEST).push(spoiled), undefined, `bit ${bit}`);
  }
});

test('whatever comes is an answer, no answer, or an error with a code', () => {
  const random = seededRandom(20261126);
  for (let turn = 0; turn < 20_000; turn += 1) {
    const bytes = Buffer.from(random() < 0.5 ? encodeRtu(17, ANSWER) : encodeTcp(1, 17, ANSWER));
    for (let change = 0; change < 3; change += 1) bytes[Math.floor(random() * bytes.length)] = random() * 256;
    const part = bytes.subarray(0, Math.ceil(random() * bytes.length));
    const pdu = new RtuAnswer(17, REQUEST).push(part);
    try {
      const frames = new TcpFrames().push(part);
      for (const one of pdu === undefined ? frames.map((frame) => frame.pdu) : [pdu]) decodeAnswer(REQUEST, one);
    } catch (error) {
      assert.ok(error instanceof Error && 'code' in error && error.code === 'protocol_violation', String(error));
    }
  }
});

test('an answer must fit its request', () => {
  assert.equal(decodeAnswer(REQUEST, ANSWER).toString('hex'), '022b00000064');
  assert.throws(() => decodeAnswer(REQUEST, Buffer.from('0406022b00000064', 'hex')), { code: 'protocol_violation' });
  assert.throws(() => decodeAnswer(REQUEST, Buffer.from('0304022b0000', 'hex')), { code: 'protocol_violation' });
  assert.throws(() => decodeAnswer(REQUEST, Buffer.alloc(0)), { code: 'protocol_violation' });
  const isTwo = (error: unknown): boolean => error instanceof ModbusException && error.exception === 2;
  assert.throws(() => decodeAnswer(REQUEST, Buffer.from('8302', 'hex')), isTwo);
});

test('an RTU answer is found with any noise before and after it, in one piece or byte by byte', () => {
  const answer = encodeRtu(17, ANSWER);
  // The beginning of an answer again and again, and more of it than a line holds between two answers.
  for (const noise of [Buffer.alloc(3_000, Buffer.from([17, 3, 6])), Buffer.alloc(3_000, 17), Buffer.alloc(3_000, 0)]) {
    const line = Buffer.concat([noise, answer, noise]);
    assert.deepEqual(new RtuAnswer(17, REQUEST).push(line), ANSWER);
    const finder = new RtuAnswer(17, REQUEST);
    const found = [...line].map((byte) => finder.push(Buffer.from([byte]))).find(Boolean);
    assert.deepEqual(found, ANSWER);
  }
});

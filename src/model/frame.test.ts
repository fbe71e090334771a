import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../base/random.ts';
import { decodeMessage, encodeFrame, FRAME_BYTES_MAX, frameEnd } from './frame.ts';

const sample = (temperature: unknown): object => ({ machine_id: 'M', timestamp: '2026-01-01T08:00:00Z', temperature });
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

test('a frame is a length and its JSON', () => {
  const frame = encodeFrame({ a: 'Ø' });
  assert.deepEqual([...frame.subarray(0, 4)], [0, 0, 0, 10]);
  assert.equal(text(frame.subarray(4)), '{"a":"Ø"}');
  assert.equal(frameEnd(frame, 0), 14);
});

test('several frames in a message come out in order', () => {
  const readings = [sample(1), sample(null), { ...sample(2), note: 'Ä\u2028😀\ufffd' }];
  assert.deepEqual(decodeMessage(Buffer.concat(readings.map(encodeFrame))), { readings, faults: [] });
});

test('one bad frame does not hide the next', () => {
  const bad = encodeFrame(sample('not-a-float'));
  const notUtf8 = Uint8Array.of(0, 0, 0, 4, 0x22, 0xff, 0xfe, 0x22);
  const notJson = Uint8Array.of(0, 0, 0, 3, 0x7b, 0x00, 0x7d);
  const message = Buffer.concat([encodeFrame(sample(1)), bad, notUtf8, notJson, encodeFrame(sample(2))]);
  const { readings, faults } = decodeMessage(message);
  assert.deepEqual(readings, [sample(1), sample(2)]);
  const first = encodeFrame(sample(1)).length;
  assert.deepEqual(
    faults.map(({ offset }) => offset),
    [first, first + bad.length, first + bad.length + 8],
  );
  assert.deepEqual(faults[0]?.reason, 'temperature is a number, found "not-a-float"');
  assert.equal(text(faults[0]?.bytes ?? new Uint8Array()), JSON.stringify(sample('not-a-float')));
  assert.equal(faults[1]?.reason, 'is not valid UTF-8');
  assert.match(faults[2]?.reason ?? '', /^is not valid JSON: /);
  assert.ok(!faults[2]?.reason.includes('\0'), 'a reason can be stored');
});

test('a length that does not fit ends the message, and what was before it stands', () => {
  const good = encodeFrame(sample(1));
  const cases: [Uint8Array, string][] = [
    [Uint8Array.of(0, 0, 1), "cut short: 3 of the 4 bytes of a frame's length"],
    [Uint8Array.of(0, 0, 0, 9, 0x7b), 'cut short: a frame of 9 bytes, 1 of them there'],
    [Uint8Array.of(0x11, 0xe1, 0xa3, 0, 0x7b), "a frame's length of 300000000 bytes exceeds the limit of 1048576"],
    [Uint8Array.of(0xff, 0xff, 0xff, 0xff), "a frame's length of 4294967295 bytes exceeds the limit of 1048576"],
  ];
  for (const [tail, reason] of cases) {
    const decoded = decodeMessage(Buffer.concat([good, tail]));
    assert.deepEqual(decoded.readings, [sample(1)]);
    assert.deepEqual(decoded.faults, [{ offset: good.length, reason, bytes: Buffer.from(tail) }]);
  }
  assert.equal(decodeMessage(new Uint8Array()).faults[0]?.reason, 'the message is empty');
});

test('what is made to take long is refused before it does', () => {
  const hole = decodeMessage(Buffer.concat([encodeFrame(sample(1)), new Uint8Array(4 * 1024 * 1024)]));
  assert.equal(hole.readings.length, 1);
  assert.deepEqual(
    hole.faults.map((fault) => fault.reason),
    ["a frame's length of 0 bytes"],
  );

  const deep = '['.repeat(300_000) + ']'.repeat(300_000);
  const reason = 'nests deeper than 250000 levels';
  assert.deepEqual(
    decodeMessage(Buffer.from(deep)).faults.map((fault) => fault.reason),
    [reason],
  );
  const json = Buffer.from(`{"machine_id":"M","timestamp":"2026-01-01T08:00:00Z","a":${deep}}`);
  const frame = Buffer.concat([Buffer.alloc(4), json]);
  frame.writeUInt32BE(json.length);
  assert.deepEqual(
    decodeMessage(frame).faults.map((fault) => fault.reason),
    [reason],
  );

  const brackets = { ...sample(1), note: '[\\"{'.repeat(10_000) };
  assert.deepEqual(decodeMessage(encodeFrame(brackets)), { readings: [brackets], faults: [] });
});

test('what nests too deep to be written down again is refused by itself', () => {
  const deep = `{"toJSON":1,"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
  const good = JSON.stringify(sample(1));
  const list = Buffer.from(`[${good},${deep},{"machine_id":${deep}}]`);
  const { readings, faults } = decodeMessage(list);
  assert.deepEqual(readings, [sample(1)]);
  assert.deepEqual(faults, [
    { offset: 0, reason: '[1].machine_id is required', bytes: list },
    { offset: 0, reason: '[2].machine_id is text, found object', bytes: list },
  ]);
});

test('bare JSON of any publisher is one reading or a list of them', () => {
  const of = (json: string): ReturnType<typeof decodeMessage> => decodeMessage(Buffer.from(json));
  assert.deepEqual(of(JSON.stringify(sample(1))), { readings: [sample(1)], faults: [] });
  const list = of(JSON.stringify([sample(1), sample('x'), sample(2)]));
  assert.deepEqual(list.readings, [sample(1), sample(2)]);
  assert.deepEqual(
    list.faults.map(({ reason, bytes }) => [reason, text(bytes)]),
    [['[1].temperature is a number, found "x"', JSON.stringify(sample('x'))]],
  );
  assert.equal(
    of('{"machine_id":"CNC-MALFORMED","temperature":"not-a-float"}').faults[0]?.reason,
    'timestamp is required',
  );
  assert.match(of('{"machine_id"').faults[0]?.reason ?? '', /^is not valid JSON/);
  assert.equal(decodeMessage(Uint8Array.of(0x7b, 0xff)).faults[0]?.reason, 'is not valid UTF-8');
  assert.equal(of('[5]').faults[0]?.reason, '[0] a reading is a JSON object, found number');
});

test('a frame is as long as the limit and no longer', () => {
  const room = FRAME_BYTES_MAX - JSON.stringify({ a: '' }).length;
  assert.equal(encodeFrame({ a: 'x'.repeat(room) }).length, 4 + FRAME_BYTES_MAX);
  assert.throws(() => encodeFrame({ a: 'x'.repeat(room + 1) }), RangeError);
});

test('a message that is a view of a larger buffer is read at its own place', () => {
  const whole = Buffer.concat([Buffer.from('xxxxx'), encodeFrame(sample(1)), Buffer.from('yyy')]);
  assert.deepEqual(decodeMessage(new Uint8Array(whole).subarray(5, whole.length - 3)).readings, [sample(1)]);
});

test('random bytes never throw, and every fault lies within the message', () => {
  const random = seededRandom(11);
  const good = Buffer.concat([encodeFrame(sample(1)), encodeFrame(sample(2)), encodeFrame({ ...sample(3), n: 'ü' })]);
  for (let round = 0; round < 5_000; round += 1) {
    const message = new Uint8Array(good.subarray(0, Math.floor(random() * (good.length + 1))));
    for (let flips = Math.floor(random() * 4); flips > 0 && message.length > 0; flips -= 1) {
      message[Math.floor(random() * message.length)] = Math.floor(random() * 256);
    }
    for (const fault of decodeMessage(message).faults) {
      assert.ok(fault.offset <= message.length && fault.reason !== '' && !fault.reason.includes('\0'));
    }
  }
});

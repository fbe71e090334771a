import assert from 'node:assert/strict';
import { test } from 'node:test';
import mqttPacket, { type Packet } from 'mqtt-packet';
import { hasCode } from './errors.ts';
import { PACKET_BYTES_MAX, PacketReader, publishBytes } from './mqtt-packets.ts';

function packetsIn(bytes: Buffer, protocolVersion: 4 | 5 = 5, pieceBytes: number = bytes.length): Packet[] {
  const packets: Packet[] = [];
  const reader = new PacketReader(mqttPacket, protocolVersion);
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    reader.push(bytes.subarray(at, at + pieceBytes), (packet) => void packets.push(packet));
  }
  return packets;
}

test('a publication is written as the library reads it, of every length and in any pieces', () => {
  for (const protocolVersion of [4, 5] as const) {
    for (const length of [0, 1, 110, 127, 128, 16_383, 16_384, 2_097_152]) {
      for (const qos of [0, 1] as const) {
        const payload = Buffer.alloc(length, 'é');
        const bytes = publishBytes({ topic: 'a/ö', payload, qos, retain: qos === 1, messageId: 513 }, protocolVersion);
        const [packet, ...rest] = packetsIn(bytes, protocolVersion, 1 + Math.floor(bytes.length / 3));
        assert.ok(packet?.cmd === 'publish' && rest.length === 0);
        assert.deepEqual([packet.topic, packet.qos, packet.retain, packet.dup], ['a/ö', qos, qos === 1, false]);
        assert.equal(packet.messageId, qos === 0 ? undefined : 513);
        assert.ok(Buffer.from(packet.payload).equals(payload));
      }
    }
  }
});

test('a packet that comes byte by byte costs no more than its length', () => {
  const bytes = publishBytes({ topic: 't', payload: Buffer.alloc(300_000), qos: 0, retain: false }, 5);
  const before = process.cpuUsage();
  assert.equal(packetsIn(bytes, 5, 1).length, 1);
  // Copied anew with every byte it would be 45 GB, and more than ten seconds of the processor.
  const { user, system } = process.cpuUsage(before);
  assert.ok(user + system < 5e6, `${user + system} µs`);
});

test('what no broker may send is a violation of the protocol, and nothing else', () => {
  const cases: [bytes: number[], told: RegExp][] = [
    [[0x20, 0x00], /connack without a code/],
    [[0x30, 0x03, 0x00, 0x00, 0x00], /publish without a topic/],
    [[0x32, 0x06, 0x00, 0x01, 0x61, 0x00, 0x00, 0x00], /publish without a packet id/],
    [[0x40, 0x01, 0x00], /puback without a packet id/],
    [[0x40, 0x02, 0x00, 0x00], /puback without a packet id/],
    [[0x90, 0x01, 0x00], /./],
    [[0x36, 0x02, 0x00, 0x00], /Packet must not have both QoS bits/],
    [[0x00, 0x00], /./],
    [[0x30, 0xff, 0xff, 0xff, 0x7f], new RegExp(`more than ${PACKET_BYTES_MAX} bytes`)],
    [[0x30, 0x80, 0x80, 0x80, 0x80, 0x01], new RegExp(`more than ${PACKET_BYTES_MAX} bytes`)],
  ];
  for (const [bytes, told] of cases) {
    assert.throws(
      () => packetsIn(Buffer.from(bytes)),
      (error) => hasCode(error, 'protocol_violation') && told.test(error.message),
      Buffer.from(bytes).toString('hex'),
    );
  }
});

test('an acknowledgment may have a reason that its table has not', () => {
  assert.deepEqual(packetsIn(Buffer.from([0x40, 0x03, 0x00, 0x07, 149, 0x40, 0x02, 0x01, 0x00])), [
    { cmd: 'puback', messageId: 7, reasonCode: 149 },
    { cmd: 'puback', messageId: 256, reasonCode: 0 },
  ]);
});

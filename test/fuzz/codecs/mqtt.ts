import mqttPacket, { type Packet } from 'mqtt-packet';
import { PacketReader, publishBytes } from '../../../src/base/mqtt-packets.ts';
import type { IncomingMessage } from '../../../src/base/mqtt.ts';
import type { Random } from '../../../src/base/random.ts';
import { schema } from '../../../src/drivers/mqtt/config.ts';
import { Machines } from '../../../src/drivers/mqtt/machines.ts';
import { PlainReader } from '../../../src/drivers/mqtt/plain.ts';
import { timestampOf } from '../../../src/model/time.ts';
import { between, chance, type Codec, feedInPieces, mustBeEqual, mustBeTaken, outcomeOf, pick } from '../codec.ts';
import type { Refusal } from '../codec.ts';
import { JSON_WORDS } from '../readings.ts';

// Else what it writes is kept for each number, as if it were a leak.
mqttPacket.writeToStream.cacheNumbers = false;

const PUBLISH_QUALITY_2 = 0x34;
const DUPLICATE = 0x08;
const NOW = timestampOf(Date.UTC(2026, 0, 1, 8) * 1000);

const { source: OPTIONS } = schema.parse({
  url: 'mqtt://fuzz',
  retained: 'all',
  topics: [
    {
      filter: 'shop/+/telemetry',
      machine: '{2}',
      timestamp: 't',
      map: {
        temperature: 'temperature',
        'a.b[0]': { extra: 'deep' },
        line: 'active_program_line',
        state: { states: { run: 'running', 1: 'idle' } },
        alarm: { event: 'condition' },
        note: { event: 'message' },
      },
      extra: 'all',
    },
    {
      filter: 'plc/+/#',
      machine: '{2}',
      name: '{last}',
      map: { mode: { states: { AUTO: 'running' } }, alarm: { event: 'condition' } },
      extra: 'all',
    },
    { filter: 'uns/#', name: '{last}', value: 'value', timestamp: { path: 'ts', format: 'unix_ms' }, extra: 'all' },
  ],
});

const TOPICS = [
  ...['shop/M-1/telemetry', 'shop/M-2/telemetry', 'plc/L1/temperature', 'plc/L1/mode', 'plc/L1/alarm', 'uns/a/b'],
  ...['uns/constructor', 'plc/x/__proto__', 'plc/x/toString', 'plc//x', 'plc/\0/x', 'uns/\0', 'uns', 'other', ''],
  ...[
    `plc/${'😀'.repeat(64)}/x`,
    `uns/${'😀'.repeat(70)}`,
    `uns/a/${'x'.repeat(500)}`,
    'plc/x/alarm'.padEnd(200, '😀'),
  ],
  ...['uns/timestamp', 'uns/kind', 'uns/machine_state', 'uns/read_from', 'shop/constructor/telemetry'],
];
const PAYLOADS = [
  '{"t":"2026-01-01T08:00:00Z","temperature":20.5,"a":{"b":[1,2]},"line":7,"state":"run","alarm":"E1","note":"hello"}',
  '[{"t":1767254400123,"temperature":"21"},{"t":"no","line":1.5,"state":"?"}]',
  '{"value":1,"ts":1767254400123}',
  '{"value":{"deep":{"er":[[[]]]}},"ts":"1767254400123"}',
  '{"temperature":1e999,"x":[],"a":{},"alarm":{"toJSON":1},"state":true,"temperature":2}',
  ...['21.5', 'AUTO', '"x"', 'null', 'true', '', '  7 ', 'é', '[1,2,3]', '\ufffd', '-', '0x10'],
];
const KEYS = [
  't',
  'ts',
  'temperature',
  'a',
  'b',
  'line',
  'state',
  'alarm',
  'note',
  'value',
  'x',
  '__proto__',
  'kind',
  '',
];

export const codec: Codec = {
  about:
    "MQTT: a broker's packets, in pieces as in one, and payloads on plain topics to readings that the hub takes, by maps",
  corpus: [
    ...PAYLOADS.map((payload) => Buffer.from(payload)),
    Buffer.concat(
      [
        {
          cmd: 'connack',
          returnCode: 0,
          reasonCode: 0,
          sessionPresent: true,
          properties: { receiveMaximum: 20, reasonString: 'x' },
        },
        { cmd: 'suback', messageId: 1, granted: [0, 1, 135] },
        { cmd: 'publish', topic: 'plc/L1/mode', payload: 'AUTO', qos: 1, dup: true, retain: false, messageId: 9 },
        { cmd: 'puback', messageId: 2, reasonCode: 16 },
        { cmd: 'pingresp' },
        { cmd: 'disconnect', reasonCode: 142, properties: { reasonString: 'taken over' } },
      ].map((packet) => bytesOf(packet as Packet)),
    ),
  ],
  words: JSON_WORDS.concat([
    '\x30\x02',
    '\x32',
    '\x40\x02\x00\x01',
    '\x40\x03\x00\x01\x95',
    '\xd0\x00',
    '\x20\x02\x00\x00',
  ])
    .concat([
      '\xff\xff\xff\x7f',
      '\x80\x80\x80\x80\x01',
      '\x26\x00\x09__proto__\x00\x01x',
      '\x1f\x00\x01',
      '\x23\x00\x01',
    ])
    .concat([
      '\x34\x07\x00\x01a\x00\x01\x00',
      '"toJSON":',
      '"t":',
      '"value":',
      '1e999',
      '\\u0000',
      '\\ud83d',
      '[[[[[[[[[[',
    ]),
  opening: '{"toJSON":[',
  generate(random) {
    if (chance(random, 0.5)) return Buffer.from(json(random));
    return Buffer.concat(Array.from({ length: between(random, 1, 5) }, () => bytesOf(packet(random))));
  },
  read(input, random) {
    const protocolVersion = pick(random, [4, 5] as const);
    const whole = packetsOf(protocolVersion, (take) => take(input));
    const inPieces = packetsOf(protocolVersion, (take) => feedInPieces(input, random, take));
    mustBeEqual(inPieces, whole, 'in pieces');
    const refusals: Refusal[] = [];
    const problem = (item: string, reason: string | null): void => {
      if (reason !== null) refusals.push({ code: 'item_fault', reason: `${item} ${reason}` });
    };
    if (OPTIONS.kind !== 'plain') throw new TypeError('these options are of plain topics');
    const machines = new Machines(problem);
    const reader = new PlainReader({ options: OPTIONS, machines, machineId: 'M-1', problem });
    const isRetained = chance(random, 0.1);
    const message = { qos: 0, isRetained, isDuplicate: false, packetId: 0 } as const;
    const messages: IncomingMessage[] = [
      { ...message, topic: pick(random, TOPICS), payload: input },
      { ...message, topic: pick(random, TOPICS), payload: input.subarray(0, between(random, 0, input.length)) },
      ...whole.packets.flatMap((one) => {
        return one.cmd === 'publish' ? { ...message, topic: one.topic, payload: Buffer.from(one.payload) } : [];
      }),
    ];
    for (const one of messages) for (const reading of reader.read(one, NOW)) mustBeTaken(reading);
    for (const id of machines.ids) for (const reading of machines.lose(id, NOW, 'the end')) mustBeTaken(reading);
    // Most inputs are no packets: of those the payload counts.
    return refusals.length > 0 || whole.packets.length === 0 ? refusals : (whole.refusals ?? []);
  },
};

interface Read {
  readonly packets: readonly Packet[];
  readonly refusals: readonly Refusal[];
}

function packetsOf(protocolVersion: 4 | 5, feed: (take: (piece: Buffer) => void) => void): Read {
  const packets: Packet[] = [];
  const reader = new PacketReader(mqttPacket, protocolVersion);
  const { refusal } = outcomeOf(() => {
    feed((piece) => {
      reader.push(piece, (one) => {
        // What a piece holds is not kept by the reader, and must not be by its user.
        packets.push(one.cmd === 'publish' ? { ...one, payload: Buffer.from(one.payload) } : { ...one });
      });
    });
  });
  return { packets, refusals: refusal === undefined ? [] : [refusal] };
}

function bytesOf(packet: Packet): Buffer {
  if (packet.cmd !== 'publish') return mqttPacket.generate(packet, { protocolVersion: 5 });
  // By the library each length would leave something behind, and look like a leak of what is fed.
  const { topic, payload, qos, dup, retain, messageId = 0 } = packet;
  const publication = { topic, payload: Buffer.from(payload), qos: qos === 0 ? 0 : 1, retain, messageId } as const;
  const bytes = publishBytes(publication, 5);
  const flags = (qos === 2 ? PUBLISH_QUALITY_2 : (bytes[0] ?? 0)) | (dup ? DUPLICATE : 0);
  return Buffer.concat([Buffer.of(flags), bytes.subarray(1)]);
}

function packet(random: Random): Packet {
  const messageId = between(random, 1, 65_535);
  const qos = pick(random, [0, 1, 2] as const);
  return pick(random, [
    { cmd: 'connack', reasonCode: pick(random, [0, 135]), sessionPresent: chance(random, 0.5) },
    { cmd: 'suback', messageId, granted: [pick(random, [0, 1, 2, 128])] },
    { cmd: 'puback', messageId, reasonCode: pick(random, [0, 16, 151]) },
    { cmd: 'pingresp' },
    { cmd: 'pubrel', messageId, reasonCode: 0 },
    {
      ...{ cmd: 'publish', qos, dup: false, retain: false, messageId, payload: json(random) },
      topic: pick(
        random,
        TOPICS.filter((topic) => topic !== ''),
      ),
    },
  ] as Packet[]);
}

function json(random: Random): string {
  if (chance(random, 0.3)) return pick(random, PAYLOADS);
  const item = (): string => {
    const entries = Array.from({ length: between(random, 0, 5) }, () => {
      return `${JSON.stringify(pick(random, KEYS))}:${pick(random, PAYLOADS.slice(2).filter(Boolean))}`;
    });
    return `{${entries.join(',')}}`;
  };
  return chance(random, 0.2) ? `[${item()},${item()}]` : item();
}

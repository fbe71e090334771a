import { DATATYPES } from '../../../src/base/sparkplug/metric.ts';
import type { Metric, RawValue } from '../../../src/base/sparkplug/metric.ts';
import * as payloads from '../../../src/base/sparkplug/payload.ts';
import { MESSAGE_TYPES, parseTopic } from '../../../src/base/sparkplug/topics.ts';
import type { Random } from '../../../src/base/random.ts';
import { schema } from '../../../src/drivers/mqtt/config.ts';
import { SparkplugHost } from '../../../src/drivers/mqtt/host.ts';
import { Machines } from '../../../src/drivers/mqtt/machines.ts';
import { timestampOf } from '../../../src/model/time.ts';
import { between, chance, type Codec, Finding, mustBeTaken, outcomeOf, pick, type Refusal } from '../codec.ts';

const NOW_MS = Date.UTC(2026, 0, 1, 8);

const OPTIONS = [
  { extra: 'all' },
  {
    machine: '{device}',
    machines: { 'g/n': 'M-1' },
    map: {
      Speed: { signal: 'spindle_speed', scale: 0.1 },
      Line: 'active_program_line',
      Mode: { states: { 1: 'running', true: 'hold' } },
      Alarm: { event: 'condition' },
      Note: { event: 'message' },
    },
  },
].map((sparkplug) => {
  const { source } = schema.parse({
    url: 'mqtt://fuzz',
    sparkplug: { host_id: 'H', rebirth_interval: '1s', ...sparkplug },
  });
  if (source.kind !== 'sparkplug') throw new TypeError('these options are of Sparkplug B');
  return source;
});

/** Of two nodes with two devices, and what is odd. */
const TOPICS = [
  ...MESSAGE_TYPES.flatMap((type) => {
    const isDevice = type.startsWith('D');
    return [`spBv1.0/g/${type}/n${isDevice ? '/d' : ''}`, `spBv1.0/g/${type}/m${isDevice ? '/d' : ''}`];
  }),
  'spBv1.0/g/DBIRTH/n/e',
  'spBv1.0/g/DDATA/n/e',
  'spBv1.0/constructor/DBIRTH/__proto__/toJSON',
  `spBv1.0/${'😀'.repeat(70)}/NBIRTH/${'n'.repeat(5_000)}`,
  'spBv1.0/\0/NBIRTH/\0',
  'spBv1.0/STATE/H',
  'spBv1.0/g/NBIRTH',
] as const;

const NAMES = [
  'Speed',
  'Line',
  'Mode',
  'Alarm',
  'Note',
  'x',
  'machine_state',
  'temperature',
  'bdSeq',
  '__proto__',
  'kind',
];
const ODD_NAMES = [
  '',
  '\0',
  'timestamp',
  'toJSON',
  'Node Control/Rebirth',
  '😀'.repeat(70),
  'a'.repeat(300),
  'read_from',
];
const VALUES: readonly RawValue[] = [
  ...[0, 1, 2, 1.5, -1, 1e308, Number.NaN, Number.POSITIVE_INFINITY, 4_294_967_295, true, false],
  ...[0n, 1n, 2n ** 63n, 2n ** 64n - 1n, '', 'E1', '0', 'UNAVAILABLE', 'running', '\0', 'é'.repeat(3_000)],
  Buffer.from('ab'),
];

export const codec: Codec = {
  about: 'Sparkplug B: payloads, and a row of messages of nodes and devices, to readings that the hub takes',
  corpus: [
    rowOf([
      [
        0,
        {
          timestampMs: NOW_MS,
          seq: 0,
          metrics: [metric('bdSeq', DATATYPES.Int64, 0n), metric('Line', DATATYPES.Int32, 7)],
        },
      ],
      [
        4,
        {
          timestampMs: NOW_MS,
          seq: 1,
          metrics: [metric('Speed', DATATYPES.Double, 1200, 1n), metric('Mode', DATATYPES.Int32, 1, 2n)],
        },
      ],
      [
        10,
        {
          timestampMs: NOW_MS,
          seq: 2,
          metrics: [{ alias: 1n, value: 5, datatype: DATATYPES.Double, isTypeTold: true }],
        },
      ],
      [2, { timestampMs: NOW_MS, metrics: [metric('bdSeq', DATATYPES.Int64, 0n)] }],
    ]),
    Buffer.from(
      payloads.encodePayload({ timestampMs: NOW_MS, seq: 0, metrics: [metric('bdSeq', DATATYPES.Int64, 3n)] }),
    ),
  ],
  words: [
    '\x12',
    '\x0a',
    '\x08\x01',
    '\x10\x01',
    '\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01',
    '\x38\x01',
    '\x28\x01',
  ]
    .concat(['\x13', '\x14', '\x0b', '\x4a\x10', '\x8a\x01\x00', '\x92\x01\x00', '\x12\x00', '\xff\xff\xff\xff\x0f'])
    .concat(['\x61\x00\x00\x00\x00\x00\x00\xf0\x7f', '\x65\x00\x00\xc0\x7f', 'engUnit', '\0\0\0', '\x00\x00\x02']),
  opening: '\x12\x40\x4a\x3e',
  generate(random) {
    if (chance(random, 0.2)) return Buffer.from(payloads.encodePayload(payload(random)));
    const count = between(random, 1, 8);
    return rowOf(Array.from({ length: count }, () => [between(random, 0, TOPICS.length - 1), payload(random)]));
  },
  read(input, random) {
    const refusals: Refusal[] = [];
    const whole = outcomeOf(() => payloads.decodePayload(input));
    const problem = (item: string, reason: string | null): void => {
      if (reason !== null) refusals.push({ code: 'item_fault', reason: `${item} ${reason}` });
    };
    const machines = new Machines(problem);
    const host = new SparkplugHost({ options: pick(random, OPTIONS), machines, problem });
    let monotonicMs = 0;
    const asked = new Map<string, number>();
    for (const [topic, bytes] of rowIn(input)) {
      monotonicMs += between(random, 0, 900);
      const now = { timestamp: timestampOf(NOW_MS * 1000), monotonicMs };
      const parsed = parseTopic(topic);
      const { value: decoded, refusal } = outcomeOf(() => payloads.decodePayload(bytes));
      if (refusal !== undefined) refusals.push(refusal);
      if (parsed === undefined || decoded === undefined) continue;
      const { readings, rebirth } = host.hear(parsed, decoded, now);
      for (const one of readings) mustBeTaken(one);
      if (rebirth === undefined) continue;
      const place = `${rebirth.group}/${rebirth.node}`;
      const sinceMs = monotonicMs - (asked.get(place) ?? Number.NEGATIVE_INFINITY);
      if (sinceMs < 1_000) throw new Finding(`asked again after ${sinceMs} ms`);
      asked.set(place, monotonicMs);
    }
    for (const one of host.lose(timestampOf(NOW_MS * 1000), 'the end')) mustBeTaken(one);
    // A row is no payload: only where nothing else was refused does it count that the whole is none.
    return whole.refusal === undefined || refusals.length > 0 || input.length >= 3 ? refusals : [whole.refusal];
  },
};

function metric(name: string, datatype: number, value: RawValue, alias?: bigint): Metric {
  return { name, datatype, value, timestampMs: NOW_MS, ...(alias !== undefined && { alias }) };
}

function payload(random: Random): Parameters<typeof payloads.encodePayload>[0] {
  const metrics = Array.from({ length: between(random, 0, 6) }, (): Metric => {
    const alias = chance(random, 0.6) ? BigInt(between(random, 0, 4)) : undefined;
    const isNamed = alias === undefined || chance(random, 0.6);
    const name = chance(random, 0.85) ? pick(random, NAMES) : pick(random, ODD_NAMES);
    const datatype = between(random, 0, 22);
    return {
      ...(isNamed && { name }),
      ...(alias !== undefined && { alias }),
      ...(chance(random, 0.8) && { timestampMs: NOW_MS + between(random, -3, 3) }),
      datatype,
      isTypeTold: chance(random, 0.3),
      isHistorical: chance(random, 0.1),
      isNull: chance(random, 0.1),
      ...(chance(random, 0.1) && { unit: '°C' }),
      ...(chance(random, 0.95) && { value: fitting(random, datatype) }),
    };
  });
  return { timestampMs: NOW_MS, metrics, ...(chance(random, 0.9) && { seq: between(random, 0, 6) }) };
}

/** One that can be written with the datatype. */
function fitting(random: Random, datatype: number): RawValue {
  const value = pick(random, VALUES);
  const isLong = datatype === DATATYPES.Int64 || datatype === DATATYPES.UInt64 || datatype === DATATYPES.DateTime;
  if (datatype === DATATYPES.Float && value === 1e308) return 1.1;
  return isLong && typeof value === 'number' ? BigInt(Number.isFinite(value) ? Math.trunc(value) : 0) : value;
}

/** Each: a byte for the topic, two for the length, the payload. */
function rowOf(
  messages: readonly (readonly [topic: number, payload: Parameters<typeof payloads.encodePayload>[0]])[],
): Buffer {
  return Buffer.concat(
    messages.map(([topic, content]) => {
      const bytes = payloads.encodePayload(content);
      return Buffer.concat([Buffer.from([topic, bytes.length >> 8, bytes.length & 0xff]), bytes]);
    }),
  );
}

function* rowIn(input: Buffer): Generator<[topic: string, payload: Buffer]> {
  for (let at = 0; at + 3 <= input.length; ) {
    const length = input.readUInt16BE(at + 1);
    yield [TOPICS[input[at]! % TOPICS.length]!, input.subarray(at + 3, at + 3 + length)];
    at += 3 + length;
  }
}

/** The codec against one of other hands (`sparkplug-payload`), and against bytes that nobody meant. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { foreign } from '../../../test/support/sparkplug-rules.ts';
import { hasCode } from '../errors.ts';
import { type Random, seededRandom } from '../random.ts';
import { DATATYPES, type Metric, type Payload, valueOf } from './metric.ts';
import { decodePayload, encodePayload, METRICS_MAX } from './payload.ts';

const RUNS = 3_000;
const MUTATIONS = 20_000;

function seeded(context: TestContext): Random {
  const seed = Number(process.env['MILLWRIGHT_SEED'] ?? Date.now() % 1_000_000);
  context.diagnostic(`seed ${seed} (repeat with MILLWRIGHT_SEED)`);
  return seededRandom(seed);
}

const TEXTS = ['', 'a', 'Spindle/Speed', 'Größe µm', '😀', 'x'.repeat(200)];

function anyMetric(random: Random): Metric {
  const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)]!;
  const integer = (bits: number): number => Math.floor(random() * 2 ** bits);
  const long = (): bigint => (BigInt(integer(32)) << 32n) | BigInt(integer(32));
  const [datatype, value] = pick<[number, Metric['value']]>([
    [DATATYPES.Int8, integer(8)],
    [DATATYPES.Int32, integer(32)],
    [DATATYPES.UInt32, integer(32)],
    [DATATYPES.Int64, long()],
    [DATATYPES.UInt64, long()],
    [DATATYPES.DateTime, long()],
    [DATATYPES.Float, Math.fround((random() - 0.5) * 1e6)],
    [DATATYPES.Double, (random() - 0.5) * 10 ** integer(8)],
    [DATATYPES.Boolean, random() < 0.5],
    [DATATYPES.String, pick(TEXTS)],
    [DATATYPES.Bytes, Buffer.from(pick(TEXTS))],
  ]);
  const isNull = random() < 0.1;
  return {
    ...(random() < 0.8 && { name: pick(TEXTS) }),
    ...(random() < 0.5 && { alias: long() }),
    ...(random() < 0.8 && { timestampMs: integer(42) }),
    datatype,
    ...(random() < 0.2 && { isHistorical: true }),
    ...(random() < 0.2 && { isTransient: true }),
    ...(random() < 0.3 && { unit: pick(TEXTS) }),
    ...(isNull ? { isNull: true } : { value: value! }),
  };
}

function anyPayload(random: Random): Payload {
  const metrics = Array.from({ length: Math.floor(random() * 6) }, () => anyMetric(random));
  return { timestampMs: Math.floor(random() * 2 ** 42), seq: Math.floor(random() * 256), metrics };
}

/** In the words of the foreign codec. */
function inForeignWords({ timestampMs, seq, metrics }: Payload): object {
  return { timestamp: String(timestampMs), seq: String(seq), metrics: metrics.map(metricInForeignWords) };
}

function metricInForeignWords(metric: Metric): object {
  const { value } = metric;
  return {
    ...(metric.name !== undefined && { name: metric.name }),
    ...(metric.alias !== undefined && { alias: String(metric.alias) }),
    ...(metric.timestampMs !== undefined && { timestamp: String(metric.timestampMs) }),
    datatype: metric.datatype,
    ...(metric.isHistorical && { isHistorical: true }),
    ...(metric.isTransient && { isTransient: true }),
    ...(metric.isNull && { isNull: true }),
    ...(metric.unit !== undefined && {
      properties: { keys: ['engUnit'], values: [{ type: 12, stringValue: metric.unit }] },
    }),
    ...(value instanceof Uint8Array && { bytesValue: Buffer.from(value).toString('hex') }),
    ...(typeof value === 'bigint' && { longValue: String(value) }),
    ...(typeof value === 'boolean' && { booleanValue: value }),
    ...(typeof value === 'string' && { stringValue: value }),
    ...(typeof value === 'number' && {
      [metric.datatype === DATATYPES.Float
        ? 'floatValue'
        : metric.datatype === DATATYPES.Double
          ? 'doubleValue'
          : 'intValue']: value,
    }),
  };
}

/** What the foreign codec has read, in plain words. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  if ('unsigned' in value) return `${value as unknown as bigint}`;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

test('what is written here another codec reads, and the other way round', (context) => {
  const random = seeded(context);
  for (let run = 0; run < RUNS; run += 1) {
    const payload = anyPayload(random);
    const bytes = encodePayload(payload);
    const read = plain(foreign.Payload.decode(bytes)) as { metrics: unknown[] };
    assert.deepEqual(read, inForeignWords(payload));
    assert.deepEqual(comparable(decodePayload(bytes)), comparable(payload));
    const again = foreign.Payload.encode(foreign.Payload.decode(bytes)).finish();
    assert.deepEqual(comparable(decodePayload(again)), comparable(payload));
  }
});

/** A buffer and its bytes are the same. */
function comparable({ timestampMs, seq, metrics }: Payload): unknown {
  return {
    timestampMs,
    seq,
    metrics: metrics.map(({ value, ...rest }) => ({
      ...rest,
      value: value instanceof Uint8Array ? plain(value) : value,
    })),
  };
}

test('bytes that nobody meant end in protocol_violation, and in nothing else', (context) => {
  const random = seeded(context);
  let refused = 0;
  for (let run = 0; run < MUTATIONS; run += 1) {
    const bytes = Buffer.from(encodePayload(anyPayload(random)));
    const cut = bytes.subarray(0, random() < 0.3 ? Math.floor(random() * bytes.length) : bytes.length);
    for (let change = 0; change < 3 && cut.length > 0; change += 1) {
      cut[Math.floor(random() * cut.length)] = Math.floor(random() * 256);
    }
    try {
      for (const metric of decodePayload(cut).metrics) valueOf(metric, metric.datatype);
    } catch (error) {
      assert.ok(hasCode(error, 'protocol_violation'), String(error));
      refused += 1;
    }
  }
  assert.ok(refused > MUTATIONS / 10 && refused < MUTATIONS, String(refused));
  const violation = (error: unknown): boolean => hasCode(error, 'protocol_violation');
  assert.throws(() => decodePayload(Buffer.alloc(1_000_000, 0x0b)), violation);
  assert.throws(() => decodePayload(Buffer.from('1200'.repeat(METRICS_MAX + 1), 'hex')), violation);
});

test('values by their datatypes: signs, what is too large for a number, and what is no single value', () => {
  const value = (datatype: number, raw: Metric['value']): unknown => valueOf({ value: raw! }, datatype);
  assert.equal(value(DATATYPES.Int8, 0xff), -1);
  assert.equal(value(DATATYPES.Int8, 0xffffffff), -1);
  assert.equal(value(DATATYPES.Int16, 0x8000), -32_768);
  assert.equal(value(DATATYPES.Int32, 0xfffffffb), -5);
  assert.equal(value(DATATYPES.UInt32, 0xffffffff), 4_294_967_295);
  assert.equal(value(DATATYPES.Int64, 0xffffffffffffffffn), -1);
  assert.equal(value(DATATYPES.UInt64, 0xffffffffffffffffn), '18446744073709551615');
  assert.equal(value(DATATYPES.Float, Math.fround(21.1)), 21.1);
  assert.equal(value(DATATYPES.Double, Number.NaN), null);
  assert.equal(value(DATATYPES.DataSet, { kind: 'dataset' }), undefined);
  assert.equal(value(DATATYPES.Boolean, 1), undefined);
  assert.equal(valueOf({ isNull: true }, DATATYPES.Double), null);
});

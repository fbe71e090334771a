import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EdgeReport, HubStatus, NatsStatus } from '../model/api.ts';
import type { LogStatus, SinkStatus, SourceStatus } from '../model/status.ts';
import { edgeHop, hopsOf, sourceHop, verdictOf, worstFirst } from './pipeline.ts';

const NOW = Date.parse('2026-01-01T08:00:00Z');
const STATUS: HubStatus = {
  version: '1',
  time: '2026-01-01T08:00:00Z',
  time_zone: 'UTC',
  database: 'ok',
  database_error: null,
  readings_stored: 1,
  readings_per_second: 30,
  batches_duplicate: 0,
  dead_letters: 0,
  nats: null,
};

function edge(said: {
  source?: Partial<SourceStatus>;
  sink?: Partial<SinkStatus>;
  log?: Partial<LogStatus>;
  heardMs?: number;
}): EdgeReport {
  const source: SourceStatus = {
    name: 'lathe',
    type: 'shdr',
    machine_id: 'M-1',
    state: 'ok',
    state_since: '2026-01-01T07:00:00Z',
    last_error: null,
    last_error_at: null,
    last_contact: null,
    silent_after_seconds: 10,
    last_reading: null,
    readings: 1,
    reconnects: 0,
    reads: 0,
    latency_ms: null,
    latency_p95_ms: null,
    errors: 0,
    problems: [],
    readings_per_second: 10,
    sampling_factor: 1,
    ...said.source,
  };
  const sink: SinkStatus = {
    name: 'hub',
    type: 'hub',
    state: 'ok',
    last_error: null,
    cursor: 1,
    lag_batches: 0,
    lag_readings: 0,
    oldest_unsent_age_seconds: null,
    drained_in_seconds: null,
    readings_per_second: 10,
    retries: 0,
    dead_letters: 0,
    last_delivery: null,
    ...said.sink,
  };
  return {
    received_at: new Date(said.heardMs ?? NOW).toISOString(),
    clock_offset_seconds: 0,
    status: {
      gateway_id: 'EDGE-1',
      location: null,
      version: '1',
      state: 'online',
      started_at: '2026-01-01T07:00:00Z',
      sent_at: '2026-01-01T08:00:00Z',
      memory_bytes: 1,
      readings_per_second: 10,
      losses: 0,
      sources: [source],
      log: {
        epoch: 'e',
        first_sequence: 1,
        last_sequence: 1,
        bytes: 1,
        segments: 1,
        quarantined_batches: 0,
        bytes_max: 100,
        bytes_possible: null,
        readings_thinned: 0,
        readings_dropped: 0,
        syncs: 0,
        bytes_appended: 1,
        bytes_written: 1,
        last_error: null,
        ...said.log,
      },
      sinks: [sink],
    },
  };
}

const sentence = (edges: EdgeReport[], status: HubStatus = STATUS): string =>
  verdictOf({ edges, status, connection: 'live' }, NOW).sentence;

test('all is well, in a sentence', () => {
  assert.equal(sentence([edge({})]), 'Everything flows: 30.0 readings a second are stored.');
});

test('the first broken hop is named, the one nearest to the machine', () => {
  const broken = edge({
    source: { state: 'failing', last_error: 'connection refused' },
    sink: { state: 'failing', last_error: '503' },
  });
  assert.equal(sentence([broken]), 'First broken hop: machines. lathe cannot be read: connection refused.');
});

test('a sink that fails tells how long the oldest batch waits', () => {
  const failing = edge({ sink: { state: 'failing', last_error: '503', oldest_unsent_age_seconds: 93 } });
  assert.equal(sentence([failing]), 'First broken hop: delivery. Sink hub fails: 503, oldest waits 1 m 33 s.');
});

test('a gateway that is not heard is the cause, not the machines it would tell of', () => {
  const silent = edge({ heardMs: NOW - 11_000 });
  assert.equal(sentence([silent]), 'First broken hop: gateways. EDGE-1 was last heard 11 s ago.');
});

test('a log that is nearly full is named, but not before what fills it', () => {
  const full = { bytes: 92, bytes_max: 100 };
  assert.equal(sentence([edge({ log: full })]), 'First broken hop: gateways. The log of EDGE-1 is 92 % full.');
  const failing = edge({ log: full, sink: { state: 'failing', last_error: '503' } });
  assert.equal(sentence([failing]), 'First broken hop: delivery. Sink hub fails: 503.');
});

test('a failing database and a page that hears nothing', () => {
  const failing: HubStatus = { ...STATUS, database: 'failing', database_error: 'disk full' };
  assert.equal(sentence([edge({})], failing), 'First broken hop: database. Nothing is stored: disk full.');
  const deaf = verdictOf({ edges: [edge({})], status: STATUS, connection: 'reconnecting' }, NOW);
  assert.match(deaf.sentence, /^This page does not hear the hub/);
});

test('a stream that cannot be read is the broken hop, also when no gateway was ever heard; one that is read tells what waits', () => {
  const nats: NatsStatus = {
    servers: ['nats:4222'],
    stream: 'CNC_DATA',
    consumer: 'PROCESSOR',
    state: 'failing',
    last_error: 'the connection to NATS was lost',
    messages_pending: 12_345,
    messages_in_flight: 0,
    messages_received: 0,
    messages_redelivered: 0,
    messages_acknowledged: 0,
    messages_given_back: 0,
    messages_terminated: 0,
  };
  const broken = 'First broken hop: NATS. Nothing is read from NATS: the connection to NATS was lost.';
  assert.equal(sentence([edge({})], { ...STATUS, nats }), broken);
  assert.equal(sentence([], { ...STATUS, nats }), broken);
  const read: HubStatus = { ...STATUS, nats: { ...nats, state: 'ok', last_error: null } };
  assert.match(sentence([edge({})], read), /^Everything flows/);
  const hops = hopsOf({ edges: [edge({})], status: read, connection: 'live' }, NOW);
  assert.deepEqual(hops.map(({ name, words }) => `${name}: ${words}`).slice(2, 5), [
    'Delivery: nothing waits',
    'NATS: 12\u202f345 messages wait',
    'Database: stores',
  ]);
});

test('a silent, a misconfigured and a half readable source have sentences of their own, with what to do', () => {
  const silent = edge({ source: { state: 'silent', last_error: 'no sign of life for 42 s' } });
  assert.equal(
    sentence([silent]),
    'First broken hop: machines. lathe is silent: no sign of life for 42 s. See whether M-1 is on, and its cable and network work.',
  );
  const misconfigured = edge({ source: { state: 'misconfigured', last_error: 'illegal data address' } });
  assert.match(sentence([misconfigured]), /lathe is misconfigured: illegal data address\. Mend it in the gateway’s/);
  const r4 = { item: 'r4', reason: 'illegal data address' };
  const partly = edge({ source: { problems: [r4] } });
  assert.match(sentence([partly]), /1 part of lathe cannot be read: r4 \(illegal data address\)\. Compare/);
  const worse = edge({ source: { problems: [r4, { item: 'r5', reason: 'device failure' }] } });
  assert.match(sentence([worse]), /2 parts of lathe cannot be read: r4 \(illegal data address\), …\./);
  assert.match(sentence([partly, silent]), /^First broken hop: machines\. lathe is silent/);
});

test('gateways and sources stand worst first; those that are alike stay as they were', () => {
  const [well, partly] = [edge({}), edge({ source: { problems: [{ item: 'r4', reason: 'no' }] } })];
  const [silent, unheard] = [edge({ source: { state: 'silent' } }), edge({ heardMs: NOW - 60_000 })];
  const sorted = worstFirst([well, partly, unheard, silent, { ...well }], (one) => edgeHop(one, NOW));
  assert.deepEqual(
    sorted.map((one) => edgeHop(one, NOW).state),
    ['broken', 'unknown', 'waiting', 'ok', 'ok'],
  );
  assert.equal(sorted[3], well);
});

test('a gateway of last month tells less, and one of next month more: both are shown', () => {
  const { problems: _, state_since: __, last_error_at: ___, ...older } = edge({}).status.sources[0]!;
  assert.deepEqual(sourceHop(older as SourceStatus), { name: 'lathe', state: 'ok', words: 'connected' });
  const newer = { ...older, state: 'calibrating', last_error: 'warm-up' } as unknown as SourceStatus;
  assert.equal(sourceHop(newer).state, 'unknown');
  assert.match(sourceHop(newer).words, /lathe is in a state of a newer gateway: warm-up/);
});

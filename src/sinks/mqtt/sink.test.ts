/** The sink against a real broker; what it publishes as an edge node is judged by the rules of the specification. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { parse } from 'yaml';
import { systemClock } from '../../base/clock.ts';
import { hasCode } from '../../base/errors.ts';
import { silentLogger } from '../../base/logger.ts';
import type { IncomingMessage, MqttLink } from '../../base/mqtt.ts';
import { nodeFiles } from '../../base/node-files.ts';
import { DATATYPES } from '../../base/sparkplug/metric.ts';
import { encodePayload } from '../../base/sparkplug/payload.ts';
import { encodeHostState, REBIRTH } from '../../base/sparkplug/topics.ts';
import type { Batch } from '../../model/batch.ts';
import { encodeFrame } from '../../model/frame.ts';
import { timestampOf } from '../../model/time.ts';
import { isCheckable } from '../../ports/checkable.ts';
import { isStatusReporter, type Sink } from '../../ports/sink.ts';
import { TcpProxy } from '../../../test/oracle/tcp-proxy.ts';
import { freePort } from '../../../test/support/system.ts';
import { type Mosquitto, startMosquitto } from '../../../test/support/mosquitto.ts';
import { breaches, foreign } from '../../../test/support/sparkplug-rules.ts';
import { until } from '../../../test/support/until.ts';
import { schema } from './config.ts';
import { create } from './sink.ts';

const never = new AbortController().signal;
let broker: Mosquitto;
let folder: string;
before(async () => {
  broker = await startMosquitto();
  folder = await mkdtemp(path.join(tmpdir(), 'millwright-mqtt-sink-'));
});
after(async () => {
  await broker?.close();
  await rm(folder, { recursive: true, force: true });
});

/** Everything that is published below a filter from now on. */
class Listener {
  readonly messages: IncomingMessage[] = [];
  readonly link: MqttLink;

  private constructor(link: MqttLink) {
    this.link = link;
  }

  static async open(context: TestContext, filter: string, from: Mosquitto = broker): Promise<Listener> {
    const listener = new Listener(await from.client());
    await listener.link.subscribe([{ filter, qos: 1 }]);
    void (async () => {
      for await (const message of listener.link.messages()) {
        listener.link.acknowledge(message);
        listener.messages.push(message);
      }
    })().catch(() => {});
    context.after(() => listener.link.close());
    return listener;
  }

  of(type: string): IncomingMessage[] {
    return this.messages.filter(({ topic }) => topic.split('/')[2] === type);
  }

  get types(): string {
    return this.messages.map(({ topic }) => topic.split('/')[2]).join(' ');
  }
}

interface Opened {
  readonly sink: Sink;
  waiting: number;
}

function open(context: TestContext, keys: object, own: { folder?: string; url?: string } = {}): Opened {
  const parts = { clock: systemClock, random: Math.random, log: silentLogger };
  const opened = { waiting: 0 } as { sink: Sink; waiting: number };
  const place = { folder: own.folder ?? path.join(folder, String(Math.random())), files: nodeFiles };
  const options = schema.parse({ url: own.url ?? broker.url, ...keys });
  opened.sink = create(options, { gatewayId: 'E-1', place, backlogReadings: () => opened.waiting, ...parts });
  context.after(() => opened.sink.close());
  return opened;
}

function batch(sequence: number, readings: readonly object[]): Batch {
  const payload = Buffer.concat(readings.map((reading) => encodeFrame(reading)));
  return { gatewayId: 'E-1', epoch: 'e', sequence, readings: readings.length, payload };
}

const now = (agoMs = 0): string => timestampOf(systemClock.nowMicros() - agoMs * 1000);
const said = ({ payload }: IncomingMessage): unknown => JSON.parse(Buffer.from(payload).toString());

test('each value has a topic of its own, and the newest is kept by the broker; what is late is not', async (context) => {
  const keys = {
    topic: 'acme/{machine_id}/{signal}',
    events_topic: 'acme/{machine_id}/events/{event_type}',
    measurements_topic: 'acme/{machine_id}/measured/{characteristic}',
    retain: true,
  };
  const listener = await Listener.open(context, 'acme/#');
  const { sink } = open(context, keys);
  const timestamp = now();
  const settled = await sink.deliver(
    [
      batch(1, [
        { machine_id: 'M/1', timestamp, temperature: 20.5, door: null },
        { machine_id: 'M/1', timestamp: now(60_000), temperature: 19 },
        { machine_id: 'M/1', timestamp, kind: 'event', event_type: 'state', state: 'idle' },
        { machine_id: 'C', timestamp, kind: 'measurement', characteristic: 'bore', measured_value: 1, unit: 'mm' },
      ]),
    ],
    never,
  );
  assert.deepEqual(settled, { refused: [] });
  await until(() => listener.messages.length === 5);
  const kept = await Listener.open(context, 'acme/#');
  await until(() => kept.messages.length === 3);
  assert.deepEqual(
    listener.messages.map((message) => [message.topic, said(message)]),
    [
      ['acme/M_1/temperature', { value: 20.5, unit: '°C', timestamp, kind: 'sample', machine_id: 'M/1' }],
      ['acme/M_1/door', { value: null, timestamp, kind: 'sample', machine_id: 'M/1' }],
      ['acme/M_1/temperature', { ...(said(listener.messages[2]!) as object), value: 19, historical: true }],
      ['acme/M_1/events/state', { machine_id: 'M/1', timestamp, kind: 'event', event_type: 'state', state: 'idle' }],
      [
        'acme/C/measured/bore',
        { machine_id: 'C', timestamp, kind: 'measurement', characteristic: 'bore', measured_value: 1, unit: 'mm' },
      ],
    ],
  );
  assert.deepEqual(
    kept.messages
      .map((message) => [message.topic, (said(message) as { value?: number }).value] as const)
      .toSorted(([one], [other]) => (one < other ? -1 : 1)),
    [
      ['acme/C/measured/bore', undefined],
      ['acme/M_1/door', null],
      ['acme/M_1/temperature', 20.5],
    ],
  );
});

test('a call is settled by the broker alone: without it nothing is, and afterwards all comes', async (context) => {
  const own = await startMosquitto();
  context.after(() => own.close());
  const { sink } = open(context, { topic: 't/{machine_id}' }, { url: own.url });
  await sink.deliver([batch(1, [{ machine_id: 'M', timestamp: now(), a: 1 }])], never);
  await own.stop();
  await assert.rejects(sink.deliver([batch(2, [{ machine_id: 'M', timestamp: now(), a: 2 }])], never), (error) =>
    hasCode(error, 'connection_failed'),
  );
  await own.restart();
  const listener = await Listener.open(context, 't/#', own);
  await sink.deliver([batch(2, [{ machine_id: 'M', timestamp: now(), a: 2 }])], never);
  await until(() => listener.messages.length === 1);
});

test('a message that is too long goes to the dead letters, and the rest arrives', async (context) => {
  const own = await startMosquitto(['allow_anonymous true', 'message_size_limit 2000']);
  context.after(() => own.close());
  const listener = await Listener.open(context, 'long/#', own);
  const { sink } = open(context, { topic: 'long/{machine_id}' }, { url: own.url });
  const long = { machine_id: 'L', timestamp: now(), text: 'x'.repeat(3_000) };
  const batches = [batch(1, [long, { machine_id: 'S', timestamp: now(), a: 1 }])];
  // This broker ends the connection over it: the call comes again, as by the delivery.
  await assert.rejects(sink.deliver(batches, never), (error) => hasCode(error, 'connection_failed'));
  const { refused } = await sink.deliver(batches, never);
  assert.deepEqual(
    refused.map(({ sequence, index, reason }) => [sequence, index, reason.replace(/.*: /, '')]),
    [[1, 0, 'too large for the broker (reason 149)']],
  );
  await until(() => listener.messages.some(({ topic }) => topic === 'long/S'));
});

test('calls that begin at once share one connection', async (context) => {
  const own = await startMosquitto();
  context.after(() => own.close());
  const { sink } = open(context, { topic: 'one/{machine_id}' }, { url: own.url });
  await Promise.all([1, 2].map((n) => sink.deliver([batch(n, [{ machine_id: 'M', timestamp: now(), n }])], never)));
  assert.equal(own.said.split('New client connected').length - 1, 1);
});

test('a clock that was wrong makes nothing late that follows', async (context) => {
  const listener = await Listener.open(context, 'clock/#');
  const { sink } = open(context, { topic: 'clock/{machine_id}', retain: true });
  const at = (agoMs: number): object => ({ machine_id: 'M', timestamp: now(agoMs), a: agoMs });
  await sink.deliver([batch(1, [at(-3_600_000), at(1_000), at(2_000)])], never);
  await until(() => listener.messages.length === 3);
  const late = listener.messages.map((message) => (said(message) as { historical?: boolean }).historical === true);
  assert.deepEqual(late, [false, false, true]);
});

test('a disk that is full does not keep a node from its broker', async (context) => {
  const listener = await Listener.open(context, 'spBv1.0/FULL/#');
  const files: typeof nodeFiles = {
    ...nodeFiles,
    open: (file, mode) => (mode === 'read' ? nodeFiles.open(file, mode) : Promise.reject(new Error('ENOSPC'))),
  };
  const sink = create(schema.parse({ url: broker.url, sparkplug: { group: 'FULL' } }), {
    gatewayId: 'E-1',
    place: { folder: path.join(folder, 'full'), files },
    backlogReadings: () => 0,
    ...{ clock: systemClock, random: Math.random, log: silentLogger },
  });
  context.after(() => sink.close());
  await sink.deliver([batch(1, [{ machine_id: 'M', timestamp: now(), temperature: 1 }])], never);
  await until(() => listener.types === 'NBIRTH DBIRTH DDATA');
});

test('orders to be born again that come in a storm are obeyed by one birth a second', async (context) => {
  const listener = await Listener.open(context, 'spBv1.0/STORM/#');
  const { sink } = open(context, { sparkplug: { group: 'STORM' } });
  await sink.deliver([batch(1, [{ machine_id: 'M', timestamp: now(), temperature: 20 }])], never);
  const command = { name: REBIRTH, timestampMs: Date.now(), datatype: DATATYPES.Boolean, value: true };
  const payload = encodePayload({ timestampMs: Date.now(), metrics: [command] });
  const startedMs = performance.now();
  for (let n = 0; n < 500; n += 1) {
    await listener.link.publish({ topic: 'spBv1.0/STORM/NCMD/E-1', payload, qos: 1, retain: false });
  }
  await sink.deliver([batch(2, [{ machine_id: 'M', timestamp: now(), temperature: 21 }])], never);
  await until(() => listener.of('NBIRTH').length >= 3);
  const seconds = (performance.now() - startedMs) / 1_000;
  assert.ok(listener.of('NBIRTH').length <= 3 + seconds, `${listener.of('NBIRTH').length} births in ${seconds} s`);
  assert.deepEqual(breaches(listener.messages), []);
});

test('on a line that is dead nothing is settled, and as soon as it lives all is', async (context) => {
  const port = await freePort();
  const proxy = new TcpProxy({ port, targetPort: broker.port });
  await proxy.start();
  context.after(() => proxy.stop());
  const url = `mqtt://127.0.0.1:${port}`;
  const reading = { machine_id: 'M', timestamp: now(), temperature: 1 };
  const listener = await Listener.open(context, 'held/#');
  for (const [sequence, keys, told] of [
    [1, { topic: 'held/{machine_id}' }, /did not acknowledge a message within 500 ms/],
    [2, { sparkplug: { group: 'held' } }, /did not answer within 500 ms/],
  ] as const) {
    const { sink } = open(context, { ...keys, timeout: '500ms' }, { url });
    await sink.deliver([batch(1, [reading])], never);
    const go = await proxy.add({ kind: 'hold' });
    await assert.rejects(sink.deliver([batch(sequence, [reading])], never), told);
    await go();
    assert.deepEqual(await sink.deliver([batch(sequence, [reading])], never), { refused: [] });
  }
  await until(() => listener.messages.length >= 2);
});

test('the births, data and deaths of an edge node keep the rules', async (context) => {
  const listener = await Listener.open(context, 'spBv1.0/G/#');
  const opened = open(context, { sparkplug: { group: 'G', node: 'N' } });
  const { sink } = opened;
  const sample = (values: object): object => ({ machine_id: 'M+1', timestamp: now(), ...values });
  await sink.deliver([batch(1, [sample({ temperature: 20, machine_state: 'running', tool: 'T1', ok: true })])], never);
  await sink.deliver([batch(2, [sample({ temperature: null, active_program_line: -5 }), sample({ tool: 7 })])], never);
  await sink.deliver(
    [
      batch(
        3,
        Array.from({ length: 300 }, (_, a) => sample({ a })),
      ),
    ],
    never,
  );
  assert.ok(isStatusReporter(sink));
  opened.waiting = 12;
  await sink.report({} as never, never);
  const event = { machine_id: 'M+1', timestamp: now(), kind: 'event', event_type: 'state', state: 'offline' };
  await sink.deliver([batch(4, [event])], never);
  await sink.deliver([batch(5, [sample({ machine_state: 'idle' })])], never);
  await sink.close();
  await until(() => listener.of('NDEATH').length === 1);
  assert.deepEqual(breaches(listener.messages), []);
  assert.equal(listener.of('DDATA').length, 305);
  // For the first sample, what it did not know, the extra, the event, and after the death.
  assert.equal(listener.of('DBIRTH').length, 5);
  assert.equal(listener.of('DDEATH').length, 1);
  assert.equal(listener.of('NDATA').length, 1);
  assert.equal(listener.messages[0]?.topic, 'spBv1.0/G/NBIRTH/N');
  assert.equal(listener.messages[1]?.topic, 'spBv1.0/G/DBIRTH/N/M_1');
});

test('an order to be born again is obeyed at once', async (context) => {
  const listener = await Listener.open(context, 'spBv1.0/G2/#');
  const { sink } = open(context, { sparkplug: { group: 'G2' } });
  await sink.deliver([batch(1, [{ machine_id: 'M', timestamp: now(), temperature: 20 }])], never);
  const command = { name: REBIRTH, timestampMs: Date.now(), datatype: DATATYPES.Boolean, value: true };
  const payload = encodePayload({ timestampMs: Date.now(), metrics: [command] });
  await listener.link.publish({ topic: 'spBv1.0/G2/NCMD/E-1', payload, qos: 0, retain: false });
  await until(() => listener.of('DBIRTH').length === 2);
  await sink.deliver([batch(2, [{ machine_id: 'M', timestamp: now(), temperature: 21 }])], never);
  await until(() => listener.of('DDATA').length === 2);
  assert.deepEqual(breaches(listener.messages), []);
  assert.equal(listener.types, 'NBIRTH DBIRTH DDATA NCMD NBIRTH DBIRTH DDATA');
});

test('a backlog is told as what was, and the newest as what is', async (context) => {
  const listener = await Listener.open(context, 'spBv1.0/G3/#');
  const opened = open(context, { sparkplug: { group: 'G3' } });
  opened.waiting = 1_000;
  const at = (agoMs: number): object => ({ machine_id: 'M', timestamp: now(agoMs), temperature: agoMs });
  await opened.sink.deliver([batch(9, [at(5)])], never);
  await opened.sink.deliver([batch(1, [at(3_600_000), at(3_500_000)])], never);
  opened.waiting = 1;
  await opened.sink.deliver([batch(10, [at(0)])], never);
  await until(() => listener.of('DDATA').length === 4);
  assert.deepEqual(breaches(listener.messages), []);
  const flags = listener
    .of('DDATA')
    .map(({ payload }) => foreign.Payload.decode(payload).metrics[0]?.isHistorical === true);
  assert.deepEqual(flags, [false, true, true, false]);
});

test('each connection has the next number, also after a restart; the will has it too', async (context) => {
  const listener = await Listener.open(context, 'spBv1.0/G4/#');
  const place = path.join(folder, 'kept');
  for (const sequence of [1, 2]) {
    const { sink } = open(context, { sparkplug: { group: 'G4' } }, { folder: place });
    await sink.deliver([batch(sequence, [{ machine_id: 'M', timestamp: now(), temperature: 1 }])], never);
    await sink.close();
  }
  await until(() => listener.of('NDEATH').length === 2);
  assert.deepEqual(breaches(listener.messages), []);
  const numbers = listener
    .of('NDEATH')
    .map(({ payload }) => String(foreign.Payload.decode(payload).metrics[0]?.['longValue']));
  assert.deepEqual(numbers, ['0', '1']);
});

test('without its primary host nothing is sent, and when it goes the node dies', async (context) => {
  const listener = await Listener.open(context, 'spBv1.0/G5/#');
  const { sink } = open(context, { sparkplug: { group: 'G5', primary_host: 'H' } });
  const state = (online: boolean): Promise<void> => {
    const payload = encodeHostState({ online, timestamp: Date.now() });
    return listener.link.publish({ topic: 'spBv1.0/STATE/H', payload, qos: 1, retain: true });
  };
  const first = batch(1, [{ machine_id: 'M', timestamp: now(), temperature: 1 }]);
  await assert.rejects(sink.deliver([first], never), /the primary host H is not online: readings wait in the log/);
  assert.equal(listener.messages.length, 0);
  const delivering = sink.deliver([first], never);
  await state(true);
  await delivering;
  await until(() => listener.types === 'NBIRTH DBIRTH DDATA');
  assert.ok(isCheckable(sink));
  assert.match(await sink.check(never), /lets us in; the primary host H is online/);
  await state(false);
  await until(() => listener.of('NDEATH').length === 1);
  await state(true);
  await sink.deliver([batch(2, [{ machine_id: 'M', timestamp: now(), temperature: 2 }])], never);
  await until(() => listener.types === 'NBIRTH DBIRTH DDATA NDEATH NBIRTH DBIRTH DDATA');
  assert.deepEqual(breaches(listener.messages), []);
});

test('the rules find what breaks them', async () => {
  const topic = 'spBv1.0/G/DDATA/N/M';
  const payload = encodePayload({ metrics: [{ name: 'a', value: 1, datatype: DATATYPES.Double }] });
  const found = breaches([{ topic, payload, qos: 1, isRetained: true }]).join('\n');
  for (const rule of ['ddata-mqtt', 'ddata-timestamp', 'sequence-num-always-included', 'nbirth-wait']) {
    assert.match(found, new RegExp(rule));
  }
});

test('the examples of the docs can be read', () => {
  const page = readFileSync(new URL('../../../docs/sinks/mqtt.md', import.meta.url), 'utf8');
  const examples = [...page.matchAll(/```yaml\n([^`]*)```/g)].map(([, text = '']) => parse(text).sinks[0]);
  const kinds = examples.map(({ type: _type, ...keys }) => schema.parse(keys).target.kind);
  assert.deepEqual(kinds, ['plain', 'sparkplug']);
});

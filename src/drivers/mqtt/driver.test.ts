/** The driver against a real broker. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { hasCode, messageOf } from '../../base/errors.ts';
import { type MqttLink, type OutgoingMessage } from '../../base/mqtt.ts';
import { decodeReading } from '../../model/reading.ts';
import { isCheckable } from '../../ports/checkable.ts';
import { Gateway, Running } from '../../ports/driver.test-support.ts';
import { makeCertificates } from '../../../test/support/certificates.ts';
import { TcpProxy } from '../../../test/oracle/tcp-proxy.ts';
import { freePort } from '../../../test/support/system.ts';
import { type Mosquitto, startMosquitto } from '../../../test/support/mosquitto.ts';
import { until } from '../../../test/support/until.ts';
import { schema } from './config.ts';
import { create } from './driver.ts';

/** Of `secret`, as mosquitto_passwd makes it. */
const PASSWORD_HASH =
  '$7$101$zdO1D+nO1t5aCXaP$QCmnjb/o9hfGns7FdV+alGMeDyksrR7+JRJwED7KiiFFvIbevuUAtaEJe/AQrnMImaKcSJU1fqqsq+rnwNQfAw==';

let broker: Mosquitto;
let publisher: MqttLink;
/** Also those of a test that failed. */
const all: Running[] = [];
before(async () => {
  broker = await startMosquitto();
  publisher = await broker.client();
});
after(async () => {
  await Promise.all(all.map((one) => one.stop()));
  await publisher?.close();
  await broker?.close();
});

function publish(topic: string, payload: unknown, own: Partial<OutgoingMessage> = {}): Promise<void> {
  const text = typeof payload === 'string' ? payload : JSON.stringify(payload);
  return publisher.publish({ topic, payload: Buffer.from(text), qos: 1, retain: false, ...own });
}

function driverOf(keys: object): ReturnType<typeof create> {
  return create(schema.parse({ url: broker.url, ...keys }));
}

async function started(keys: object): Promise<Running> {
  const running = new Running(driverOf(keys), { gateway: new Gateway() });
  all.push(running);
  await until(() => running.gateway.connections > 0);
  return running;
}

test('an object is mapped by its paths, in its own time, and by the levels of its topic', async () => {
  const running = await started({
    topics: [
      {
        filter: 'shop/+/telemetry',
        machine: 'M-{2}',
        timestamp: 'at',
        map: {
          'spindle.rpm': 'spindle_speed',
          'axes[0]': { signal: 'x_pos_mm', unit: 'in' },
          watts: { signal: 'total_power_kw', unit: 'W' },
          tool: { extra: 'tool' },
          mode: { states: { RUN: 'running' } },
          alarm: { event: 'condition' },
        },
      },
    ],
  });
  const { gateway } = running;
  await publish('shop/7/telemetry', {
    at: 1_767_254_400_123,
    spindle: { rpm: 1200 },
    axes: [2],
    watts: '5100',
    tool: 'T1',
    mode: 'run',
    alarm: 'E12',
  });
  await until(() => gateway.samples.length === 1);
  const timestamp = '2026-01-01T08:00:00.123000Z';
  assert.deepEqual(gateway.readings, [
    {
      machine_id: 'M-7',
      timestamp,
      kind: 'event',
      event_type: 'state',
      state: 'running',
      text: 'shop/7/telemetry mode run',
    },
    {
      machine_id: 'M-7',
      timestamp,
      kind: 'event',
      event_type: 'condition',
      item: 'shop/7/telemetry alarm',
      level: 'fault',
      native_code: 'E12',
      text: 'E12',
    },
    {
      machine_id: 'M-7',
      timestamp,
      spindle_speed: 1200,
      x_pos_mm: 50.8,
      total_power_kw: 5.1,
      tool: 'T1',
      machine_state: 'running',
    },
  ]);
  await running.stop();
});

test('bare values are named by their topic; what is no number is told once and harms nothing', async () => {
  const running = await started({ topics: [{ filter: 'plc/+/#', machine: '{2}', name: '{last}', extra: 'all' }] });
  const { gateway } = running;
  await publish('plc/L1/temperature', '21.5');
  await publish('plc/L1/door', 'open');
  await publish('plc/L1/temperature', 'broken');
  await publish('plc/L1/temperature', '');
  await publish('plc/L1/temperature', '22');
  await until(() => gateway.samples.length === 3);
  const values = gateway.samples.map(({ timestamp: _timestamp, ...rest }) => rest);
  assert.deepEqual(values, [
    { machine_id: 'L1', temperature: 21.5 },
    { machine_id: 'L1', door: 'open' },
    { machine_id: 'L1', temperature: 22 },
  ]);
  assert.equal(gateway.problems.size, 0);
  await publish('plc/L1/temperature', 'broken');
  await until(() => gateway.problems.size === 1);
  assert.deepEqual([...gateway.problems], [['plc/L1/temperature temperature', 'says "broken", which is no number']]);
  await running.stop();
});

test('no payload breaks the driver, and each that is bad is told with its topic', async () => {
  const running = await started({ topics: [{ filter: 'bad/#', map: { a: { extra: 'a' } }, timestamp: 't' }] });
  const { gateway } = running;
  const bad = [
    '{',
    'null',
    '[]',
    '[1,2]',
    '"x"',
    `[${'[],'.repeat(2_000)}1]`,
    '{"a":{"b":1}}',
    '\u0000',
    '{"a":1,"t":"no"}',
  ];
  for (const [index, payload] of bad.entries()) await publish(`bad/${index}`, payload);
  await publish('bad/last', { a: 1, t: '2026-01-01T08:00:00Z' });
  await until(() => gateway.samples.some(({ timestamp }) => timestamp === '2026-01-01T08:00:00Z'));
  const told = [...gateway.problems].map(([item, reason]) => `${item}: ${reason}`).join('\n');
  assert.match(told, /bad\/0: is no JSON: /);
  assert.match(told, /bad\/5: holds 2001 items; allowed: 1000/);
  assert.match(told, /bad\/6 a: says \{"b":1\}, which is no single value/);
  assert.match(told, /bad\/8 t: has no time of the format auto, but "no": the gateway's time is taken/);
  await running.stop();
});

test('of retained messages those count that say their time', async () => {
  await publish('kept/timed', { a: 1, t: '2026-01-01T08:00:00Z' }, { retain: true });
  await publish('kept/untimed', { a: 2 }, { retain: true });
  const topics = [{ filter: 'kept/#', map: { a: { extra: 'a' } }, timestamp: 't' }];
  for (const [retained, wanted] of [
    ['timed', [1]],
    ['all', [1, 2]],
    ['none', []],
  ] as const) {
    const running = await started({ retained, topics });
    await publish('kept/now', { a: 9, t: '2026-01-01T09:00:00Z' });
    await until(() => running.gateway.samples.some(({ a }) => a === 9));
    const values = running.gateway.samples.map(({ a }) => a).filter((a) => a !== 9);
    assert.deepEqual(
      values.map(Number).toSorted((a, b) => a - b),
      wanted,
      retained,
    );
    await running.stop();
  }
});

test('a broker that goes makes values unknown and the machine offline, and is found again', async () => {
  const own = await startMosquitto();
  const driver = create(
    schema.parse({ url: own.url, topics: [{ filter: 'm', extra: ['temperature', 'machine_state'] }] }),
  );
  const running = new Running(driver, { again: true });
  all.push(running);
  const { gateway } = running;
  await until(() => gateway.connections === 1);
  const link = await own.client();
  await link.publish({
    topic: 'm',
    payload: Buffer.from('{"temperature":20,"machine_state":"running"}'),
    qos: 1,
    retain: false,
  });
  await until(() => gateway.samples.length === 1);
  await own.stop();
  await until(() => gateway.samples.length === 2);
  const { timestamp: _timestamp, ...lost } = gateway.samples[1]!;
  assert.deepEqual(lost, { machine_id: 'M-1', temperature: null, machine_state: 'offline' });
  assert.deepEqual(
    gateway.events.map(({ state }) => state),
    ['running', 'offline'],
  );
  assert.match(running.lastError, /closed the connection|cannot connect|broke/);
  await own.restart();
  await until(() => gateway.connections === 2);
  await running.stop();
  await own.close();
});

test('the older protocol, and a line of TLS with a user, serve as well', async (context) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-mqtt-tls-'));
  const certificates = await makeCertificates(folder);
  const passwords = path.join(folder, 'passwords');
  await writeFile(passwords, `edge:${PASSWORD_HASH}\n`);
  const secured = await startMosquitto([
    `cafile ${certificates.caFile}`,
    `certfile ${certificates.certFile}`,
    `keyfile ${certificates.keyFile}`,
    `password_file ${passwords}`,
  ]);
  context.after(async () => {
    await secured.close();
    await rm(folder, { recursive: true, force: true });
  });
  const login = { user: 'edge', password: 'secret', tls_ca_file: certificates.caFile };
  const topics = [{ filter: 'tls/#', extra: 'all' }];
  const url = `mqtts://localhost:${secured.port}`;
  for (const protocol of [5, '3.1.1']) {
    const running = await started({
      ...login,
      url,
      protocol,
      client_id: `c${protocol}`,
      session: { keep: true },
      topics,
    });
    assert.equal(running.errors.length, 0);
    await running.stop();
  }
  for (const [keys, told] of [
    [{ password: 'wrong' }, /user or password is wrong|this user may not connect/],
    [{ tls_ca_file: undefined }, /cannot connect to mqtts:.*certificate/],
  ] as const) {
    const running = new Running(create(schema.parse({ ...login, url, topics, ...keys })));
    assert.match(messageOf(await running.failure()), told);
  }
});

test('what only a person can mend is told as that', async () => {
  const closed = await startMosquitto(['allow_anonymous false']);
  const topics = [{ filter: 'a/#', extra: 'all' }];
  const running = new Running(create(schema.parse({ url: closed.url, topics })));
  const error = await running.failure();
  assert.ok(hasCode(error, 'config_invalid'));
  assert.match(error.message, /does not let us in: this user may not connect \(reason 135\)/);
  await closed.close();
});

test('what the broker has kept may be more than waits at once, and comes before it answers', async (context) => {
  const own = await startMosquitto(['allow_anonymous true', 'max_inflight_messages 0']);
  context.after(() => own.close());
  const keys = { url: own.url, client_id: 'kept', session: { keep: true }, timeout: '2s' };
  const topics = [{ filter: 'q/#', extra: 'all' }];
  await (await started({ ...keys, topics })).stop();
  const link = await own.client();
  const count = 3_000;
  for (let n = 0; n < count; n += 1) {
    await link.publish({ topic: 'q/x', payload: Buffer.from(`{"n":${n}}`), qos: 1, retain: false });
  }
  await link.ping();
  await link.close();
  const running = await started({ ...keys, topics });
  await until(() => running.gateway.samples.length === count);
  assert.deepEqual(running.errors, []);
  await running.stop();
});

test('two edges with one client id give way, and say so', async () => {
  const keys = { client_id: 'the-same', topics: [{ filter: 'twice/#', extra: 'all' }] };
  const both = [1, 2].map(() => new Running(driverOf(keys), { again: true }));
  all.push(...both);
  await until(() => both.some(({ errors }) => errors.some((error) => hasCode(error, 'config_invalid'))));
  const [told] = both.flatMap(({ errors }) => errors.filter((error) => hasCode(error, 'config_invalid')));
  assert.match(
    messageOf(told),
    /closed the connection, as each of the last 3 .* does another client have our client id/,
  );
  await Promise.all(both.map((one) => one.stop()));
});

test('topics and values with any names are taken or told, and end no connection', async () => {
  const topics = [
    { filter: 'odd/#', name: '{last}', extra: 'all', map: { alarm: { event: 'condition' } } },
    { filter: 'list/#', extra: 'all' },
  ];
  const running = await started({ topics });
  const { gateway } = running;
  const deep = `${'{"toJSON":['.repeat(20_000)}1${']}'.repeat(20_000)}`;
  for (const name of ['constructor', '__proto__', 'toString', 'timestamp', 'alarm']) await publish(`odd/${name}`, '1');
  await publish('odd/alarm', deep);
  await publish('odd/value', deep);
  await publish('odd/huge', '1e999');
  await publish('list/odd', '{"temp\\u0000erature":"21","machine\\u0000_state":"idle","\\u0000":1}');
  await publish('odd/last', '5');
  await until(() => gateway.samples.some(({ last }) => last === 5));
  for (const reading of gateway.readings) assert.ok(!('fault' in decodeReading({ ...reading })));
  const keys = gateway.samples.flatMap((sample) => Object.keys(sample).slice(2));
  const ofObject = ['temperature', 'machine_state', 'item_'];
  assert.deepEqual(keys, ['constructor', 'item___proto__', 'toString', 'item_timestamp', ...ofObject, 'last']);
  assert.equal(running.errors.length, 0);
  await running.stop();
});

test('a check leaves the running edge alone, and says what it found', async () => {
  const keys = { client_id: 'the-edge', session: { keep: true }, topics: [{ filter: 'checked/#', extra: 'all' }] };
  const running = await started(keys);
  await publish('checked/now', { temperature: 1 }, { retain: true });
  const driver = driverOf(keys);
  assert.ok(isCheckable(driver));
  const said = await driver.check(new AbortController().signal);
  assert.match(said, /mqtt:\/\/127\.0\.0\.1:\d+ grants checked\/#; 1 topics were heard in 2 s/);
  assert.equal(running.errors.length, 0);
  await running.stop();
});

test('a broker that has nothing to say is heard by its answers to pings, and says when the next is due', async () => {
  const running = await started({ topics: [{ filter: 'quiet/#', name: '{last}', extra: 'all' }], keep_alive: '1s' });
  const { gateway } = running;
  const { signs } = gateway;
  await until(() => gateway.signs >= signs + 2);
  assert.equal(gateway.nextWithinMs, 500);
  assert.equal(gateway.readings.length, 0);
  await running.stop();
});

test('a connection that is there no more, though nobody said so, is noticed', async () => {
  const port = await freePort();
  const proxy = new TcpProxy({ port, targetPort: broker.port });
  await proxy.start();
  const keys = { url: `mqtt://127.0.0.1:${port}`, keep_alive: '1s', topics: [{ filter: 'half/#', extra: 'all' }] };
  const running = await started(keys);
  const go = await proxy.add({ kind: 'hold' });
  assert.match(
    (await running.failure()).message,
    /was silent for \d+ ms|has ended the connection|closed the connection/,
  );
  await go();
  await proxy.stop();
});

/** The driver as a Sparkplug B host application, at a real broker. */
import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import type { IncomingMessage, MqttLink, OutgoingMessage } from '../../base/mqtt.ts';
import { DATATYPES } from '../../base/sparkplug/metric.ts';
import { EdgeNode } from '../../base/sparkplug/node.ts';
import { decodePayload, encodePayload } from '../../base/sparkplug/payload.ts';
import { decodeHostState, encodeHostState } from '../../base/sparkplug/topics.ts';
import { Gateway, Running } from '../../ports/driver.test-support.ts';
import { type Mosquitto, startMosquitto } from '../../../test/support/mosquitto.ts';
import { until } from '../../../test/support/until.ts';
import { schema } from './config.ts';
import { create } from './driver.ts';
import { SparkplugHost } from './host.ts';
import { Machines } from './machines.ts';

const AT_MS = Date.UTC(2026, 0, 1, 8);
const AT = '2026-01-01T08:00:00.000000Z';
const METRICS = [
  { name: 'Spindle/Speed', datatype: DATATYPES.Double },
  { name: 'State', datatype: DATATYPES.Int32 },
  { name: 'Tool', datatype: DATATYPES.String },
];
const MAP = { 'Spindle/Speed': 'spindle_speed', State: { states: { 2: 'running', 3: 'hold' } } };

let broker: Mosquitto;
before(async () => {
  broker = await startMosquitto();
});
after(() => broker?.close());

interface Rig {
  readonly link: MqttLink;
  readonly node: EdgeNode;
  readonly gateway: Gateway;
  readonly running: Running;
  readonly heard: IncomingMessage[];
  readonly send: (...messages: readonly OutgoingMessage[]) => Promise<void>;
}

let groups = 0;

/** A node in a group of its own, and the driver that listens to it. */
async function setup(context: TestContext, own: object = {}): Promise<Rig & { group: string }> {
  groups += 1;
  const group = `G${groups}`;
  const heard: IncomingMessage[] = [];
  const link = await broker.client();
  await link.subscribe([
    { filter: `spBv1.0/${group}/NCMD/#`, qos: 1 },
    { filter: `spBv1.0/STATE/H-${group}`, qos: 1 },
  ]);
  void (async () => {
    for await (const message of link.messages()) heard.push(message);
  })().catch(() => {});
  const sparkplug = { host_id: `H-${group}`, groups: [group], map: MAP, ...own };
  const running = new Running(create(schema.parse({ url: broker.url, sparkplug })), { gateway: new Gateway() });
  context.after(async () => {
    await running.stop();
    await link.close();
  });
  await until(() =>
    heard.some(({ topic, payload }) => topic.includes('STATE') && decodeHostState(payload)?.online === true),
  );
  const node = new EdgeNode({ group, node: 'N' });
  node.define('D', METRICS);
  const send = async (...messages: readonly OutgoingMessage[]): Promise<void> => {
    for (const message of messages) await link.publish(message);
  };
  return { link, node, gateway: running.gateway, running, heard, send, group };
}

const speed = (value: number, timestampMs = AT_MS): { name: string; value: number; timestampMs: number } => {
  return { name: 'Spindle/Speed', value, timestampMs };
};
const rebirths = ({ heard }: Rig): number => heard.filter(({ topic }) => topic.includes('/NCMD/')).length;

test('births tell what there is, data what becomes of it, deaths take it back', async (context) => {
  const rig = await setup(context);
  const { node, gateway, send, group } = rig;
  await send(...node.birth(4, AT_MS), node.deviceBirth('D', AT_MS));
  await send(
    node.data(
      'D',
      [speed(1200), { name: 'State', value: 2, timestampMs: AT_MS }, { name: 'Tool', value: 'T1', timestampMs: AT_MS }],
      AT_MS,
    ),
  );
  await until(() => gateway.events.length === 1);
  await send(node.data('D', [{ name: 'Tool', value: 'T2', timestampMs: AT_MS + 1_500 }], AT_MS + 2_000));
  await until(() => gateway.samples.some(({ Tool }) => Tool === 'T2'));
  const machineId = `${group}-N-D`;
  assert.deepEqual(gateway.events[0], {
    machine_id: machineId,
    timestamp: AT,
    kind: 'event',
    event_type: 'state',
    state: 'running',
    text: 'State 2',
  });
  assert.deepEqual(gateway.samples.slice(1), [
    { machine_id: machineId, timestamp: AT, spindle_speed: 1200, machine_state: 'running', Tool: 'T1' },
    { machine_id: machineId, timestamp: '2026-01-01T08:00:01.500000Z', Tool: 'T2' },
  ]);
  // The will of an older connection is nobody's death.
  await send(node.death(3, AT_MS), node.deviceDeath('D', AT_MS + 9_000));
  await until(() => gateway.samples.at(-1)?.machine_state === 'offline');
  assert.deepEqual(gateway.samples.at(-1), {
    machine_id: machineId,
    timestamp: '2026-01-01T08:00:09.000000Z',
    spindle_speed: null,
    machine_state: 'offline',
    Tool: null,
  });
  await send(node.deviceBirth('D', AT_MS + 10_000));
  await until(() => gateway.events.length === 3);
  await send(node.death(4, AT_MS));
  await until(() => gateway.events.length === 4);
  assert.deepEqual(
    gateway.events.map(({ state, text }) => [state, text]),
    [
      ['running', 'State 2'],
      ['offline', `DDEATH of ${group}/N/D`],
      ['running', 'State 2'],
      ['offline', `NDEATH of ${group}/N`],
    ],
  );
  assert.equal(rebirths(rig), 0);
});

test('a birth that says again what is known gives nothing twice', async (context) => {
  const { node, gateway, send } = await setup(context);
  await send(...node.birth(0, AT_MS), node.deviceBirth('D', AT_MS), node.data('D', [speed(5)], AT_MS));
  await send(...node.rebirth(AT_MS + 1_000), node.data('D', [speed(6, AT_MS + 2_000)], AT_MS + 2_000));
  await until(() => gateway.samples.some(({ spindle_speed }) => spindle_speed === 6));
  assert.deepEqual(
    gateway.samples.map(({ spindle_speed }) => spindle_speed).filter((value) => typeof value === 'number'),
    [5, 6],
  );
});

test('what was missed is asked for, once in an interval, and told', async (context) => {
  const rig = await setup(context, { rebirth_interval: '1h' });
  const { node, gateway, send, group } = rig;
  await send(...node.birth(0, AT_MS), node.deviceBirth('D', AT_MS), node.data('D', [speed(1)], AT_MS));
  node.data('D', [speed(2)], AT_MS);
  node.data('D', [speed(3)], AT_MS);
  await send(node.data('D', [speed(4, AT_MS + 1)], AT_MS + 1));
  await until(() => rebirths(rig) === 1);
  const [gap] = gateway.events.filter(({ event_type }) => event_type === 'gap');
  assert.equal(gap?.item, `${group}/N`);
  const { reason, expected, found, messages } = gap?.details ?? {};
  assert.deepEqual({ reason, expected, found, messages }, { reason: 'sequence', expected: 3, found: 5, messages: 2 });
  node.data('D', [speed(5)], AT_MS);
  await send(node.data('D', [speed(6, AT_MS + 2)], AT_MS + 2));
  await until(() => gateway.samples.some(({ spindle_speed }) => spindle_speed === 6));
  assert.equal(rebirths(rig), 1);
  const [command] = rig.heard.filter(({ topic }) => topic === `spBv1.0/${group}/NCMD/N`);
  assert.equal(command?.qos, 0);
  const { metrics, seq } = decodePayload(command?.payload ?? new Uint8Array());
  assert.equal(seq, undefined);
  assert.deepEqual(
    metrics.map(({ name, value, datatype }) => ({ name, value, datatype })),
    [{ name: 'Node Control/Rebirth', value: true, datatype: DATATYPES.Boolean }],
  );
});

test('data of a node that was never born, and an alias that no birth has told, ask for a rebirth', async (context) => {
  for (const isBorn of [false, true]) {
    const rig = await setup(context);
    const { node, send } = rig;
    node.birth(0, AT_MS);
    const birth = node.deviceBirth('D', AT_MS);
    if (isBorn) await send(...node.rebirth(AT_MS), node.deviceBirth('D', AT_MS));
    node.define('D', [{ name: 'Later', datatype: DATATYPES.Double }]);
    await send(node.data('D', [{ name: 'Later', value: 1, timestampMs: AT_MS }], AT_MS));
    await until(() => rebirths(rig) === 1);
    assert.ok(birth.payload.length > 0);
  }
});

test('what is told late has its own time and changes nothing that holds', async (context) => {
  const { node, gateway, send } = await setup(context);
  const state = (
    value: number,
    timestampMs: number,
    isHistorical: boolean,
  ): Parameters<EdgeNode['data']>[1][number] => {
    return { name: 'State', value, timestampMs, isHistorical };
  };
  await send(...node.birth(0, AT_MS), node.deviceBirth('D', AT_MS), node.data('D', [state(2, AT_MS, false)], AT_MS));
  await send(node.data('D', [state(3, AT_MS - 5_000, true), state(3, AT_MS - 9_000, true)], AT_MS));
  await send(node.data('D', [state(2, AT_MS + 1_000, false)], AT_MS));
  await until(() => gateway.samples.at(-1)?.timestamp === '2026-01-01T08:00:01.000000Z');
  assert.deepEqual(
    gateway.events.map(({ state: one, timestamp }) => [one, timestamp]),
    [
      ['running', AT],
      ['hold', '2026-01-01T07:59:51.000000Z'],
    ],
  );
});

test('what is no single value, and what is no payload, is told and harms nothing', async (context) => {
  const { node, gateway, send, group } = await setup(context);
  await send(...node.birth(0, AT_MS));
  const metrics = [
    { name: 'Table', alias: 90n, timestampMs: AT_MS, datatype: DATATYPES.Bytes, value: Buffer.from('x') },
    { name: 'Spindle/Speed', alias: 91n, timestampMs: AT_MS, datatype: DATATYPES.Double, value: 7 },
  ];
  const topic = `spBv1.0/${group}/DBIRTH/N/D`;
  await send({ topic, payload: encodePayload({ timestampMs: AT_MS, seq: 1, metrics }), qos: 0, retain: false });
  await send({ topic: `spBv1.0/${group}/DDATA/N/D`, payload: Buffer.from('rubbish'), qos: 0, retain: false });
  await until(() => gateway.problems.size === 2);
  assert.equal(gateway.samples[0]?.spindle_speed, 7);
  assert.deepEqual(
    [...gateway.problems],
    [
      [`${group}-N-D Table`, 'is passed over: Bytes is no single value'],
      [`spBv1.0/${group}/DDATA/N/D`, 'is no Sparkplug B payload'],
    ],
  );
});

test('a device that is not born again with its node is lost', async (context) => {
  const { node, gateway, send, group } = await setup(context);
  const state = { name: 'State', value: 2, timestampMs: AT_MS };
  await send(...node.birth(0, AT_MS), node.deviceBirth('D', AT_MS), node.data('D', [speed(5), state], AT_MS));
  node.define('E', METRICS);
  node.deviceDeath('D', AT_MS);
  await send(...node.rebirth(AT_MS + 1_000), node.deviceBirth('E', AT_MS + 1_000));
  await send(node.data('E', [speed(6, AT_MS + 2_000)], AT_MS + 2_000));
  await until(() => gateway.samples.some(({ spindle_speed }) => spindle_speed === 6));
  const lost = gateway.samples.filter(({ machine_state }) => machine_state === 'offline');
  assert.deepEqual(
    lost.map(({ machine_id, spindle_speed }) => [machine_id, spindle_speed]),
    [[`${group}-N-D`, null]],
  );
});

test('a birth of many metrics comes whole, in samples that a frame holds', async (context) => {
  const { node, gateway, send } = await setup(context);
  const count = 20_000;
  const names = Array.from({ length: count }, (_, n) => ({
    name: `Line/Cell/Metric ${n}`,
    datatype: DATATYPES.Double,
  }));
  node.define('D', names);
  await send(...node.birth(0, AT_MS), node.deviceBirth('D', AT_MS));
  const values = names.map(({ name }, n) => ({ name, value: n, timestampMs: AT_MS + 1 }));
  await send(node.data('D', values, AT_MS + 1));
  const told = (): number => gateway.samples.flatMap((one) => Object.values(one).filter(Number.isFinite)).length;
  await until(() => told() === count);
  for (const sample of gateway.samples) assert.ok(Buffer.byteLength(JSON.stringify(sample)) < 1024 * 1024);
});

test('each time the connection stands again, nodes that have not spoken are asked, however short it was', async () => {
  const machines = new Machines(() => {});
  const { source } = schema.parse({ url: broker.url, sparkplug: { host_id: 'H', rebirth_interval: '1h' } });
  assert.ok(source.kind === 'sparkplug');
  const host = new SparkplugHost({ options: source, machines, problem: () => {} });
  const node = new EdgeNode({ group: 'G', node: 'N' });
  const at = (monotonicMs: number) => ({ timestamp: AT, monotonicMs });
  const [birth] = node.birth(0, AT_MS);
  const hear = (): unknown =>
    host.hear({ type: 'NBIRTH', group: 'G', node: 'N', device: null }, decodePayload(birth!.payload), at(0));
  hear();
  host.lose(AT, 'gone');
  assert.deepEqual(host.unheard(at(1)), [{ group: 'G', node: 'N' }]);
  host.lose(AT, 'gone');
  assert.deepEqual(host.unheard(at(2)), [{ group: 'G', node: 'N' }]);
  hear();
  assert.deepEqual(host.unheard(at(3)), []);
});

test('who says with a later time that the host is gone is answered with a later time', async (context) => {
  const { heard, link, group } = await setup(context);
  const topic = `spBv1.0/STATE/H-${group}`;
  const timestamp = Date.now() + 50;
  await until(() => Date.now() > timestamp);
  await link.publish({ topic, payload: encodeHostState({ online: false, timestamp }), qos: 1, retain: true });
  const newest = (): ReturnType<typeof decodeHostState> => decodeHostState(heard.at(-1)?.payload ?? new Uint8Array());
  await until(() => newest()?.online === true && heard.filter((one) => one.topic === topic).length === 3);
  assert.ok((newest()?.timestamp ?? 0) >= timestamp);
});

test('the host says that it is there, mends what says otherwise, and says that it goes', async (context) => {
  const { heard, link, running, group } = await setup(context);
  const topic = `spBv1.0/STATE/H-${group}`;
  const states = (): (boolean | undefined)[] => {
    return heard.filter((one) => one.topic === topic).map(({ payload }) => decodeHostState(payload)?.online);
  };
  await link.publish({ topic, payload: Buffer.from('{"online":false,"timestamp":1}'), qos: 1, retain: true });
  await until(() => states().length === 3);
  await running.stop();
  await until(() => states().length === 4);
  assert.deepEqual(states(), [true, false, true, false]);
  assert.ok(heard.filter((one) => one.topic === topic).every(({ qos }) => qos === 1));
});

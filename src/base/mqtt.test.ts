/** The connection, against real brokers, and against one of the test's own that does what none should. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import mqttPacket, { type Packet } from 'mqtt-packet';
import { type Mosquitto, startMosquitto } from '../../test/support/mosquitto.ts';
import { until } from '../../test/support/until.ts';
import { systemClock } from './clock.ts';
import { hasCode } from './errors.ts';
import { ManualClock } from './manual-clock.test-support.ts';
import { BROKER_DEFAULTS, type BrokerSettings, connectMqtt, type MqttLink, PublishRefusal } from './mqtt.ts';
import { PacketReader } from './mqtt-packets.ts';

type Connack = Extract<Packet, { cmd: 'connack' }>;
type Answer = (packet: Packet, socket: Socket) => void;

const LET_IN: Connack = { cmd: 'connack', reasonCode: 0, sessionPresent: false };

/** A broker that lets everybody in, and then answers as the test says. */
async function scripted(context: TestContext, connack: Connack, answer: Answer = () => {}): Promise<string> {
  const server = createServer((socket) => {
    const reader = new PacketReader(mqttPacket, 5);
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      reader.push(chunk, (packet) => {
        if (packet.cmd === 'connect') send(socket, connack);
        else answer(packet, socket);
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  return `mqtt://127.0.0.1:${(server.address() as { port: number }).port}`;
}

function send(socket: Socket, ...packets: readonly Packet[]): void {
  socket.write(Buffer.concat(packets.map((packet) => mqttPacket.generate(packet, { protocolVersion: 5 }))));
}

async function connected(context: TestContext, url: string, own: Partial<BrokerSettings> = {}): Promise<MqttLink> {
  const broker = { ...BROKER_DEFAULTS, url, ...own };
  const link = await connectMqtt({ broker, clock: systemClock, random: Math.random, signal: context.signal });
  context.after(() => link.destroy());
  return link;
}

async function mosquitto(context: TestContext, ...lines: readonly string[]): Promise<Mosquitto> {
  const broker = await startMosquitto(['allow_anonymous true', ...lines]);
  context.after(() => broker.close());
  return broker;
}

const message = (bytes: number, qos: 0 | 1 = 1) =>
  ({ topic: 't', payload: Buffer.alloc(bytes, '1'), qos, retain: false }) as const;

test('what is too large for the broker is refused for good, and the connection goes on', async (context) => {
  // By mosquitto the limit of packets is told at the connection, that of messages with each of them.
  for (const line of ['max_packet_size 1000', 'message_size_limit 1000']) {
    const link = await connected(context, (await mosquitto(context, line)).url);
    await assert.rejects(link.publish(message(2_000)), (error) => {
      return error instanceof PublishRefusal && error.reasonCode === 149;
    });
    // Mosquitto also ends the connection over a message that is too long by its own limit.
    if (line.startsWith('max')) await link.publish(message(100));
  }
});

test('a broker that takes one message at once and does not watch us is served as well', async (context) => {
  const limits: Connack = { ...LET_IN, properties: { receiveMaximum: 1, serverKeepAlive: 0 } };
  let pings = 0;
  let underWay = 0;
  let most = 0;
  const url = await scripted(context, limits, (packet, socket) => {
    if (packet.cmd === 'pingreq') pings += 1;
    if (packet.cmd !== 'publish') return;
    underWay += 1;
    most = Math.max(most, underWay);
    setImmediate(() => {
      underWay -= 1;
      send(socket, { cmd: 'puback', messageId: packet.messageId ?? 0, reasonCode: 0 });
    });
  });
  const link = await connected(context, url);
  await Promise.all(Array.from({ length: 20 }, () => link.publish(message(10))));
  assert.equal(most, 1);
  assert.equal(pings, 0);
  assert.equal(link.ended.aborted, false);
});

test('on a slow line answers may come late, as long as they come', async (context) => {
  const url = await scripted(context, LET_IN, (packet, socket) => {
    if (packet.cmd !== 'publish') return;
    const { messageId = 0 } = packet;
    setTimeout(() => send(socket, { cmd: 'puback', messageId, reasonCode: 0 }), 100 * messageId);
  });
  const link = await connected(context, url, { timeoutMs: 300 });
  await Promise.all(Array.from({ length: 8 }, () => link.publish(message(10))));
});

test('what another program had ordered with quality 2 is taken and acknowledged', async (context) => {
  const seen: string[] = [];
  const url = await scripted(context, LET_IN, (packet, socket) => {
    seen.push(packet.cmd);
    if (packet.cmd === 'subscribe') {
      const publication = { cmd: 'publish', topic: 't', payload: 'x', qos: 2, dup: false, retain: false } as const;
      send(socket, { cmd: 'suback', messageId: packet.messageId ?? 0, granted: [1] }, { ...publication, messageId: 9 });
    } else if (packet.cmd === 'pubrec')
      send(socket, { cmd: 'pubrel', messageId: packet.messageId ?? 0, reasonCode: 0 });
  });
  const link = await connected(context, url);
  await link.subscribe([{ filter: 't', qos: 1 }]);
  for await (const one of link.messages()) {
    assert.equal(Buffer.from(one.payload).toString(), 'x');
    link.acknowledge(one);
    break;
  }
  await until(() => seen.includes('pubcomp'));
});

test('what was acknowledged before the goodbye does not come again, though more was on its way', async (context) => {
  const broker = await mosquitto(context);
  // Its time stands still, so that the goodbye waits for the broker, however slow the machine is.
  const session = { sessionExpiryMs: 600_000, clock: new ManualClock('2026-01-01T08:00:00.000000Z') };
  const come = async (): Promise<MqttLink> => {
    const link = await broker.client({ clientId: 'once' }, session);
    context.after(() => link.destroy());
    return link;
  };
  const first = await come();
  await first.subscribe([{ filter: 't', qos: 1 }]);
  await first.close();
  const publisher = await connected(context, broker.url);
  const numbers = Array.from({ length: 1_500 }, (_, n) => n);
  await Promise.all(numbers.map((n) => publisher.publish({ ...message(0), payload: Buffer.from(String(n)) })));
  const taken: number[] = [];
  for (const enough of [500, 1_000, 1_500]) {
    const link = await come();
    for await (const one of link.messages()) {
      taken.push(Number(Buffer.from(one.payload)));
      link.acknowledge(one);
      if (taken.length === enough) break;
    }
    await link.close();
  }
  assert.deepEqual(taken, numbers);
});

test('what is acknowledged after the goodbye does not cut it short', async (context) => {
  let leftBy: Socket | undefined;
  const url = await scripted(context, LET_IN, (packet, socket) => {
    if (packet.cmd !== 'disconnect') return;
    // It has heard the goodbye, and does not close the connection yet.
    socket.allowHalfOpen = true;
    leftBy = socket;
  });
  const clock = new ManualClock('2026-01-01T08:00:00.000000Z');
  const broker = { ...BROKER_DEFAULTS, url };
  const link = await connectMqtt({ broker, clock, random: Math.random, signal: context.signal });
  context.after(() => link.destroy());
  const leaving = link.close();
  link.acknowledge({ ...message(1), isRetained: false, isDuplicate: false, packetId: 8 });
  await until(() => leftBy !== undefined);
  assert.equal(link.ended.aborted, false);
  leftBy?.end();
  await leaving;
});

test('a goodbye is heard by the broker though nobody takes what it sends', async (context) => {
  const broker = await mosquitto(context);
  const watcher = await connected(context, broker.url);
  await watcher.subscribe([{ filter: 'state', qos: 1 }]);
  const told = (text: string) => ({ topic: 'state', payload: Buffer.from(text), qos: 1, retain: false }) as const;
  // Its time stands still: the goodbye waits for its answer, however slow the machine is.
  const parts = { clock: new ManualClock('2026-01-01T08:00:00.000000Z'), will: told('will') };
  const link = await broker.client({}, parts);
  context.after(() => link.destroy());
  await link.subscribe([{ filter: 't', qos: 1 }]);
  const publisher = await connected(context, broker.url);
  await Promise.all(Array.from({ length: 400 }, () => publisher.publish(message(100))));
  await link.close(told('last'));
  await publisher.publish(told('end'));
  const heard: string[] = [];
  for await (const { payload } of watcher.messages()) {
    heard.push(Buffer.from(payload).toString());
    if (heard.at(-1) === 'end') break;
  }
  assert.deepEqual(heard, ['last', 'end']);
});

test('that another client has come with our id is told as what only a person can mend', async (context) => {
  const url = await scripted(context, LET_IN, (_, socket) => send(socket, { cmd: 'disconnect', reasonCode: 142 }));
  const link = await connected(context, url);
  await assert.rejects(link.ping(), (error) => {
    return hasCode(error, 'config_invalid') && /another client has come with our client id/.test(error.message);
  });
});

test('a session cannot keep what the broker grants without acknowledgments', async (context) => {
  const link = await connected(context, (await mosquitto(context, 'max_qos 0')).url);
  await link.subscribe([{ filter: 'a', qos: 1 }]);
  await assert.rejects(link.subscribe([{ filter: 'b', qos: 1, isKept: true }]), (error) => {
    return hasCode(error, 'config_invalid') && /does not grant b: only with quality 0/.test(error.message);
  });
});

test('rubbish from the broker ends the connection with a code', async (context) => {
  for (const rubbish of [
    `HTTP/1.1 400 Bad Request\r\n${' '.repeat(100)}`,
    '\x20\x00',
    '\x40\x00',
    '\x30\xff\xff\xff\xff',
    '\xf0\x00',
  ]) {
    const url = await scripted(context, LET_IN, (_, socket) => void socket.write(Buffer.from(rubbish, 'latin1')));
    const link = await connected(context, url);
    await assert.rejects(link.ping(), (error) => hasCode(error, 'protocol_violation'), JSON.stringify(rubbish));
  }
});

test('a file that holds no certificate is told by its name', async (context) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-mqtt-pem-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'key.pem');
  await writeFile(file, 'no key');
  const tls = { caFile: null, certFile: file, keyFile: file };
  await assert.rejects(connected(context, 'mqtts://127.0.0.1:1', { tls }), (error) => {
    return hasCode(error, 'config_invalid') && error.message.includes(file);
  });
});

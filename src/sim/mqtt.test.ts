/** A recorded machine at a real broker; the simulated ones are read by the driver, in src/drivers/mqtt/docs.test.ts. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { startMosquitto } from '../../test/support/mosquitto.ts';
import { systemClock } from '../base/clock.ts';
import { silentLogger } from '../base/logger.ts';
import { type IncomingMessage } from '../base/mqtt.ts';
import { valueOf } from '../base/sparkplug/metric.ts';
import { decodePayload } from '../base/sparkplug/payload.ts';
import { runMqttMachines } from './mqtt.ts';
import { recordedAgent } from './recorded-agent.ts';

const RECORDING = [
  '2022-08-08T10:00:00Z|avail|AVAILABLE|Xposition|1.5|execution|READY',
  '2022-08-08T10:00:01Z|Xposition|2.5|execution|ACTIVE|S1speed|1200',
  '2022-08-08T10:00:02Z|servo|FAULT|E12|||Servo off',
  '2022-08-08T10:00:03Z|S1speed|UNAVAILABLE|timestamp|5',
].join('\n');
/** What holds at its end. */
const LAST = { avail: 'AVAILABLE', Xposition: 2.5, execution: 'ACTIVE', S1speed: null, servo: 'Fault E12 Servo off' };

/** What is published, until one is found. */
async function published(
  context: TestContext,
  isSparkplug: boolean,
  isLast: (message: IncomingMessage) => boolean,
): Promise<IncomingMessage[]> {
  const broker = await startMosquitto();
  const stop = new AbortController();
  const listener = await broker.client();
  await listener.subscribe([{ filter: '#', qos: 0 }]);
  const recorded = recordedAgent(RECORDING, 'lathe #1');
  const parts = { clock: systemClock, random: Math.random, log: silentLogger, broker: broker.settings() };
  const own = {
    machines: { recorded, speed: 'max', loop: false },
    intervalMs: 20,
    place: 'shop',
    isSparkplug,
  } as const;
  const simulating = runMqttMachines({ ...parts, ...own }, stop.signal);
  context.after(async () => {
    stop.abort();
    await simulating;
    await listener.close();
    await broker.close();
  });
  const messages: IncomingMessage[] = [];
  for await (const message of listener.messages()) {
    messages.push(message);
    if (isLast(message)) return messages;
  }
  return messages;
}

test('a recorded machine says what holds as an object, with null for what is not known', async (context) => {
  const contentOf = ({ payload }: IncomingMessage): object => {
    const { timestamp, ...content } = JSON.parse(Buffer.from(payload).toString());
    // Ours, though an item has the same name.
    assert.equal(typeof timestamp, 'string');
    return content;
  };
  const messages = await published(context, false, (message) => JSON.stringify(contentOf(message)).includes('Servo'));
  assert.deepEqual(contentOf(messages.at(-1)!), LAST);
  assert.equal(messages.at(-1)?.topic, 'shop/lathe _1/telemetry');
});

test('a recorded machine is a device of an edge node, whose birth names its items', async (context) => {
  const isData = ({ topic }: IncomingMessage): boolean => topic === 'spBv1.0/shop/DDATA/simulator/lathe _1';
  const messages = await published(context, true, (message) => {
    return isData(message) && Buffer.from(message.payload).includes('Servo off');
  });
  const birth = messages.find(({ topic }) => topic === 'spBv1.0/shop/DBIRTH/simulator/lathe _1');
  assert.ok(birth !== undefined);
  const { metrics } = decodePayload(birth.payload);
  const definitions = new Map(metrics.map((metric) => [metric.alias, metric]));
  const said = decodePayload(messages.at(-1)!.payload).metrics.map((metric) => {
    const { name = '', datatype } = definitions.get(metric.alias) ?? {};
    return [name, metric.isNull === true ? null : valueOf(metric, datatype)];
  });
  assert.deepEqual(Object.fromEntries(said), { ...LAST, timestamp: 5 });
});

/** What a real broker keeps for a session while the edge is away, by its settings, and what of that comes. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { MqttLink, Quality } from '../../base/mqtt.ts';
import { Gateway, Running } from '../../ports/driver.test-support.ts';
import { type Mosquitto, startMosquitto } from '../../../test/support/mosquitto.ts';
import { until } from '../../../test/support/until.ts';
import { schema } from './config.ts';
import { create } from './driver.ts';

const COUNT = 1_500;
const NUMBERS = Array.from({ length: COUNT }, (_, n) => n);

/** A broker, and one edge after another with the same session. */
class Shop {
  readonly broker: Mosquitto;
  readonly #publisher: MqttLink;
  /** All that were started. */
  readonly #edges: Running[];

  constructor(parts: { broker: Mosquitto; publisher: MqttLink; edges: Running[] }) {
    this.broker = parts.broker;
    this.#publisher = parts.publisher;
    this.#edges = parts.edges;
  }

  static async open(context: TestContext, ...settings: readonly string[]): Promise<Shop> {
    const broker = await startMosquitto(['allow_anonymous true', 'sys_interval 1', ...settings]);
    const edges: Running[] = [];
    context.after(async () => {
      await Promise.all(edges.map((one) => one.stop()));
      await broker.close();
    });
    return new Shop({ broker, publisher: await broker.client(), edges });
  }

  async edge(): Promise<Running> {
    const topics = [{ filter: 'kept/#', extra: 'all' }];
    const keys = { url: this.broker.url, client_id: 'kept', session: { keep: true }, topics };
    const edge = new Running(create(schema.parse(keys)), { gateway: new Gateway() });
    this.#edges.push(edge);
    await until(() => edge.gateway.connections > 0);
    return edge;
  }

  async publish(value: object, qos: Quality): Promise<void> {
    const payload = Buffer.from(JSON.stringify(value));
    await this.#publisher.publish({ topic: 'kept/x', payload, qos, retain: false });
  }

  /** A session without its edge, and so many messages of quality 1 for it, each after one of quality 0. */
  async publishMixedMeanwhile(): Promise<void> {
    await (await this.edge()).stop();
    for (const n of NUMBERS) {
      await this.publish({ zero: n }, 0);
      await this.publish({ n }, 1);
    }
  }

  /** What comes is in the order of the broker, so after this one there is nothing more. */
  async last(edge: Running): Promise<void> {
    await this.publish({ last: true }, 1);
    await until(() => edge.gateway.samples.some(({ last }) => last === true));
  }
}

const numbersOf = ({ gateway }: Running): number[] =>
  gateway.samples.filter(({ n }) => n !== undefined).map(({ n }) => Number(n));

test('with room enough all messages of quality 1 come, once and in order, and none of quality 0', async (context) => {
  const shop = await Shop.open(context, `max_queued_messages ${COUNT}`);
  await shop.publishMixedMeanwhile();
  const edge = await shop.edge();
  await until(() => numbersOf(edge).length >= COUNT);
  await shop.last(edge);
  assert.deepEqual(numbersOf(edge), NUMBERS);
  assert.ok(edge.gateway.samples.every(({ zero }) => zero === undefined));
  assert.ok(!shop.broker.said.includes('are being dropped'));
});

test('what is more than the broker has room for it drops, the newest, and counts it', async (context) => {
  const shop = await Shop.open(context, 'max_queued_messages 1000');
  await shop.publishMixedMeanwhile();
  const watcher = await shop.broker.client();
  await watcher.subscribe([{ filter: '$SYS/broker/publish/messages/dropped', qos: 0 }]);
  // Quality 0 takes no room, and is not counted when it is not kept.
  for await (const { payload } of watcher.messages()) if (Buffer.from(payload).toString() === '500') break;
  await watcher.close();
  const edge = await shop.edge();
  await until(() => numbersOf(edge).length >= 1_000);
  await shop.last(edge);
  assert.deepEqual(numbersOf(edge), NUMBERS.slice(0, 1_000));
});

test('what mosquitto 2.0 holds back behind quality 0 comes with the next connection', async (context) => {
  const shop = await Shop.open(context, 'queue_qos0_messages true');
  await shop.publishMixedMeanwhile();
  const first = await shop.edge();
  await until(() => first.gateway.samples.filter(({ zero }) => zero !== undefined).length === COUNT);
  await first.stop();
  const second = await shop.edge();
  await until(() => new Set([...numbersOf(first), ...numbersOf(second)]).size === COUNT);
  context.diagnostic(`${numbersOf(first).length} came at first, ${numbersOf(second).length} with the next connection`);
});

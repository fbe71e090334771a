/** Real edges at a real broker: what is killed and taken away, and what arrives all the same. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { stringify } from 'yaml';
import type { IncomingMessage, MqttLink } from '../../src/base/mqtt.ts';
import { nodeFiles } from '../../src/base/node-files.ts';
import { readAll } from '../../src/log/inspect.ts';
import { decodeMessage } from '../../src/model/frame.ts';
import type { Reading, Sample } from '../../src/model/reading.ts';
import { type Mosquitto, startMosquitto } from '../support/mosquitto.ts';
import { breaches, foreign, numberOf } from '../support/sparkplug-rules.ts';
import { Command, waitUntil } from '../support/system.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'millwright-mqtt-'));
});
after(() => rm(folder, { recursive: true, force: true }));

/** An edge of that name; it is killed at the end of the test. */
async function start(context: TestContext, name: string, keys: object): Promise<Command> {
  const config = path.join(folder, `${name}.yaml`);
  const own = { buffering: { folder: path.join(folder, name) }, status: { port: 0 }, agent: { machine_id: name } };
  await writeFile(config, stringify({ sinks: [], sensors: [], ...own, ...keys }));
  const edge = new Command(['edge', '--config', config]);
  context.after(() => edge.end('SIGKILL'));
  await waitUntil(`edge ${name} to run`, () => {
    if (!edge.running) throw new Error(edge.said);
    return edge.said.includes('the edge runs') || undefined;
  });
  return edge;
}

async function logged(name: string): Promise<Reading[]> {
  const found: Reading[] = [];
  for await (const { payload } of readAll(nodeFiles, path.join(folder, name)))
    found.push(...decodeMessage(payload).readings);
  return found;
}

/** Two waits for a batch, at the node and at the host, two syncs, and a machine that is busy. Seen: 1.5 s. */
const UNDER_WAY_MS = 4_000;
/** Until the broker has noticed that the host's connection has ended: from then on the node is answered after it knows. */
const NOTICED_MS = 1_000;

const isSample = (reading: Reading): reading is Sample => reading.kind === undefined;

/** Takes everything below a filter, by a session that the broker keeps, over as many connections as it needs. */
class Subscriber {
  readonly messages: IncomingMessage[] = [];
  #isOver = false;
  #link: MqttLink | undefined;

  constructor(broker: Mosquitto, filter: string) {
    void this.#run(broker, filter);
  }

  async #run(broker: Mosquitto, filter: string): Promise<void> {
    while (!this.#isOver) {
      try {
        const link = await broker.client(
          { clientId: `all of ${filter}`.replace('#', '') },
          { sessionExpiryMs: 600_000 },
        );
        this.#link = link;
        await link.subscribe([{ filter, qos: 1 }]);
        for await (const message of link.messages()) {
          this.messages.push(message);
          link.acknowledge(message);
        }
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#link?.close();
  }
}

async function setup(context: TestContext, filter: string): Promise<{ broker: Mosquitto; subscriber: Subscriber }> {
  const broker = await startMosquitto();
  const subscriber = new Subscriber(broker, filter);
  context.after(async () => {
    await subscriber.stop();
    await broker.close();
  });
  return { broker, subscriber };
}

test('messages that a killed edge had not acknowledged come again, and are in the log once', async (context) => {
  const { broker } = await setup(context, 'nothing');
  const sensor = {
    name: 'load',
    type: 'mqtt',
    url: broker.url,
    client_id: 'edge-load',
    session: { keep: true },
    topics: [{ filter: 'load/+', map: { n: { extra: 'n' } } }],
  };
  const count = 3_000;
  let edge = await start(context, 'LOAD', { sensors: [sensor] });
  await waitUntil('the subscription', () => broker.said.includes('load/+') || undefined);
  const publisher = await broker.client();
  let published = 0;
  const publishing = (async (): Promise<void> => {
    for (; published < count; published += 1) {
      const payload = Buffer.from(JSON.stringify({ n: published }));
      await publisher.publish({ topic: 'load/x', payload, qos: 1, retain: false });
      if (published % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 4));
    }
  })();
  for (const at of [400, 1_000, 1_600, 2_200]) {
    await waitUntil(`${at} messages`, () => published >= at || undefined, { pollMs: 1 });
    await edge.end('SIGKILL');
    edge = await start(context, 'LOAD', { sensors: [sensor] });
  }
  await publishing;
  const numbers = async (): Promise<unknown[]> => (await logged('LOAD')).filter(isSample).map(({ n }) => n);
  await waitUntil('all messages', async () => new Set(await numbers()).size === count || undefined, { pollMs: 200 });
  assert.equal(await edge.end('SIGTERM'), 0, edge.said);
  const all = await numbers();
  context.diagnostic(`${count} messages, 4 kills: ${all.length} samples, ${new Set(all).size} of them different`);
  assert.equal(all.length, count);
  await publisher.close();
});

test('readings reach the broker through its absence and the death of the edge, at least once', async (context) => {
  const { broker, subscriber } = await setup(context, 'plant/#');
  const keys = {
    sensors: [1, 2, 3].map((n) => ({
      name: `sim-${n}`,
      type: 'simulator',
      machine_id: `M-${n}`,
      sampling_rate: '20ms',
    })),
    // The second sink takes nothing, so that the log keeps all there was.
    sinks: [
      { type: 'mqtt', url: broker.url, topic: 'plant/{machine_id}/sample' },
      { type: 'hub', url: 'http://127.0.0.1:1' },
    ],
  };
  let edge = await start(context, 'SENDER', keys);
  const arrived = (): string[] =>
    subscriber.messages.map(({ payload }) => {
      const { machine_id, timestamp } = JSON.parse(Buffer.from(payload).toString()) as Sample;
      return `${machine_id} ${timestamp}`;
    });
  /** What comes twice is counted once. */
  const received = (atLeast: number): Promise<true> =>
    waitUntil(`${atLeast} samples`, () => new Set(arrived()).size >= atLeast || undefined, { pollMs: 100 });
  await received(200);
  await broker.stop('SIGTERM');
  const before = (await logged('SENDER')).length;
  await waitUntil('a backlog', async () => (await logged('SENDER')).length > before + 500 || undefined, {
    pollMs: 100,
  });
  await broker.restart();
  await received(900);
  await edge.end('SIGKILL');
  edge = await start(context, 'SENDER', keys);
  await received(1_300);
  assert.equal(await edge.end('SIGTERM'), 0, edge.said);
  const samples = (await logged('SENDER'))
    .filter(isSample)
    .map(({ machine_id, timestamp }) => `${machine_id} ${timestamp}`);
  await waitUntil('every sample of the log', () => {
    const there = new Set(arrived());
    return samples.every((sample) => there.has(sample)) || undefined;
  });
  context.diagnostic(
    `${samples.length} samples, ${arrived().length} messages: ${arrived().length - new Set(arrived()).size} came twice`,
  );
  assert.ok(samples.length > 1_000);
});

test('an edge node waits for its host, tells what was, and keeps the rules through it all', async (context) => {
  const { broker, subscriber } = await setup(context, 'spBv1.0/#');
  const node = {
    sensors: [{ name: 'sim', type: 'simulator', machine_id: 'MILL', sampling_rate: '50ms' }],
    sinks: [
      { type: 'mqtt', url: broker.url, sparkplug: { group: 'Shop', primary_host: 'hub' } },
      { type: 'hub', url: 'http://127.0.0.1:1' },
    ],
  };
  const host = {
    sensors: [
      {
        name: 'sparkplug',
        type: 'mqtt',
        url: broker.url,
        sparkplug: { host_id: 'hub', machines: { 'Shop/NODE/MILL': 'MILL' }, rebirth_interval: '1s' },
      },
    ],
  };
  let edge = await start(context, 'NODE', node);
  let listener = await start(context, 'HOST', host);
  const heard = async (): Promise<Sample[]> =>
    (await logged('HOST')).filter(isSample).filter(({ machine_id, spindle_speed }) => {
      return machine_id === 'MILL' && typeof spindle_speed === 'number';
    });
  const hears = (more: number): Promise<unknown> => {
    return heard().then(({ length }) =>
      waitUntil('the host to hear', async () => (await heard()).length >= length + more || undefined, { pollMs: 100 }),
    );
  };
  await hears(40);
  const killedAtMs = Date.now();
  await listener.end('SIGKILL');
  const goneAfterMs = Date.now() - killedAtMs;
  const before = (await logged('NODE')).length;
  await waitUntil('a backlog', async () => (await logged('NODE')).length > before + 250 || undefined, { pollMs: 100 });
  listener = await start(context, 'HOST', host);
  await hears(200);
  await edge.end('SIGKILL');
  edge = await start(context, 'NODE', node);
  await hears(40);
  const msOf = (timestamp: string): number => Date.parse(timestamp);
  const said = (await logged('NODE'))
    .filter(isSample)
    .filter(({ spindle_speed }) => typeof spindle_speed === 'number')
    .map(({ timestamp }) => msOf(timestamp));
  const missing = async (): Promise<number[]> => {
    const there = new Set((await heard()).map(({ timestamp }) => msOf(timestamp)));
    return said.filter((atMs) => !there.has(atMs)).map((atMs) => atMs - killedAtMs);
  };
  // What the host had not written when it was killed has quality of service 0: nobody has it any more. All else arrives.
  const isUnderWay = (sinceMs: number): boolean => sinceMs > -UNDER_WAY_MS && sinceMs < goneAfterMs + NOTICED_MS;
  await waitUntil('what was said', async () => (await missing()).every(isUnderWay) || undefined, { pollMs: 200 });
  const lost = await missing();
  assert.equal(await edge.end('SIGTERM'), 0, edge.said);
  assert.equal(await listener.end('SIGTERM'), 0, listener.said);
  assert.deepEqual(breaches(subscriber.messages), []);
  const types = subscriber.messages.map(({ topic }) => topic.split('/')[2] ?? '');
  const late = subscriber.messages
    .filter(({ topic }) => topic.includes('/DDATA/'))
    .flatMap(({ payload }) => {
      return foreign.Payload.decode(payload).metrics.filter(({ isHistorical }) => isHistorical === true);
    });
  const seen = Object.entries(Object.groupBy(types, (type) => type)).map(([type, of]) => `${of?.length} ${type}`);
  context.diagnostic(
    `${said.length} samples; ${lost.length} were under way when the host was killed, from ${lost[0] ?? 0} to ${lost.at(-1) ?? 0} ms of it; seen: ${seen.join(', ')}`,
  );
  context.diagnostic(`${late.length} metrics told as history`);
  // The host's death and ours by kill, and ours by purpose.
  await waitUntil(
    'the deaths',
    () => subscriber.messages.filter(({ topic }) => topic.includes('/NDEATH/')).length >= 3 || undefined,
  );
  assert.ok(late.length > 100);
  const oldest = Math.min(...late.map(({ timestamp }) => numberOf(timestamp)));
  assert.ok(oldest > Date.now() - 600_000);
});

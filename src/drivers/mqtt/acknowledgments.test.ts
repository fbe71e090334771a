/** What a real broker sends again after a crash, by what the log has of it. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { ManualClock } from '../../base/manual-clock.test-support.ts';
import type { IncomingMessage } from '../../base/mqtt.ts';
import { nodeFiles } from '../../base/node-files.ts';
import { readFromOf } from '../../model/read-from.ts';
import type { Sample } from '../../model/reading.ts';
import { Gateway, Running } from '../../ports/driver.test-support.ts';
import { type ReadMemory, readsOnce } from '../../ports/driver.ts';
import { type Mosquitto, startMosquitto } from '../../../test/support/mosquitto.ts';
import { until } from '../../../test/support/until.ts';
import { Acknowledgments, SAVE_INTERVAL_MS } from './acknowledgments.ts';
import { schema } from './config.ts';
import { create } from './driver.ts';

let broker: Mosquitto;
let folder: string;
let clients = 0;
before(async () => {
  broker = await startMosquitto();
  folder = await mkdtemp(path.join(tmpdir(), 'millwright-mqtt-kept-'));
});
after(async () => {
  await broker?.close();
  await rm(folder, { recursive: true, force: true });
});

/** One edge after another, each with the same session; the log of each is what the test says. */
class Edges {
  readonly #id: string;
  readonly #protocol: string;
  readonly #all: Running[] = [];
  readonly held: (number | null)[] = [];

  constructor(context: TestContext, protocol = '5') {
    clients += 1;
    this.#id = `edge-${clients}`;
    this.#protocol = protocol;
    context.after(() => Promise.all(this.#all.map((one) => one.stop())));
  }

  /** @param inLog marks that a crash has left in the log; `keeps`: whether its own log writes at all */
  async start(inLog: readonly string[], keeps: boolean, filter = '#'): Promise<Running> {
    const topics = [{ filter: `${this.#id}/${filter}`, map: { a: { extra: 'a' } } }];
    const keys = { url: broker.url, client_id: this.#id, session: { keep: true }, protocol: this.#protocol, topics };
    const driver = create(schema.parse(keys));
    const memory: ReadMemory = {
      source: 'source',
      folder: path.join(folder, this.#id),
      files: nodeFiles,
      lastSequence: () => 7,
      kept: () => (keeps ? Promise.resolve() : new Promise(() => {})),
      hold: (afterSequence) => void this.held.push(afterSequence),
      async *marksAfter(sequence) {
        if (sequence < 7) yield* inLog;
      },
    };
    assert.ok(readsOnce(driver));
    driver.useMemory(memory);
    const running = new Running(driver, { gateway: new Gateway() });
    this.#all.push(running);
    await until(() => running.gateway.connections > 0);
    return running;
  }

  /** Messages of which the broker knows it. */
  get acknowledged(): number {
    return broker.said.split(`Received PUBACK from ${this.#id} `).length - 1;
  }

  async loseSession(): Promise<void> {
    await (await broker.client({ clientId: this.#id })).close();
  }

  async publish(...payloads: readonly unknown[]): Promise<void> {
    const link = await broker.client();
    for (const value of payloads) {
      const payload = Buffer.from(JSON.stringify(value));
      await link.publish({ topic: `${this.#id}/x`, payload, qos: 1, retain: false });
    }
    await link.close();
  }
}

const values = ({ gateway }: Running): unknown[] => gateway.samples.map(({ a }) => a);
const marks = ({ gateway }: Running): string[] => gateway.samples.map((one: Sample) => readFromOf(one)?.mark ?? '');

for (const protocol of ['5', '3.1.1']) {
  test(`what is not in the log is not acknowledged: MQTT ${protocol}`, async (context) => {
    const edges = new Edges(context, protocol);
    const first = await edges.start([], false);
    // So many that the log is asked at once, and then one more, so that it was.
    const many = Array.from({ length: 12 }, (_, a) => a);
    await edges.publish(...many.map((a) => ({ a })));
    await until(() => values(first).length === 12);
    await edges.publish({ a: 12 });
    await until(() => values(first).length === 13);
    await first.stop();
    assert.equal(edges.acknowledged, 0);
    await edges.publish({ a: 13 });
    const second = await edges.start([], true);
    await until(() => values(second).length === 14);
    assert.deepEqual(values(second), [...many, 12, 13]);
    await until(() => edges.acknowledged === 14);
    // From the first reading on the log deletes nothing of it.
    assert.ok(edges.held.includes(7));
  });

  test(`what is in the log and was not acknowledged is left out when it comes again: MQTT ${protocol}`, async (context) => {
    const edges = new Edges(context, protocol);
    const first = await edges.start([], false);
    await edges.publish({ a: 1 }, [{ a: 2 }, { a: 3 }], { a: 4 });
    await until(() => values(first).length === 4);
    await first.stop();
    const [one = '', two = ''] = marks(first);
    // The log has the first message, and half of the second.
    const second = await edges.start([one, two], true);
    await edges.publish({ a: 5 });
    await until(() => values(second).includes(5));
    assert.deepEqual(values(second), [3, 4, 5]);
    await until(() => edges.acknowledged === 4);
    await second.stop();
    const third = await edges.start([], true);
    await edges.publish({ a: 6 });
    await until(() => values(third).includes(6));
    assert.deepEqual(values(third), [6]);
  });
}

test('the same value again is another message', async (context) => {
  const edges = new Edges(context);
  const running = await edges.start([], true);
  await edges.publish({ a: 1 }, { a: 1 }, { a: 1 });
  await until(() => values(running).length === 3);
});

test('the session forgets the filters of an earlier configuration', async (context) => {
  const edges = new Edges(context);
  await (await edges.start([], true, 'x/#')).stop();
  const running = await edges.start([], true, '+');
  await until(() => broker.said.includes('Received UNSUBSCRIBE from edge-'));
  await edges.publish({ a: 1 });
  await until(() => values(running).length === 1);
});

/** A memory whose log has these marks, and no others, when it is asked. */
function memoryWith(name: string, inLog: readonly string[] = []): ReadMemory {
  return {
    source: 'source',
    folder: path.join(folder, name),
    files: nodeFiles,
    lastSequence: () => 7,
    kept: () => Promise.resolve(),
    hold: () => {},
    async *marksAfter(sequence) {
      if (sequence < 7) yield* inLog;
    },
  };
}

async function loaded(memory: ReadMemory): Promise<Acknowledgments> {
  const acknowledgments = new Acknowledgments(memory);
  await acknowledgments.load();
  return acknowledgments;
}

const sent = (packetId: number, text: string): IncomingMessage => {
  return { topic: 't', payload: Buffer.from(text), qos: 1, isRetained: false, isDuplicate: false, packetId };
};
const again = (message: IncomingMessage): IncomingMessage => ({ ...message, isDuplicate: true });
const isTaken = (acknowledgments: Acknowledgments, message: IncomingMessage): boolean =>
  acknowledgments.marksOf(message, 1)[0] !== undefined;

async function take(acknowledgments: Acknowledgments, messages: readonly IncomingMessage[]): Promise<void> {
  for (const message of messages) acknowledgments.begin(message);
  await acknowledgments.kept(messages);
}

const clock = new ManualClock('2026-01-01T08:00:00.000000Z');
async function save(acknowledgments: Acknowledgments): Promise<void> {
  await acknowledgments.saveWhenDue(clock);
  await clock.step(SAVE_INTERVAL_MS);
  await acknowledgments.saveWhenDue(clock);
}

test('of a backlog thousands may come again: a broker has not read all acknowledgments when the line is lost', async () => {
  // Its log has nothing of them any more, so what is not remembered would be taken again.
  const memory = memoryWith('backlog');
  const messages = Array.from({ length: 5_000 }, (_, n) => sent(n + 1, String(n)));
  const before = await loaded(memory);
  await take(before, messages);
  await save(before);
  for (const acknowledgments of [before, await loaded(memory)]) {
    assert.ok(!messages.some((message) => isTaken(acknowledgments, again(message))));
  }
});

test('so it is when the edge was killed in its midst, and only a part has come again when that is saved', async () => {
  const messages = Array.from({ length: 20_000 }, (_, n) => sent(n + 1, String(n)));
  const killed = await loaded(memoryWith('killed'));
  const inLog = messages.flatMap((message) => killed.marksOf(message, 1) as string[]);
  const memory = memoryWith('killed', inLog);
  const before = await loaded(memory);
  await take(before, messages.slice(0, 3_000).map(again));
  await save(before);
  for (const acknowledgments of [before, await loaded(memory)]) {
    assert.ok(!messages.some((message) => isTaken(acknowledgments, again(message))));
  }
});

test('what was on its way into the log when the marks were saved is saved with the next', async () => {
  const memory = memoryWith('on-its-way');
  const before = await loaded(memory);
  const messages = Array.from({ length: 3_000 }, (_, n) => sent(n + 1, String(n)));
  const late = messages.slice(1_000, 1_500);
  await take(before, messages.slice(0, 1_000));
  for (const message of late) before.begin(message);
  await save(before);
  await before.kept(late);
  await take(before, messages.slice(1_500));
  await save(before);
  const restarted = await loaded(memory);
  assert.ok(!late.some((message) => isTaken(restarted, again(message))));
});

test('a packet id that is given anew is another message, though another before had the same id and bytes', async () => {
  const [running, idle] = [sent(1, 'running'), sent(1, 'idle')];
  const memory = memoryWith('few-ids');
  const before = await loaded(memory);
  await take(before, [running, idle]);
  await save(before);
  const inLog = [running, idle].flatMap((message) => before.marksOf(message, 1) as string[]);
  const found = await loaded(memoryWith('found', inLog));
  for (const acknowledgments of [before, await loaded(memory), found]) {
    assert.ok(!isTaken(acknowledgments, again(idle)));
    // Its first copy was lost on the way.
    assert.ok(isTaken(acknowledgments, again(running)));
  }
  // Known from the log, until another comes with its id.
  await take(found, [running]);
  assert.ok(isTaken(found, again(idle)));
});

test('with a new session nothing is known any more, nor after a restart', async () => {
  const message = sent(1, 'running');
  const memory = memoryWith('new-session', ['1-0123456789abcdef/0']);
  const before = await loaded(memory);
  await take(before, [message]);
  await save(before);
  await before.forget();
  for (const acknowledgments of [before, await loaded(memory)]) assert.ok(isTaken(acknowledgments, again(message)));
});

test('a broker that has lost its sessions begins the packet ids anew: what it sends then is taken', async (context) => {
  const edges = new Edges(context);
  const first = await edges.start([], true);
  await edges.publish({ a: 1 });
  await until(() => edges.acknowledged === 1);
  const mark = marks(first)[0] ?? '';
  await first.stop();
  await edges.loseSession();
  const second = await edges.start([mark], false);
  await edges.publish({ a: 1 });
  await until(() => values(second).length === 1);
  await second.stop();
  // It comes again as a duplicate; no log has it.
  const third = await edges.start([mark], true);
  await until(() => values(third).length === 1);
  assert.equal(marks(third)[0], mark);
});

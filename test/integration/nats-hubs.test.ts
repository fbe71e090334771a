import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, test } from 'node:test';
import { stringify } from 'yaml';
import {
  assertStored,
  connectPublisher,
  frames,
  natsSettings,
  rowsStored,
  sample,
} from '../../src/hub/ingest/jetstream.test-support.ts';
import { startTestServer } from '../support/hub-database.ts';
import { startNats } from '../support/nats-server.ts';
import { Command, freePort, makeFolder, waitUntil } from '../support/system.ts';
import { until } from '../support/until.ts';

const MESSAGES = 5_000;
/** Published and not yet answered. */
const WINDOW = 100;

test('two hub processes on one consumer, each killed at some point and started again: everything stored once', async () => {
  const database = await (await startTestServer()).database();
  const nats = await startNats();
  after(() => nats.stop());
  const folder = await makeFolder();
  after(() => rm(folder, { recursive: true, force: true }));
  const settings = natsSettings(nats.url);
  const { host, port, dbname, user, password } = database;
  const startHub = async (name: string): Promise<Command> => {
    const file = path.join(folder, `${name}.yaml`);
    const server = { host: '127.0.0.1', port: await freePort() };
    const stream = { url: nats.url, stream_name: settings.streamName, ack_wait: '1s' };
    await writeFile(file, stringify({ server, database: { host, port, dbname, user, password }, nats: stream }));
    const hub = new Command(['hub', '--config', file]);
    after(() => hub.end('SIGKILL'));
    await waitUntil(`hub ${name} to read`, async () => {
      assert.ok(hub.running, hub.said);
      return (await fetch(`http://127.0.0.1:${server.port}/healthz`)).ok ? true : undefined;
    });
    return hub;
  };
  const one = await startHub('one');
  const other = await startHub('other');
  const publisher = await connectPublisher(settings);
  let next = 1;
  const publishing = Array.from({ length: WINDOW }, async () => {
    while (next <= MESSAGES) {
      const index = next;
      next += 1;
      await publisher.publish(frames(sample(index)), { messageId: publisher.batchId(index) });
    }
  });
  await until(async () => (await rowsStored(database)) > MESSAGES / 10);
  await one.end('SIGKILL');
  await until(async () => (await rowsStored(database)) > MESSAGES / 3);
  await startHub('one');
  await other.end('SIGKILL');
  await Promise.all(publishing);
  await waitUntil('the stream to be empty', async () => ((await publisher.left()) === 0 ? true : undefined));
  await assertStored(database, MESSAGES);
});

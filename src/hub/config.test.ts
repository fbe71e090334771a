import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { readHubConfig } from './config.ts';
import type { NatsSettings } from './settings.ts';

function read(nats: string, environment: Record<string, string> = {}): NatsSettings | null {
  const text = `nats: { ${nats} }\n`;
  return readHubConfig({ file: 'hub.yaml', text, environment }).settings.nats;
}

test('a file that users have reads from NATS, with what it does not say filled in', async () => {
  const file = 'test/data/config/backend-config.yaml';
  const { settings, warnings } = readHubConfig({ file, text: await readFile(file, 'utf8'), environment: {} });
  assert.deepEqual(warnings, []);
  assert.deepEqual(settings.nats?.connection.servers, ['nats://nats_server:4222']);
  const { connection: _, ...rest } = settings.nats;
  assert.deepEqual(rest, {
    streamName: 'CNC_DATA',
    consumerName: 'PROCESSOR',
    subjects: ['CNC_DATA.>'],
    streamBytesMax: 8 * 2 ** 30,
    replicas: 1,
    ackWaitMs: 30_000,
  });
});

test('without a section there is no NATS; a variable alone makes one', () => {
  const hub = (environment: Record<string, string>): NatsSettings | null =>
    readHubConfig({ file: 'hub.yaml', text: '', environment }).settings.nats;
  assert.equal(hub({}), null);
  assert.deepEqual(hub({ NATS_URL: 'nats://n:4222' })?.connection.servers, ['nats://n:4222']);
});

test('a stream’s subjects follow its name, and a password comes from the environment', () => {
  const settings = read('url: "nats://a:1, nats://b:2", user: hub, stream_name: PLANT_2, stream_replicas: 3', {
    NATS_PASSWORD: 'secret',
  });
  assert.deepEqual([settings?.subjects, settings?.replicas], [['PLANT_2.>'], 3]);
  assert.deepEqual(settings?.connection.servers, ['nats://a:1', 'nats://b:2']);
  assert.equal(settings?.connection.password, 'secret');
  const own = read('url: "nats://a:1", stream_subjects: "SHOP.*.edge, OTHER.>"');
  assert.deepEqual(own?.subjects, ['SHOP.*.edge', 'OTHER.>']);
});

test('what cannot be is told with file and line', () => {
  const wrong: [string, RegExp][] = [
    ['url: "http://a"', /hub\.yaml.*nats\.url: found "http:\/\/a"; allowed: the URL of a NATS server/],
    ['url: "nats://a", stream_name: "A.B"', /hub\.yaml:1: nats\.stream_name: found "A\.B"; allowed: a name without/],
    ['url: "nats://a", consumer_name: "A B"', /nats\.consumer_name: found "A B"/],
    ['url: "nats://a", stream_replicas: 6', /nats\.stream_replicas: found 6/],
    ['stream_name: A', /nats\.url/],
  ];
  for (const [keys, message] of wrong) assert.throws(() => read(keys), { code: 'config_invalid', message });
});

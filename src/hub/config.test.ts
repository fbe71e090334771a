import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { hasCode } from '../base/errors.ts';
import { readHubConfig } from './config.ts';
import type { NatsSettings, ReplicaSettings } from './settings.ts';

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
    persistMode: 'default',
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
    ['url: "http://a"', /hub\.yaml:1: nats\.url: found "http:\/\/a"; allowed: URLs such as nats:/],
    ['url: "nats://a", stream_name: "A.B"', /hub\.yaml:1: nats\.stream_name: found "A\.B"; allowed: a name without/],
    ['url: "nats://a", consumer_name: "A B"', /nats\.consumer_name: found "A B"/],
    ['url: "nats://a", stream_persist_mode: fast', /nats\.stream_persist_mode: found "fast"; allowed: default, async/],
    ['url: "nats://a", stream_replicas: 6', /nats\.stream_replicas: found 6/],
    ['stream_name: A', /nats\.url/],
  ];
  for (const [keys, message] of wrong) assert.throws(() => read(keys), { code: 'config_invalid', message });
});

test('an export must leave a connection to the other requests', () => {
  assert.throws(() => readHubConfig({ file: 'hub.yaml', text: 'database: { read_connections: 1 }', environment: {} }), {
    code: 'config_invalid',
    message: /database\.read_connections: found 1; allowed: a whole number from 2 to 100/,
  });
});

const replicasOf = (url: string): readonly ReplicaSettings[] | undefined => {
  const text = `database: { user: u, password: p, dbname: d, read_url: ${JSON.stringify(url)} }`;
  return readHubConfig({ file: 'hub.yaml', text, environment: {} }).settings.database.readReplicas;
};

test('read replicas: a URL, or hosts that are asked with what is said of the primary', () => {
  const standard = { port: 5432, user: 'u', password: 'p', dbname: 'd' };
  assert.deepEqual(replicasOf('replica'), [{ ...standard, host: 'replica' }]);
  assert.deepEqual(replicasOf('one, two:5433'), [
    { ...standard, host: 'one' },
    { ...standard, host: 'two', port: 5433 },
  ]);
  assert.deepEqual(replicasOf('postgresql://reader:a%40b@[::1]:6000,two/cnc'), [
    { host: '::1', port: 6000, user: 'reader', password: 'a@b', dbname: 'cnc' },
    { host: 'two', port: 5432, user: 'reader', password: 'a@b', dbname: 'cnc' },
  ]);
  const environment = { DATABASE_READ_URL: 'replica' };
  const { settings } = readHubConfig({ file: 'hub.yaml', text: '', environment });
  assert.equal(settings.database.readReplicas?.[0]?.host, 'replica');
});

test('what is no address of a replica stops the start with a sentence', () => {
  for (const url of ['http://host', 'postgresql://', 'host:port', 'one,,two', 'postgresql://host/name?sslmode=x']) {
    assert.throws(
      () => replicasOf(url),
      (error) => {
        return hasCode(error, 'config_invalid') && /database\.read_url.*allowed: a URL such as/s.test(error.message);
      },
    );
  }
});

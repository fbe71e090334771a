import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '../base/errors.ts';
import { readHubConfig } from './config.ts';
import type { ReplicaSettings } from './settings.ts';

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

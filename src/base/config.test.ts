import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import {
  bytes,
  checkConfig,
  choice,
  duration,
  flag,
  integer,
  name,
  parseConfig,
  section,
  text,
  withEnvironment,
} from './config.ts';

const schema = section({
  database: section({
    host: text('a host').prefault('localhost'),
    port: integer({ min: 1, max: 65_535 }).prefault(5432),
  }).prefault({}),
  level: choice(['debug', 'info']).prefault('info'),
  wait: duration({ minMs: 1, maxMs: 60_000 }).prefault('1s'),
  size: bytes({ min: 1, max: 2 ** 30 }).prefault('10MB'),
  on: flag().prefault(true),
});

function read(yaml: string, environment: Record<string, string> = {}): unknown {
  return checkConfig(
    withEnvironment(parseConfig({ file: 'f.yaml', text: yaml, environment }), schema, environment),
    schema,
  );
}

test('defaults, numbers written as text, units, and environment variables over all', () => {
  assert.deepEqual(read(''), {
    database: { host: 'localhost', port: 5432 },
    level: 'info',
    wait: 1000,
    size: 10_485_760,
    on: true,
  });
  const yaml = 'database: {port: "8081"}\nwait: 100ms\nsize: 1048576\non: false\n';
  assert.deepEqual(read(yaml, { DATABASE_PORT: '9', DATABASE_HOST: 'db', HOST: 'no' }), {
    database: { host: 'db', port: 9 },
    level: 'info',
    wait: 100,
    size: 1_048_576,
    on: false,
  });
  assert.deepEqual(read('', { DATABASE_PORT: '7' }), {
    ...(read('') as object),
    database: { host: 'localhost', port: 7 },
  });
});

test('every problem is told at once, with file, line, key, what was found and what is allowed', () => {
  assert.throws(
    () => read('database:\n  port: 0\n  prot: 1\nlevel: loud\nwait: soon\n'),
    (error: Error) => {
      assert.deepEqual(error.message.split('\n').sort(), [
        'f.yaml:2: database.port: found 0; allowed: a whole number from 1 to 65535',
        'f.yaml:3: database.prot: there is no such key; allowed: host, port',
        'f.yaml:4: level: found "loud"; allowed: debug, info',
        'f.yaml:5: wait: found "soon"; allowed: a duration such as 100ms, 2s, 5m, 1h or 7d, from 1 ms to 60000 ms',
      ]);
      return true;
    },
  );
});

test('what is not a configuration at all is told with its line', () => {
  assert.throws(() => read('a: [1\nb: 2'), /^MillwrightError: f\.yaml:2: /);
  assert.throws(() => read('- one\n'), /f\.yaml: a configuration is a list of "key: value" lines/);
  assert.throws(() => read('level: info\nlevel: debug\n'), /f\.yaml:2: Map keys must be unique/);
});

test('text is taken as it is written, also where YAML sees a number', () => {
  const names = section({
    host: text(),
    machines: z.array(section({ id: name(), size: integer({ min: 1, max: 9 }) })),
  });
  const yaml = 'host: 001\nmachines:\n  - {id: 1E3, size: 01}\n  - {id: 1.10, size: 2}\n';
  assert.deepEqual(checkConfig(parseConfig({ file: 'f.yaml', text: yaml, environment: {} }), names), {
    host: '001',
    machines: [
      { id: '1E3', size: 1 },
      { id: '1.10', size: 2 },
    ],
  });
});

test('a name is what the hub takes as one', () => {
  const check = (id: string): unknown => {
    const document = parseConfig({ file: 'f.yaml', text: `id: ${JSON.stringify(id)}`, environment: {} });
    return checkConfig(document, section({ id: name() }));
  };
  for (const id of ['Fräse 1', '🏭', 'a/b', 'x'.repeat(128)]) assert.deepEqual(check(id), { id });
  for (const id of ['', ' ', 'x'.repeat(129), 'a\0b', '\ud83c']) {
    assert.throws(() => check(id), /f\.yaml:1: id: found .*; allowed: text of 1 to 128 characters/);
  }
});

test('aliases that grow without end, and ten thousand strange keys, are told in few words', () => {
  const bomb = [
    'a: &a [x,x,x,x,x,x,x,x,x]',
    ...Array.from('bcdefgh', (key, index) => {
      const before = 'abcdefg'[index];
      return `${key}: &${key} [${Array.from({ length: 9 }, () => `*${before}`).join(',')}]`;
    }),
  ].join('\n');
  assert.throws(() => read(bomb), { code: 'config_invalid', message: 'f.yaml: its aliases cannot be followed' });
  assert.throws(() => read('database: &d\n  host: *d\n'), { code: 'config_invalid' });
  const strange = Array.from({ length: 10_000 }, (_, index) => `k${index}: ${index}`).join('\n');
  assert.throws(
    () => read(strange),
    (error: Error) => {
      assert.equal(error.message.split('\n').length, 51);
      return true;
    },
  );
});

test('a bad value of the environment is told with the name of its variable', () => {
  assert.throws(() => read('database:\n  port: 1\n', { DATABASE_PORT: 'web' }), {
    message: 'environment variable DATABASE_PORT (database.port): found "web"; allowed: a whole number from 1 to 65535',
  });
});

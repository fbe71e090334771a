import assert from 'node:assert/strict';
import { test } from 'node:test';
import { natsConnectionOf } from './nats-config.ts';

test('servers come out with their scheme and without a path’s slash', () => {
  const { servers } = natsConnectionOf({ url: 'one, nats://u:p@two:4222/ ,tls://[::1]:4222' });
  assert.deepEqual(servers, ['nats://one', 'nats://u:p@two:4222', 'tls://[::1]:4222']);
});

test('what is no URL of a NATS server is told without its password', () => {
  for (const url of [
    '',
    'one,',
    'http://u:secret@one',
    'nats://u:secret@one,nats://',
    'nats://u:se/cret@one:x',
    'nats://u:100%@one',
  ]) {
    assert.throws(() => natsConnectionOf({ url }), {
      code: 'config_invalid',
      message: `found "${url.replace(/u:.*@/, '…@')}"; allowed: URLs such as nats://host:4222 or tls://host:4222, divided by commas`,
    });
  }
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '../base/errors.ts';
import { hubOf, targetOf, toldAddress } from './target.ts';

test('the scheme says which way', () => {
  const nats = targetOf({ url: 'nats://a:4222,tls://user:secret@b:4222', credsFile: 'gw.creds' });
  assert.equal(nats.kind, 'nats');
  assert.equal(toldAddress(nats), 'nats://a:4222, tls://b:4222');
  assert.equal(nats.kind === 'nats' && nats.connection.credsFile, 'gw.creds');
  const hub = targetOf({ url: 'https://user:secret@hub/shop', token: 'T' });
  assert.equal(toldAddress(hub), 'https://hub');
  assert.equal(hub.kind === 'http' && hub.hub.authorization, 'Bearer T');
});

test('an address of another kind is refused, and no password is repeated', () => {
  for (const url of ['mqtt://u:secret@broker', 'localhost:4222', 'nats://', '', 'ws://x']) {
    assert.throws(
      () => targetOf({ url }),
      (error) =>
        hasCode(error, 'config_invalid') &&
        /--url.*nats:\/\/host:4222.*http/.test(error.message) &&
        !error.message.includes('secret'),
      url,
    );
  }
  assert.throws(
    () => hubOf({ url: 'nats://h:4222' }, '--hub'),
    (error) => hasCode(error, 'config_invalid') && error.message.startsWith('--hub: found "nats://h:4222"'),
  );
  assert.throws(
    () => hubOf({ url: 'https://h', tlsCaFile: '/none.pem' }),
    (error) => hasCode(error, 'storage_failed'),
  );
});

test('user and password are those of the options, or of the address', () => {
  const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
  assert.equal(hubOf({ url: 'http://h' }).authorization, null);
  assert.equal(hubOf({ url: 'http://a%40b:c@h' }).authorization, basic('a@b:c'));
  assert.equal(hubOf({ url: 'http://a:5%@h' }).authorization, basic('a:5%'));
  assert.equal(hubOf({ url: 'http://a:c@h', user: 'other', password: 'word' }).authorization, basic('other:word'));
});

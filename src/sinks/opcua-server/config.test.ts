import assert from 'node:assert/strict';
import { test } from 'node:test';
import { schema } from './config.ts';
import { hashPassword, isPassword } from './passwords.ts';

test('the options are checked, and have safe defaults', () => {
  const { port, allowNone, anonymous, users, policies, silentAfterMs, machines } = schema.parse({});
  assert.deepEqual(
    { port, allowNone, anonymous, users, policies, silentAfterMs, machines },
    {
      port: 4840,
      allowNone: false,
      anonymous: false,
      users: [],
      policies: ['Aes256_Sha256_RsaPss', 'Aes128_Sha256_RsaOaep', 'Basic256Sha256'],
      silentAfterMs: 30_000,
      machines: null,
    },
  );
  assert.throws(() => schema.parse({ policies: ['Basic128Rsa15'] }), /Basic256Sha256/);
  assert.throws(() => schema.parse({ policies: [] }), /allowed: a list of/);
  assert.throws(() => schema.parse({ users: [{ name: 'a' }] }), /one of password, password_hash and password_file/);
  assert.throws(() => schema.parse({ users: [{ name: 'a', password_hash: 'md5:1' }] }), /hash-password/);
  const twice = { name: 'a', password: 'p' };
  assert.throws(() => schema.parse({ users: [twice, twice] }), /a name of its own/);
});

test('a password does not stand among the settings, and is known by its hash', async () => {
  const { users } = schema.parse({ users: [{ name: 'scada', password: 'open sesame' }] });
  assert.doesNotMatch(JSON.stringify(users), /sesame/);
  const [user] = users;
  assert.ok(user !== undefined && 'passwordHash' in user);
  assert.equal(await isPassword('open sesame', user.passwordHash), true);
  assert.equal(await isPassword('open sesam', user.passwordHash), false);
  assert.equal(await isPassword('x', 'no hash'), false);
  assert.notEqual(hashPassword('a'), hashPassword('a'));
});

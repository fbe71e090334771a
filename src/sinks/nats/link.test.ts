/** The way to the servers: killed, moved, locked, slow and cut. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { nkeys } from '@nats-io/transport-node';
import { type Effect, TcpProxy } from '../../../test/oracle/tcp-proxy.ts';
import { makeCertificates } from '../../../test/support/certificates.ts';
import { freePort, suspend } from '../../../test/support/system.ts';
import { until } from '../../../test/support/until.ts';
import type { Batch } from '../../model/batch.ts';
import type { Settlement, Sink } from '../../ports/sink.ts';
import { batch, failure, never, Observer, openServer, openSink } from './nats.test-support.ts';

async function temporaryFolder(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'millwright-nats-test-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** As the delivery runner does it, without its waits. */
async function deliverAtLast(sink: Sink, batches: readonly Batch[]): Promise<Settlement> {
  let settlement: Settlement | undefined;
  await until(async () => {
    settlement = await sink.deliver(batches, never).catch(() => undefined);
    return settlement !== undefined;
  });
  return settlement!;
}

async function sequences(observer: Observer): Promise<string[]> {
  return (await observer.stored()).map(({ id }) => id.replace('gw%201/ep-1/', ''));
}

test('a server that is killed fails what is under way at once, and goes on when it is there again', async (context) => {
  const server = await openServer(context);
  const observer = await Observer.open(context, server.url);
  await observer.addStream();
  const sink = openSink(context, { url: server.edgeUrl });
  await sink.deliver([batch(1)], never);
  await suspend(server.pid);
  const underWay = failure(sink.deliver([batch(2)], never));
  await server.kill('SIGKILL');
  const lost = {
    code: 'connection_failed',
    message: `the connection to NATS at ${server.address.slice(7)} is lost; it is made again as soon as a server answers`,
  };
  assert.deepEqual(await underWay, lost);
  assert.deepEqual(await failure(sink.deliver([batch(2)], never)), lost);
  await server.restart();
  assert.deepEqual(await deliverAtLast(sink, [batch(1), batch(2)]), { refused: [], known: 1 });
  assert.deepEqual(await sequences(await Observer.open(context, server.url)), ['1', '2']);
});

test('of several servers any one that answers is used, also later', async (context) => {
  const [first, second] = [await openServer(context), await openServer(context)];
  for (const server of [first, second]) await (await Observer.open(context, server.url)).addStream();
  const nobody = `nats://127.0.0.1:${await freePort()}`;
  const sink = openSink(context, {
    url: [nobody, first.address, second.address].join(', '),
    user: 'edge',
    password: 'edge-secret',
  });
  await sink.deliver([batch(1)], never);
  await first.kill('SIGKILL');
  await deliverAtLast(sink, [batch(2)]);
  await first.restart();
  await second.kill('SIGKILL');
  await deliverAtLast(sink, [batch(3)]);
});

test('nobody there is one sentence, and is tried again', async (context) => {
  const port = await freePort();
  const sink = openSink(context, { url: `nats://u:secret@127.0.0.1:${port}` });
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const { code, message } = await failure(sink.deliver([batch(1)], never));
    assert.match(message, new RegExp(`^NATS at 127\\.0\\.0\\.1:${port} cannot be reached: connection refused`));
    assert.equal(code, 'connection_failed');
  }
});

test('a wrong password is waited out, at the start and when it is changed', async (context) => {
  const folder = await temporaryFolder(context);
  const setPassword = (password: string): Promise<void> =>
    writeFile(
      join(folder, 'users.conf'),
      `users: [ { user: maker, password: maker }, { user: edge, password: "${password}" } ]`,
    );
  await setPassword('first');
  // Seen from the folder of the server, which is beside ours.
  const text = `authorization { include ../${basename(folder)}/users.conf }`;
  const server = await openServer(context, { config: { text } });
  const observer = await Observer.open(context, server.address.replace('//', '//maker:maker@'));
  await observer.addStream();
  const refused =
    /^NATS at 127\.0\.0\.1:\d+ does not let us in \(.*\): check user and password, token, nkey or credentials/;
  const sink = openSink(context, { url: server.address, user: 'edge', password: 'second' });
  const { code, message } = await failure(sink.deliver([batch(1)], never));
  assert.match(message, refused);
  assert.equal(code, 'connection_failed');

  const mended = async (batches: readonly Batch[]): Promise<void> => {
    await setPassword('second');
    process.kill(server.pid, 'SIGHUP');
    await deliverAtLast(sink, batches);
  };
  await mended([batch(1)]);

  await setPassword('third');
  process.kill(server.pid, 'SIGHUP');
  await until(async () => refused.test((await failure(sink.deliver([batch(2)], never))).message));
  await mended([batch(2)]);
  assert.deepEqual(await sequences(observer), ['1', '2']);
});

test('TLS by the authority that is configured, and a certificate where the server asks for one', async (context) => {
  const certificates = await makeCertificates(await temporaryFolder(context));
  const { caFile, certFile, keyFile } = certificates;
  const server = await openServer(context, { config: { text: '' }, tls: certificates, verifyClients: true });
  const ca = { url: server.address, tls_ca_file: caFile };
  const withCertificate = openSink(context, { ...ca, tls_cert_file: certFile, tls_key_file: keyFile });
  const { message } = await failure(withCertificate.deliver([batch(1)], never));
  assert.match(message, /^there is no stream CNC_DATA/, 'it has let us in');

  const stranger = await failure(openSink(context, { url: server.address }).deliver([batch(1)], never));
  assert.match(
    stranger.message,
    /^NATS at 127\.0\.0\.1:\d+ has a certificate of an authority we do not know \(.+\): tls_ca_file must name the file/,
  );
  const without = await failure(openSink(context, ca).deliver([batch(1)], never));
  assert.match(without.message, /^NATS at 127\.0\.0\.1:\d+ cannot be reached: /);
  const missing = await failure(openSink(context, { ...ca, tls_ca_file: '/none.pem' }).deliver([batch(1)], never));
  assert.equal(missing.code, 'storage_failed');
  assert.equal(missing.message, 'the file /none.pem cannot be read');
});

test('a token, and an nkey', async (context) => {
  const pair = nkeys.createUser();
  const seedFile = join(await temporaryFolder(context), 'edge.nk');
  await writeFile(seedFile, `${Buffer.from(pair.getSeed()).toString()}\n`);
  for (const [text, keys] of [
    ['authorization { token: "s3cret" }', { token: 's3cret' }],
    [`authorization { users: [ { nkey: ${pair.getPublicKey()} } ] }`, { nkey_seed_file: seedFile }],
  ] as const) {
    const { address: url } = await openServer(context, { config: { text } });
    const { message } = await failure(openSink(context, { url, ...keys }).deliver([batch(1)], never));
    assert.match(message, /^there is no stream CNC_DATA/, 'it has let us in');
    assert.match((await failure(openSink(context, { url }).deliver([batch(1)], never))).message, /does not let us in/);
  }
});

test('credentials of a file, which is read again for each connection', async (context) => {
  const operator = nkeys.createOperator();
  const [system, account, user] = [nkeys.createAccount(), nkeys.createAccount(), nkeys.createUser()];
  const none = { subs: -1, data: -1, payload: -1 };
  const limits = { ...none, imports: -1, exports: -1, conn: -1, leaf: -1, wildcards: true };
  const storage = { disk_storage: -1, mem_storage: -1, streams: -1, consumer: -1 };
  const ofAccount = (pair: nkeys.KeyPair, extra: object): string =>
    token({ issuer: operator, subject: pair, nats: { type: 'account', limits: { ...limits, ...extra } } });
  const text = `
    operator: ${token({ issuer: operator, subject: operator, nats: { type: 'operator' } })}
    system_account: ${system.getPublicKey()}
    resolver: MEMORY
    resolver_preload: {
      ${system.getPublicKey()}: ${ofAccount(system, {})}
      ${account.getPublicKey()}: ${ofAccount(account, storage)}
    }`;
  const server = await openServer(context, { config: { text } });
  const file = join(await temporaryFolder(context), 'edge.creds');
  const sink = openSink(context, { url: server.address, creds_file: file });
  const missing = await failure(sink.deliver([batch(1)], never));
  assert.match(missing.message, /edge\.creds cannot be read/);

  const jwt = token({ issuer: account, subject: user, nats: { type: 'user', ...none } });
  const seed = Buffer.from(user.getSeed()).toString();
  const credentials = [
    `-----BEGIN NATS USER JWT-----\n${jwt}\n------END NATS USER JWT------\n`,
    `-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`,
  ].join('\n');
  await writeFile(file, credentials);
  const isIn = async (): Promise<boolean> =>
    (await failure(sink.deliver([batch(1)], never))).message.startsWith('there is no stream CNC_DATA');
  await until(isIn);

  // The library gives up a connection whose credentials it cannot read; the sink makes another one.
  await rm(file);
  await server.restart();
  await until(async () => /cannot be read/.test((await failure(sink.deliver([batch(1)], never))).message));
  await writeFile(file, credentials);
  await until(isIn);
});

test('a line that is slow, stands still, breaks and is cut loses and doubles nothing', async (context) => {
  const server = await openServer(context);
  const observer = await Observer.open(context, server.url);
  await observer.addStream();
  const port = await freePort();
  const proxy = new TcpProxy({ port, targetPort: Number(new URL(server.address).port) });
  await proxy.start();
  context.after(() => proxy.stop());
  const url = `nats://edge:edge-secret@127.0.0.1:${port}`;
  const sink = openSink(context, { url, ack_timeout: '300ms' });
  const during = async (effect: Effect, work: () => Promise<void>): Promise<void> => {
    const end = await proxy.add(effect);
    await work();
    await end();
  };
  await during({ kind: 'delay', delayMs: () => 50 }, async () => {
    // On a machine that is busy the acknowledgment may be late, and then they are sent again.
    await deliverAtLast(sink, [batch(1), batch(2)]);
  });
  await during({ kind: 'hold' }, async () => {
    const { message } = await failure(sink.deliver([batch(3)], never));
    assert.equal(message, 'the stream CNC_DATA did not acknowledge in 300 ms: the same batches are sent again');
  });
  assert.deepEqual((await deliverAtLast(sink, [batch(3)])).known, 1);
  const broken = /^the connection to NATS at 127\.0\.0\.1:\d+ is lost/;
  await during({ kind: 'hold' }, async () => {
    const underWay = failure(sink.deliver([batch(4)], never));
    proxy.reset();
    assert.match((await underWay).message, broken);
  });
  await deliverAtLast(sink, [batch(4)]);
  await during({ kind: 'cut' }, async () => {
    await until(async () => broken.test((await failure(sink.deliver([batch(5)], never))).message));
  });
  await deliverAtLast(sink, [batch(5)]);
  assert.deepEqual(await sequences(observer), ['1', '2', '3', '4', '5']);
});

/** A JWT as NATS has it (ADR-14): signed by the issuer's nkey. */
function token({ issuer, subject, nats }: { issuer: nkeys.KeyPair; subject: nkeys.KeyPair; nats: object }): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = {
    jti: subject.getPublicKey(),
    iat: Math.floor(Date.now() / 1000),
    iss: issuer.getPublicKey(),
    name: 'test',
    sub: subject.getPublicKey(),
    nats: { version: 2, ...nats },
  };
  const signed = `${part({ typ: 'JWT', alg: 'ed25519-nkey' })}.${part(claims)}`;
  return `${signed}.${Buffer.from(issuer.sign(Buffer.from(signed))).toString('base64url')}`;
}

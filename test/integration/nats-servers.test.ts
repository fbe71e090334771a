/** The NATS servers of deploy/nats/, each as it stands, and that tests can kill and start them again. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { makeCertificates } from '../support/certificates.ts';
import { natsClient } from '../support/nats-client.ts';
import { startNats, startNatsCluster, startNatsLeaf } from '../support/nats-server.ts';

test('one server keeps what it acknowledged through kill -9, and syncs before it acknowledges', async () => {
  const server = await startNats();
  after(() => server.stop());
  const connection = await natsClient(server.url);
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: 'CNC_DATA', subjects: ['CNC_DATA.>'] });
  const { seq } = await jetstream(connection).publish('CNC_DATA.edge.g1', 'reading');
  assert.equal(seq, 1);
  const { config } = (await (await fetch(`${server.monitoringUrl}/jsz`)).json()) as {
    config: { sync_always?: boolean };
  };
  assert.equal(config.sync_always, true);

  await server.kill('SIGKILL');
  await server.restart();
  const again = await jetstreamManager(await natsClient(server.url));
  assert.equal((await again.streams.info('CNC_DATA')).state.messages, 1);
});

test('an edge may publish readings and ask for the stream, and not read or change it', async () => {
  const server = await startNats();
  after(() => server.stop());
  const hub = await jetstreamManager(await natsClient(server.url));
  await hub.streams.add({ name: 'CNC_DATA', subjects: ['CNC_DATA.>'] });
  const connection = await natsClient(server.edgeUrl);
  await jetstream(connection).publish('CNC_DATA.edge.g1', 'reading');
  const edge = await jetstreamManager(connection);
  assert.equal((await edge.streams.info('CNC_DATA')).state.messages, 1);
  await assert.rejects(edge.streams.delete('CNC_DATA'), /permissions violation/i);
  await assert.rejects(edge.streams.getMessage('CNC_DATA', { seq: 1 }), /permissions violation/i);
});

test('without a password, or with a wrong one, nobody is let in', async () => {
  const server = await startNats();
  after(() => server.stop());
  await assert.rejects(natsClient(server.address), { code: 'connection_failed' });
  await assert.rejects(natsClient(server.address, { user: 'hub', password: 'wrong' }), { code: 'connection_failed' });
});

test('three servers keep a stream three times', async () => {
  const cluster = await startNatsCluster();
  after(() => cluster.stop());
  const manager = await jetstreamManager(await natsClient(cluster.url));
  const { cluster: placed } = await manager.streams.add({
    name: 'CNC_DATA',
    subjects: ['CNC_DATA.>'],
    num_replicas: 3,
  });
  assert.equal(placed?.replicas?.length, 2);
});

test('a leaf node serves its site without the centre', async () => {
  const leaf = await startNatsLeaf({ domain: 'site-1', centre: ['nats-leaf://leaf:nobody-there@127.0.0.1:1'] });
  after(() => leaf.stop());
  const manager = await jetstreamManager(await natsClient(leaf.url));
  await manager.streams.add({ name: 'CNC_DATA', subjects: ['CNC_DATA.>'] });
  const { domain } = await jetstream(await natsClient(leaf.edgeUrl)).publish('CNC_DATA.edge.g1', 'reading');
  assert.equal(domain, 'site-1');
});

test('TLS: the server proves who it is, and may ask the client to', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-tls-'));
  after(() => rm(folder, { recursive: true }));
  const tls = await makeCertificates(folder);
  const server = await startNats({ tls, verifyClients: true });
  after(() => server.stop());
  const own = { tlsCertFile: tls.certFile, tlsKeyFile: tls.keyFile };
  await natsClient(server.url, { tlsCaFile: tls.caFile, ...own });
  await assert.rejects(natsClient(server.url, own), { code: 'connection_failed' });
  await assert.rejects(natsClient(server.url, { tlsCaFile: tls.caFile }), { code: 'connection_failed' });
});

test('a configuration of its own, such as one with a token', async () => {
  const server = await startNats({ config: { text: 'authorization { token: let-me-in }' } });
  after(() => server.stop());
  const manager = await jetstreamManager(await natsClient(server.address, { token: 'let-me-in' }));
  assert.equal((await manager.getAccountInfo()).streams, 0);
});

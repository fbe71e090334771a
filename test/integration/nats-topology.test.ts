/** What the arrangements of deploy/nats/ promise, shown with plain NATS clients: nothing acknowledged is lost or doubled. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, test } from 'node:test';
import { jetstream, jetstreamManager, type StreamConfig } from '@nats-io/jetstream';
import { TcpProxy } from '../oracle/tcp-proxy.ts';
import { natsClient, publishAll, readAll } from '../support/nats-client.ts';
import { NATS_CONFIGURATIONS, startNats, startNatsCluster, startNatsLeaf } from '../support/nats-server.ts';
import { freePort, waitUntil } from '../support/system.ts';

const SUBJECT = 'CNC_DATA.edge.gateway-1';

function idsOf(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${name}-${index}`);
}

async function streamOf(file: string): Promise<StreamConfig> {
  return JSON.parse(await readFile(path.join(NATS_CONFIGURATIONS, file), 'utf8')) as StreamConfig;
}

test('three servers: each is killed while messages come, and every acknowledged one is there, once', async () => {
  const cluster = await startNatsCluster();
  after(() => cluster.stop());
  const hub = await natsClient(cluster.url);
  const manager = await jetstreamManager(hub);
  await manager.streams.add({ ...(await streamOf('leaf-stream.json')), num_replicas: 3 });
  const edge = jetstream(await natsClient(cluster.edgeUrl));
  const published = idsOf('before', 100);
  await publishAll(edge, SUBJECT, published);
  for (const [index, node] of cluster.nodes.entries()) {
    const ids = idsOf(`kill-${index}`, 100);
    const publishing = publishAll(edge, SUBJECT, ids);
    await node.kill('SIGKILL');
    await publishing;
    published.push(...ids);
    await node.restart();
    // The next one may go only when this one has caught up: of three servers two must be whole.
    await waitUntil(`${index} to have caught up`, async () => {
      const { cluster: placed } = await manager.streams.info('CNC_DATA');
      const others = placed?.replicas ?? [];
      return others.length === 2 && others.every((other) => other.current && other.offline !== true) ? true : undefined;
    });
  }
  const came = await readAll(hub, 'CNC_DATA', published);
  assert.deepEqual(came.sort(), published.sort());
});

test('a leaf node carries on while it is cut off, and the centre has each of its messages once afterwards', async () => {
  const centre = await startNats();
  after(() => centre.stop());
  const port = await freePort();
  const way = new TcpProxy({ port, targetPort: Number(new URL(centre.leafUrl).port) });
  await way.start();
  after(() => way.stop());
  const overTheWay = new URL(centre.leafUrl);
  overTheWay.port = String(port);
  const leaf = await startNatsLeaf({ domain: 'site-1', centre: [overTheWay.href] });
  after(() => leaf.stop());

  const atLeaf = await jetstreamManager(await natsClient(leaf.url));
  await atLeaf.streams.add(await streamOf('leaf-stream.json'));
  const hub = await natsClient(centre.url);
  await (await jetstreamManager(hub)).streams.add(await streamOf('centre-stream.json'));
  const edge = jetstream(await natsClient(leaf.edgeUrl));
  const first = idsOf('connected', 200);
  await publishAll(edge, SUBJECT, first);
  const came = await readAll(hub, 'CNC_DATA', first);

  // Cut in the middle of a flow; the site's server is killed meanwhile, and so is the centre.
  const second = idsOf('cut', 500);
  const publishing = publishAll(edge, SUBJECT, second);
  const mend = await way.add({ kind: 'cut' });
  await publishing;
  await leaf.kill('SIGKILL');
  await leaf.restart();
  await centre.kill('SIGKILL');
  await centre.restart();
  const third = idsOf('alone', 200);
  await publishAll(edge, SUBJECT, third);
  await mend();
  came.push(...(await readAll(hub, 'CNC_DATA', [...second, ...third])));
  assert.deepEqual(came.sort(), [...first, ...second, ...third].sort());

  // Nothing stays behind: the site's stream is a queue that the centre empties.
  await waitUntil('the stream of the site to be empty', async () => {
    return (await atLeaf.streams.info('CNC_DATA')).state.messages === 0 ? true : undefined;
  });
});

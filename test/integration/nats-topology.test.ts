/** What a cluster of deploy/nats/ promises, shown with plain NATS clients: nothing acknowledged is lost or doubled. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { idsOf, natsClient, publishAll, readAll, streamOf } from '../support/nats-client.ts';
import { startNatsCluster } from '../support/nats-server.ts';
import { waitUntil } from '../support/system.ts';

const SUBJECT = 'CNC_DATA.edge.gateway-1';

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
      return others.length === 2 && others.every(({ current, offline }) => current && !offline) ? true : undefined;
    });
  }
  const came = await readAll(hub, 'CNC_DATA', published);
  assert.deepEqual(came.sort(), published.sort());
});

/** What a site's leaf node promises (docs/decisions/012-leaf-nodes.md), shown with plain NATS clients. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { TcpProxy } from '../oracle/tcp-proxy.ts';
import { idsOf, natsClient, publishAll, readAll, streamOf } from '../support/nats-client.ts';
import { startNats, startNatsLeaf } from '../support/nats-server.ts';
import { freePort, waitUntil } from '../support/system.ts';

const SUBJECT = 'CNC_DATA.edge.gateway-1';

test('a leaf node carries on while it is cut off; the centre has all of its messages afterwards', async () => {
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
  const atCentre = await jetstreamManager(hub);
  // As hubs make it; the site is added afterwards.
  await atCentre.streams.add({ ...(await streamOf('centre-stream.json')), sources: [] });
  await atCentre.streams.update('CNC_DATA', await streamOf('centre-stream.json'));
  const edge = jetstream(await natsClient(leaf.edgeUrl));
  const published = idsOf('connected', 200);
  await publishAll(edge, SUBJECT, published);
  const came = await readAll(hub, 'CNC_DATA', published);

  // Cut in the middle of a flow, and the site's server is killed meanwhile: each message comes, once.
  const during = idsOf('cut', 500);
  const publishing = publishAll(edge, SUBJECT, during);
  const mend = await way.add({ kind: 'cut' });
  await publishing;
  await leaf.kill('SIGKILL');
  await leaf.restart();
  const alone = idsOf('alone', 200);
  await publishAll(edge, SUBJECT, alone);
  await mend();
  came.push(...(await readAll(hub, 'CNC_DATA', [...during, ...alone])));
  published.push(...during, ...alone);
  assert.deepEqual(came.sort(), published.sort());

  // The centre is killed: what it had not acknowledged to the site comes again, under the identity by which hubs drop it.
  const last = idsOf('centre killed', 500);
  const publishingLast = publishAll(edge, SUBJECT, last);
  await centre.kill('SIGKILL');
  await publishingLast;
  await centre.restart();
  const again = await readAll(hub, 'CNC_DATA', last);
  const known = new Set([...published, ...last]);
  assert.deepEqual(
    [...new Set(again)].filter((id) => !known.has(id)),
    [],
  );

  // The centre has acknowledged everything to the site.
  await waitUntil('the acknowledgments of the centre', async () => {
    const [source, ...others] = await atLeaf.consumers.list('CNC_DATA').next();
    assert.deepEqual(others, []);
    assert.equal(source?.ack_floor.stream_seq, published.length + last.length);
    return source.num_pending === 0 && source.num_ack_pending === 0 ? true : undefined;
  });
});

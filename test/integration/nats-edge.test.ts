/** The example config/edge.nats.yaml with a real server: with a hub as it stands, and for the stream alone while the server is killed. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { StreamConfig } from '@nats-io/jetstream';
import { parse, stringify } from 'yaml';
import { nodeFiles } from '../../src/base/node-files.ts';
import { readAll } from '../../src/log/inspect.ts';
import { natsMessageId } from '../../src/model/nats-wire.ts';
import type { EdgeStatus, SinkStatus } from '../../src/model/status.ts';
import { Observer } from '../../src/sinks/nats/nats.test-support.ts';
import { type NatsServer, startNats } from '../support/nats-server.ts';
import { Command, freePort, startSystem, type System, waitUntil } from '../support/system.ts';

const EXAMPLE = new URL('../../config/edge.nats.yaml', import.meta.url);
const PAGE = new URL('../../docs/sinks/nats.md', import.meta.url);
const GATEWAY = 'EDGE-NATS';

interface Example {
  readonly sinks: readonly { readonly user: string; readonly password: string }[];
}
const example = parse(readFileSync(EXAMPLE, 'utf8')) as Example;

let server: NatsServer;
let system: System;
before(async () => {
  server = await startNats();
  system = await startSystem({ hub: { nats: { url: server.url } } });
});
after(async () => {
  await system.stop();
  await server.stop();
});

interface Edge {
  readonly command: Command;
  readonly log: string;
  sink(): Promise<SinkStatus>;
}

/** With the example's configuration but for addresses and folders, and what is given for its sink. */
async function startEdge(name: string, keys: object): Promise<Edge> {
  const port = await freePort();
  const log = path.join(system.folder, `log-${name}`);
  const sinks = [{ ...example.sinks[0], ...keys }];
  const file = path.join(system.folder, `${name}.yaml`);
  await writeFile(file, stringify({ ...example, sinks, buffering: { folder: log }, status: { port } }));
  const command = new Command(['edge', '--config', file]);
  const sink = async (): Promise<SinkStatus> => {
    if (!command.running) throw new Error(command.said);
    const { sinks } = (await (await fetch(`http://127.0.0.1:${port}/status`)).json()) as EdgeStatus;
    return sinks[0]!;
  };
  return { command, log, sink };
}

test('what the edge of the example reads is in the database of a hub', async () => {
  assert.deepEqual(parse(shown('yaml')), { sinks: example.sinks }, 'the page shows what is run');
  const { user, password } = example.sinks[0]!;
  assert.equal(server.edgeUrl, server.address.replace('//', `//${user}:${password}@`), 'a user of deploy/nats');
  const edge = await startEdge('hub', { url: server.address });
  await waitUntil('some batches to be delivered', async () => ((await edge.sink()).cursor > 5 ? true : undefined));
  assert.equal(await edge.command.end('SIGTERM'), 0, edge.command.said);
  const batches = await Array.fromAsync(readAll(nodeFiles, edge.log));
  const read = batches.reduce((readings, batch) => readings + batch.readings, 0);
  const [row] = await system.rows<{ stored: number }>(
    `select ((select count(*) from sensor_data where machine_id = $1) +
             (select count(*) from events where machine_id = $1))::int as stored`,
    ['CNC-NATS'],
  );
  assert.equal(row?.stored, read);
});

test('where nobody takes from the stream, it has every batch of the log once, through servers that were killed', async (context) => {
  const alone = await startNats();
  context.after(() => alone.stop());
  await (await Observer.open(context, alone.url)).manager.streams.add(JSON.parse(shown('json')) as StreamConfig);
  const edge = await startEdge('stream', { url: alone.address, confirm: 'published' });
  const says = (words: RegExp): Promise<true> =>
    waitUntil(String(words), async () => (words.test((await edge.sink()).last_error ?? '') ? true : undefined));
  let settled = 0;
  for (let kill = 0; kill < 3; kill += 1) {
    settled = await waitUntil('more batches in the stream', async () => {
      const { cursor } = await edge.sink();
      return cursor > settled + 3 ? cursor : undefined;
    });
    await alone.kill('SIGKILL');
    await says(/^the connection to NATS at .* is lost/);
    await alone.restart();
  }
  await waitUntil('all to be delivered', async () => ((await edge.sink()).state === 'ok' ? true : undefined));
  assert.equal(await edge.command.end('SIGTERM'), 0, edge.command.said);

  const batches = await Array.fromAsync(readAll(nodeFiles, edge.log));
  assert.ok(batches.length > settled);
  const stored = await (await Observer.open(context, alone.url)).stored('CNC_DATA');
  assert.deepEqual(
    stored.map(({ id, payload }) => `${id} ${payload.toString()}`).toSorted(),
    batches
      .map((batch) => `${natsMessageId({ gatewayId: GATEWAY, ...batch })} ${Buffer.from(batch.payload).toString()}`)
      .toSorted(),
  );
});

/** The first block of that language on the page of the sink. */
function shown(language: string): string {
  return new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 's').exec(readFileSync(PAGE, 'utf8'))?.[1] ?? '';
}

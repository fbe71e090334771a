/** The example config/edge.nats.yaml as it stands, but for addresses, with a server that is killed again and again. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, test } from 'node:test';
import type { StreamConfig } from '@nats-io/jetstream';
import { parse, stringify } from 'yaml';
import { nodeFiles } from '../../src/base/node-files.ts';
import { readAll } from '../../src/log/inspect.ts';
import type { EdgeStatus } from '../../src/model/status.ts';
import { natsMessageId } from '../../src/model/nats-wire.ts';
import { Observer } from '../../src/sinks/nats/nats.test-support.ts';
import { startNats } from '../support/nats-server.ts';
import { Command, freePort, makeFolder, waitUntil } from '../support/system.ts';

const EXAMPLE = new URL('../../config/edge.nats.yaml', import.meta.url);
const PAGE = new URL('../../docs/sinks/nats.md', import.meta.url);

const folder = await makeFolder();
const server = await startNats();
after(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

interface Example {
  readonly sinks: readonly { readonly user: string; readonly password: string }[];
}

test('every batch of the log is in the stream once, through servers that were killed', async (context) => {
  const example = parse(readFileSync(EXAMPLE, 'utf8')) as Example;
  assert.deepEqual(parse(shown('yaml')), { sinks: example.sinks }, 'the page shows what is run');
  const [sink] = example.sinks;
  assert.deepEqual([sink?.user, sink?.password], ['edge', 'edge-secret'], 'as the test server has them');
  const port = await freePort();
  const log = path.join(folder, 'log');
  const file = path.join(folder, 'edge.yaml');
  const config = {
    ...example,
    // No hub runs here: what is looked at is the stream.
    sinks: [{ ...sink, url: server.address, confirm: 'published' }],
    buffering: { folder: log },
    status: { port },
  };
  await writeFile(file, stringify(config));
  const edge = new Command(['edge', '--config', file]);
  const status = async (): Promise<EdgeStatus['sinks'][number]> => {
    if (!edge.running) throw new Error(edge.said);
    const { sinks } = (await (await fetch(`http://127.0.0.1:${port}/status`)).json()) as EdgeStatus;
    return sinks[0]!;
  };
  const says = (words: RegExp): Promise<true> =>
    waitUntil(String(words), async () => (words.test((await status()).last_error ?? '') ? true : undefined));

  await says(/^there is no stream CNC_DATA/);
  const observer = await Observer.open(context, server.url);
  await observer.manager.streams.add(JSON.parse(shown('json')) as StreamConfig);
  let settled = 0;
  for (let kill = 0; kill < 3; kill += 1) {
    settled = await waitUntil('more batches in the stream', async () => {
      const { cursor } = await status();
      return cursor > settled + 3 ? cursor : undefined;
    });
    await server.kill('SIGKILL');
    await says(/^the connection to NATS at .* is lost/);
    await server.restart();
  }
  await waitUntil('all to be delivered', async () => ((await status()).state === 'ok' ? true : undefined));
  assert.equal(await edge.end('SIGTERM'), 0, edge.said);

  const batches = await Array.fromAsync(readAll(nodeFiles, log));
  assert.ok(batches.length > settled);
  const gatewayId = 'EDGE-NATS';
  const stored = await (await Observer.open(context, server.url)).stored();
  assert.deepEqual(
    stored.map(({ id, payload }) => ({ id, payload: payload.toString() })).toSorted(byId),
    batches
      .map((batch) => {
        return { id: natsMessageId({ gatewayId, ...batch }), payload: Buffer.from(batch.payload).toString() };
      })
      .toSorted(byId),
  );
});

/** The first block of that language on the page of the sink. */
function shown(language: string): string {
  return new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 's').exec(readFileSync(PAGE, 'utf8'))?.[1] ?? '';
}

function byId(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : 1;
}

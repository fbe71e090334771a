import assert from 'node:assert/strict';
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import { nodeFiles } from '../../base/node-files.ts';
import { type Batch, decodeBatches } from '../../model/batch.ts';
import { encodeFrame } from '../../model/frame.ts';
import { deadLetters, describeDeadLetter, exportedLines, sinksWithDeadLetters } from './dead-letter-files.ts';
import { type Replayed, replayDeadLetters } from './dead-letter-replay.ts';
import { DeadLetters } from './dead-letters.ts';

interface Setup {
  readonly folder: string;
  readonly letters: DeadLetters;
  /** Sequences that the hub has stored. */
  readonly stored: number[];
  /** What the hub says to a request with these sequences: nothing when it stores them. */
  refuse: (sequences: readonly number[]) => number | undefined;
  readonly replay: (sink?: string) => Promise<Replayed>;
  readonly left: () => Promise<{ sequence: number; reason: string }[]>;
}

async function setup(context: TestContext, bytesMax = 1_000_000): Promise<Setup> {
  const folder = mkdtempSync(join(tmpdir(), 'millwright-replay-'));
  const server = http.createServer((request, response) => {
    void request.toArray().then((parts) => answer(Buffer.concat(parts), response));
  });
  const answer = (body: Buffer, response: http.ServerResponse): void => {
    const sequences = decodeBatches(body).batches.map(({ batch }) => batch.sequence);
    const status = made.refuse(sequences);
    if (status === undefined) made.stored.push(...sequences);
    response.writeHead(status ?? 200, { 'content-type': 'application/json' });
    const refusal = { error: { code: 'bad_request', message: 'still bad' } };
    response.end(JSON.stringify(status === undefined ? { stored: 1, dead_letters: 0 } : refusal));
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const options = { url, timeoutMs: 5_000, token: null, tlsCaFile: null };
  const sinks = [{ name: 'hub', type: 'hub', from: 'oldest', maxRate: null, options } as const];
  const settings = { gatewayId: 'gw', sinks };
  const common = { logFolder: folder, files: nodeFiles, clock: systemClock, logger: silentLogger };
  const { signal } = new AbortController();
  const made: Setup = {
    folder,
    letters: new DeadLetters({ ...common, sink: 'hub', bytesMax }),
    stored: [],
    refuse: () => undefined,
    replay: (sink = 'hub') => replayDeadLetters({ ...common, random: Math.random, settings, sink, signal }),
    left: async () => {
      const found = await Array.fromAsync(deadLetters(nodeFiles, folder, 'hub'));
      return found.map(({ line: { sequence, reason } }) => ({ sequence, reason }));
    },
  };
  return made;
}

function refused(sequence: number): { batch: Batch; reason: string } {
  const payload = Buffer.concat([
    encodeFrame({ machine_id: 'CNC-001', timestamp: '2026-01-01T08:00:00.000000Z', temperature: sequence }),
    encodeFrame({ machine_id: 'CNC-001', timestamp: '2026-01-01T08:00:01.000000Z', temperature: sequence }),
  ]);
  return { batch: { gatewayId: 'gw', epoch: 'e', sequence, readings: 2, payload }, reason: 'bad' };
}

test('what is stored is removed, what is refused again stays with the new reason, what comes meanwhile is kept', async (context) => {
  const rig = await setup(context, 2_000);
  for (let sequence = 1; sequence <= 10; sequence += 1) await rig.letters.keep([refused(sequence)]);
  assert.ok(existsSync(join(rig.folder, 'dead-letters', 'hub.old.ndjson')), 'two files');
  const before = (await rig.left()).map(({ sequence }) => sequence);
  let kept: Promise<void> | undefined;
  rig.refuse = (sequences) => {
    kept ??= rig.letters.keep([refused(99)]);
    return sequences.includes(9) || sequences.includes(10) ? 400 : undefined;
  };
  const { delivered, refusedAgain } = await rig.replay();
  await kept;
  assert.deepEqual(rig.stored, before.filter((sequence) => sequence < 9).concat(rig.stored.filter((one) => one > 10)));
  assert.equal(delivered, rig.stored.length);
  assert.equal(refusedAgain, 2);
  const left = await rig.left();
  assert.deepEqual(left.slice(0, 2), [
    { sequence: 9, reason: 'HTTP 400: still bad' },
    { sequence: 10, reason: 'HTTP 400: still bad' },
  ]);
  assert.equal(left.length + rig.stored.length, before.length + 1, 'the one that came meanwhile is here or there');
  rig.refuse = () => undefined;
  await rig.replay();
  assert.deepEqual(await rig.left(), []);
  assert.deepEqual(readdirSync(join(rig.folder, 'dead-letters')), []);
});

test('a hub that takes nothing now leaves all as it is, and the next replay delivers it', async (context) => {
  const rig = await setup(context);
  await rig.letters.keep([refused(1), refused(2)]);
  rig.refuse = () => 503;
  await assert.rejects(rig.replay(), { code: 'connection_failed' });
  assert.deepEqual(await rig.left(), [
    { sequence: 1, reason: 'bad' },
    { sequence: 2, reason: 'bad' },
  ]);
  rig.refuse = () => undefined;
  assert.deepEqual(await rig.replay(), { delivered: 2, refusedAgain: 0 });
  assert.deepEqual(rig.stored, [1, 2]);
});

test('an edge and a replay never write one file at the same time', async (context) => {
  const rig = await setup(context);
  const sequences = Array.from({ length: 40 }, (_, index) => index + 1);
  const keeping = (async () => {
    for (const sequence of sequences) await rig.letters.keep([refused(sequence)]);
  })();
  await rig.letters.keep([refused(100)]);
  for (let replays = 0; replays < 10; replays += 1) await rig.replay();
  await keeping;
  await rig.replay();
  assert.deepEqual(await rig.left(), []);
  assert.deepEqual(
    rig.stored.toSorted((a, b) => a - b),
    [...sequences, 100],
    'each one, once',
  );
});

test('a replay that cannot be says why', async (context) => {
  const rig = await setup(context);
  await assert.rejects(sinksWithDeadLetters(nodeFiles, rig.folder), { code: 'not_found' });
  await rig.letters.keep([refused(1)]);
  await assert.rejects(sinksWithDeadLetters(nodeFiles, rig.folder, 'mes'), { code: 'not_found', message: /"mes"/ });
  await assert.rejects(rig.replay('mes'), { code: 'not_found', message: /"mes" is configured/ });
  appendFileSync(join(rig.folder, 'dead-letters', 'hub.ndjson'), '{"time":1}\n');
  await assert.rejects(rig.replay(), { code: 'storage_failed', message: /no dead letter/ });
});

test('dead letters are listed, and exported reading by reading', async (context) => {
  const { folder, letters } = await setup(context);
  const broken = { ...refused(2).batch, readings: 1, payload: Buffer.from([0, 0, 0, 9, 1]) };
  await letters.keep([refused(1), { batch: broken, reason: 'no frames' }]);
  appendFileSync(join(folder, 'dead-letters', 'hub.ndjson'), '{"being":"written');
  assert.deepEqual(await sinksWithDeadLetters(nodeFiles, folder), ['hub']);
  const found = await Array.fromAsync(deadLetters(nodeFiles, folder, 'hub'));
  assert.equal(found.length, 2);
  const [first, second] = found;
  assert.ok(first !== undefined && second !== undefined);
  assert.match(describeDeadLetter(first), /^\d{4}-.*Z {2}hub +1 +2 {2}bad\n$/);
  const lines = [...exportedLines(first), ...exportedLines(second)].map((line) => JSON.parse(line));
  assert.deepEqual(
    lines.map(({ sequence, reason, reading, bytes_base64 }) => [sequence, reason, reading?.temperature, bytes_base64]),
    [
      [1, 'bad', 1, undefined],
      [1, 'bad', 1, undefined],
      [2, 'no frames', undefined, broken.payload.toString('base64')],
    ],
  );
  assert.ok(readFileSync(join(folder, 'dead-letters', 'hub.ndjson')).length > 0);
});

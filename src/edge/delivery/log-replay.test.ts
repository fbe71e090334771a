import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { until } from '../../../test/support/until.ts';
import { silentLogger } from '../../base/logger.ts';
import { ManualClock } from '../../base/manual-clock.test-support.ts';
import { nodeFiles } from '../../base/node-files.ts';
import { DurableLog } from '../../log/log.ts';
import { ROOMY } from '../../log/options.test-support.ts';
import { parseRange } from '../../log/range.ts';
import { decodeBatches } from '../../model/batch.ts';
import { encodeFrame } from '../../model/frame.ts';
import { createSinkNamed } from './configured-sink.ts';
import { RETRY_LIMITS } from './delivery.ts';
import { type LogReplayed, replayLog } from './log-replay.ts';

const START = '2026-01-01T08:00:00.000000Z';

let folder = '';
let server: Server;
/** What the hub was sent, as `epoch/sequence`, request by request. */
let requests: string[][] = [];
/** The status of each answer in turn, and then 200; 400 for a batch that is refused. */
let statuses: number[] = [];
let refused = 0;
let clock: ManualClock;

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'millwright-replay-'));
  // Opened twice: batches of two epochs, one reading a second.
  for (const opening of ['a', 'b']) {
    const log = await openLog(opening);
    for (let batch = 0; batch < 3; batch += 1) {
      const timestamp = `2026-01-01T08:00:0${log.lastSequence + 1}Z`;
      await log.append(encodeFrame({ machine_id: 'M', timestamp }), 1);
    }
    await log.cursor('hub').settle({ first: 1, last: 2, readings: 2 });
    await log.close();
  }
});
after(() => rm(folder, { recursive: true }));

function openLog(opening: string): Promise<DurableLog> {
  const common = { folder, files: nodeFiles, clock: new ManualClock(START), log: silentLogger, ...ROOMY };
  const sizes = { segmentBytesMax: 1e6, hotBytesMax: 1 };
  return DurableLog.open({ ...common, ...sizes, gatewayId: 'gw', sinks: ['hub'], newId: () => opening });
}

beforeEach(async () => {
  requests = [];
  statuses = [];
  refused = 0;
  clock = new ManualClock(START);
  server = createServer((request, response) => void answer(request, response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => {
  server.close();
});

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const { batches } = decodeBatches(Buffer.concat(chunks));
  requests.push(batches.map(({ batch: { gatewayId, epoch, sequence } }) => `${gatewayId}/${epoch}/${sequence}`));
  const isRefused = batches.some(({ batch }) => batch.sequence === refused);
  const status = statuses.shift() ?? (isRefused ? 400 : 200);
  const known = batches.filter(({ batch }) => batch.sequence === 1).length;
  const stored = { stored: batches.length - known, duplicate_batches: known, dead_letters: 0, refused: [] };
  const error = { error: { code: 'bad_request', message: 'bad frame' } };
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(status === 200 ? stored : error));
}

function replay(
  range: { from?: string; to?: string } = {},
  signal = new AbortController().signal,
): Promise<LogReplayed> {
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const options = { url, timeoutMs: 1e9, token: null, tlsCaFile: null };
  const sinks = [{ name: 'hub', type: 'hub', from: 'oldest', maxRate: null, options }] as const;
  return replayLog({
    folder,
    settings: { gatewayId: 'gw', sinks },
    sink: 'hub',
    range: parseRange(range),
    files: nodeFiles,
    clock,
    random: () => 0.5,
    logger: silentLogger,
    onProgress: () => {},
    signal,
  });
}

test('all batches go again with their identity, those of one epoch together', async () => {
  const replayed = await replay();
  assert.deepEqual(requests, [
    ['gw/a_a/1', 'gw/a_a/2', 'gw/a_a/3'],
    ['gw/a_b/4', 'gw/a_b/5', 'gw/a_b/6'],
  ]);
  const counts = { batches: 6, readings: 6, refused: 0, known: 1 };
  assert.deepEqual(replayed, { lastSequence: 6, ...counts, isStopped: false });
});

test('a part is named by sequences, or by the times of readings', async () => {
  await replay({ from: '2', to: '3' });
  await replay({ from: '2026-01-01T08:00:03.5Z', to: '2026-01-01T08:00:05Z' });
  assert.deepEqual(requests, [
    ['gw/a_a/2', 'gw/a_a/3'],
    ['gw/a_b/4', 'gw/a_b/5'],
  ]);
});

test('nothing is delivered again to a sink that shows what is newest', async () => {
  const sinks = [{ name: 'view', type: 'opcua_server', from: 'oldest', maxRate: null, options: {} }] as const;
  const context = { clock, random: () => 0.5, log: silentLogger, backlogReadings: () => undefined };
  await assert.rejects(createSinkNamed('view', { gatewayId: 'gw', sinks }, context), {
    code: 'bad_request',
    message: 'the sink view shows what is newest; nothing is delivered to it again',
  });
});

test('what may pass is tried again, and what is refused is counted', async () => {
  statuses = [503, 503];
  refused = 5;
  const replaying = replay();
  // The time of a request counts for nothing; each wait before the next ends with a step.
  await until(async () => {
    await clock.step(RETRY_LIMITS.maxMs);
    return requests.length >= 3;
  });
  const replayed = await replaying;
  assert.deepEqual(
    requests.slice(0, 3),
    Array.from({ length: 3 }, () => ['gw/a_a/1', 'gw/a_a/2', 'gw/a_a/3']),
  );
  assert.deepEqual([replayed.batches, replayed.refused, replayed.known, replayed.isStopped], [6, 1, 1, false]);
});

test('it ends when it is told to, while it waits', async () => {
  statuses = [503];
  const controller = new AbortController();
  const replaying = replay({}, controller.signal);
  await until(() => requests.length === 1 && clock.sleepers > 0);
  controller.abort();
  assert.deepEqual([(await replaying).isStopped, requests.length], [true, 1]);
});

test('while an edge has the log open, what the sink has not settled is left to it', async () => {
  const log = await openLog('c');
  await replay();
  await log.close();
  assert.deepEqual(requests, [['gw/a_a/1', 'gw/a_a/2']]);
});

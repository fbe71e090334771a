/** Edges are told which of their batches are settled: by any hub, those in the dead letters too, and never by guessing. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { headers } from '@nats-io/transport-node';
import { startTestServer } from '../../../test/support/hub-database.ts';
import { startHub } from '../../../test/support/hub-server.ts';
import { startNats } from '../../../test/support/nats-server.ts';
import { until } from '../../../test/support/until.ts';
import { silentLogger } from '../../base/logger.ts';
import { connectNats } from '../../base/nats.ts';
import { natsConnectionOf } from '../../base/nats-config.ts';
import { seededRandom } from '../../base/random.ts';
import { encodeFrame } from '../../model/frame.ts';
import { MESSAGE_ID_HEADER, natsMessageId, type SettledReply, settledSubject } from '../../model/nats-wire.ts';
import { createAnswerPool } from '../store/connection.ts';
import { SettledAnswers } from './settled-answers.ts';

const GATEWAY = 'gw 1';
const QUESTION = { gateway_id: GATEWAY, epoch: 'e-1', sequences: [[1, 5]] };

const server = await startTestServer();
const nats = await startNats();
after(() => nats.stop());
const settings = natsConnectionOf({ url: nats.url });
const connection = await connectNats(settings, { name: 'test', random: seededRandom(1) });
after(() => connection.close());

async function ask(question: unknown = QUESTION): Promise<SettledReply> {
  const text = typeof question === 'string' ? question : JSON.stringify(question);
  return (await connection.request(settledSubject(GATEWAY), text, { timeout: 10_000 })).json<SettledReply>();
}

test('stored and refused batches are settled, others are not', async () => {
  const database = await server.database();
  const stream = { streamName: 'CNC_DATA', consumerName: 'PROCESSOR', subjects: ['CNC_DATA.>'] };
  const limits = { streamBytesMax: 2 ** 24, replicas: 1, persistMode: 'default' as const, ackWaitMs: 30_000 };
  const hub = await startHub(database, { nats: { connection: settings, ...stream, ...limits } });
  const publish = async (sequence: number, payload: Uint8Array): Promise<void> => {
    const header = headers();
    header.set(MESSAGE_ID_HEADER, natsMessageId({ gatewayId: GATEWAY, epoch: 'e-1', sequence }));
    await connection.request('CNC_DATA.edge.gw%201', payload, { headers: header, timeout: 10_000 });
  };
  await until(async () => {
    await publish(2, encodeFrame({ machine_id: 'M', timestamp: '2026-01-01T08:00:00.000000Z', temperature: 1 })).catch(
      () => undefined,
    );
    const answer = await ask().catch(() => undefined);
    return JSON.stringify(answer) === '{"settled":[[2,2]]}';
  });
  await publish(3, Buffer.from('no frame'));
  await until(async () => JSON.stringify(await ask()) === '{"settled":[[2,3]]}');
  assert.deepEqual(await ask({ ...QUESTION, gateway_id: 'another' }), { settled: [] });
  assert.deepEqual(await ask({ ...QUESTION, sequences: [[4, 5]] }), { settled: [] });
  await hub.stop();
});

test('what no edge asks is told so, and trouble with the database is told', async () => {
  const { host, port: _, ...database } = await server.database();
  const pool = createAnswerPool({ ...database, host, port: 1 }, silentLogger);
  after(() => pool.end());
  new SettledAnswers(pool).serve(connection);
  await connection.flush();
  const sequences = [7, [], [7], [[0, 1]], [[2, 1]], [[1, 2, 3]], [[1, 1.5]], [['1', 2]], [[1, 1e5]]];
  const wrong = ['no JSON', '7', 'null', {}, ...sequences.map((these) => ({ ...QUESTION, sequences: these }))];
  for (const question of [...wrong, { ...QUESTION, epoch: 'a\0b' }, { ...QUESTION, gateway_id: 7 }]) {
    const answer = await ask(question);
    assert.ok('error' in answer && answer.error.code === 'bad_request', JSON.stringify(question));
  }
  const answers = await Promise.all([ask(), ask(), ask()]);
  for (const answer of answers) {
    assert.ok('error' in answer && answer.error.code === 'try_later');
    assert.match(answer.error.message, /^the hub's database: .*ECONNREFUSED/);
  }
});

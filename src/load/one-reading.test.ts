/** Against a real NATS server; what a hub answers is in test/integration/load.test.ts. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { systemClock } from '../base/clock.ts';
import { type ErrorCode, hasCode } from '../base/errors.ts';
import { connectNats } from '../base/nats.ts';
import { natsConnectionOf } from '../base/nats-config.ts';
import { seededRandom } from '../base/random.ts';
import { type NatsServer, startNats } from '../../test/support/nats-server.ts';
import { type Published, publishReading, readingBytes } from './one-reading.ts';
import { targetOf } from './target.ts';

let server: NatsServer;
before(async () => {
  server = await startNats();
  const connection = await connectNats(natsConnectionOf({ url: server.url }), { name: 't', random: seededRandom(1) });
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: 'CNC_DATA', subjects: ['CNC_DATA.>'] });
  await manager.streams.add({ name: 'FULL', subjects: ['FULL.>'], max_msgs: 1, discard: 'new' });
  await connection.close();
});
after(() => server.stop());

const READING = '{"machine_id":"M","timestamp":"2026-01-01T08:00:00Z","temperature":20}';

function publish(url: string, subject: string, text: string = READING, id?: string): Promise<Published> {
  const parts = { subject, id, clock: systemClock, random: seededRandom(1) };
  return publishReading(targetOf({ url }), Buffer.from(text), parts);
}

test('the stream and its sequence are told, and what a hub will think of the reading', async () => {
  const subject = 'CNC_DATA.edge.publish';
  const { text } = await publish(server.edgeUrl, subject, READING, 'one');
  assert.equal(text, 'acknowledged by stream CNC_DATA as sequence 1; a hub stores it from there');
  const again = await publish(server.edgeUrl, subject, READING, 'one');
  assert.equal(again.text, 'duplicate: acknowledged before, by stream CNC_DATA as sequence 1');
  assert.ok(!again.isRefused);
  const wrong = await publish(server.edgeUrl, subject, '{"machine_id":"M"}');
  assert.match(wrong.text, /by stream CNC_DATA as sequence 2, but a hub will make it a dead letter: timestamp/);
  assert.ok(wrong.isRefused);
});

test('what goes wrong is told by its kind', async () => {
  await publish(server.url, 'FULL.x');
  const password = server.url.replace(/:[^:@]*@/, ':wrong@');
  const cases: [() => Promise<Published>, ErrorCode, RegExp][] = [
    [
      () => publish(server.url, 'OTHER.x'),
      'not_found',
      /OTHER\.x: no stream takes this subject: no hub has made it yet/,
    ],
    [() => publish(server.url, 'FULL.x'), 'try_later', /the stream refuses it: maximum messages exceeded \(503\)/],
    [() => publish(server.edgeUrl, 'OTHER.x'), 'connection_failed', /OTHER\.x: .*permissions violation for publish/i],
    [() => publish(password, 'CNC_DATA.x'), 'connection_failed', /authorization violation/i],
    [() => publish(server.address, 'CNC_DATA.x'), 'connection_failed', /authorization violation/i],
  ];
  for (const [attempt, code, pattern] of cases) {
    await assert.rejects(attempt(), (error) => hasCode(error, code) && pattern.test(error.message), String(pattern));
  }
});

test('a reading is made of what is given: JSON first, then the other options', () => {
  const read = (options: Parameters<typeof readingBytes>[0]): unknown => {
    return JSON.parse(readingBytes(options, systemClock).toString());
  };
  const timestamp = '2026-01-01T08:00:00Z';
  assert.deepEqual(
    read({ machine: 'M', timestamp, signals: { temperature: '4.5', machine_state: 'idle', x_pos_mm: 'null' } }),
    {
      machine_id: 'M',
      timestamp,
      temperature: 4.5,
      machine_state: 'idle',
      x_pos_mm: null,
    },
  );
  const json = '{"machine_id":"A","timestamp":"2026-01-02T00:00:00Z"}';
  assert.deepEqual(read({ json, machine: 'M', timestamp, signals: {} }), JSON.parse(json));
  assert.match(JSON.stringify(read({ machine: 'M', signals: {} })), /"timestamp":"2\d{3}-/);
  assert.equal(readingBytes({ json: 'no JSON', signals: {} }, systemClock).toString(), 'no JSON');
});

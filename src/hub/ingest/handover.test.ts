import assert from 'node:assert/strict';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { headers, type Msg } from '@nats-io/transport-node';
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import { seededRandom } from '../../base/random.ts';
import { until } from '../../../test/support/until.ts';
import { Handover } from './handover.ts';

test('messages that take long to unpack in vain are handed over one by one, so that all else is served in between', async () => {
  const lots: number[] = [];
  const ingestor = {
    queuedBytes: 0,
    submit: async (messages: readonly unknown[]) => {
      lots.push(messages.length);
      return { stored: 0, duplicate_batches: 0, dead_letters: 0, refused: [] };
    },
  };
  const told: string[] = [];
  const handover = new Handover({
    ingestor,
    publish: (_, payload) => told.push(payload.toString().slice(0, 5)) > 0,
    relieved: () => {},
    clock: systemClock,
    random: seededRandom(1),
    log: silentLogger,
  });
  handover.begin({ stream: 'S', epoch: 'e' });
  const bomb = zstdCompressSync(Buffer.alloc(9 * 2 ** 20));
  const packed = headers();
  packed.set('Content-Encoding', 'zstd');
  const deliver = (sequence: number, message: Partial<Msg>): void =>
    handover.take({ reply: `$JS.ACK.S.C.1.${sequence}.${sequence}.0.0`, ...message } as Msg);
  for (let sequence = 1; sequence <= 3; sequence += 1) deliver(sequence, { data: bomb, headers: packed });
  for (let sequence = 4; sequence <= 9; sequence += 1) deliver(sequence, { data: Buffer.from('{}') });
  await until(() => handover.count === 0);
  assert.deepEqual(lots, [1, 1, 1, 6]);
  assert.deepEqual(told, [...Array<string>(3).fill('+TERM'), ...Array<string>(6).fill('')]);
});

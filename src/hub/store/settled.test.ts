/** What edges are told of their batches: what is committed, from both tables, and nothing of another log. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startTestServer, withClient } from '../../../test/support/hub-database.ts';
import { settledAmong } from './settled.ts';

const server = await startTestServer();

test('each question is answered with the ranges of its own log that are stored', async () => {
  const answers = await withClient(await server.database(), async (client) => {
    await client.query(`
      insert into settled_logs (origin, name, epoch, sequences) values
        ('gateway', 'G', 'e-2', '{[10,13),[20,21)}'), ('gateway', 'H', 'e-2', '{[1,100)}'), ('stream', 'G', 'e-9', '{[1,100)}');
      insert into settled_ranges (origin, name, epoch, sequences) values ('gateway', 'G', 'e-2', '[1,5)')`);
    const of = { gatewayId: 'G', epoch: 'e-2' };
    return settledAmong(client, [
      { ...of, sequences: [[3, 20]] },
      { ...of, sequences: [[5, 9]] },
      {
        ...of,
        sequences: [
          [20, 22],
          [11, 11],
        ],
      },
      { ...of, gatewayId: 'nobody', sequences: [[1, 9]] },
      { ...of, epoch: 'e-9', sequences: [[1, 9]] },
    ]);
  });
  assert.deepEqual(
    answers.map((ranges) => ranges.toSorted(([a], [b]) => a - b)),
    [
      [
        [3, 4],
        [10, 12],
        [20, 20],
      ],
      [],
      [
        [11, 11],
        [20, 20],
      ],
      [],
      [],
    ],
  );
});

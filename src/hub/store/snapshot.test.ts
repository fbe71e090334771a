import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '../../base/logger.ts';
import { startTestServer } from '../../../test/support/hub-database.ts';
import { createReadPool } from './connection.ts';
import { inSnapshot } from './snapshot.ts';

const server = await startTestServer();

test('a read that the server ends for its own sake is made again, once; any other failure is told', async (t) => {
  const pool = createReadPool({ ...(await server.database()), readConnectionsMax: 1 }, silentLogger);
  t.after(() => pool.end());
  const failing = (code: string, times: number): { tries: () => number; answer: Promise<string> } => {
    let tries = 0;
    const answer = inSnapshot(pool, async (client) => {
      tries += 1;
      if (tries <= times) await client.query(`do $$ begin raise exception 'ended' using errcode = '${code}'; end $$`);
      return 'read';
    });
    return { tries: () => tries, answer };
  };
  const once = failing('40001', 1);
  assert.equal(await once.answer, 'read');
  assert.equal(once.tries(), 2);
  const always = failing('40001', 9);
  await assert.rejects(always.answer, /ended/);
  assert.equal(always.tries(), 2);
  const other = failing('42501', 1);
  await assert.rejects(other.answer, /ended/);
  assert.equal(other.tries(), 1);
  // The one connection was given back each time, and is in no transaction.
  assert.equal(await failing('40001', 0).answer, 'read');
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '../base/logger.ts';
import { select, startTestServer, withClient } from '../../test/support/hub-database.ts';
import { ask, startHub } from '../../test/support/hub-server.ts';
import { until } from '../../test/support/until.ts';
import { createServer, type ServerParts } from './api/server.ts';
import { ADVISORY_LOCKS } from './store/connection.ts';

const server = await startTestServer();

test('a compaction that waits for a lock does not hold up the stop', { timeout: 60_000 }, async () => {
  const settings = await server.database();
  await withClient(settings, async (client) => {
    await client.query(`insert into settled_logs
      select 'gateway', 'g', 'e', range_agg(int8range(2 * n, 2 * n + 1)) from generate_series(1, 100) as n`);
    await client.query(`select pg_advisory_lock_shared(${ADVISORY_LOCKS.settled})`);
    const hub = await startHub(settings);
    const waiting = `select 1 from pg_locks where locktype = 'advisory' and not granted`;
    await until(async () => (await select(settings, waiting)).length > 0);
    await hub.stop();
  });
});

test('a chart that waits for a server that says nothing does not hold up the stop', { timeout: 60_000 }, async (t) => {
  const settings = await server.database();
  const hub = await startHub(settings);
  const chart = `${hub.url}/api/v1/machines/M/series?signals=temperature`;
  assert.equal((await ask(chart)).status, 200);
  const reading = `select pid from pg_stat_activity where datname = '${settings.dbname}' and application_name like '% read'`;
  const [backend] = await select<{ pid: number }>(settings, reading);
  const pid = backend?.pid ?? assert.fail('nothing was read');
  process.kill(pid, 'SIGSTOP');
  t.after(() => process.kill(pid, 'SIGCONT'));
  const unanswered = assert.rejects(ask(chart));
  await hub.stop();
  await unanswered;
});

test('a fault of the program is told as one, and not as the database’s', async (t) => {
  const lines: string[] = [];
  const log = createLogger({ level: 'info', pretty: false, write: (line) => lines.push(line), now: () => '' });
  const broken = {
    machines: () => {
      throw new TypeError('undefined is not a machine');
    },
  };
  const parts = { reader: broken, pagesFolder: null, version: '0', log, stopping: new AbortController().signal };
  const app = await createServer(parts as unknown as ServerParts);
  t.after(() => app.close());
  const answer = await app.inject('/api/v1/machines');
  assert.deepEqual([answer.statusCode, answer.headers['retry-after']], [500, undefined]);
  assert.match(answer.body, /"internal".*undefined is not a machine/);
  assert.match(lines.join(), /"level":"error".*hub\.test\.ts/);
});

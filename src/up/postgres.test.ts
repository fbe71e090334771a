import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import pg from 'pg';
import { hasCode } from '../base/errors.ts';
import { silentLogger } from '../base/logger.ts';
import { type EmbeddedPostgres, startPostgres } from './postgres.ts';

async function query(server: EmbeddedPostgres, sql: string): Promise<unknown[]> {
  const client = new pg.Client(server);
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

test('a cluster is made, keeps its data, and is freed from a server left behind', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-pg-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const steps: string[] = [];
  const options = { folder, log: silentLogger, durable: false, progress: (step: string) => steps.push(step) };

  const first = await startPostgres(options);
  await query(first, 'create table kept (n integer); insert into kept values (42)');
  assert.deepEqual(steps, ['making the database (once)', 'starting the database']);

  // The first server is still running, as after a kill -9 of the process that had started it.
  const second = await startPostgres(options);
  assert.match(await first.died, /the database server stopped/);
  assert.deepEqual(await query(second, 'select n from kept'), [{ n: 42 }]);
  await second.stop();
  await assert.rejects(query(second, 'select 1'), { code: 'ECONNREFUSED' });
});

test('a damaged cluster is told in one sentence that says where it is and what to do', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-pg-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const server = await startPostgres({ folder, log: silentLogger, durable: false });
  await server.stop();

  const control = path.join(folder, 'cluster', 'global', 'pg_control');
  const damaged = await readFile(control);
  await writeFile(control, damaged.fill(0x5a, 0, 512));
  await assert.rejects(startPostgres({ folder, log: silentLogger }), (error: Error) => {
    assert.ok(hasCode(error, 'database_unavailable'));
    assert.match(error.message, /cluster are damaged, restore them from a copy, or move the folder away/);
    return true;
  });

  await rm(path.join(folder, 'cluster', 'PG_VERSION'));
  await assert.rejects(startPostgres({ folder, log: silentLogger }), /is damaged \(it has no PG_VERSION\)/);
});

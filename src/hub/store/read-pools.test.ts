import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { after, test } from 'node:test';
import { Client, Pool } from 'pg';
import { systemClock } from '../../base/clock.ts';
import { type Logger, silentLogger } from '../../base/logger.ts';
import { startTestPostgres } from '../../../test/support/postgres.ts';
import { makeReplica, startReplica } from '../../../test/support/replica.ts';
import { makeFolder } from '../../../test/support/system.ts';
import { until } from '../../../test/support/until.ts';
import { ReadPools } from './read-pools.ts';

const folder = await makeFolder();
const folders = { primaryFolder: path.join(folder, 'primary'), folder: path.join(folder, 'replica') };
const primary = await startTestPostgres({ folder: folders.primaryFolder });
await makeReplica(primary, folders);
let replica = await startReplica(folders);
after(async () => {
  await replica.stop();
  await primary.stop();
  await rm(folder, { recursive: true, force: true });
});

function poolOf(port: number): Pool {
  const { host, user, password, database } = primary;
  const pool = new Pool({ host, port, user, password, database, max: 4, connectionTimeoutMillis: 1_000 });
  // Servers are stopped under idle connections.
  pool.on('error', () => {});
  return pool;
}

/** Pools of their own for a test, with a clock that a test can move on, and what was logged. */
function setup(): { pools: ReadPools; said: string[]; pass: (ms: number) => void; port: () => Promise<number> } {
  let passedMs = 0;
  const said: string[] = [];
  const keep = (message: string, fields?: object): void => void said.push(`${message} ${JSON.stringify(fields)}`);
  const log: Logger = { ...silentLogger, warn: keep, info: keep };
  const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + passedMs };
  const replicas = [{ name: 'replica', pool: poolOf(replica.port) }];
  const pools = new ReadPools({ primary: poolOf(primary.port), replicas, clock, log });
  const port = async (): Promise<number> => {
    const client = await pools.connect();
    const { rows } = await client.query<{ port: number }>(`select current_setting('port')::integer as port`);
    client.release();
    return rows[0]?.port ?? 0;
  };
  return { pools, said, pass: (ms) => void (passedMs += ms), port };
}

async function onPrimary(sql: string): Promise<void> {
  const { host, port, user, password, database } = primary;
  const client = new Client({ host, port, user, password, database });
  await client.connect();
  // As the hub commits: what is acknowledged is on the disk.
  await client.query('set synchronous_commit = on');
  await client.query(sql);
  await client.end();
}

test('what is committed is found at once, though it is read from the replica', async (t) => {
  const { pools, said } = setup();
  t.after(() => pools.end());
  await onPrimary('create table numbers (number integer)');
  for (let number = 1; number <= 50; number += 1) {
    await onPrimary(`insert into numbers values (${number})`);
    const client = await pools.connect();
    const { rows } = await client.query('select max(number) as newest, pg_is_in_recovery() as is_replica from numbers');
    client.release();
    assert.deepEqual(rows, [{ newest: number, is_replica: true }]);
  }
  assert.deepEqual(said, []);
});

test('a replica that is down is told once, and is used again when it is back', async (t) => {
  const { pools, said, pass, port } = setup();
  t.after(() => pools.end());
  const { port: replicaPort } = replica;
  assert.equal(await port(), replicaPort);
  await replica.stop();
  for (let round = 0; round < 5; round += 1) {
    assert.equal(await port(), primary.port);
    pass(round * 3_000);
  }
  assert.equal(said.length, 1);
  assert.match(said[0] ?? '', /reading from the primary \{"replica":"replica","error":/);
  replica = await startReplica(folders, replicaPort);
  await until(async () => {
    pass(6_000);
    return (await port()) === replicaPort;
  });
  assert.match(said[1] ?? '', /can be used again/);
});

test('a replica that is behind is not read from', async (t) => {
  const { pools, said, pass, port } = setup();
  t.after(() => pools.end());
  const onReplica = new Client({ ...primary, port: replica.port });
  await onReplica.connect();
  await onReplica.query('select pg_wal_replay_pause()');
  await onPrimary('create table more (number integer)');
  assert.equal(await port(), primary.port);
  assert.match(said[0] ?? '', /more than 500 ms behind/);
  await onReplica.query('select pg_wal_replay_resume()');
  await onReplica.end();
  await until(async () => {
    pass(6_000);
    return (await port()) === replica.port;
  });
});

test('the past can be read from the replica while the primary is away', async (t) => {
  const { pools, port } = setup();
  t.after(() => pools.end());
  const stopped = await startTestPostgres({ folder: path.join(folder, 'other') });
  await stopped.stop();
  const replicas = [{ name: 'replica', pool: poolOf(replica.port) }];
  const alone = new ReadPools({ primary: poolOf(stopped.port), replicas, clock: systemClock, log: silentLogger });
  t.after(() => alone.end());
  const client = await alone.connect();
  assert.deepEqual((await client.query('select pg_is_in_recovery() as is_replica')).rows, [{ is_replica: true }]);
  client.release();
  assert.equal(await port(), replica.port);
});

/** The server with which the other tests of this folder run. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { select } from '../support/hub-database.ts';
import { startTimescale } from '../support/timescale.ts';

const server = await startTimescale();

test('TimescaleDB makes a hypertable; Debian has the Apache edition', async (context) => {
  const database = await server.emptyDatabase();
  await select(database, 'create extension timescaledb');
  await select(database, 'create table readings (time timestamptz not null, value double precision)');
  await select(database, `select create_hypertable('readings', by_range('time', interval '1 day'))`);
  await select(database, `insert into readings values ('2026-01-01', 1), ('2026-01-03', 2)`);
  const chunks = await select(database, `select chunk_name from timescaledb_information.chunks`);
  assert.equal(chunks.length, 2);
  const [about] = await select<{ license: string; version: string }>(
    database,
    `select current_setting('timescaledb.license') license, extversion as version
     from pg_extension where extname = 'timescaledb'`,
  );
  context.diagnostic(`TimescaleDB ${about?.version}, licence ${about?.license}`);
  assert.equal(about?.license, 'apache');
});

test('parallel queries have their shared memory', async () => {
  const database = await server.emptyDatabase();
  await select(database, 'create table numbers as select generate_series(1, 200000) as number');
  await select(database, `alter database ${database.dbname} set debug_parallel_query = on`);
  const [sum] = await select<{ sum: number }>(database, 'select sum(number) from numbers');
  assert.equal(sum?.sum, 20_000_100_000);
});

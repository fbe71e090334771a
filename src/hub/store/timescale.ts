/**
 * What TimescaleDB can do for the store, where it is there.
 *
 * The three tables of readings become hypertables, in both editions; the community edition also compresses their old
 * chunks. Everything else is our own and the same everywhere (decision 011). What cannot be had is told and done without:
 * the store works on plain tables, and no fault in here keeps the hub from starting.
 */
import { type Client, DatabaseError } from 'pg';
import type { Logger } from '../../base/logger.ts';
import type { StoreSettings } from '../settings.ts';

/** plain: PostgreSQL without the extension. apache: hypertables only. community: compression too. */
export type Edition = 'plain' | 'apache' | 'community';

/** Tables that grow for as long as machines run. */
export const READING_TABLES = ['sensor_data', 'events', 'measurements'] as const;
export type ReadingTable = (typeof READING_TABLES)[number];

/** Finds out what there is, and makes use of it. The schema must be up to date. Rejects only when the connection fails. */
export async function useTimescale(client: Client, settings: StoreSettings, log: Logger): Promise<Edition> {
  const edition = await unlessRefused(
    () => detectEdition(client, log),
    (error) => log.warn('it could not be found out what the database can do: plain tables are used', { error }),
  );
  if (edition === undefined || edition === 'plain') return 'plain';
  for (const table of READING_TABLES) {
    const isHypertable = await unlessRefused(
      () => makeHypertable(client, table, settings.chunkIntervalMs, log),
      (error) => log.error(`the table ${table} stays a plain one: it could not become a hypertable`, { error }),
    );
    if (isHypertable !== true || edition !== 'community') continue;
    await unlessRefused(
      () => compressOldChunks(client, table, settings.compressAfterMs),
      (error) => log.warn(`the chunks of ${table} are not compressed`, { error }),
    );
  }
  return edition;
}

/** Installs the extension where the server has it ready. */
async function detectEdition(client: Client, log: Logger): Promise<Edition> {
  // Without its place in shared_preload_libraries, which not everyone may read, the extension would end the connection.
  // What is in there makes this setting known.
  const known = await client.query<{ version: string | null; preloaded: boolean }>(`
    select installed_version as version, current_setting('timescaledb.disable_load', true) is not null as preloaded
    from pg_available_extensions where name = 'timescaledb'`);
  const extension = known.rows[0];
  if (extension === undefined) {
    log.info('the database is plain PostgreSQL: tables are not divided by time, and old rows are deleted one by one');
    return 'plain';
  }
  if (extension.version === null) {
    if (!extension.preloaded) {
      log.info('TimescaleDB is on the server but not in its shared_preload_libraries: plain tables are used');
      return 'plain';
    }
    const done = await unlessRefused(
      async () => {
        await client.query('create extension timescaledb');
        return true;
      },
      (error) =>
        log.warn('TimescaleDB is not set up in this database, and this user may not: plain tables are used', { error }),
    );
    if (done !== true) return 'plain';
  }
  const { rows } = await client.query<{ version: string; license: string | null }>(`
    select extversion as version, current_setting('timescaledb.license', true) as license
    from pg_extension where extname = 'timescaledb'`);
  const { version, license } = rows[0] ?? { version: '', license: null };
  const edition = license === 'timescale' ? 'community' : 'apache';
  const compression = edition === 'community' ? 'old chunks are compressed' : 'nothing is compressed';
  log.info(`the database has TimescaleDB ${version} (${edition} edition): hypertables; ${compression}`);
  return edition;
}

/** Divides the table by time, with the rows that it has. A changed interval counts for the chunks to come. */
async function makeHypertable(
  client: Client,
  table: ReadingTable,
  chunkIntervalMs: number,
  log: Logger,
): Promise<boolean> {
  const interval = `${chunkIntervalMs} milliseconds`;
  const { rows } = await client.query<{ is_same: boolean }>(
    `select time_interval = $2::interval as is_same from timescaledb_information.dimensions
    where hypertable_schema = current_schema() and hypertable_name = $1 and dimension_number = 1`,
    [table, interval],
  );
  if (rows[0] === undefined) {
    const filled = await client.query(`select from ${table} limit 1`);
    if (filled.rows.length > 0) log.info(`the rows of ${table} move into chunks; this is done once and may take long`);
    await client.query(
      `select create_hypertable($1::text::regclass, 'time', chunk_time_interval => $2::interval,
        create_default_indexes => false, migrate_data => true)`,
      [table, interval],
    );
  } else if (!rows[0].is_same) {
    await client.query('select set_chunk_time_interval($1::text::regclass, $2::interval)', [table, interval]);
    log.info(`new chunks of ${table} have another length`, { interval });
  }
  return true;
}

/**
 * Community edition only; elsewhere it is refused (SQLSTATE 0A000). Rows of one machine lie together, newest first, as
 * they are read. Late rows enter compressed chunks as well.
 */
export async function compressOldChunks(client: Client, table: ReadingTable, afterMs: number): Promise<void> {
  await client.query(`alter table ${table} set (timescaledb.compress, timescaledb.compress_segmentby = 'machine_id',
    timescaledb.compress_orderby = 'time desc')`);
  // The policy is made anew, since its age may be another than before.
  await client.query('select remove_compression_policy($1::text::regclass, if_exists => true)', [table]);
  await client.query('select add_compression_policy($1::text::regclass, compress_after => $2::interval)', [
    table,
    `${afterMs} milliseconds`,
  ]);
}

/** The result, or undefined when the database says no; a connection that fails is another matter. */
async function unlessRefused<Result>(
  work: () => Promise<Result>,
  refused: (error: DatabaseError) => void,
): Promise<Result | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    refused(error);
    return undefined;
  }
}

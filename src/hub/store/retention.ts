/**
 * Removes what is older than it is to be kept.
 *
 * Rows go only when the roll-ups know them: where a mark stands on a minute, its rows stay until it is worked out. Both
 * are looked at in one snapshot, or with the chunk locked, so that not even a row that comes very late slips between.
 *
 * Of a hypertable whole chunks are dropped, in both editions of TimescaleDB (its own retention policy, of the community
 * edition only, would not wait for the roll-ups). Plain tables lose their rows in small batches by the index.
 */
import type { Client } from 'pg';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { RetentionSettings } from '../settings.ts';
import { READING_TABLES, type ReadingTable } from './timescale.ts';

/** Rows of one transaction. */
const BATCH_ROWS = 5_000;
/** A call ends after so long, and says that there is more. */
const CALL_MS_MAX = 5_000;

const READINGS = { sensor_data: 'rawMs', events: 'eventsMs', measurements: 'measurementsMs' } as const;

const ROLLUPS = [
  { table: 'rollup_minutes', time: 'bucket', kept: 'rollupMinutesMs' },
  { table: 'state_minutes', time: 'bucket', kept: 'rollupMinutesMs' },
  { table: 'state_parts', time: 'minute', kept: 'rollupMinutesMs' },
  { table: 'rollup_hours', time: 'bucket', kept: 'rollupHoursMs' },
  { table: 'state_hours', time: 'bucket', kept: 'rollupHoursMs' },
] as const;

export interface RetentionParts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/**
 * Removes some seconds' worth; resolves to whether all is done. Only one hub may do it at a time, and not while roll-ups
 * are worked out.
 */
export async function applyRetention(
  client: Client,
  settings: RetentionSettings,
  { clock, log, signal }: RetentionParts,
): Promise<boolean> {
  const endMs = clock.monotonicMs() + CALL_MS_MAX;
  const isOver = (): boolean => signal.aborted || clock.monotonicMs() >= endMs;
  /** Calls again and again, with rests for who stores readings, while there is as much to remove as a batch holds. */
  const repeat = async (table: string, remove: () => Promise<number>): Promise<void> => {
    for (let removed = BATCH_ROWS; removed >= BATCH_ROWS && !isOver(); ) {
      const startMs = clock.monotonicMs();
      removed = await remove();
      if (removed > 0) log.debug('rows older than they are kept were removed', { table, rows: removed });
      if (removed === BATCH_ROWS) await clock.sleep(clock.monotonicMs() - startMs, signal);
    }
  };
  for (const table of READING_TABLES) {
    const keptMs = settings[READINGS[table]];
    if (keptMs === null) continue;
    const before = await cutOf(client, keptMs, 'minute');
    if (await isHypertable(client, table)) {
      for (const chunk of await oldChunks(client, table, before)) {
        if (isOver()) break;
        if (await dropChunk(client, table, chunk))
          log.info('readings older than they are kept were removed', { table, ...chunk });
      }
      continue;
    }
    for (const machineId of await machinesIn(client, table)) {
      await repeat(table, () => deleteReadings(client, table, machineId, before));
    }
  }
  for (const { table, time, kept } of ROLLUPS) {
    const keptMs = settings[kept];
    if (keptMs === null) continue;
    // By whole hours, so that an hour is never worked out from a part of its minutes.
    const before = await cutOf(client, keptMs, 'hour');
    if (table === 'rollup_minutes') await client.query(REMEMBER_CUT, [before]);
    await repeat(table, async () => {
      const { rowCount } = await client.query(
        `delete from ${table} where ctid = any(array(
          select ctid from ${table} where ${time} < $1::timestamptz limit ${BATCH_ROWS}))`,
        [before],
      );
      return rowCount ?? 0;
    });
  }
  return !isOver();
}

/** As text, since it goes back to the database as it is. */
async function cutOf(client: Client, keptMs: number, unit: 'minute' | 'hour'): Promise<string> {
  const { rows } = await client.query<{ before: string }>(
    `select date_trunc($1, now() - $2::double precision * interval '1 millisecond')::text as before`,
    [unit, keptMs],
  );
  return rows[0]?.before ?? '-infinity';
}

async function isHypertable(client: Client, table: ReadingTable): Promise<boolean> {
  const extension = await client.query(`select from pg_extension where extname = 'timescaledb'`);
  if (extension.rows.length === 0) return false;
  const { rows } = await client.query(
    `select from timescaledb_information.hypertables
    where hypertable_schema = current_schema() and hypertable_name = $1`,
    [table],
  );
  return rows.length > 0;
}

interface Chunk {
  readonly chunk: string;
  readonly from: string;
  readonly to: string;
}

/** Chunks with nothing in them that is to be kept, the oldest first. */
async function oldChunks(client: Client, table: ReadingTable, before: string): Promise<Chunk[]> {
  const { rows } = await client.query<Chunk>(
    `select format('%I.%I', chunk_schema, chunk_name) as chunk, range_start::text as from, range_end::text as to
    from timescaledb_information.chunks
    where hypertable_schema = current_schema() and hypertable_name = $1 and range_end <= $2::timestamptz
    order by range_start`,
    [table, before],
  );
  return rows;
}

/** While the chunk is locked, nobody adds a row and a mark. Resolves to false when roll-ups do not know all of it yet. */
async function dropChunk(client: Client, table: ReadingTable, { chunk, from, to }: Chunk): Promise<boolean> {
  await client.query('begin');
  try {
    await client.query(`lock table ${chunk} in access exclusive mode`);
    const { rows } = await client.query(
      `select from rollup_marks where minute >= $1::timestamptz and minute < $2::timestamptz
      union all select from rollup_backfill where before > $1::timestamptz limit 1`,
      [from, to],
    );
    if (rows.length === 0) {
      await client.query(
        'select drop_chunks($1::text::regclass, older_than => $3::timestamptz, newer_than => $2::timestamptz)',
        [table, from, to],
      );
    }
    await client.query('commit');
    return rows.length === 0;
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
}

/** Whoever has rows, registered or not; steps through the index from one to the next. */
async function machinesIn(client: Client, table: ReadingTable): Promise<string[]> {
  const { rows } = await client.query<{ machine_id: string }>(`
    with recursive machine as (
      (select machine_id from ${table} order by machine_id limit 1)
      union all
      select (select machine_id from ${table} where machine_id > machine.machine_id order by machine_id limit 1)
      from machine where machine_id is not null
    )
    select machine_id from machine where machine_id is not null`);
  return rows.map(({ machine_id }) => machine_id);
}

/** By the index on machine and time, oldest first. */
async function deleteReadings(client: Client, table: ReadingTable, machineId: string, before: string): Promise<number> {
  const { rowCount } = await client.query(
    `delete from ${table} where ctid = any(array(
      select ctid from ${table} as reading
      where machine_id = $1 and time < $2::timestamptz
        and not exists (select from rollup_backfill where machine_id = $1)
        and not exists (
          select from rollup_marks where machine_id = $1 and minute = date_trunc('minute', reading.time))
      order by time limit ${BATCH_ROWS}))`,
    [machineId, before],
  );
  return rowCount ?? 0;
}

/** The roll-up job leaves hours alone whose minutes are gone. */
const REMEMBER_CUT = `
  insert into rollup_cut (minutes_before) values ($1)
  on conflict (id) do update set minutes_before = greatest(rollup_cut.minutes_before, excluded.minutes_before)`;

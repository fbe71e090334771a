/** Reads that put together what roll-ups and rows say, as of one instant. */
import type { PoolClient } from 'pg';
import { microsOf, type Timestamp, timestampOf } from '../../model/time.ts';
import { faultKind } from './connection.ts';
import type { Span } from './cover.ts';
import type { ReadConnections } from './read-pools.ts';

/**
 * Runs the work with a connection whose queries all see the same. A replica that must catch up ends a query that stands in
 * its way (class 40 of the SQLSTATE); the same again succeeds.
 */
export async function inSnapshot<Result>(
  pool: ReadConnections,
  work: (client: PoolClient) => Promise<Result>,
): Promise<Result> {
  try {
    return await attempt(pool, work);
  } catch (error) {
    if (faultKind(error) !== 'conflict') throw error;
    return attempt(pool, work);
  }
}

async function attempt<Result>(pool: ReadConnections, work: (client: PoolClient) => Promise<Result>): Promise<Result> {
  const client = await pool.connect();
  let failed = true;
  try {
    await client.query('begin isolation level repeatable read, read only');
    const result = await work(client);
    await client.query('commit');
    failed = false;
    return result;
  } finally {
    if (failed)
      failed = await client.query('rollback').then(
        () => false,
        () => true,
      );
    client.release(failed);
  }
}

/** Minutes with a mark; and all before those that have got one at all, while the hub still goes through old rows. */
export async function unsettledMinutes(client: PoolClient, machineId: string, window: Span): Promise<Span[]> {
  const { rows } = await client.query<[first: Timestamp, beyond: Timestamp]>({
    rowMode: 'array',
    text: `
      (select minute, minute + interval '1 minute' from rollup_marks
        where machine_id = $1 and minute > $2::timestamptz - interval '1 minute' and minute < $3)
      union all
      (select $2::timestamptz, least(date_bin('1 minute', $3, '2000-01-01Z') + interval '1 minute', before)
        from rollup_backfill where machine_id = $1)`,
    values: [machineId, timestampOf(window.start), timestampOf(window.end)],
  });
  return rows.map(([first, beyond]) => ({ start: microsOf(first), end: microsOf(beyond) }));
}

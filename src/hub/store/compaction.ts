/**
 * Keeps the bookkeeping of identities small: batches that follow one another without a gap become one range, and
 * idempotency keys are forgotten when their time is over.
 *
 * Ranges and not one watermark for each log: a log's first batches may never come here (a sink that was added later
 * starts where it is told to, and a damaged batch is left out), and a watermark would wait for them for ever.
 */
import type { Client } from 'pg';
import { ADVISORY_LOCKS } from './connection.ts';

export interface Compacted {
  readonly batches: number;
  readonly keys: number;
}

/** Nothing is stored while this runs: it takes the advisory lock of the writers for itself. */
export async function compactSettled(client: Client): Promise<Compacted> {
  await client.query(`begin; select pg_advisory_xact_lock(${ADVISORY_LOCKS.settled})`);
  try {
    const { rows } = await client.query<{ batches: number }>(COLLAPSE);
    const expired = await client.query('delete from settled_keys where expires_at < now()');
    await client.query('commit');
    return { batches: rows[0]?.batches ?? 0, keys: expired.rowCount ?? 0 };
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
}

/**
 * Every batch is a range of one. Together with the ranges of its log that it may touch, those that follow one another
 * are islands: a new one begins where a range's first does not follow the highest last before it.
 */
const COLLAPSE = `
  with batches as (
    delete from settled_batches returning gateway_id, epoch, sequence
  ), logs as (
    select distinct gateway_id, epoch from batches
  ), known as (
    delete from settled_ranges using logs
    where settled_ranges.gateway_id = logs.gateway_id and settled_ranges.epoch = logs.epoch
    returning settled_ranges.gateway_id, settled_ranges.epoch, first_sequence, last_sequence
  ), pieces as (
    select gateway_id, epoch, sequence as first_sequence, sequence as last_sequence from batches
    union all select gateway_id, epoch, first_sequence, last_sequence from known
  ), marked as (
    select *, (first_sequence > 1 + max(last_sequence) over (
      partition by gateway_id, epoch order by first_sequence
      rows between unbounded preceding and 1 preceding)) is not false as begins
    from pieces
  ), islands as (
    select *, count(*) filter (where begins) over (partition by gateway_id, epoch order by first_sequence) as island
    from marked
  ), added as (
    insert into settled_ranges (gateway_id, epoch, first_sequence, last_sequence)
    select gateway_id, epoch, min(first_sequence), max(last_sequence) from islands
    group by gateway_id, epoch, island
  )
  select count(*) as batches from batches`;

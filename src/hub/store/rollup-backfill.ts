/** Marks for rows from before there were marks: hour by hour, newest first, whenever the roll-up job has nothing else. */
import type { Client } from 'pg';

/** Machines of one call; each gets the marks of one hour. */
const MACHINES_MAX = 16;

/**
 * Sets the next marks; resolves to whether there may be more. An hour's minutes are all marked, without looking which of
 * them have rows: a mark without rows costs less than the look.
 */
export async function markOlderRows(client: Client): Promise<boolean> {
  const { rows } = await client.query(`
    with due as (
      select machine_id, before from rollup_backfill order by before desc, machine_id limit ${MACHINES_MAX}
    ), newest as (
      select machine_id, date_trunc('hour', greatest(
        (select time from sensor_data where machine_id = due.machine_id and time < before order by time desc limit 1),
        (select time from events where machine_id = due.machine_id and time < before order by time desc limit 1))) as hour
      from due
    ), marked as (
      insert into rollup_marks (machine_id, minute)
      select machine_id, minute
      from newest cross join generate_series(hour, hour + interval '59 minutes', interval '1 minute') as minute
      order by machine_id, minute
      on conflict do nothing
    ), finished as (
      delete from rollup_backfill using newest
      where rollup_backfill.machine_id = newest.machine_id and hour is null
    ), advanced as (
      update rollup_backfill set before = hour from newest
      where rollup_backfill.machine_id = newest.machine_id and hour is not null
    )
    select from due limit 1`);
  return rows.length > 0;
}

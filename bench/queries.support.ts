/** The database of `bench/queries.ts`: what 100 machines leave in a day, and their roll-ups of thirty days. */
import pg from 'pg';
import { systemClock } from '../src/base/clock.ts';
import { silentLogger } from '../src/base/logger.ts';
import { migrate } from '../src/hub/store/migrations.ts';
import { rollUpAll } from '../src/hub/store/rollup.ts';
import type { EmbeddedPostgres } from '../src/up/postgres.ts';
import { MACHINES } from './ingest.support.ts';

export const DAY_MS = 86_400_000;
export const END_MS: number = Date.UTC(2026, 0, 31);
const DAY_START = timeOf(END_MS - DAY_MS);
const MONTH_START = timeOf(END_MS - 30 * DAY_MS);
const TURN_SECONDS = 10;
const STATE_SECONDS = 90;

export function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}

/** Makes the schema and all rows. @returns the number of samples */
export async function fillDatabase(
  server: EmbeddedPostgres,
  { database, othersHz }: { database: string; othersHz: number },
): Promise<number> {
  const { host, port, user, password } = server;
  const connect = async (): Promise<pg.Client> => {
    const client = new pg.Client({ host, port, user, password, database });
    await client.connect();
    await client.query(`set timezone to 'UTC'; set synchronous_commit to off; set jit to off`);
    return client;
  };
  const client = await connect();
  const other = await connect();
  try {
    await migrate(client, silentLogger);
    await client.query(MACHINE_ROWS, [MACHINES]);
    const halfTurns = DAY_MS / 1000 / TURN_SECONDS / 2;
    const [first, second] = await Promise.all([
      client.query(SAMPLES, [MACHINES, 0, halfTurns - 1, DAY_START, othersHz]),
      other.query(SAMPLES, [MACHINES, halfTurns, 2 * halfTurns - 1, DAY_START, othersHz]),
    ]);
    await client.query(STATE_EVENTS, [MACHINES, MONTH_START, timeOf(END_MS)]);
    await client.query(hours(), [MACHINES, MONTH_START, timeOf(END_MS)]);
    await client.query(minutes(), [MACHINES, DAY_START, timeOf(END_MS)]);
    await client.query('vacuum analyze');
    await client.query(MARKS, [DAY_START, timeOf(END_MS)]);
    await rollUpAll(client, { clock: systemClock, log: silentLogger });
    await client.query('vacuum analyze');
    await client.query('checkpoint');
    return (first.rowCount ?? 0) + (second.rowCount ?? 0);
  } finally {
    await client.end();
    await other.end();
  }
}

const MACHINE_ROWS = `
  insert into machines (id, name) select 'CNC-' || lpad(n::text, 3, '0'), 'CNC-' || n from generate_series(1, $1::integer) as n`;

/** From one turn to another, of all machines in each. Values are written as a machine sends them, to a few decimals. */
const SAMPLES = `
  insert into sensor_data (time, machine_id, temperature, spindle_speed, x_pos_mm, y_pos_mm, z_pos_mm, feed_rate_actual,
    spindle_load_percent, machine_state, active_program_line, total_power_kw)
  select $4::timestamptz + t * interval '1 second', 'CNC-' || lpad(machine::text, 3, '0'),
    floor((25 + 15 * sin(t / 1.6) + random()) * 100) / 100, floor((2500 + 500 * sin(t / 3.2) + 100 * random()) * 10) / 10,
    floor((100 + 50 * cos(t)) * 10000) / 10000, floor((100 + 50 * sin(t)) * 10000) / 10000,
    floor((10 + 5 * sin(t * 2)) * 10000) / 10000, floor((800 + 20 * random()) * 10) / 10,
    floor((40 + 10 * random()) * 10) / 10,
    (array['running', 'idle', 'alarm', 'hold'])[1 + (t / ${STATE_SECONDS})::integer % 4], (t * 10)::integer % 5000,
    floor((5 + random()) * 100) / 100
  from generate_series($2::integer, $3::integer) as turn
  cross join generate_series(1, $1::integer) as machine
  cross join lateral (select case when machine <= 2 then 10 else $5::double precision end as hz) as rate
  cross join lateral generate_series(0, (hz * ${TURN_SECONDS})::integer - 1) as n
  cross join lateral (select turn * ${TURN_SECONDS} + n / hz as t offset 0) as at`;

const STATE_EVENTS = `
  insert into events (time, machine_id, event_type, state, text)
  select time + machine * interval '1 millisecond', 'CNC-' || lpad(machine::text, 3, '0'), 'state',
    (array['running', 'idle', 'alarm', 'hold'])[1 + (extract(epoch from time) / ${STATE_SECONDS})::integer % 4], 'execution ACTIVE'
  from generate_series($2::timestamptz, $3::timestamptz - interval '1 second', interval '${STATE_SECONDS} seconds') as time
  cross join generate_series(1, $1::integer) as machine
  where machine <> 2`;

const ROLLED_SIGNALS =
  `unnest(array['temperature', 'spindle_speed', 'x_pos_mm', 'y_pos_mm', 'z_pos_mm', 'feed_rate_actual', ` +
  `'spindle_load_percent', 'active_program_line', 'total_power_kw']) as signal`;

/** In the job's form; for CNC-001 and CNC-002 the job replaces those of the last day. */
function hours(): string {
  return rollups({ table: 'rollup_hours', width: '1 hour', firstMachine: 1 });
}

function minutes(): string {
  return rollups({ table: 'rollup_minutes', width: '1 minute', firstMachine: 3 });
}

function rollups({ table, width, firstMachine }: { table: string; width: string; firstMachine: number }): string {
  return `
    insert into ${table} (machine_id, signal, bucket, samples, weight, min, max, weighted_sum, last, last_at)
    select 'CNC-' || lpad(machine::text, 3, '0'), signal, bucket, 1, 1, 10 * random(), 40 + 10 * random(),
      30 * random(), 30 * random(), bucket + interval '59.9 seconds'
    from generate_series($2::timestamptz, $3::timestamptz - interval '${width}', interval '${width}') as bucket
    cross join generate_series(${firstMachine}, $1::integer) as machine
    cross join ${ROLLED_SIGNALS}`;
}

const MARKS = `
  insert into rollup_marks (machine_id, minute)
  select machine_id, minute
  from generate_series($1::timestamptz, $2::timestamptz - interval '1 minute', interval '1 minute') as minute
  cross join unnest(array['CNC-001', 'CNC-002']) as machine_id`;

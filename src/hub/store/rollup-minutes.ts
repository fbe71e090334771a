/**
 * Roll-ups of the numeric signals: minutes from the rows, hours from the minutes.
 *
 * The statements work on what `marked` holds, in one transaction (rollup.ts):
 *
 *     marked ─▶ READ ─▶ minute_rows ─▶ MINUTES ─▶ rollup_minutes, changed_signals ─▶ HOURS ─▶ rollup_hours
 *
 * READ passes over the rows of a minute once and works out all columns side by side; to make a row of each value first
 * would take several times as long. `extra` is opened only in minutes that have any.
 */
import { SIGNALS } from '../../model/signals.ts';

/** The signals with a column of their own: `v0`, `v1` … in the statements. */
const COLUMNS = SIGNALS.filter(({ type }) => type !== 'text').map(({ name }) => name);

/** Keys of `extra` that are no signals (`isSignalKey`), and the state, which has roll-ups of its own. */
const NOT_SIGNALS = `'{machine_id,timestamp,kind,gateway_time,clock_quality,sampling_factor,read_from,machine_state}'::text[]`;

/** Temporary tables of the session, empty again after each transaction. */
export const MINUTE_TABLES: string = `
  create temporary table if not exists marked (machine_id text, minute timestamptz, mark bigint) on commit delete rows;
  create temporary table if not exists minute_rows (
    machine_id text, minute timestamptz, readings bigint, extras bigint, first_at timestamptz, last_at timestamptz,
    state_first_at timestamptz, state_least text, state_greatest text,
    ${each(
      (_, n) => `samples${n} bigint, weight${n} double precision, min${n} double precision, max${n} double precision,
      sum${n} double precision, last${n} double precision, at${n} timestamptz`,
    )}
  ) on commit delete rows;
  create temporary table if not exists changed_signals (machine_id text, signal text, hour timestamptz)
    on commit delete rows`;

/** What a row of `sensor_data` says of the state; null where it says nothing. */
export const STATE_WORD: string = `coalesce(machine_state, case when extra ? 'machine_state' then 'unknown' end)`;

/** Values beyond this, which no machine means, would overflow the sums: in a minute that did, they are passed over. */
const MAGNITUDE_MAX = '1e150';

interface Careful {
  /** Passes over values that could overflow; for a minute that has failed. */
  readonly careful: boolean;
}

/** Parameters: the first and the last minute of `marked`, by which the planner leaves out the chunks of other times. */
export function readStatement({ careful }: Careful): string {
  const weight = jsonNumber('extra', `'sampling_factor'`, careful);
  return `
    insert into minute_rows
    select marked.machine_id, marked.minute, whole.readings, extras, first_at, last_at,
      state_first_at, state_least, state_greatest,
      ${each((_, n) => `samples${n}, weight${n}, min${n}, max${n}, sum${n}, last${n}, at${n}`)}
    from marked
    cross join lateral (
      select count(*) as readings, count(extra) as extras, min(time) as first_at, max(time) as last_at,
        min(time) filter (where state is not null) as state_first_at,
        min(state collate "C") as state_least, max(state collate "C") as state_greatest,
        ${each((_, n) => {
          const isSaid = `filter (where v${n} is not null)`;
          return `count(v${n}) as samples${n}, sum(weight) ${isSaid} as weight${n}, min(v${n}) as min${n},
            max(v${n}) as max${n}, sum(v${n} * weight) as sum${n}, max(time) ${isSaid} as at${n}`;
        })}
      from (
        select time, extra, ${STATE_WORD} as state, coalesce(${weight}, 1) as weight,
          ${each((name, n) => `${column(name, careful)} as v${n}`)}
        from sensor_data
        where machine_id = marked.machine_id and time >= marked.minute and time < marked.minute + interval '1 minute'
          and time >= $1 and time < $2::timestamptz + interval '1 minute'
        offset 0 -- so that each expression is worked out once a row, and not once for each use
      ) as row
    ) as whole
    cross join lateral (
      select ${each((name, n) => `max(${column(name, careful)}) as newest${n}`)}
      from sensor_data
      where machine_id = marked.machine_id and time = whole.last_at
        and time >= $1 and time < $2::timestamptz + interval '1 minute'
    ) as newest
    cross join lateral (
      select ${each(
        (name, n) => `case when at${n} = whole.last_at then newest${n} when at${n} is not null then (
        select max(${column(name, careful)}) from sensor_data
        where machine_id = marked.machine_id and time = at${n}
          and time >= $1 and time < $2::timestamptz + interval '1 minute') end as last${n}`,
      )}
    ) as latest
    where whole.readings > 0`;
}

/** The parameters are those of {@link readStatement}. */
export function minutesStatement({ careful }: Careful): string {
  const number = jsonNumber('extra', 'key', careful);
  return `
    with standard as (
      select machine_id, minute, value.* from minute_rows cross join lateral (values
        ${each((name, n) => `('${name}', samples${n}, weight${n}, min${n}, max${n}, sum${n}, last${n}, at${n})`)}
      ) as value (signal, samples, weight, min, max, sum, last, last_at)
      where samples > 0
    ), opened as (
      select minute_rows.machine_id, minute, item.* from minute_rows cross join lateral (
        select key as signal, count(value) as samples, sum(weight) filter (where value is not null) as weight,
          min(value) as min, max(value) as max, sum(value * weight) as sum,
          max(time) filter (where value is not null) as last_at, max(time) filter (where is_null) as gone_at
        from (
          select time, key, ${number} as value, jsonb_typeof(item.value) = 'null' as is_null,
            coalesce(${jsonNumber('extra', `'sampling_factor'`, careful)}, 1) as weight
          from sensor_data
          cross join lateral jsonb_each(case when jsonb_typeof(extra) = 'object' then extra end) as item (key, value)
          where machine_id = minute_rows.machine_id and time >= minute and time < minute + interval '1 minute'
            and time >= $1 and time < $2::timestamptz + interval '1 minute'
            and jsonb_typeof(item.value) in ('number', 'null') and key <> all (${NOT_SIGNALS})
          offset 0
        ) as row
        where value is not null or is_null
        group by key
      ) as item
      where extras > 0
    ), extra as (
      select machine_id, minute, signal, samples, weight, min, max, sum, last_at, gone_at, (
        select max(${jsonNumber('extra', 'opened.signal', careful)}) from sensor_data
        where machine_id = opened.machine_id and time = opened.last_at
          and time >= $1 and time < $2::timestamptz + interval '1 minute') as last
      from opened
    ), changed as (
      insert into rollup_minutes
        (machine_id, signal, bucket, samples, weight, min, max, weighted_sum, last, last_at, gone_at)
      select machine_id, signal, minute, sum(samples), coalesce(sum(weight), 0), min(min), max(max), sum(sum), max(last),
        max(last_at), max(gone_at)
      from (
        select machine_id, minute, signal, samples, weight, min, max, sum, last, last_at, null as gone_at from standard
        union all
        select machine_id, minute, signal, samples, weight, min, max, sum, last, last_at, gone_at from extra) as part
      group by machine_id, signal, minute
      ${upsert('rollup_minutes')}
      returning machine_id, signal, bucket
    )
    insert into changed_signals
    select distinct machine_id, signal, date_trunc('hour', bucket) from changed`;
}

export const HOURS: string = `
  insert into rollup_hours
    (machine_id, signal, bucket, samples, weight, min, max, weighted_sum, last, last_at, gone_at)
  select machine_id, signal, hour, hourly.* from changed_signals cross join lateral (
    select sum(samples), sum(weight), min(min), max(max), sum(weighted_sum),
      (array_agg(last order by last_at desc) filter (where last_at is not null))[1], max(last_at), max(gone_at)
    from rollup_minutes
    where machine_id = changed_signals.machine_id and signal = changed_signals.signal
      and bucket >= hour and bucket < hour + interval '1 hour'
  ) as hourly
  where not exists (select from rollup_cut where hour < minutes_before)
  ${upsert('rollup_hours')}`;

/**
 * Where rows have been removed by now, what is left does not replace what knew more: without that, a minute's samples only
 * become more, or are the same ones and a newer null.
 */
function upsert(table: 'rollup_minutes' | 'rollup_hours'): string {
  return `on conflict (machine_id, signal, bucket) do update
    set samples = excluded.samples, weight = excluded.weight, min = excluded.min, max = excluded.max,
      weighted_sum = excluded.weighted_sum, last = excluded.last, last_at = excluded.last_at,
      gone_at = greatest(excluded.gone_at, ${table}.gone_at)
    where excluded.samples > ${table}.samples
      or (excluded.samples = ${table}.samples and excluded.last_at is not distinct from ${table}.last_at)`;
}

/** A piece of the statement for each column, with its number. */
function each(piece: (name: string, n: number) => string): string {
  return COLUMNS.map(piece).join(', ');
}

function column(name: string, careful: boolean): string {
  return bounded(`${name}::double precision`, careful);
}

/** The number under a key of a JSON object; null where there is something else. */
function jsonNumber(object: string, key: string, careful: boolean): string {
  const value = `${object} -> ${key}`;
  // A number that other programs have stored may be too large even to be converted.
  const isUsable = careful
    ? `case when jsonb_typeof(${value}) = 'number' then abs((${value})::numeric) < ${MAGNITUDE_MAX} end`
    : `jsonb_typeof(${value}) = 'number'`;
  return `case when ${isUsable} then (${value})::double precision end`;
}

function bounded(value: string, careful: boolean): string {
  return careful ? `case when abs(${value}) < ${MAGNITUDE_MAX} then ${value} end` : value;
}

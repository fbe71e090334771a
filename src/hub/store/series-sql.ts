/**
 * The statements of a chart. Each gives one row for a bucket and a signal, in the columns of {@link Part}, so that what
 * comes from different tables can be put together.
 */
import { signalNamed } from '../../model/signals.ts';

/**
 * Number of the signal (from 1), bucket, minimum, maximum, sum and weight of the mean, last value, its time, and the time
 * of the newest explicit null. Times are in seconds since 1970.
 */
export type Part = readonly [
  signal: number,
  bucket: number,
  min: number | null,
  max: number | null,
  sum: number | null,
  weight: number | null,
  last: number | null,
  lastAt: number | null,
  goneAt: number | null,
];

/** A number that no machine means, and that would make the sum of a mean overflow. */
const MAGNITUDE_MAX = '1e150';

/**
 * From the rows: one scan for all signals; the last values are then looked up by the index, at the times that the scan has
 * found. Parameters: machine, starts and ends of the spans, width and origin of the buckets, the names of the signals.
 */
export function rowsStatement(signals: readonly string[]): string {
  const parts = signals.map((name, index) => {
    const { value, gone } = expressionsOf(name, `($6::text[])[${index + 1}]`);
    return {
      row: `${value} as v${index}, ${gone} as gone${index}`,
      bucket: `min(v${index}) as min${index}, max(v${index}) as max${index},
        sum(v${index} * weight) filter (where abs(v${index}) < ${MAGNITUDE_MAX}) as sum${index},
        sum(weight) filter (where abs(v${index}) < ${MAGNITUDE_MAX}) as weight${index},
        max(time) filter (where v${index} is not null) as at${index}, max(time) filter (where gone${index}) as gone${index}`,
      result: `(${index + 1}, min${index}, max${index}, sum${index}, weight${index},
        (select max(${value}) from sensor_data where machine_id = $1 and time = at${index}), at${index}, gone${index})`,
    };
  });
  return `
    with rows as (
      select time, case when jsonb_typeof(extra -> 'sampling_factor') = 'number'
          then (extra -> 'sampling_factor')::double precision else 1 end as weight,
        ${parts.map(({ row }) => row).join(', ')}
      from unnest($2::timestamptz[], $3::timestamptz[]) as span (first, beyond)
      cross join lateral (
        select * from sensor_data where machine_id = $1 and time >= first and time < beyond
          -- Known when the statement is planned, so that the chunks of other times are left out.
          and time >= ($2::timestamptz[])[1] and time < ($3::timestamptz[])[cardinality($3::timestamptz[])]
        offset 0 -- so that each span is looked up by the index, and not in all rows from the first span to the last
      ) as row
      offset 0 -- so that each expression is worked out once a row, and not once for each use
    ), buckets as (
      select date_bin($4::interval, time, $5::timestamptz) as bucket, ${parts.map(({ bucket }) => bucket).join(', ')}
      from rows group by 1
    )
    select n, ${seconds('bucket')}, low, high, sum, weight, last, ${seconds('last_at')}, ${seconds('gone_at')}
    from buckets cross join lateral (values ${parts.map(({ result }) => result).join(', ')})
      as part (n, low, high, sum, weight, last, last_at, gone_at)
    where last_at is not null or gone_at is not null`;
}

/** From roll-ups. The parameters are those of {@link rowsStatement}. */
export function rollupsStatement(table: 'rollup_minutes' | 'rollup_hours'): string {
  const width = table === 'rollup_minutes' ? '1 minute' : '1 hour';
  return `
    with buckets as (
      select n, wanted.signal, date_bin($4::interval, known.bucket, $5::timestamptz) as bucket,
        min(min) as low, max(max) as high, sum(weighted_sum) as sum, sum(weight) as weight,
        max(last_at) as last_at, max(gone_at) as gone_at
      from unnest($6::text[]) with ordinality as wanted (signal, n)
      cross join unnest($2::timestamptz[], $3::timestamptz[]) as span (first, beyond)
      cross join lateral (
        select * from ${table} as known
        where machine_id = $1 and known.signal = wanted.signal and known.bucket >= first and known.bucket < beyond
        offset 0
      ) as known
      group by 1, 2, 3
    )
    select n, ${seconds('bucket')}, low, high, sum, weight,
      (select last from ${table} as known where machine_id = $1 and known.signal = buckets.signal
        and known.bucket = date_bin('${width}', buckets.last_at, '2000-01-01Z')),
      ${seconds('last_at')}, ${seconds('gone_at')}
    from buckets`;
}

/**
 * The newest word on each signal before an instant, from the newest minute that was rolled up and from the rows of spans
 * that may hold a newer one; no row for a signal of which there is none. Parameters: machine, starts and ends of the
 * spans, the window's start and end, the names of the signals. Of the words of one instant the same one counts as in a
 * bucket: the largest value, and null only where there is none.
 */
export function beforeStatement(signals: readonly string[]): string {
  const words = signals.map((name, index) => {
    const signal = `($6::text[])[${index + 1}]`;
    const { value, gone } = expressionsOf(name, signal);
    return `
      select ${index + 1}, ${seconds('time')}, value from (
        (select greatest(last_at, gone_at) as time, case when last_at >= gone_at or gone_at is null then last end as value
          from rollup_minutes
          where machine_id = $1 and signal = ${signal} and bucket >= $4 and bucket <= $5::timestamptz - interval '1 minute'
          order by bucket desc limit 1)
        union all
        (select word.* from unnest($2::timestamptz[], $3::timestamptz[]) as span (first, beyond)
          cross join lateral (
            select time, ${value} as value from sensor_data
            where machine_id = $1 and time >= first and time < beyond and time >= $4 and time < $5
              and (${value} is not null or ${gone})
            order by time desc, value desc nulls last limit 1) as word
          order by 1 desc limit 1)
        order by time desc, value desc nulls last limit 1
      ) as newest`;
  });
  return words.map((word) => `(${word})`).join(' union all ');
}

/** A signal's value in a row of `sensor_data`, and whether the row says that it became unavailable. */
function expressionsOf(name: string, parameter: string): { value: string; gone: string } {
  // Under a column's name there is nothing but null.
  if (signalNamed(name) !== undefined) return { value: `${name}::double precision`, gone: `extra ? ${parameter}` };
  const item = `extra -> ${parameter}`;
  return {
    value: `case when jsonb_typeof(${item}) = 'number' then (${item})::double precision end`,
    gone: `jsonb_typeof(${item}) = 'null'`,
  };
}

/** `extract` would go by way of `numeric`, and take several times as long. */
function seconds(time: string): string {
  return `date_part('epoch', ${time})`;
}

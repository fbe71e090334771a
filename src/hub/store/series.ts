/** Charts: minimum, maximum and last value of each signal per bucket of time, worked out in the database. */
import type { Pool } from 'pg';
import { MillwrightError } from '../../base/errors.ts';
import type { Series, SeriesColumns } from '../../model/api.ts';
import { signalNamed } from '../../model/signals.ts';
import { microsOf } from '../../model/time.ts';
import type { TimeWindow } from './reader.ts';

export const SERIES_SIGNALS_MAX = 10;
export const SERIES_POINTS_MAX = 5_000;

export interface SeriesRequest extends TimeWindow {
  readonly machineId: string;
  /** Standard signals, or names of `extra`. */
  readonly signals: readonly string[];
  /** At most so many buckets. */
  readonly points: number;
}

/**
 * One scan for all signals; the last values are then looked up by the index, at the times that the scan has found.
 *
 * A signal that was unavailable at the end of a bucket gets a null: at the bucket's start where the bucket has no value,
 * else behind it, at the instant of the last word, so that neither the values nor the gap are lost.
 * @throws `bad_request` for a signal that is no number
 */
export async function readSeries(pool: Pool, request: SeriesRequest): Promise<Series> {
  const { machineId, signals, points, start, end } = request;
  for (const name of signals) {
    if (signalNamed(name)?.type === 'text') {
      throw new MillwrightError('bad_request', `signals: ${name} is text, and only numbers can be charted`);
    }
  }
  const bucketMicros = Math.max(1, Math.ceil((microsOf(end) - microsOf(start)) / points));
  const { rows } = await pool.query<(number | null)[]>({
    rowMode: 'array',
    text: seriesSql(signals),
    values: [machineId, start, end, `${bucketMicros} microseconds`, ...signals],
  });
  const columns = signals.map((name, index) => [name, columnsOf(rows, 1 + index * COLUMNS_PER_SIGNAL)] as const);
  return {
    start_time: start,
    end_time: end,
    bucket_seconds: bucketMicros / 1e6,
    signals: Object.fromEntries(columns),
  };
}

const COLUMNS_PER_SIGNAL = 5;

function seriesSql(signals: readonly string[]): string {
  const parts = signals.map((name, index) => {
    const parameter = `$${5 + index}::text`;
    const isColumn = signalNamed(name) !== undefined;
    const value = isColumn
      ? `${name}::double precision`
      : `case when jsonb_typeof(extra -> ${parameter}) = 'number' then (extra -> ${parameter})::double precision end`;
    // Under a column's name there is nothing but null.
    const gone = isColumn ? `extra ? ${parameter}` : `jsonb_typeof(extra -> ${parameter}) = 'null'`;
    return {
      row: `${value} as v${index}, ${gone} as gone${index}`,
      bucket: `min(v${index}) as min${index}, max(v${index}) as max${index},
        max(time) filter (where v${index} is not null) as at${index}, max(time) filter (where gone${index}) as gone${index}`,
      result: `min${index}, max${index},
        (select ${value} from sensor_data where machine_id = $1 and time = at${index} and ${value} is not null limit 1),
        extract(epoch from at${index})::double precision, extract(epoch from gone${index})::double precision`,
    };
  });
  return `
    with rows as (
      select time, ${parts.map(({ row }) => row).join(', ')}
      from sensor_data where machine_id = $1 and time >= $2 and time < $3
      offset 0 -- so that each expression is worked out once a row, and not once for each use
    ), buckets as (
      select date_bin($4::interval, time, $2::timestamptz) as bucket, ${parts.map(({ bucket }) => bucket).join(', ')}
      from rows group by 1
    )
    select extract(epoch from bucket)::double precision, ${parts.map(({ result }) => result).join(', ')}
    from buckets order by bucket`;
}

/** `first` is the column of the signal's minimum; maximum, last, its time and the time of the last null follow. */
function columnsOf(rows: readonly (number | null)[][], first: number): SeriesColumns {
  const time: number[] = [];
  const min: (number | null)[] = [];
  const max: (number | null)[] = [];
  const last: (number | null)[] = [];
  for (const row of rows) {
    const bucket = row[0] ?? 0;
    const [low = null, high = null, newest = null, at = null, gone = null] = row.slice(
      first,
      first + COLUMNS_PER_SIGNAL,
    );
    if (low !== null) {
      time.push(bucket);
      min.push(low);
      max.push(high);
      last.push(newest);
    }
    if (gone !== null && (at === null || gone > at)) {
      time.push(low === null ? bucket : gone);
      min.push(null);
      max.push(null);
      last.push(null);
    }
  }
  return { time, min, max, last };
}

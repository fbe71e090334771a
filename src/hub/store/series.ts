/**
 * Charts: minimum, maximum, mean and last value of each signal per bucket of time, worked out in the database.
 *
 * Long windows are read from the roll-ups, and what these do not know yet, or what the window cuts, from the rows: the
 * answer is complete at any time. All of it is read in one snapshot, so that a minute that is being rolled up meanwhile is
 * neither missed nor counted twice.
 */
import { MillwrightError } from '../../base/errors.ts';
import type { Series, SeriesColumns, SeriesValue } from '../../model/api.ts';
import { isSignalKey } from '../../model/reading.ts';
import { signalNamed } from '../../model/signals.ts';
import { microsOf, timestampOf } from '../../model/time.ts';
import { coverOf, floorTo, HOUR_MICROS, MINUTE_MICROS, type Source, type Span } from './cover.ts';
import type { ReadConnections } from './read-pools.ts';
import type { TimeWindow } from './reader.ts';
import { inSnapshot, unsettledMinutes } from './snapshot.ts';
import { beforeStatement, type Part, rollupsStatement, rowsStatement } from './series-sql.ts';

export const SERIES_SIGNALS_MAX = 10;
export const SERIES_POINTS_MAX = 5_000;

/** A bucket draws three values, its extremes and its last: a third of the points asked for shows all that they could. */
const VALUES_PER_BUCKET = 3;
/** A value from before the window is not spoken of when it is older than this: the pages call such data dated. */
const BEFORE_MICROS_MAX = 3 * 24 * HOUR_MICROS;

export interface SeriesRequest extends TimeWindow {
  readonly machineId: string;
  /** Standard signals, or names of `extra`. */
  readonly signals: readonly string[];
  /** At most so many buckets. */
  readonly points: number;
}

/**
 * A signal that was unavailable at the end of a bucket gets a null: at the bucket's start where the bucket has no value,
 * else behind it, at the instant of the last word, so that neither the values nor the gap are lost.
 * @throws `bad_request` for a signal that is no number
 */
export async function readSeries(pool: ReadConnections, request: SeriesRequest): Promise<Series> {
  const { machineId, signals, start, end } = request;
  for (const name of signals) {
    if (signalNamed(name)?.type === 'text' || !isSignalKey(name)) {
      throw new MillwrightError('bad_request', `signals: ${name} is text, and only numbers can be charted`);
    }
  }
  const window: Span = { start: microsOf(start), end: microsOf(end) };
  const grid = gridOf(window, request.points);
  const earliest = floorTo(window.start - BEFORE_MICROS_MAX, MINUTE_MICROS);
  const { parts, before } = await inSnapshot(pool, async (client) => {
    const unsettled = await unsettledMinutes(client, machineId, { start: earliest, end: window.end });
    const ask = async <Row>(text: string, spans: readonly Span[], from: unknown, to: unknown): Promise<Row[]> => {
      const [starts, ends] = [spans.map((span) => timestampOf(span.start)), spans.map((span) => timestampOf(span.end))];
      const values = [machineId, starts, ends, from, to, signals];
      return (await client.query({ rowMode: 'array', text, values })).rows as Row[];
    };
    const cover = coverOf(window, unsettled, grid.source);
    const found: Part[][] = [];
    for (const source of ['hours', 'minutes', 'rows'] as const) {
      if (cover[source].length === 0) continue;
      const text = source === 'rows' ? rowsStatement(signals) : rollupsStatement(`rollup_${source}`);
      const width = `${grid.bucketMicros} microseconds`;
      found.push(await ask<Part>(text, cover[source], width, timestampOf(grid.originMicros)));
    }
    const past = { start: earliest, end: window.start };
    const { rows } = coverOf(past, unsettled, 'minutes');
    const words = await ask<Word>(beforeStatement(signals), rows, timestampOf(past.start), start);
    return { parts: found.flat(), before: words };
  });
  const columns = signals.map((name, index) => {
    const own = parts.filter(([signal]) => signal === index + 1);
    const word = before.find(([signal]) => signal === index + 1);
    return [name, columnsOf(merged(own), valueOf(word))] as const;
  });
  return {
    start_time: start,
    end_time: end,
    bucket_seconds: grid.bucketMicros / 1e6,
    signals: Object.fromEntries(columns),
  };
}

interface Grid {
  /** The coarsest that may be read. */
  readonly source: Source;
  readonly bucketMicros: number;
  /** Where the first bucket begins. */
  readonly originMicros: number;
}

/** At most so many buckets, none finer than its source, and each of whole minutes or hours where these are the source. */
function gridOf({ start, end }: Span, points: number): Grid {
  for (const [source, unit] of [
    ['hours', HOUR_MICROS],
    ['minutes', MINUTE_MICROS],
  ] as const) {
    const units = (end - start) / unit;
    if (units < 1 || units * VALUES_PER_BUCKET < points) continue;
    const originMicros = floorTo(start, unit);
    return { source, bucketMicros: unit * Math.ceil((end - originMicros) / unit / points), originMicros };
  }
  return { source: 'rows', bucketMicros: Math.max(1, Math.ceil((end - start) / points)), originMicros: start };
}

/** The newest word on a signal; `value` null: it was unavailable. */
type Word = readonly [signal: number, time: number, value: number | null];

function valueOf(word: Word | undefined): SeriesValue | null {
  if (word === undefined) return null;
  const [, time, value] = word;
  return value === null ? null : { time, value };
}

/** Of one signal: one part for each bucket, in the order of time. */
function merged(parts: readonly Part[]): Part[] {
  const buckets = new Map<number, Part>();
  for (const part of parts) {
    const other = buckets.get(part[1]);
    buckets.set(part[1], other === undefined ? part : joinedPart(other, part));
  }
  return [...buckets.values()].sort((a, b) => a[1] - b[1]);
}

function joinedPart(a: Part, b: Part): Part {
  const [signal, bucket] = a;
  const [, , , , , , last, lastAt] = (a[7] ?? -Infinity) >= (b[7] ?? -Infinity) ? a : b;
  const least = of(Math.min, a[2], b[2]);
  const greatest = of(Math.max, a[3], b[3]);
  const add = (x: number, y: number): number => x + y;
  return [
    signal,
    bucket,
    least,
    greatest,
    of(add, a[4], b[4]),
    of(add, a[5], b[5]),
    last,
    lastAt,
    of(Math.max, a[8], b[8]),
  ];
}

function of(both: (x: number, y: number) => number, x: number | null, y: number | null): number | null {
  return x === null ? y : y === null ? x : both(x, y);
}

function columnsOf(parts: readonly Part[], before: SeriesValue | null): SeriesColumns {
  const time: number[] = [];
  const [min, max, mean, last] = [[], [], [], []] as [Cell[], Cell[], Cell[], Cell[]];
  for (const [, bucket, low, high, sum, weight, newest, lastAt, goneAt] of parts) {
    if (lastAt !== null) {
      time.push(bucket);
      min.push(low);
      max.push(high);
      mean.push(sum === null || weight === null || weight <= 0 ? null : sum / weight);
      last.push(newest);
    }
    if (goneAt !== null && (lastAt === null || goneAt > lastAt)) {
      time.push(lastAt === null ? bucket : goneAt);
      for (const column of [min, max, mean, last]) column.push(null);
    }
  }
  return { time, min, max, mean, last, before };
}

type Cell = number | null;

/**
 * The samples of one window, bucket by bucket, as the hub sent them and as live samples go on filling them; and their
 * columns in the form that the chart draws. Pure. Times are in ms since 1970.
 */
import type { Series } from '../../model/api.ts';
import type { JsonValue } from '../../model/reading.ts';

/** A silence of so many periods is drawn as a gap. */
const GAP_PERIODS = 3;

type Cell = number | null;

export interface Columns {
  readonly time: number[];
  readonly min: Cell[];
  readonly max: Cell[];
  readonly last: Cell[];
}

export class SeriesBuffer {
  readonly bucketMs: number;
  readonly #signals: Map<string, Columns>;
  /** Of each signal the newest value before the first bucket, if there was one. */
  readonly #before: Map<string, number>;
  /** Of the window. */
  #startMs: number;
  /** Live buckets continue the hub's grid. */
  readonly #anchorMs: number;

  constructor(series: Series) {
    this.bucketMs = series.bucket_seconds * 1000;
    this.#signals = new Map();
    this.#before = new Map();
    this.#startMs = Date.parse(series.start_time);
    let anchorMs = this.#startMs;
    for (const [name, { time, min, max, last, before }] of Object.entries(series.signals)) {
      if (before !== null) this.#before.set(name, before.value);
      this.#signals.set(name, {
        time: time.map((seconds) => seconds * 1000),
        min: [...min],
        max: [...max],
        last: [...last],
      });
      if (time[0] !== undefined) anchorMs = time[0] * 1000;
    }
    this.#anchorMs = anchorMs;
  }

  columns(signal: string): Columns {
    return this.#signals.get(signal) ?? { time: [], min: [], max: [], last: [] };
  }

  /** Columns of a signal whose value holds until the next one: they begin with the value that held at the window's start. */
  heldColumns(signal: string): Columns {
    const { time, min, max, last } = this.columns(signal);
    const before = this.#before.get(signal);
    if (before === undefined || (time[0] ?? Number.POSITIVE_INFINITY) <= this.#startMs) return { time, min, max, last };
    return {
      time: [this.#startMs, ...time],
      min: [before, ...min],
      max: [before, ...max],
      last: [before, ...last],
    };
  }

  /** Puts a live sample into its buckets. An explicit null makes a bucket without a value unavailable. */
  add(sample: { readonly [key: string]: JsonValue }): void {
    const timestamp = sample['timestamp'];
    if (typeof timestamp !== 'string') return;
    const bucketMs = this.#bucketOf(Date.parse(timestamp));
    for (const [name, columns] of this.#signals) {
      const value = sample[name];
      if (typeof value === 'number' || value === null) merge(columns, bucketMs, value);
    }
  }

  dropBefore(timeMs: number): void {
    this.#startMs = Math.max(this.#startMs, timeMs);
    for (const [name, { time, min, max, last }] of this.#signals) {
      const from = lowerBound(time, timeMs - this.bucketMs);
      if (from === 0) continue;
      const before = last[from - 1] ?? null;
      if (before === null) this.#before.delete(name);
      else this.#before.set(name, before);
      for (const column of [time, min, max, last]) column.splice(0, from);
    }
  }

  #bucketOf(timeMs: number): number {
    return this.#anchorMs + Math.floor((timeMs - this.#anchorMs) / this.bucketMs) * this.bucketMs;
  }
}

/** What the chart draws: the x of all signals together, and for each signal max, min and last. */
export interface Drawing {
  readonly x: number[];
  /** `undefined`: this signal said nothing at that x, the line goes through. `null`: the line is broken. */
  readonly y: (Cell | undefined)[][];
}

/**
 * @param held set for a machine that reports on change: a value then holds until the next one, at most until this
 *   instant (the last sign of life), and silence is no gap
 */
export function drawingOf(buffer: SeriesBuffer, signals: readonly string[], held: number | null): Drawing {
  const sources = signals.map((signal) => {
    const columns = held === null ? buffer.columns(signal) : buffer.heldColumns(signal);
    return { columns, breaks: held === null ? breaksOf(columns.time, buffer.bucketMs) : [] };
  });
  const times = new Set<number>();
  for (const { columns, breaks } of sources) {
    for (const time of columns.time) times.add(time);
    for (const time of breaks) times.add(time);
  }
  if (held !== null && times.size > 0) times.add(Math.max(held, ...lastTimes(sources.map(({ columns }) => columns))));
  const x = [...times].sort((a, b) => a - b);
  const indexOf = new Map(x.map((time, index) => [time, index]));
  const y = sources.flatMap(({ columns, breaks }) => {
    return [columns.max, columns.min, columns.last].map((cells) => {
      const drawn: (Cell | undefined)[] = new Array(x.length).fill(undefined);
      for (const time of breaks) drawn[indexOf.get(time) ?? 0] = null;
      columns.time.forEach((time, at) => {
        drawn[indexOf.get(time) ?? 0] = cells[at];
      });
      // A held value is carried by what was last said, not by the extremes of its bucket.
      if (held !== null && x.length > 0) drawn[x.length - 1] ??= columns.last.at(-1) ?? null;
      return drawn;
    });
  });
  return { x, y };
}

/** Where the line must be broken: just behind the last bucket before each silence. */
export function breaksOf(time: readonly number[], bucketMs: number): number[] {
  const steps: number[] = [];
  for (let at = 1; at < time.length; at++) steps.push((time[at] ?? 0) - (time[at - 1] ?? 0));
  const gapMs = GAP_PERIODS * Math.max(bucketMs, median(steps)) + bucketMs / 100;
  return steps.flatMap((step, at) => (step > gapMs ? [(time[at] ?? 0) + bucketMs] : []));
}

export interface Extremes {
  readonly last: number | null;
  readonly min: number | null;
  readonly max: number | null;
}

/** Of what lies within the window. `last` is null when the newest word was "not available". */
export function extremesOf({ time, min, max, last }: Columns, fromMs: number, toMs: number): Extremes {
  let least: number | null = null;
  let greatest: number | null = null;
  let newest: number | null = null;
  for (let at = lowerBound(time, fromMs); at < time.length && (time[at] ?? 0) <= toMs; at++) {
    const low = min[at] ?? null;
    const high = max[at] ?? null;
    if (low !== null && (least === null || low < least)) least = low;
    if (high !== null && (greatest === null || high > greatest)) greatest = high;
    newest = last[at] ?? null;
  }
  return { last: newest, min: least, max: greatest };
}

/** The bucket at an instant, or the one before it that still counts there; undefined when there is none near. */
export function bucketAt(columns: Columns, timeMs: number, reachMs: number): number | undefined {
  const at = lowerBound(columns.time, timeMs + 0.5) - 1;
  const time = columns.time[at];
  return time !== undefined && timeMs - time <= reachMs ? at : undefined;
}

function merge(columns: Columns, bucketMs: number, value: Cell): void {
  const { time, min, max, last } = columns;
  const at = lowerBound(time, bucketMs - 0.5);
  const found = time[at];
  if (found === undefined || found - bucketMs > 0.5) {
    time.splice(at, 0, bucketMs);
    for (const column of [min, max, last]) column.splice(at, 0, value);
    return;
  }
  last[at] = value;
  if (value === null) return;
  min[at] = Math.min(min[at] ?? value, value);
  max[at] = Math.max(max[at] ?? value, value);
}

function lastTimes(columns: readonly Columns[]): number[] {
  return columns.flatMap(({ time }) => time.at(-1) ?? []);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
}

/** Index of the first entry that is not below `value`. */
function lowerBound(sorted: readonly number[], value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

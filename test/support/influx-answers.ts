/** What InfluxDB answers to the queries of the dashboards' panels, and what it is compared with. */
import assert from 'node:assert/strict';
import type { Measurement } from '../../src/model/reading.ts';
import type { EdgeStatus, SinkStatus } from '../../src/model/status.ts';
import { microsOf } from '../../src/model/time.ts';

export const START_MS: number = Date.UTC(2026, 0, 1, 8);
export const HOUR_MS = 3_600_000;
export const INTERVAL_MS: number = 5 * 60_000;
/** A name with what has a meaning in regular expressions and in InfluxQL. */
export const OTHER = "CMM/2 (Hall+) 'B'";
export const GATEWAY = 'EDGE-001';

/** What went through an edge to InfluxDB. */
export interface InfluxRun {
  /** What InfluxDB answers to it. */
  readonly ask: (query: string) => Promise<Series[]>;
  /** By machine, in the order of time, as the processors leave them. */
  readonly measured: ReadonlyMap<string, readonly Measurement[]>;
  /** When the edge ran, and what it told of itself: all read and the MES down, just before that started, all delivered. */
  readonly startedMs: number;
  readonly stoppedMs: number;
  readonly down: EdgeStatus;
  readonly beforeMes: EdgeStatus;
  readonly drained: EdgeStatus;
  /** An outage of InfluxDB: when it began and ended, and what the edge told of itself towards its end. */
  readonly cut: { readonly fromMs: number; readonly toMs: number; readonly status: EdgeStatus };
}

export interface Series {
  readonly name: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly columns: readonly string[];
  readonly values: readonly (readonly unknown[])[];
}

export type Column = readonly [name: string, value: (measurement: Measurement) => number | undefined];

export function sinkOf(status: EdgeStatus, name: string): SinkStatus {
  return status.sinks.find((sink) => sink.name === name) ?? assert.fail(`no sink ${name}`);
}

export function rowsOf(series: Series | undefined): Record<string, unknown>[] {
  return (series?.values ?? []).map((row) =>
    Object.fromEntries(row.map((value, index) => [series?.columns[index], value])),
  );
}

export function tagsOf(answer: readonly Series[] | undefined, tag: string): string[] {
  return (answer ?? []).map(({ tags }) => tags?.[tag] ?? '').sort();
}

/** Of an answer with one series and one row. */
export function single(answers: readonly (readonly Series[])[], column: string, characteristic?: string): number {
  assert.equal(answers.length, 1);
  assert.equal(answers[0]?.length, 1);
  const [series] = answers[0] ?? [];
  if (characteristic !== undefined) assert.deepEqual(series?.tags, { characteristic });
  const rows = rowsOf(series);
  assert.equal(rows.length, 1);
  return Number(rows[0]?.[column]);
}

export function sumOf(series: Series | undefined): number {
  return (series?.values ?? []).reduce((sum, row) => sum + Number(row[1]), 0);
}

/** That each bucket has the mean of what was measured in it, and that none is missing. */
export function assertBuckets(
  series: Series | undefined,
  measurements: readonly Measurement[],
  columns: readonly Column[],
  what: string,
): void {
  const buckets = Map.groupBy(measurements, ({ timestamp }) => {
    return Math.floor(microsOf(timestamp) / 1000 / INTERVAL_MS) * INTERVAL_MS;
  });
  const rows = rowsOf(series);
  assert.deepEqual(
    rows.map(({ time }) => time),
    [...buckets.keys()],
    what,
  );
  for (const row of rows) {
    for (const [name, value] of columns) {
      const wanted = meanOf((buckets.get(Number(row['time'])) ?? []).map((each) => value(each) ?? Number.NaN));
      assertNear(row[name], wanted, 1e-6, `${what}: ${name}`);
    }
  }
}

export function assertNear(found: unknown, wanted: number, tolerance: number, what: string): void {
  assert.ok(
    typeof found === 'number' && Math.abs(found - wanted) <= tolerance,
    `${what}: ${String(found)}, wanted ${wanted} ± ${tolerance}`,
  );
}

export function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Of a sample. */
export function deviationOf(values: readonly number[]): number {
  const mean = meanOf(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}

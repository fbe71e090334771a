/**
 * The Prometheus text format, version 0.0.4 (prometheus.io, "Exposition formats"): counters, gauges and histograms.
 *
 * Written here, in a page, because the client library takes 9 MB of the edge's 70.
 */

/** The answer's Content-Type. */
export const PROMETHEUS_MEDIA_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly points: readonly MetricPoint[];
}

export interface MetricPoint {
  readonly labels?: { readonly [name: string]: string };
  readonly value: number;
  /** `_bucket`, `_sum` or `_count` of a histogram. */
  readonly suffix?: string;
}

/** All metrics as text; one without a point is left out. */
export function prometheusText(metrics: readonly Metric[]): string {
  let text = '';
  for (const { name, help, type, points } of metrics) {
    if (points.length === 0) continue;
    text += `# HELP ${name} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\n# TYPE ${name} ${type}\n`;
    for (const point of points)
      text += `${name}${point.suffix ?? ''}${labelText(point.labels)} ${valueText(point.value)}\n`;
  }
  return text;
}

/** Counts observations in buckets of fixed upper bounds, in seconds. */
export class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;

  /** @param bounds ascending; one bucket without a bound follows them */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Array<number>(bounds.length + 1).fill(0);
  }

  observe(seconds: number): void {
    let index = 0;
    while (index < this.#bounds.length && seconds > (this.#bounds[index] ?? 0)) index += 1;
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#sum += seconds;
  }

  metric(name: string, help: string): Metric {
    const points: MetricPoint[] = [];
    let below = 0;
    for (const [index, count] of this.#counts.entries()) {
      below += count;
      points.push({ suffix: '_bucket', labels: { le: valueText(this.#bounds[index] ?? Infinity) }, value: below });
    }
    points.push({ suffix: '_sum', value: this.#sum }, { suffix: '_count', value: below });
    return { name, help, type: 'histogram', points };
  }
}

function labelText(labels: MetricPoint['labels']): string {
  if (labels === undefined) return '';
  const pairs = Object.entries(labels).map(([name, value]) => {
    return `${name}="${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`;
  });
  return `{${pairs.join(',')}}`;
}

function valueText(value: number): string {
  if (value === Infinity) return '+Inf';
  if (value === -Infinity) return '-Inf';
  return String(value);
}

/** The edge's status as metrics of Prometheus. */
import type { Metric, MetricPoint } from '../../base/prometheus.ts';
import { EDGE_STATES, type EdgeStatus, type LogStatus, SOURCE_STATES } from '../../model/status.ts';
import { microsOf } from '../../model/time.ts';

/**
 * What a sync costs a flash card beyond the bytes themselves: half a page of 4 KiB at the end of the file, and two blocks
 * of the file system's journal (ext4). An estimate: cards do not tell what they write.
 */
const SYNC_BYTES = 10 * 1024;
const DAY_SECONDS = 86_400;
const YEAR_DAYS = 365.25;

/** @param delivered readings settled since the start, by name of the sink */
export function edgeMetrics(status: EdgeStatus, delivered: ReadonlyMap<string, number>): Metric[] {
  return [
    ...sourceMetrics(status),
    ...sinkMetrics(status, delivered),
    ...logMetrics(status),
    ...processMetrics(status),
  ];
}

function sourceMetrics({ sources, sent_at }: EdgeStatus): Metric[] {
  type Source = EdgeStatus['sources'][number];
  const labelsOf = ({ name, machine_id }: Source): { source: string; machine: string } => {
    return { source: name, machine: machine_id };
  };
  const metric = (
    type: 'gauge' | 'counter',
    name: string,
    help: string,
    value: (source: Source) => number | null,
  ): Metric => {
    const points = sources.flatMap((source): MetricPoint[] => {
      const known = value(source);
      return known === null ? [] : [{ labels: labelsOf(source), value: known }];
    });
    return { name: `millwright_source_${name}`, help, type, points };
  };
  const states = sources.flatMap((source) =>
    SOURCE_STATES.map((state) => {
      return { labels: { ...labelsOf(source), state }, value: Number(source.state === state) };
    }),
  );
  const sentMicros = microsOf(sent_at);
  const secondsSince = (time: string | null): number | null => {
    return time === null ? null : Math.max(0, (sentMicros - microsOf(time)) / 1e6);
  };
  const seconds = (ms: number | null): number | null => (ms === null ? null : ms / 1000);
  return [
    { name: 'millwright_source_state', help: '1 for the state the source is in.', type: 'gauge', points: states },
    metric('gauge', 'up', '1 while the source is connected and heard.', ({ state }) => Number(state === 'ok')),
    metric('gauge', 'problems', 'Parts of the source that cannot be read.', ({ problems }) => problems.length),
    metric('gauge', 'reading_age_seconds', 'Since the last reading.', (one) => secondsSince(one.last_reading)),
    metric('gauge', 'contact_age_seconds', 'Since the last sign of life.', (one) => secondsSince(one.last_contact)),
    metric('counter', 'readings_total', 'Readings taken from the source.', ({ readings }) => readings),
    metric('counter', 'reads_total', 'Requests that the source answered.', ({ reads }) => reads),
    metric(
      'counter',
      'errors_total',
      'Lost and refused connections, unanswered requests, unreadable parts, silences.',
      ({ errors }) => errors,
    ),
    metric('gauge', 'latency_seconds', 'How long the newest answer took.', (one) => seconds(one.latency_ms)),
    metric('gauge', 'latency_p95_seconds', 'How long 95 of the newest 100 answers took at most.', (one) =>
      seconds(one.latency_p95_ms),
    ),
    metric('counter', 'reconnects_total', 'How often the source was connected again.', ({ reconnects }) => reconnects),
    metric(
      'gauge',
      'sampling_factor',
      'One sample is kept where there would be so many; 1 while sampling is not thinned.',
      (source) => source.sampling_factor,
    ),
  ];
}

function sinkMetrics({ sinks }: EdgeStatus, delivered: ReadonlyMap<string, number>): Metric[] {
  const each = (value: (sink: EdgeStatus['sinks'][number]) => number): MetricPoint[] => {
    return sinks.map((sink) => ({ labels: { sink: sink.name }, value: value(sink) }));
  };
  const metric = (type: 'gauge' | 'counter', name: string, help: string, points: MetricPoint[]): Metric => {
    return { name: `millwright_sink_${name}`, help, type, points };
  };
  return [
    metric(
      'gauge',
      'up',
      '1 while the sink takes batches.',
      each((sink) => Number(sink.state === 'ok')),
    ),
    metric(
      'gauge',
      'cursor',
      'Highest sequence settled.',
      each((sink) => sink.cursor),
    ),
    metric(
      'gauge',
      'lag_batches',
      'Batches not settled.',
      each((sink) => sink.lag_batches),
    ),
    metric(
      'gauge',
      'lag_readings',
      'Readings not settled.',
      each((sink) => sink.lag_readings),
    ),
    metric(
      'gauge',
      'oldest_unsent_age_seconds',
      'Age of the oldest batch not settled.',
      each((sink) => sink.oldest_unsent_age_seconds ?? 0),
    ),
    metric(
      'counter',
      'readings_total',
      'Readings settled.',
      each((sink) => delivered.get(sink.name) ?? 0),
    ),
    metric(
      'counter',
      'retries_total',
      'Deliveries that failed and were tried again.',
      each((sink) => sink.retries),
    ),
    metric(
      'counter',
      'dead_letters_total',
      'Batches refused for good.',
      each((sink) => sink.dead_letters),
    ),
  ];
}

function logMetrics({ log }: EdgeStatus): Metric[] {
  const one = (type: 'gauge' | 'counter', name: string, help: string, value: number): Metric => {
    return { name: `millwright_log_${name}`, help, type, points: [{ value }] };
  };
  return [
    one('gauge', 'first_sequence', 'Oldest batch in the log.', log.first_sequence),
    one('gauge', 'last_sequence', 'Newest durable batch in the log.', log.last_sequence),
    one('gauge', 'bytes', 'Bytes of the log on the disk.', log.bytes),
    one('gauge', 'segments', 'Files of the log.', log.segments),
    one('gauge', 'max_bytes', 'How large the log may become.', log.bytes_max),
    one('gauge', 'possible_bytes', 'How large its disk lets the log become.', log.bytes_possible ?? Number.NaN),
    one(
      'counter',
      'readings_thinned_total',
      'Samples merged into others because the log was full.',
      log.readings_thinned,
    ),
    one('counter', 'readings_dropped_total', 'Readings dropped because the log was full.', log.readings_dropped),
    one('counter', 'written_bytes_total', 'Bytes written to the log.', log.bytes_written),
    one('counter', 'syncs_total', 'Syncs of the log to the disk.', log.syncs),
    one('counter', 'quarantined_batches_total', 'Damaged batches that were put aside.', log.quarantined_batches),
  ];
}

/** How fast the log wears its card or disk, at the mean pace since the start. */
export function wearMetrics(
  log: LogStatus,
  { uptimeSeconds, cardEnduranceBytes }: { uptimeSeconds: number; cardEnduranceBytes: number },
): Metric[] {
  const perDay = (amount: number): number => (uptimeSeconds > 0 ? (amount / uptimeSeconds) * DAY_SECONDS : 0);
  const wornPerDay = perDay(log.bytes_written + log.syncs * SYNC_BYTES);
  const gauge = (name: string, help: string, value: number): Metric => {
    return { name: `millwright_log_${name}`, help, type: 'gauge', points: [{ value }] };
  };
  return [
    gauge('written_bytes_per_day', 'Bytes written to the log in a day.', perDay(log.bytes_written)),
    gauge('card_bytes_per_day', 'Estimate of what the card writes for it.', wornPerDay),
    gauge(
      'card_life_years',
      'Estimate of how long a card of buffering.card_endurance lasts.',
      wornPerDay > 0 ? cardEnduranceBytes / wornPerDay / YEAR_DAYS : Number.POSITIVE_INFINITY,
    ),
  ];
}

function processMetrics(status: EdgeStatus): Metric[] {
  const { heapUsed, heapTotal, external, rss } = process.memoryUsage();
  const gauge = (name: string, help: string, value: number): Metric => {
    return { name, help, type: 'gauge', points: [{ value }] };
  };
  return [
    {
      name: 'millwright_edge_state',
      help: '1 for the state the edge is in.',
      type: 'gauge',
      points: EDGE_STATES.map((state) => ({ labels: { state }, value: Number(state === status.state) })),
    },
    gauge('process_resident_memory_bytes', 'Resident memory of the process.', rss),
    gauge('nodejs_heap_size_total_bytes', 'JavaScript heap.', heapTotal),
    gauge('nodejs_heap_size_used_bytes', 'JavaScript heap in use.', heapUsed),
    gauge('nodejs_external_memory_bytes', 'Memory outside the heap held by JavaScript objects.', external),
  ];
}

/** Readings, and how the edge fares, as points: what a historian is given of them. Pure. */
import { isSignalKey, type JsonValue, type Measurement, type Reading, type Sample } from '../../model/reading.ts';
import { signalNamed } from '../../model/signals.ts';
import type { EdgeStatus, LogStatus, SinkStatus } from '../../model/status.ts';
import { microsOf } from '../../model/time.ts';
import { mmPerUnit } from '../../model/units.ts';
import type { FieldValue, Point } from './line.ts';

export const METROLOGY = 'cmm_metrology';
export const MACHINE_TOOLS = 'cnc';
export const SINK_STATUS = 'millwright_sink';
export const LOG_STATUS = 'millwright_log';
export const EDGE_STATUS = 'millwright_edge';

type Field = readonly [name: string, value: FieldValue];

/** Of a measurement: its name there, and what it is called here as a length. Those after the first two may be missing. */
const LENGTHS: readonly (readonly [field: keyof Measurement, name: string])[] = [
  ['measured_value', 'measured_length'],
  ['nominal_value', 'nominal_length'],
  ['lower_limit', 'lower_limit'],
  ['upper_limit', 'upper_limit'],
  ['compensated_value', 'compensated_length'],
  ['correction', 'correction'],
  ['expanded_uncertainty', 'expanded_uncertainty'],
  ['guard_band', 'guard_band'],
];

/** Taken as they are, with the type they have. */
const AS_THEY_ARE = [
  'temperature_c',
  'scale_temperature_c',
  'conformance_probability',
  'verdict',
  'decision_rule',
  'compensation',
  'distrust',
  'serial_number',
  'part_id',
] as const;

/** Undefined for what is no sample and no measurement. `backlogReadings`: readings that this sink has not delivered yet. */
export function pointOf(reading: Reading, backlogReadings: number | undefined): Point | undefined {
  if (reading.kind === 'event') return undefined;
  return reading.kind === 'measurement' ? metrologyPoint(reading, backlogReadings) : machinePoint(reading);
}

/**
 * One for each sink, one for the log, one for the edge. What the edge's metrics have too is called as it is there, so that a
 * historian which joins measurement and field, as VictoriaMetrics does, has both under one name.
 */
export function statusPoints(status: EdgeStatus): Point[] {
  const gateway = ['gateway_id', status.gateway_id] as const;
  const micros = microsOf(status.sent_at);
  const { sinks, log } = status;
  return [
    ...sinks.map((sink) => {
      const tags = [gateway, ['sink', sink.name]] as const;
      return { measurement: SINK_STATUS, tags, fields: sinkFields(sink), micros };
    }),
    { measurement: LOG_STATUS, tags: [gateway], fields: logFields(log), micros },
    { measurement: EDGE_STATUS, tags: [gateway], fields: edgeFields(status), micros },
  ];
}

function sinkFields(sink: SinkStatus): Field[] {
  return [
    ['state', sink.state],
    ['up', whole(Number(sink.state === 'ok'))],
    ['cursor', whole(sink.cursor)],
    ['lag_batches', whole(sink.lag_batches)],
    ['lag_readings', whole(sink.lag_readings)],
    ['oldest_unsent_age_seconds', sink.oldest_unsent_age_seconds ?? 0],
    ...fieldOf('drained_in_seconds', sink.drained_in_seconds),
    ['readings_per_second', sink.readings_per_second],
    ['retries_total', whole(sink.retries)],
    ['dead_letters_total', whole(sink.dead_letters)],
  ];
}

function logFields(log: LogStatus): Field[] {
  return [
    ['bytes', whole(log.bytes)],
    ['max_bytes', whole(log.bytes_max)],
    ...(log.bytes_possible === null ? [] : [['possible_bytes', whole(log.bytes_possible)] as const]),
    ['last_sequence', whole(log.last_sequence)],
    ['readings_thinned_total', whole(log.readings_thinned)],
    ['readings_dropped_total', whole(log.readings_dropped)],
    ['quarantined_batches_total', whole(log.quarantined_batches)],
  ];
}

function edgeFields({ state, sources, readings_per_second, losses, memory_bytes }: EdgeStatus): Field[] {
  return [
    ['state', state],
    ['sources', whole(sources.length)],
    ['sources_up', whole(sources.filter((source) => source.state === 'ok').length)],
    ['sampling_factor', Math.max(1, ...sources.map((source) => source.sampling_factor))],
    ['readings_per_second', readings_per_second],
    ['losses_total', whole(losses)],
    ['memory_bytes', whole(memory_bytes)],
  ];
}

function whole(value: number): FieldValue {
  return { integer: Math.round(value) };
}

/** Two features of a part may have one timestamp: without the characteristic as a tag they would be one point. */
function metrologyPoint(measurement: Measurement, backlogReadings: number | undefined): Point {
  const { machine_id, timestamp, characteristic, unit } = measurement;
  const millimetres = mmPerUnit(unit);
  const fields: Field[] = [];
  for (const [field, name] of LENGTHS) {
    const value = measurement[field];
    if (typeof value !== 'number') continue;
    fields.push(millimetres === undefined ? [field, value] : [`${name}_mm`, inMillimetres(value, millimetres)]);
  }
  if (millimetres === undefined) fields.push(['unit', unit]);
  for (const name of AS_THEY_ARE) fields.push(...fieldOf(name, measurement[name]));
  if (backlogReadings !== undefined) fields.push(['buffer_queue_size', { integer: backlogReadings }]);
  const tags = [
    ['characteristic', characteristic],
    ['machine_id', machine_id],
  ] as const;
  return { measurement: METROLOGY, tags, fields, micros: microsOf(timestamp) };
}

/** A millimetre is left as it is to the last digit. */
function inMillimetres(value: number, millimetres: number): number {
  return millimetres === 1 ? value : value * millimetres;
}

function machinePoint(sample: Sample): Point {
  const fields: Field[] = [];
  for (const [name, value] of Object.entries(sample)) if (isSignalKey(name)) fields.push(...fieldOf(name, value));
  if (sample.sampling_factor !== undefined) fields.push(['sampling_factor', sample.sampling_factor]);
  const tags = [['machine_id', sample.machine_id]] as const;
  return { measurement: MACHINE_TOOLS, tags, fields, micros: microsOf(sample.timestamp) };
}

/** None for a value that is not known: a point cannot say so. Lists and objects become their JSON. */
function fieldOf(name: string, value: JsonValue | readonly string[] | undefined): Field[] {
  switch (typeof value) {
    case 'number':
      return [[name, signalNamed(name)?.type === 'integer' ? { integer: value } : value]];
    case 'boolean':
    case 'string':
      return [[name, value]];
    case 'object':
      return value === null ? [] : [[name, JSON.stringify(value)]];
    default:
      return [];
  }
}

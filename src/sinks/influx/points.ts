/** Readings as points: what a historian is given of a measurement and of a sample. Pure. */
import { isSignalKey, type JsonValue, type Measurement, type Reading, type Sample } from '../../model/reading.ts';
import { signalNamed } from '../../model/signals.ts';
import { microsOf } from '../../model/time.ts';
import { mmPerUnit } from '../../model/units.ts';
import type { FieldValue, Point } from './line.ts';

export const METROLOGY = 'cmm_metrology';
export const MACHINE_TOOLS = 'cnc';

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

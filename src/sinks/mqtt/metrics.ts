/** Readings as metrics of a Sparkplug B device. Pure. */
import { DATATYPES, type RawValue } from '../../base/sparkplug/metric.ts';
import type { JsonValue, Reading } from '../../model/reading.ts';
import { signalNamed } from '../../model/signals.ts';
import { microsOf } from '../../model/time.ts';
import { valuesOf } from './values.ts';

export interface MetricOfReading {
  readonly name: string;
  readonly datatype: number;
  readonly unit?: string;
  readonly value: RawValue | null;
  readonly micros: number;
}

/** A machine's name without what separates topics or stands for several. */
export function deviceIdOf(machineId: string): string {
  return machineId.replaceAll(/[+#/\0]/g, '_');
}

/** Whether the machine is said to be offline; undefined: nothing is said of it. */
export function saysOffline(reading: Reading): boolean | undefined {
  if (reading.kind === 'event') return reading.event_type === 'state' ? reading.state === 'offline' : undefined;
  if (reading.kind === 'measurement') return false;
  if (typeof reading.machine_state === 'string') return reading.machine_state === 'offline';
  return valuesOf(reading).some(({ value }) => value !== null) ? false : undefined;
}

/**
 * The metrics that say a reading: a sample's values by their names, a measurement below `Measurements/`, an event as JSON
 * text in `Events/<type>`.
 * @param datatypeOf what a birth has told of a metric: a value that is not known takes that
 */
export function metricsOf(
  reading: Reading,
  datatypeOf: (device: string, metric: string) => number | undefined,
): MetricOfReading[] {
  const micros = microsOf(reading.timestamp);
  if (reading.kind === 'event') {
    const { machine_id: _machine, kind: _kind, ...rest } = reading;
    const name = `Events/${reading.event_type}`;
    return [{ name, datatype: DATATYPES.String, value: JSON.stringify(rest), micros }];
  }
  if (reading.kind === 'measurement') {
    const { characteristic, unit, measured_value, compensated_value, verdict } = reading;
    const name = `Measurements/${characteristic}`;
    const { machine_id: _machine, kind: _kind, ...rest } = reading;
    const number = { datatype: DATATYPES.Double, unit, micros };
    return [
      { ...number, name: `${name}/Measured`, value: measured_value },
      ...(compensated_value === undefined
        ? []
        : [{ ...number, name: `${name}/Compensated`, value: compensated_value }]),
      ...(verdict === undefined
        ? []
        : [{ name: `${name}/Verdict`, datatype: DATATYPES.String, value: verdict, micros }]),
      { name: `${name}/Record`, datatype: DATATYPES.String, value: JSON.stringify(rest), micros },
    ];
  }
  const device = deviceIdOf(reading.machine_id);
  return valuesOf(reading).flatMap(({ name, value, unit }) => {
    const told = datatypeOf(device, name);
    // Of what type it is shows with its first value.
    if (value === null && told === undefined && signalNamed(name) === undefined) return [];
    const datatype = datatypeFor(name, value, told);
    return { name, datatype, ...(unit !== '' && { unit }), value: rawOf(value, datatype), micros };
  });
}

const BY_TYPE = { number: DATATYPES.Double, integer: DATATYPES.Int32, text: DATATYPES.String } as const;

/** A value of another type than before makes text of the metric, once and for all: it must not go to and fro. */
function datatypeFor(name: string, value: JsonValue, told: number | undefined): number {
  const signal = signalNamed(name);
  if (signal !== undefined) return BY_TYPE[signal.type];
  if (value === null) return told ?? DATATYPES.String;
  const own =
    typeof value === 'number' ? DATATYPES.Double : typeof value === 'boolean' ? DATATYPES.Boolean : DATATYPES.String;
  return told === undefined || told === own ? own : DATATYPES.String;
}

function rawOf(value: JsonValue, datatype: number): RawValue | null {
  if (value === null) return null;
  if (datatype === DATATYPES.String) return typeof value === 'string' ? value : JSON.stringify(value);
  return typeof value === 'number' || typeof value === 'boolean' ? value : null;
}

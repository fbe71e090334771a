/**
 * What a run publishes: which machines by which gateways, which readings, and what among them is malformed. Pure.
 *
 * Reading number `i` of a machine, from 0, has the time `base + i · step` and says `active_program_line: i`. So each row
 * that comes back tells which reading it is, twice, and a count in the order of time finds what is missing or doubled
 * without remembering anything.
 */
import { machineAt } from '../sim/machine.ts';
import type { Random } from '../base/random.ts';
import { FRAME_HEADER_BYTES } from '../model/frame.ts';
import type { JsonValue } from '../model/reading.ts';
import { microsOf, type Timestamp, timestampOf } from '../model/time.ts';

export interface LoadSettings {
  /** Begins the names of the run's machines and gateways. */
  readonly run: string;
  readonly seed: number;
  readonly machines: number;
  /** Gateways with a connection each. */
  readonly publishers: number;
  /** Readings in a message. */
  readonly batch: number;
  /** Readings a second in all; null: as fast as it goes. */
  readonly rate: number | null;
  /** Readings of each machine, or how long to publish. */
  readonly extent: { readonly count: number } | { readonly durationMs: number };
  /** How many messages among the others are malformed. */
  readonly malformed: number;
}

/** A machine's readings; `sent` counts those handed to a publisher. */
export interface PlannedMachine {
  readonly id: string;
  readonly baseMicros: number;
  readonly stepMicros: number;
  /** Null: as many as there is time for. */
  readonly count: number | null;
  sent: number;
}

export interface PlannedGateway {
  readonly id: string;
  readonly machines: readonly PlannedMachine[];
  readonly malformed: readonly MalformedMessage[];
}

export interface MalformedMessage {
  /** How far into the run it is sent, from 0 to 1. */
  readonly at: number;
  readonly payload: Uint8Array;
  /** What the hub's reason must name. */
  readonly reason: RegExp;
}

export interface LoadPlan {
  readonly gateways: readonly PlannedGateway[];
  readonly machines: readonly PlannedMachine[];
  readonly malformedMachine: string;
}

/** A machine's counter has 32 bits in the database. */
export const READINGS_OF_A_MACHINE_MAX: number = 2 ** 31 - 1;
/** Limits of a run; a machine is a few hundred bytes, a publisher a connection, a message is made in memory. */
export const MACHINES_MAX = 100_000;
export const PUBLISHERS_MAX = 10_000;
export const BATCH_MAX = 10_000;
/** Steps between readings where no rate says how far they are apart: ten a second, as machines are polled. */
const USUAL_STEP_MICROS = 100_000;
/** Where it is not known how many there will be: so small that the times stay behind the clock. */
const SMALL_STEP_MICROS = 10;

/** @param startMicros when publishing begins: the times of the readings end there, or begin there */
export function planOf(settings: LoadSettings, startMicros: number, random: Random): LoadPlan {
  const { run, machines: machineCount, publishers, extent } = settings;
  const digits = Math.max(3, String(machineCount).length);
  const times = timesOf(settings, startMicros);
  const machines = Array.from({ length: machineCount }, (_, index): PlannedMachine => {
    const id = `${run}-${String(index + 1).padStart(digits, '0')}`;
    return { id, ...times, count: 'count' in extent ? extent.count : null, sent: 0 };
  });
  const malformedMachine = `${run}-MALFORMED`;
  const malformed = Array.from({ length: settings.malformed }, (_, index) => {
    return malformedMessage(index, { machineId: malformedMachine, timestamp: timestampOf(startMicros), at: random() });
  });
  const gateways = Array.from({ length: Math.min(publishers, machineCount) }, (_, gateway): PlannedGateway => {
    const isOurs = (_: unknown, index: number): boolean => index % Math.min(publishers, machineCount) === gateway;
    return {
      id: `${run}-publisher-${gateway + 1}`,
      machines: machines.filter(isOurs),
      malformed: malformed.filter(isOurs).toSorted((one, other) => one.at - other.at),
    };
  });
  return { gateways, machines, malformedMachine };
}

function timesOf(
  { rate, extent, machines, batch }: LoadSettings,
  startMicros: number,
): { baseMicros: number; stepMicros: number } {
  if (rate !== null) {
    const stepMicros = Math.max(1, Math.round((machines / rate) * 1e6));
    // A message is sent when its last reading is taken.
    return { baseMicros: startMicros - (batch - 1) * stepMicros, stepMicros };
  }
  if ('durationMs' in extent) return { baseMicros: startMicros, stepMicros: SMALL_STEP_MICROS };
  return { baseMicros: startMicros - extent.count * USUAL_STEP_MICROS, stepMicros: USUAL_STEP_MICROS };
}

export function timeOf({ baseMicros, stepMicros }: PlannedMachine, index: number): Timestamp {
  return timestampOf(baseMicros + index * stepMicros);
}

/** Which reading of the machine a row of the API is; undefined when it is none that was made here. */
export function indexOfRow(machine: PlannedMachine, row: { readonly [key: string]: JsonValue }): number | undefined {
  const { timestamp, active_program_line: counter } = row;
  if (typeof timestamp !== 'string' || typeof counter !== 'number') return undefined;
  return microsOf(timestamp) === machine.baseMicros + counter * machine.stepMicros ? counter : undefined;
}

/** Of the simulated machine's cycle, one text for each 100 ms. */
const VALUE_TEXTS = 1_200;
const valueTexts: string[] = [];

/** A message of the machine's next readings, made of texts: it runs for every reading that is sent. */
export function payloadOf(machine: PlannedMachine, count: number): Uint8Array {
  const prefix = `{"machine_id":${JSON.stringify(machine.id)},"timestamp":"`;
  let bytes = 0;
  const texts: string[] = [];
  for (let index = machine.sent; index < machine.sent + count; index += 1) {
    const text = `${prefix}${timeOf(machine, index)}",${valueText(index)}"active_program_line":${index}}`;
    bytes += FRAME_HEADER_BYTES + text.length;
    texts.push(text);
  }
  const payload = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (const text of texts) {
    at = payload.writeUInt32BE(text.length, at);
    // Names are plain ASCII, so each character is a byte.
    at += payload.write(text, at, 'latin1');
  }
  return payload;
}

function valueText(index: number): string {
  const place = index % VALUE_TEXTS;
  return (valueTexts[place] ??= makeValueText(place));
}

function makeValueText(place: number): string {
  const values = machineAt({ seed: 1, phaseSeconds: 0 }, place / 10);
  const fields = {
    temperature: values.temperatureC,
    spindle_speed: values.spindleSpeedRpm,
    x_pos_mm: values.xMm,
    y_pos_mm: values.yMm,
    z_pos_mm: values.zMm,
    feed_rate_actual: values.feedRateMmPerMin,
    spindle_load_percent: values.spindleLoadPercent,
    machine_state: values.state,
    total_power_kw: values.powerKw,
  };
  return `${JSON.stringify(fields).slice(1, -1)},`;
}

/** In turn: a temperature that is no number, no timestamp, a frame that is cut. */
function malformedMessage(
  index: number,
  { machineId, timestamp, at }: { machineId: string; timestamp: Timestamp; at: number },
): MalformedMessage {
  const frame = (reading: object): Buffer => {
    const json = Buffer.from(JSON.stringify(reading));
    const length = Buffer.alloc(FRAME_HEADER_BYTES);
    length.writeUInt32BE(json.length);
    return Buffer.concat([length, json]);
  };
  const whole = { machine_id: machineId, timestamp, temperature: 45.5 };
  switch (index % 3) {
    case 0:
      return { at, payload: frame({ ...whole, temperature: 'not-a-float' }), reason: /temperature/ };
    case 1:
      return { at, payload: frame({ machine_id: machineId, temperature: 45.5 }), reason: /timestamp/ };
    default:
      return { at, payload: frame(whole).subarray(0, -10), reason: /cut short/ };
  }
}

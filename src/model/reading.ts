/**
 * Readings: what a machine said, as it travels on the wire and is kept in memory.
 *
 * A reading is the JSON object itself (snake_case keys, canonical timestamp). Decoding is strict: the first fault found
 * is told with its place, and a reading with a fault is not used at all. An absent key means "nothing said"; an explicit
 * `null` for a signal means "not known from this instant on" (a sensor became unavailable). Neither is ever 0.
 */
import { MACHINE_STATES, type MachineState } from './signals.ts';
import { parseTimestamp, type Timestamp } from './time.ts';

export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue };

interface Origin {
  readonly machine_id: string;
  /** The source's own time. */
  readonly timestamp: Timestamp;
  /** The gateway's clock when it took the reading, where that differs in kind from `timestamp`. */
  readonly gateway_time?: Timestamp;
  readonly clock_quality?: ClockQuality;
}

/** Whether the source's clock can be believed. */
export const CLOCK_QUALITIES = ['synchronized', 'unsynchronized', 'unknown'] as const;
export type ClockQuality = (typeof CLOCK_QUALITIES)[number];

/** Values at an instant. Keys that are not standard signals are kept as they are, in `extra` of the store. */
export interface Sample extends Origin {
  readonly kind?: 'sample';
  readonly temperature?: number | null;
  readonly spindle_speed?: number | null;
  readonly x_pos_mm?: number | null;
  readonly y_pos_mm?: number | null;
  readonly z_pos_mm?: number | null;
  readonly feed_rate_actual?: number | null;
  readonly spindle_load_percent?: number | null;
  readonly machine_state?: MachineState | null;
  readonly active_program_line?: number | null;
  readonly total_power_kw?: number | null;
  /**
   * How many sampling intervals the sample stands for, up to and with its own; 1 where absent. More while sampling is
   * thinned: what weighs samples by time multiplies by it. For a source that reports on change: how many of its samples
   * were merged into this one.
   */
  readonly sampling_factor?: number;
  readonly [extra: string]: JsonValue | undefined;
}

/** What has been compensated for temperature: nothing, the scale's expansion, or the scale's and the part's. */
export const COMPENSATIONS = ['none', 'scale', 'full'] as const;
export type Compensation = (typeof COMPENSATIONS)[number];

/** ISO 14253-1: conformity or nonconformity is shown, or neither is. */
export const VERDICTS = ['conform', 'nonconform', 'indeterminate'] as const;
export type Verdict = (typeof VERDICTS)[number];

export const DECISION_RULES = ['iso_14253_1', 'simple_acceptance'] as const;
export type DecisionRule = (typeof DECISION_RULES)[number];

/** One inspected feature of a part. Numbers are in `unit` where nothing else is said. */
export interface Measurement extends Origin {
  readonly kind: 'measurement';
  /** The feature or characteristic that was inspected, e.g. `bore_1.diameter`. */
  readonly characteristic: string;
  /** The value as the source gave it, in `unit`. */
  readonly measured_value: number;
  readonly unit: string;
  readonly part_id?: string;
  readonly serial_number?: string;
  readonly nominal_value?: number;
  readonly lower_limit?: number;
  readonly upper_limit?: number;
  /** Of the part, in °C. */
  readonly temperature_c?: number;
  /** Of the scale that it was measured with, in °C. */
  readonly scale_temperature_c?: number;
  /** What the source has compensated already in `measured_value`. */
  readonly compensation?: Compensation;
  /** The value at 20 °C. */
  readonly compensated_value?: number;
  /** `compensated_value` less `measured_value`. */
  readonly correction?: number;
  /** U, with k = 2. */
  readonly expanded_uncertainty?: number;
  /** Standard uncertainties by their names; their squares add up to that of U/2. */
  readonly uncertainty_contributions?: { readonly [name: string]: number };
  readonly verdict?: Verdict;
  /** By which `verdict` was found. */
  readonly decision_rule?: DecisionRule;
  /** By which the limits were moved for `verdict`; 0 for simple acceptance. */
  readonly guard_band?: number;
  /** That the true value is within the limits, from 0 to 1. */
  readonly conformance_probability?: number;
  /** Why it is not to be trusted, a sentence each. */
  readonly distrust?: readonly string[];
  /** Anything else the source or a processor says of it. */
  readonly details?: { readonly [key: string]: JsonValue };
}

/** Of a measurement what is one value and its own, in the order in which tables have it. */
export const MEASUREMENT_VALUES = [
  'characteristic',
  'measured_value',
  'unit',
  'part_id',
  'serial_number',
  'nominal_value',
  'lower_limit',
  'upper_limit',
  'temperature_c',
  'scale_temperature_c',
  'compensation',
  'compensated_value',
  'correction',
  'expanded_uncertainty',
  'verdict',
  'decision_rule',
  'guard_band',
  'conformance_probability',
] as const;

export const EVENT_TYPES = ['state', 'condition', 'message', 'program', 'part', 'connection', 'gap'] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** MTConnect's levels of a condition. */
export const CONDITION_LEVELS = ['normal', 'warning', 'fault', 'unavailable'] as const;
export type ConditionLevel = (typeof CONDITION_LEVELS)[number];

/**
 * Something happened. `state`: `state`, `previous_state`, and in `text` the raw signal that explains it.
 * `condition`: `level`, `native_code`, `native_severity`, `qualifier`, `text`. `gap`: `details` holds
 * `start_time`, `end_time`, the number of `readings`, and `reason`: `thinned` (samples merged), `dropped`, `destroyed` (by
 * damage to the disk), or `refused` (the log could not take them). Of an MTConnect agent: `agent_overrun`,
 * `agent_restarted`, `position_lost`, with the agent's own numbers (docs/drivers/mtconnect.md). Of a Sparkplug B node:
 * `sequence`, with the number of messages that are missing. Of an OPC UA server: `queue_overflow`, with the `node` and
 * how often.
 */
export interface MachineEvent extends Origin {
  readonly kind: 'event';
  readonly event_type: EventType;
  /** The source's own name of the data item, e.g. `servo_cond`. */
  readonly item?: string;
  readonly state?: MachineState;
  readonly previous_state?: MachineState;
  readonly level?: ConditionLevel;
  readonly native_code?: string;
  readonly native_severity?: string;
  readonly qualifier?: string;
  readonly text?: string;
  readonly details?: { readonly [key: string]: JsonValue };
}

export type Reading = Sample | Measurement | MachineEvent;

/** Longest `machine_id` and other names, in UTF-16 units. */
export const NAME_LENGTH_MAX = 128;
/** Longest text of an event, in UTF-16 units. */
export const TEXT_LENGTH_MAX = 4096;
/** Contributions to an uncertainty, and reasons for distrust, that one measurement may have. */
export const LIST_LENGTH_MAX = 64;
/** How deep `extra` and `details` may nest. */
export const DEPTH_MAX = 8;

/** Why a reading was refused: the key (`details.start_time`, `temperature`) and a sentence. */
export interface ReadingFault {
  readonly path: string;
  readonly reason: string;
}

export type Decoded = { readonly reading: Reading } | { readonly fault: ReadingFault };

export type ReadingKind = 'sample' | 'measurement' | 'event';

/** `sample` where the key is absent. */
export function kindOf(reading: Reading): ReadingKind {
  return reading.kind ?? 'sample';
}

/**
 * Decodes one parsed JSON value into a reading; the timestamp comes out canonical.
 *
 * The value itself is used and altered, not copied: this runs for every reading of the hub.
 */
export function decodeReading(value: unknown): Decoded {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return refuse('', `a reading is a JSON object, found ${nameOf(value)}`);
  }
  const reading = value as Record<string, unknown>;
  const machineFault = checkName(reading, 'machine_id', true) ?? checkTime(reading, 'timestamp', true);
  if (machineFault !== undefined) return { fault: machineFault };
  const kind = reading['kind'];
  let fault: ReadingFault | undefined;
  if (kind === undefined || kind === 'sample') fault = checkSample(reading);
  else if (kind === 'event') fault = checkEvent(reading);
  else if (kind === 'measurement') fault = checkMeasurement(reading);
  else return refuse('kind', `is sample, measurement or event, found ${show(kind)}`);
  if (fault === undefined) return { reading: value as Reading };
  return { fault: { path: showPath(fault.path), reason: fault.reason } };
}

function checkSample(sample: Record<string, unknown>): ReadingFault | undefined {
  for (const key in sample) {
    const value = sample[key];
    switch (key) {
      case 'machine_id':
      case 'timestamp':
      case 'kind':
        break;
      case 'temperature':
      case 'spindle_speed':
      case 'x_pos_mm':
      case 'y_pos_mm':
      case 'z_pos_mm':
      case 'feed_rate_actual':
      case 'spindle_load_percent':
      case 'total_power_kw':
        if (value !== null && (typeof value !== 'number' || !Number.isFinite(value))) return notANumber(key, value);
        break;
      case 'active_program_line':
        if (value !== null && (!Number.isInteger(value) || Math.abs(value as number) > 0x7fffffff)) {
          return { path: key, reason: `is a whole number of 32 bits, found ${show(value)}` };
        }
        break;
      case 'sampling_factor':
        if (typeof value !== 'number' || !(value >= 1 && Number.isFinite(value))) {
          return { path: key, reason: `is a number of 1 or more, found ${show(value)}` };
        }
        break;
      case 'machine_state':
        if (value !== null && !MACHINE_STATES.includes(value as MachineState)) {
          return { path: key, reason: `is one of ${MACHINE_STATES.join(', ')}, found ${show(value)}` };
        }
        break;
      default: {
        const fault = checkCommon(sample, key) ?? checkName(sample, key, false, key) ?? checkJson(value, key, 1);
        if (fault !== undefined) return fault;
      }
    }
  }
  return undefined;
}

function checkEvent(event: Record<string, unknown>): ReadingFault | undefined {
  if (!EVENT_TYPES.includes(event['event_type'] as EventType)) {
    return { path: 'event_type', reason: `is one of ${EVENT_TYPES.join(', ')}, found ${show(event['event_type'])}` };
  }
  if (event['event_type'] === 'state' && event['state'] === undefined) {
    return { path: 'state', reason: 'is required in a state event' };
  }
  if (event['event_type'] === 'condition' && event['level'] === undefined) {
    return { path: 'level', reason: 'is required in a condition event' };
  }
  for (const key in event) {
    const fault = checkEventField(event, key);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function checkEventField(event: Record<string, unknown>, key: string): ReadingFault | undefined {
  const value = event[key];
  switch (key) {
    case 'machine_id':
    case 'timestamp':
    case 'kind':
    case 'event_type':
      return undefined;
    case 'state':
    case 'previous_state':
      if (MACHINE_STATES.includes(value as MachineState)) return undefined;
      return { path: key, reason: `is one of ${MACHINE_STATES.join(', ')}, found ${show(value)}` };
    case 'level':
      if (CONDITION_LEVELS.includes(value as ConditionLevel)) return undefined;
      return { path: key, reason: `is one of ${CONDITION_LEVELS.join(', ')}, found ${show(value)}` };
    case 'item':
    case 'native_code':
    case 'native_severity':
    case 'qualifier':
    case 'text':
      return checkText(value, key);
    default:
      return checkShared(event, key);
  }
}

function checkMeasurement(measurement: Record<string, unknown>): ReadingFault | undefined {
  const fault = checkName(measurement, 'characteristic', true) ?? checkName(measurement, 'unit', true);
  if (fault !== undefined) return fault;
  if (measurement['measured_value'] === undefined) return { path: 'measured_value', reason: 'is required' };
  for (const key in measurement) {
    const value = measurement[key];
    switch (key) {
      case 'machine_id':
      case 'timestamp':
      case 'kind':
      case 'characteristic':
      case 'unit':
        break;
      case 'measured_value':
      case 'nominal_value':
      case 'lower_limit':
      case 'upper_limit':
      case 'temperature_c':
      case 'scale_temperature_c':
      case 'compensated_value':
      case 'correction':
        if (typeof value !== 'number' || !Number.isFinite(value)) return notANumber(key, value);
        break;
      case 'part_id':
      case 'serial_number': {
        const nameFault = checkName(measurement, key, false);
        if (nameFault !== undefined) return nameFault;
        break;
      }
      default: {
        const otherFault = key in RESULT_CHECKS ? RESULT_CHECKS[key]!(value, key) : checkShared(measurement, key);
        if (otherFault !== undefined) return otherFault;
      }
    }
  }
  return undefined;
}

type ValueCheck = (value: unknown, path: string) => ReadingFault | undefined;

/** Of what has been worked out of a measured value. */
const RESULT_CHECKS: { readonly [key: string]: ValueCheck } = Object.assign(Object.create(null), {
  compensation: (value, path) => checkWord(value, path, COMPENSATIONS),
  expanded_uncertainty: checkNotNegative,
  uncertainty_contributions: checkContributions,
  verdict: (value, path) => checkWord(value, path, VERDICTS),
  decision_rule: (value, path) => checkWord(value, path, DECISION_RULES),
  guard_band: checkNotNegative,
  conformance_probability: checkProbability,
  distrust: checkReasons,
} satisfies Record<string, ValueCheck>);

function checkWord(value: unknown, path: string, words: readonly string[]): ReadingFault | undefined {
  if (words.includes(value as string)) return undefined;
  return { path, reason: `is one of ${words.join(', ')}, found ${show(value)}` };
}

function checkNotNegative(value: unknown, path: string): ReadingFault | undefined {
  if (typeof value === 'number' && value >= 0 && Number.isFinite(value)) return undefined;
  return { path, reason: `is a number of 0 or more, found ${show(value)}` };
}

function checkProbability(value: unknown, path: string): ReadingFault | undefined {
  if (typeof value === 'number' && value >= 0 && value <= 1) return undefined;
  return { path, reason: `is a number from 0 to 1, found ${show(value)}` };
}

function checkContributions(value: unknown, path: string): ReadingFault | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { path, reason: `is an object, found ${nameOf(value)}` };
  }
  const entries = Object.entries(value);
  if (entries.length > LIST_LENGTH_MAX) return { path, reason: `has more than ${LIST_LENGTH_MAX} keys` };
  for (const [name, part] of entries) {
    const inner = `${path}.${name}`;
    const fault = checkName({}, inner, true, name) ?? checkNotNegative(part, inner);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function checkReasons(value: unknown, path: string): ReadingFault | undefined {
  if (!Array.isArray(value)) return { path, reason: `is an array, found ${nameOf(value)}` };
  if (value.length > LIST_LENGTH_MAX) return { path, reason: `has more than ${LIST_LENGTH_MAX} items` };
  for (const [index, reason] of value.entries()) {
    const fault = checkText(reason, `${path}.${index}`);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** Keys that events and measurements share; anything else is refused. */
function checkShared(reading: Record<string, unknown>, key: string): ReadingFault | undefined {
  if (key === 'gateway_time' || key === 'clock_quality') return checkCommon(reading, key);
  if (key !== 'details') return { path: key, reason: `is not a key of a ${String(reading['kind'])}` };
  const details = reading[key];
  if (typeof details !== 'object' || details === null || Array.isArray(details)) {
    return { path: key, reason: `is an object, found ${nameOf(details)}` };
  }
  return checkJson(details, key, 1);
}

function checkCommon(reading: Record<string, unknown>, key: string): ReadingFault | undefined {
  if (key === 'gateway_time') return checkTime(reading, key, false);
  if (key === 'clock_quality' && !CLOCK_QUALITIES.includes(reading[key] as ClockQuality)) {
    return { path: key, reason: `is one of ${CLOCK_QUALITIES.join(', ')}, found ${show(reading[key])}` };
  }
  return undefined;
}

/** With `name` given, checks that text instead of the value under `key`: an extra key is a name too. */
function checkName(
  reading: Record<string, unknown>,
  key: string,
  required: boolean,
  name: unknown = reading[key],
): ReadingFault | undefined {
  if (name === undefined) return required ? { path: key, reason: 'is required' } : undefined;
  if (typeof name !== 'string') return { path: key, reason: `is text, found ${show(name)}` };
  if (name.length === 0) return { path: key, reason: 'is empty' };
  if (name.length > NAME_LENGTH_MAX) return { path: key, reason: `is longer than ${NAME_LENGTH_MAX} characters` };
  return isStorable(name) ? undefined : notStorable(key);
}

function checkText(value: unknown, path: string): ReadingFault | undefined {
  if (typeof value !== 'string') return { path, reason: `is text, found ${show(value)}` };
  if (value.length > TEXT_LENGTH_MAX) return { path, reason: `is longer than ${TEXT_LENGTH_MAX} characters` };
  return isStorable(value) ? undefined : notStorable(path);
}

function checkTime(reading: Record<string, unknown>, key: string, required: boolean): ReadingFault | undefined {
  const value = reading[key];
  if (value === undefined && required) return { path: key, reason: 'is required' };
  if (typeof value !== 'string') return { path: key, reason: `is an RFC 3339 time, found ${show(value)}` };
  const canonical = parseTimestamp(value);
  if (canonical === undefined) {
    return { path: key, reason: `is an RFC 3339 time with a zone (2026-01-01T08:00:00.123456Z), found ${show(value)}` };
  }
  if (canonical !== value) reading[key] = canonical;
  return undefined;
}

function checkJson(value: unknown, path: string, depth: number): ReadingFault | undefined {
  switch (typeof value) {
    case 'boolean':
      return undefined;
    case 'number':
      return Number.isFinite(value) ? undefined : { path, reason: 'is a number too large to keep' };
    case 'string':
      return isStorable(value) ? undefined : notStorable(path);
    case 'object':
      break;
    default:
      return { path, reason: `is a JSON value, found ${nameOf(value)}` };
  }
  if (value === null) return undefined;
  if (depth > DEPTH_MAX) return { path, reason: `nests deeper than ${DEPTH_MAX} levels` };
  for (const [key, inner] of Object.entries(value)) {
    if (!isStorable(key)) return notStorable(path);
    const fault = checkJson(inner, `${path}.${key}`, depth + 1);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** PostgreSQL keeps neither U+0000 nor half a surrogate pair, in `text` or in `jsonb`. */
function isStorable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}

function notStorable(path: string): ReadingFault {
  return { path, reason: 'has a character that cannot be stored (U+0000 or half a surrogate pair)' };
}

function notANumber(path: string, value: unknown): ReadingFault {
  return { path, reason: `is a number, found ${show(value)}` };
}

function refuse(path: string, reason: string): Decoded {
  return { fault: { path, reason } };
}

function nameOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'an array' : typeof value;
}

/**
 * A parsed value as JSON again; undefined where it nests too deep for that: the runtime recurses as soon as anything in
 * the value has the name `toJSON`, and runs out of stack.
 */
export function jsonText(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}

function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = jsonText(value) ?? nameOf(value);
  return text.length > 60 ? `${text.slice(0, 57).toWellFormed()}…` : text;
}

/** A key is the publisher's own text: what is told of it can be stored and is short. */
function showPath(path: string): string {
  if (path.length <= 2 * NAME_LENGTH_MAX && isStorable(path)) return path;
  const escaped = JSON.stringify(path).slice(1, -1);
  return escaped.length > NAME_LENGTH_MAX ? `${escaped.slice(0, NAME_LENGTH_MAX).toWellFormed()}…` : escaped;
}

/** Whether a key of a sample is a signal, as against where and when it was taken. */
export function isSignalKey(key: string): boolean {
  switch (key) {
    case 'machine_id':
    case 'timestamp':
    case 'kind':
    case 'gateway_time':
    case 'clock_quality':
    case 'sampling_factor':
    // `READ_FROM_KEY`: the file and row where it was read.
    case 'read_from':
      return false;
    default:
      return true;
  }
}

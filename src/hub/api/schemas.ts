/** JSON schemas of `model/api.ts`, for the OpenAPI document. They describe; `parse.ts` decides. */
import { SOURCE_STATES } from '../../model/status.ts';

type Schema = { readonly [key: string]: unknown };

const text: Schema = { type: 'string' };
const textOrNull: Schema = { type: ['string', 'null'] };
const number: Schema = { type: 'number' };
const numberOrNull: Schema = { type: ['number', 'null'] };
const integer: Schema = { type: 'integer' };
const time: Schema = { type: 'string', format: 'date-time', description: 'RFC 3339 in UTC, to the microsecond' };
const timeOrNull: Schema = { type: ['string', 'null'], format: 'date-time' };
const anyObject: Schema = { type: 'object', additionalProperties: true };

function object(properties: Schema, description?: string): Schema {
  const required = Object.keys(properties);
  return { type: 'object', ...(description === undefined ? {} : { description }), properties, required };
}

function list(items: Schema): Schema {
  return { type: 'array', items };
}

const state: Schema = {
  type: ['string', 'null'],
  enum: ['running', 'idle', 'hold', 'alarm', 'setup', 'offline', null],
};

export const machineBody: Schema = {
  type: 'object',
  properties: {
    id: text,
    name: { type: 'string', description: 'Default: the id' },
    location: textOrNull,
    controller_type: textOrNull,
    max_spindle_speed_rpm: numberOrNull,
    axis_count: { type: ['integer', 'null'] },
  },
  required: ['id'],
};

export const machine: Schema = object({
  id: text,
  name: text,
  location: textOrNull,
  controller_type: textOrNull,
  max_spindle_speed_rpm: numberOrNull,
  axis_count: { type: ['integer', 'null'] },
  created_at: time,
  last_updated: time,
});

export const event: Schema = object({
  time,
  machine_id: text,
  event_type: { type: 'string', enum: ['state', 'condition', 'message', 'program', 'part', 'connection', 'gap'] },
  item: textOrNull,
  state,
  previous_state: state,
  level: { type: ['string', 'null'], enum: ['normal', 'warning', 'fault', 'unavailable', null] },
  native_code: textOrNull,
  native_severity: textOrNull,
  qualifier: textOrNull,
  text: textOrNull,
  details: { type: ['object', 'null'], additionalProperties: true },
});

export const machineNow: Schema = object({
  id: text,
  name: text,
  location: textOrNull,
  state,
  state_since: timeOrNull,
  state_reason: textOrNull,
  last_seen: timeOrNull,
  last_measurement: timeOrNull,
  source_state: { type: ['string', 'null'], enum: [...SOURCE_STATES, null] },
  source_error: textOrNull,
  gateway_id: textOrNull,
  values: { type: 'object', additionalProperties: object({ value: {}, time }) },
  active_conditions: list(event),
});

export const sample: Schema = {
  type: 'object',
  description: 'A sample in wire form: what is not known is left out, null says that it became unavailable',
  properties: {
    machine_id: text,
    timestamp: time,
    temperature: numberOrNull,
    spindle_speed: numberOrNull,
    x_pos_mm: numberOrNull,
    y_pos_mm: numberOrNull,
    z_pos_mm: numberOrNull,
    feed_rate_actual: numberOrNull,
    spindle_load_percent: numberOrNull,
    machine_state: state,
    active_program_line: { type: ['integer', 'null'] },
    total_power_kw: numberOrNull,
  },
  required: ['machine_id', 'timestamp'],
  additionalProperties: true,
};

const verdict: Schema = { type: ['string', 'null'], enum: ['conform', 'nonconform', 'indeterminate', null] };
const distrust: Schema = { type: ['array', 'null'], items: text, description: 'Why it is not to be trusted' };

export const measurement: Schema = object({
  time,
  machine_id: text,
  characteristic: text,
  measured_value: { type: 'number', description: 'As the source gave it, in `unit`' },
  unit: text,
  part_id: textOrNull,
  serial_number: textOrNull,
  nominal_value: numberOrNull,
  lower_limit: numberOrNull,
  upper_limit: numberOrNull,
  temperature_c: numberOrNull,
  scale_temperature_c: numberOrNull,
  compensation: { type: ['string', 'null'], enum: ['none', 'scale', 'full', null] },
  compensated_value: numberOrNull,
  correction: numberOrNull,
  expanded_uncertainty: { type: ['number', 'null'], description: 'U, k = 2' },
  uncertainty_contributions: { type: ['object', 'null'], additionalProperties: number },
  verdict,
  decision_rule: { type: ['string', 'null'], enum: ['iso_14253_1', 'simple_acceptance', null] },
  guard_band: numberOrNull,
  conformance_probability: numberOrNull,
  distrust,
  details: { type: ['object', 'null'], additionalProperties: true },
  gateway_time: timeOrNull,
  clock_quality: textOrNull,
});

export const feature: Schema = object({
  characteristic: text,
  unit: text,
  nominal_value: numberOrNull,
  lower_limit: numberOrNull,
  upper_limit: numberOrNull,
  newest: measurement,
  tolerance_used: {
    type: ['number', 'null'],
    description: '0 in the middle of the tolerance, 1 at the upper limit, −1 at the lower',
  },
  measurements: { type: 'integer', description: 'In the window, the newest 10,000 at most' },
  verdicts: object({ conform: integer, nonconform: integer, indeterminate: integer, none: integer }),
});

const interval: Schema = { type: 'array', items: number, minItems: 2, maxItems: 2 };

function objectOrNull(properties: Schema): Schema {
  return { ...object(properties), type: ['object', 'null'] };
}

export const capabilityStudy: Schema = object({
  machine_id: text,
  characteristic: text,
  value: { type: 'string', enum: ['compensated', 'measured'] },
  unit: textOrNull,
  points: list(
    object({
      time,
      part_id: textOrNull,
      serial_number: textOrNull,
      value: number,
      measured_value: number,
      compensated_value: numberOrNull,
      expanded_uncertainty: numberOrNull,
      temperature_c: numberOrNull,
      verdict,
      distrust,
      moving_range: numberOrNull,
      rules: { ...list(integer), description: 'Nelson’s rules that the point completes, from 1' },
    }),
  ),
  has_older: { type: 'boolean' },
  points_max: integer,
  left_out: integer,
  control: objectOrNull({
    baseline: integer,
    baseline_start: time,
    baseline_end: time,
    centre: number,
    sigma: number,
    lower: number,
    upper: number,
    range_centre: number,
    range_upper: number,
  }),
  control_reason: textOrNull,
  rules_met: list(object({ rule: integer, text, points: integer })),
  specifications: list(
    object({
      nominal_value: numberOrNull,
      lower_limit: numberOrNull,
      upper_limit: numberOrNull,
      points: integer,
      first_time: time,
      last_time: time,
    }),
  ),
  histogram: list(object({ from: number, to: number, count: integer })),
  capability: objectOrNull({
    values: integer,
    mean: number,
    sigma_within: number,
    sigma_overall: number,
    cp: numberOrNull,
    cpk: number,
    pp: numberOrNull,
    ppk: number,
    cpk_interval: interval,
    ppk_interval: interval,
  }),
  capability_reason: textOrNull,
});

export const stateInterval: Schema = object({
  state: { type: 'string', enum: ['running', 'idle', 'hold', 'alarm', 'setup', 'offline'] },
  start_time: time,
  end_time: timeOrNull,
  reason: textOrNull,
});

export const signal: Schema = object({
  name: text,
  label: text,
  unit: text,
  decimals: integer,
  numeric: { type: 'boolean' },
});

const column = list(numberOrNull);
export const series: Schema = object({
  start_time: time,
  end_time: time,
  bucket_seconds: number,
  signals: {
    type: 'object',
    additionalProperties: object({
      time: list(number),
      min: column,
      max: column,
      mean: column,
      last: column,
      before: {
        ...object({ time: number, value: number }, 'The newest value before the window, at most three days old'),
        type: ['object', 'null'],
      },
    }),
  },
});

export const edgeStatus: Schema = {
  ...anyObject,
  description: 'What an edge tells of itself',
  properties: {
    gateway_id: text,
    sent_at: time,
    state: text,
    sources: list(anyObject),
    log: anyObject,
    sinks: list(anyObject),
  },
  required: ['gateway_id', 'sent_at', 'state', 'sources', 'log', 'sinks'],
};

export const edgeReport: Schema = object({ status: edgeStatus, received_at: time, clock_offset_seconds: number });

const natsStatus: Schema = object({
  servers: list(text),
  stream: text,
  consumer: text,
  state: { type: 'string', enum: ['connecting', 'ok', 'failing'] },
  last_error: textOrNull,
  messages_pending: { type: ['integer', 'null'] },
  messages_in_flight: integer,
  messages_received: integer,
  messages_redelivered: integer,
  messages_acknowledged: integer,
  messages_given_back: integer,
  messages_terminated: integer,
});

export const hubStatus: Schema = object({
  version: text,
  time,
  time_zone: text,
  database: { type: 'string', enum: ['ok', 'failing'] },
  database_error: textOrNull,
  readings_stored: integer,
  readings_per_second: number,
  batches_duplicate: integer,
  dead_letters: integer,
  nats: { anyOf: [natsStatus, { type: 'null' }] },
});

export const deadLetter: Schema = object({
  id: integer,
  received_at: time,
  gateway_id: textOrNull,
  epoch: textOrNull,
  sequence: { type: ['integer', 'null'] },
  reason: text,
  bytes_base64: text,
  bytes_length: integer,
});

export const ingestAnswer: Schema = object({
  stored: integer,
  duplicate_batches: integer,
  dead_letters: integer,
  refused: list(object({ place: text, reason: text })),
});

export const apiError: Schema = object({ error: object({ code: text, message: text }) });

export const listOf: (items: Schema) => Schema = list;

/**
 * Rows in PostgreSQL's binary COPY format (manual, "COPY", Binary Format).
 *
 *     stream = "PGCOPY\n\377\r\n\0" flags(4) extension(4) row* 0xFFFF
 *     row    = fields(2) (length(4) bytes)*        length -1: null
 *
 * Big-endian. timestamptz: microseconds since 2000-01-01 as 8 bytes; jsonb: a version byte 1 and JSON text. Binary,
 * because neither side then prints and parses numbers: this runs for every reading of the hub, and is written for speed.
 */
import { kindOf, type MachineEvent, type Measurement, type Reading, type Sample } from '../../model/reading.ts';

/** The tables that readings go to, and their columns in the order of the rows made here. */
export const COPY_COLUMNS = {
  sensor_data: `time, machine_id, temperature, spindle_speed, x_pos_mm, y_pos_mm, z_pos_mm, feed_rate_actual,
    spindle_load_percent, machine_state, active_program_line, total_power_kw, extra`,
  events: `time, machine_id, event_type, item, state, previous_state, level, native_code, native_severity, qualifier,
    text, details, gateway_time, clock_quality`,
  measurements: `time, machine_id, characteristic, measured_value, unit, part_id, serial_number, nominal_value,
    lower_limit, upper_limit, temperature_c, details, gateway_time, clock_quality, scale_temperature_c, compensation,
    compensated_value, correction, expanded_uncertainty, uncertainty_contributions, verdict, decision_rule, guard_band,
    conformance_probability, distrust`,
  dead_letters: 'gateway_id, epoch, sequence, reason, bytes, bytes_length',
} as const;

export type CopyTable = keyof typeof COPY_COLUMNS;
export const COPY_TABLES = Object.keys(COPY_COLUMNS) as readonly CopyTable[];

export const COPY_HEADER: Uint8Array = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
export const COPY_TRAILER: Uint8Array = Buffer.from([0xff, 0xff]);

/** Rows of one message, by table: each a list of pieces that follow one another. */
export type EncodedRows = { readonly [table in CopyTable]?: readonly Uint8Array[] };

/** A refused part of a message, as it is kept. */
export interface DeadLetterRow {
  readonly gatewayId: string | null;
  readonly epoch: string | null;
  readonly sequence: number | null;
  readonly reason: string;
  readonly bytes: Uint8Array;
}

/** Of a refused part this many bytes are kept. */
export const DEAD_LETTER_BYTES_MAX: number = 64 * 1024;

/** Encodes the readings of one message after the other into shared memory; `take` hands out the rows of the last one. */
export class RowEncoder {
  readonly #writers: { [table in CopyTable]: RowWriter } = {
    sensor_data: new RowWriter(256 * 1024),
    events: new RowWriter(16 * 1024),
    measurements: new RowWriter(16 * 1024),
    dead_letters: new RowWriter(4 * 1024),
  };

  add(reading: Reading): void {
    switch (kindOf(reading)) {
      case 'sample':
        return this.#writers.sensor_data.sample(reading as Sample);
      case 'event':
        return this.#writers.events.event(reading as MachineEvent);
      case 'measurement':
        return this.#writers.measurements.measurement(reading as Measurement);
    }
  }

  addDeadLetter(letter: DeadLetterRow): void {
    this.#writers.dead_letters.deadLetter(letter);
  }

  /** The rows added since the last call. */
  take(): EncodedRows {
    const rows: { [table in CopyTable]?: readonly Uint8Array[] } = {};
    for (const table of COPY_TABLES) {
      const pieces = this.#writers[table].take();
      if (pieces.length > 0) rows[table] = pieces;
    }
    return rows;
  }
}

/** Room kept for the fields of fixed length of any row. */
const FIXED_BYTES = 256;
/** UTF-8 takes at most 3 bytes for a UTF-16 unit. */
const BYTES_PER_UNIT = 3;

class RowWriter {
  readonly #chunkBytes: number;
  #chunk: Buffer;
  #view: DataView;
  /** Where the rows not yet taken begin in the chunk. */
  #start = 0;
  #at = 0;
  #pieces: Uint8Array[] = [];

  constructor(chunkBytes: number) {
    this.#chunkBytes = chunkBytes;
    this.#chunk = Buffer.allocUnsafe(chunkBytes);
    this.#view = viewOf(this.#chunk);
  }

  take(): readonly Uint8Array[] {
    if (this.#at > this.#start) this.#pieces.push(this.#chunk.subarray(this.#start, this.#at));
    this.#start = this.#at;
    const pieces = this.#pieces;
    if (pieces.length > 0) this.#pieces = [];
    return pieces;
  }

  sample(sample: Sample): void {
    const extra = extraOf(sample);
    this.#reserve(FIXED_BYTES + BYTES_PER_UNIT * (sample.machine_id.length + 32 + (extra?.length ?? 0)));
    this.#fields(13);
    this.#time(sample.timestamp);
    this.#text(sample.machine_id);
    this.#double(sample.temperature);
    this.#double(sample.spindle_speed);
    this.#double(sample.x_pos_mm);
    this.#double(sample.y_pos_mm);
    this.#double(sample.z_pos_mm);
    this.#double(sample.feed_rate_actual);
    this.#double(sample.spindle_load_percent);
    this.#text(sample.machine_state);
    this.#integer(sample.active_program_line);
    this.#double(sample.total_power_kw);
    this.#jsonb(extra);
  }

  event(event: MachineEvent): void {
    const details = jsonOf(event.details);
    const { machine_id, item, native_code, native_severity, qualifier, text } = event;
    const units = [machine_id, item, native_code, native_severity, qualifier, text, details].reduce(
      (sum, value) => sum + (value?.length ?? 0),
      160,
    );
    this.#reserve(FIXED_BYTES + BYTES_PER_UNIT * units);
    this.#fields(14);
    this.#time(event.timestamp);
    this.#text(machine_id);
    this.#text(event.event_type);
    this.#text(item);
    this.#text(event.state);
    this.#text(event.previous_state);
    this.#text(event.level);
    this.#text(native_code);
    this.#text(native_severity);
    this.#text(qualifier);
    this.#text(text);
    this.#jsonb(details);
    this.#time(event.gateway_time);
    this.#text(event.clock_quality);
  }

  measurement(measurement: Measurement): void {
    const details = jsonOf(measurement.details);
    const contributions = jsonOf(measurement.uncertainty_contributions);
    const distrust = jsonOf(measurement.distrust);
    const { machine_id, characteristic, unit, part_id, serial_number } = measurement;
    const units = [machine_id, characteristic, unit, part_id, serial_number, details, contributions, distrust].reduce(
      (sum, value) => sum + (value?.length ?? 0),
      80,
    );
    this.#reserve(FIXED_BYTES + BYTES_PER_UNIT * units);
    this.#fields(25);
    this.#time(measurement.timestamp);
    this.#text(machine_id);
    this.#text(characteristic);
    this.#double(measurement.measured_value);
    this.#text(unit);
    this.#text(part_id);
    this.#text(serial_number);
    this.#double(measurement.nominal_value);
    this.#double(measurement.lower_limit);
    this.#double(measurement.upper_limit);
    this.#double(measurement.temperature_c);
    this.#jsonb(details);
    this.#time(measurement.gateway_time);
    this.#text(measurement.clock_quality);
    this.#double(measurement.scale_temperature_c);
    this.#text(measurement.compensation);
    this.#double(measurement.compensated_value);
    this.#double(measurement.correction);
    this.#double(measurement.expanded_uncertainty);
    this.#jsonb(contributions);
    this.#text(measurement.verdict);
    this.#text(measurement.decision_rule);
    this.#double(measurement.guard_band);
    this.#double(measurement.conformance_probability);
    this.#jsonb(distrust);
  }

  deadLetter(letter: DeadLetterRow): void {
    const bytes = letter.bytes.subarray(0, DEAD_LETTER_BYTES_MAX);
    const reason = letter.reason.toWellFormed().replaceAll('\0', '\u2400');
    const units = (letter.gatewayId?.length ?? 0) + (letter.epoch?.length ?? 0) + reason.length;
    this.#reserve(FIXED_BYTES + BYTES_PER_UNIT * units + bytes.length);
    this.#fields(6);
    this.#text(letter.gatewayId);
    this.#text(letter.epoch);
    this.#bigint(letter.sequence);
    this.#text(reason);
    this.#view.setInt32(this.#at, bytes.length);
    this.#chunk.set(bytes, this.#at + 4);
    this.#at += 4 + bytes.length;
    this.#bigint(letter.bytes.length);
  }

  /** After this, `bytes` more can be written without looking. */
  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#chunk.length) return;
    if (this.#at > this.#start) this.#pieces.push(this.#chunk.subarray(this.#start, this.#at));
    this.#chunk = Buffer.allocUnsafe(Math.max(this.#chunkBytes, bytes));
    this.#view = viewOf(this.#chunk);
    this.#start = 0;
    this.#at = 0;
  }

  #fields(count: number): void {
    this.#view.setInt16(this.#at, count);
    this.#at += 2;
  }

  #null(): void {
    this.#view.setInt32(this.#at, -1);
    this.#at += 4;
  }

  #double(value: number | null | undefined): void {
    if (value === undefined || value === null) return this.#null();
    this.#view.setInt32(this.#at, 8);
    this.#view.setFloat64(this.#at + 4, value);
    this.#at += 12;
  }

  #integer(value: number | null | undefined): void {
    if (value === undefined || value === null) return this.#null();
    this.#view.setInt32(this.#at, 4);
    this.#view.setInt32(this.#at + 4, value);
    this.#at += 8;
  }

  #bigint(value: number | null): void {
    if (value === null) return this.#null();
    this.#view.setInt32(this.#at, 8);
    this.#view.setBigInt64(this.#at + 4, BigInt(value));
    this.#at += 12;
  }

  #text(value: string | null | undefined): void {
    if (value === undefined || value === null) return this.#null();
    const written = this.#chunk.write(value, this.#at + 4);
    this.#view.setInt32(this.#at, written);
    this.#at += 4 + written;
  }

  #jsonb(json: string | undefined): void {
    if (json === undefined) return this.#null();
    const written = this.#chunk.write(json, this.#at + 5);
    this.#view.setInt32(this.#at, written + 1);
    this.#chunk[this.#at + 4] = 1;
    this.#at += 5 + written;
  }

  #time(timestamp: string | undefined): void {
    if (timestamp === undefined) return this.#null();
    this.#view.setInt32(this.#at, 8);
    writePostgresMicros(this.#view, this.#at + 4, timestamp);
    this.#at += 12;
  }
}

function viewOf(chunk: Buffer): DataView {
  return new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}

function jsonOf(value: unknown): string | undefined {
  return value === undefined ? undefined : JSON.stringify(value);
}

/** JSON of what has no column of its own, and of columns that are explicitly null; undefined when there is nothing. */
function extraOf(sample: Sample): string | undefined {
  let extra: Record<string, unknown> | undefined;
  for (const key in sample) {
    switch (key) {
      case 'machine_id':
      case 'timestamp':
      case 'kind':
        continue;
      case 'temperature':
      case 'spindle_speed':
      case 'x_pos_mm':
      case 'y_pos_mm':
      case 'z_pos_mm':
      case 'feed_rate_actual':
      case 'spindle_load_percent':
      case 'machine_state':
      case 'active_program_line':
      case 'total_power_kw':
        if (sample[key] !== null) continue;
    }
    // Without a prototype, so that a key named __proto__ is a key like any other.
    extra ??= Object.create(null) as Record<string, unknown>;
    extra[key] = sample[key];
  }
  return extra === undefined ? undefined : JSON.stringify(extra);
}

const DAYS_1970_TO_2000 = 10_957;
/** Beyond this many seconds from 2000 the microseconds are no safe integers. */
const SAFE_SECONDS_MAX = 9_000_000_000;

/** Writes a canonical timestamp as 8 bytes of microseconds since 2000-01-01. */
function writePostgresMicros(view: DataView, at: number, text: string): void {
  const days = daysSince1970(two(text, 0) * 100 + two(text, 2), two(text, 5), two(text, 8)) - DAYS_1970_TO_2000;
  const seconds = days * 86_400 + two(text, 11) * 3600 + two(text, 14) * 60 + two(text, 17);
  let micros = 0;
  let scale = 100_000;
  for (let index = 20; index < text.length - 1; index += 1) {
    micros += (text.charCodeAt(index) - 48) * scale;
    scale /= 10;
  }
  if (Math.abs(seconds) > SAFE_SECONDS_MAX) {
    view.setBigInt64(at, BigInt(seconds) * 1_000_000n + BigInt(micros));
    return;
  }
  const total = seconds * 1_000_000 + micros;
  const high = Math.floor(total / 0x1_0000_0000);
  view.setInt32(at, high);
  view.setUint32(at + 4, total - high * 0x1_0000_0000);
}

function two(text: string, index: number): number {
  return text.charCodeAt(index) * 10 + text.charCodeAt(index + 1) - 528;
}

/** Days of the Gregorian calendar, counted in eras of 400 years from a year that begins in March. */
function daysSince1970(year: number, month: number, day: number): number {
  const marchYear = month > 2 ? year : year - 1;
  const era = Math.floor(marchYear / 400);
  const yearOfEra = marchYear - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

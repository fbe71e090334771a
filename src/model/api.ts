/** The JSON of the hub's HTTP API, as the pages and other systems see it. Types only. */
import type {
  ClockQuality,
  Compensation,
  ConditionLevel,
  DecisionRule,
  EventType,
  JsonValue,
  Verdict,
} from './reading.ts';
import type { MachineState } from './signals.ts';
import type { EdgeStatus, SourceState } from './status.ts';
import type { Timestamp } from './time.ts';

/** `GET /api/v1/machines` */
export interface Machine {
  readonly id: string;
  readonly name: string;
  readonly location: string | null;
  readonly controller_type: string | null;
  readonly max_spindle_speed_rpm: number | null;
  readonly axis_count: number | null;
  readonly created_at: Timestamp;
  readonly last_updated: Timestamp;
}

/** The newest value of one signal. `value` null: known to be unavailable since `time`. */
export interface CurrentValue {
  readonly value: JsonValue;
  readonly time: Timestamp;
}

/** `GET /api/v1/fleet`: everything known of a machine now. */
export interface MachineNow {
  readonly id: string;
  readonly name: string;
  readonly location: string | null;
  /** Newest state said; null when none was ever said. */
  readonly state: MachineState | null;
  /** Since when, by the machine's clock. */
  readonly state_since: Timestamp | null;
  /** The raw signal behind the state, e.g. `execution ACTIVE`. */
  readonly state_reason: string | null;
  /**
   * Newest sign of life, by the hub's clock: the newest reading's own time (never later than now), or the gateway's
   * word that the source answers (a heartbeat). null: never.
   */
  readonly last_seen: Timestamp | null;
  /** Of the newest measurement, never later than now; null: it has sent none. */
  readonly last_measurement: Timestamp | null;
  /**
   * How the gateway fares with the machine, by the best of its sources; null when no gateway has reported on it in the
   * last minute, or in words that this hub does not know.
   */
  readonly source_state: SourceState | null;
  /** What is wrong with the first of its sources that is not ok. */
  readonly source_error: string | null;
  readonly gateway_id: string | null;
  /** By signal name, standard and extra. */
  readonly values: { readonly [signal: string]: CurrentValue };
  /** Conditions that are now warning or fault. */
  readonly active_conditions: readonly MachineEventRow[];
}

/** `GET /api/v1/machines/{id}/events`, newest first. */
export interface MachineEventRow {
  readonly time: Timestamp;
  readonly machine_id: string;
  readonly event_type: EventType;
  readonly item: string | null;
  readonly state: MachineState | null;
  readonly previous_state: MachineState | null;
  readonly level: ConditionLevel | null;
  readonly native_code: string | null;
  readonly native_severity: string | null;
  readonly qualifier: string | null;
  readonly text: string | null;
  readonly details: { readonly [key: string]: JsonValue } | null;
}

/** `GET /api/v1/machines/{id}/measurements`, newest first. Lengths are in `unit`. */
export interface MeasurementRow {
  readonly time: Timestamp;
  readonly machine_id: string;
  readonly characteristic: string;
  /** As the source gave it. */
  readonly measured_value: number;
  readonly unit: string;
  readonly part_id: string | null;
  readonly serial_number: string | null;
  readonly nominal_value: number | null;
  readonly lower_limit: number | null;
  readonly upper_limit: number | null;
  readonly temperature_c: number | null;
  readonly scale_temperature_c: number | null;
  /** What the source itself had compensated already. */
  readonly compensation: Compensation | null;
  /** At 20 °C. */
  readonly compensated_value: number | null;
  readonly correction: number | null;
  /** U, k = 2. */
  readonly expanded_uncertainty: number | null;
  /** Standard uncertainties by their names. */
  readonly uncertainty_contributions: { readonly [name: string]: number } | null;
  readonly verdict: Verdict | null;
  readonly decision_rule: DecisionRule | null;
  readonly guard_band: number | null;
  /** From 0 to 1. */
  readonly conformance_probability: number | null;
  /** Why the value is not to be trusted; null: no reason is known. */
  readonly distrust: readonly string[] | null;
  readonly details: { readonly [key: string]: JsonValue } | null;
  readonly gateway_time: Timestamp | null;
  readonly clock_quality: ClockQuality | null;
}

/** `GET /api/v1/machines/{id}/features`: one characteristic in a window of time; the worst first. */
export interface Feature {
  readonly characteristic: string;
  /** From here on as the newest measurement says. */
  readonly unit: string;
  readonly nominal_value: number | null;
  readonly lower_limit: number | null;
  readonly upper_limit: number | null;
  readonly newest: MeasurementRow;
  /**
   * Where the newest value (compensated, else measured) stands in the tolerance: 0 in its middle, 1 at the upper limit, −1
   * at the lower; with one limit it is counted from the nominal value. null: that cannot be said.
   */
  readonly tolerance_used: number | null;
  /** How many there were in the window, the newest 10,000 at most; the verdicts are theirs. */
  readonly measurements: number;
  readonly verdicts: { readonly [verdict in Verdict | 'none']: number };
}

/** Which value is studied. */
export type StudiedValue = 'compensated' | 'measured';

/** `GET /api/v1/machines/{id}/capability`: control chart, histogram and capability of one characteristic. In `unit`. */
export interface CapabilityStudy {
  readonly machine_id: string;
  readonly characteristic: string;
  readonly value: StudiedValue;
  /** null: there is no measurement. */
  readonly unit: string | null;
  /** In the order of time, the newest. */
  readonly points: readonly StudyPoint[];
  /** Whether older ones of the window were left out, because they are more than the limit. */
  readonly has_older: boolean;
  readonly points_max: number;
  /** Measurements among them that are no points: without the value asked for, or in another unit than the newest. */
  readonly left_out: number;
  /** null: `control_reason` says why. */
  readonly control: StudyControl | null;
  readonly control_reason: string | null;
  /** Those of Nelson's rules that points meet. */
  readonly rules_met: readonly { readonly rule: number; readonly text: string; readonly points: number }[];
  /** Limits of the points, in the order in which they came first. */
  readonly specifications: readonly StudySpecification[];
  /** Adjoining, of one width; a value on the edge of two belongs to the upper. */
  readonly histogram: readonly { readonly from: number; readonly to: number; readonly count: number }[];
  /** null: `capability_reason` says why. */
  readonly capability: StudyCapability | null;
  readonly capability_reason: string | null;
}

export interface StudyPoint {
  readonly time: Timestamp;
  readonly part_id: string | null;
  readonly serial_number: string | null;
  /** The one that is studied. */
  readonly value: number;
  readonly measured_value: number;
  readonly compensated_value: number | null;
  /** U, k = 2. */
  readonly expanded_uncertainty: number | null;
  readonly temperature_c: number | null;
  readonly verdict: Verdict | null;
  readonly distrust: readonly string[] | null;
  /** To the value before, without sign; null: there is none before. */
  readonly moving_range: number | null;
  /** Nelson's rules, from 1, whose pattern this point completes. */
  readonly rules: readonly number[];
}

/** Limits of the first values of the window: later ones do not move them. */
export interface StudyControl {
  readonly baseline: number;
  readonly baseline_start: Timestamp;
  readonly baseline_end: Timestamp;
  readonly centre: number;
  readonly sigma: number;
  readonly lower: number;
  readonly upper: number;
  readonly range_centre: number;
  readonly range_upper: number;
}

export interface StudySpecification {
  readonly nominal_value: number | null;
  readonly lower_limit: number | null;
  readonly upper_limit: number | null;
  readonly points: number;
  readonly first_time: Timestamp;
  readonly last_time: Timestamp;
}

export interface StudyCapability {
  readonly values: number;
  readonly mean: number;
  readonly sigma_within: number;
  readonly sigma_overall: number;
  /** null: with one limit there is none. */
  readonly cp: number | null;
  readonly cpk: number;
  readonly pp: number | null;
  readonly ppk: number;
  /** Two-sided, 95 %. */
  readonly cpk_interval: readonly [low: number, high: number];
  readonly ppk_interval: readonly [low: number, high: number];
}

/** `GET /api/v1/machines/{id}/states`: intervals in time order, clipped to the window; `end_time` null: still so. */
export interface StateInterval {
  readonly state: MachineState;
  readonly start_time: Timestamp;
  readonly end_time: Timestamp | null;
  readonly reason: string | null;
}

/** `GET /api/v1/machines/{id}/signals`: what can be charted. */
export interface SignalInfo {
  readonly name: string;
  readonly label: string;
  readonly unit: string;
  readonly decimals: number;
  /** Whether the newest value is a number. */
  readonly numeric: boolean;
}

/**
 * `GET /api/v1/machines/{id}/series?signals=a,b&start_time=&end_time=&points=`: one entry per signal, with at most so many
 * buckets. Buckets without a sample are left out; a bucket in which the signal became unavailable has null in all columns.
 * Over a long window buckets are whole minutes or hours, so that the first may begin before the window; it holds nothing
 * from there.
 */
export interface Series {
  readonly start_time: Timestamp;
  readonly end_time: Timestamp;
  readonly bucket_seconds: number;
  readonly signals: { readonly [signal: string]: SeriesColumns };
}

/** Columns of equal length; `time` is the bucket's start in seconds since 1970 (with decimals), ascending. */
export interface SeriesColumns {
  readonly time: readonly number[];
  readonly min: readonly (number | null)[];
  readonly max: readonly (number | null)[];
  /** Weighted by the sampling factor of each sample. */
  readonly mean: readonly (number | null)[];
  readonly last: readonly (number | null)[];
  /** The newest value before the window; null where it was unavailable then, or not known for three days. */
  readonly before: SeriesValue | null;
}

export interface SeriesValue {
  /** In seconds since 1970. */
  readonly time: number;
  readonly value: number;
}

/** `GET /api/v1/edges`: the edges' own words and when the hub heard them. */
export interface EdgeReport {
  readonly status: EdgeStatus;
  /** By the hub's clock. */
  readonly received_at: Timestamp;
  /** Gateway's clock minus the hub's, in seconds; includes the way's delay. */
  readonly clock_offset_seconds: number;
}

/** How the hub's reading of a JetStream stream fares. The counts are of this hub since its start. */
export interface NatsStatus {
  /** `host:port` of each that is configured. */
  readonly servers: readonly string[];
  readonly stream: string;
  readonly consumer: string;
  /** connecting: not yet. failing: nothing can be read, and it is tried again. */
  readonly state: 'connecting' | 'ok' | 'failing';
  /** Why nothing can be read. */
  readonly last_error: string | null;
  /** In the stream and not acknowledged, by any hub; null when it was never asked. */
  readonly messages_pending: number | null;
  readonly messages_in_flight: number;
  readonly messages_received: number;
  /** Of those received, the ones that had been delivered before. */
  readonly messages_redelivered: number;
  readonly messages_acknowledged: number;
  /** Because they could not be stored in time; they come again. */
  readonly messages_given_back: number;
  /** Because they could not be unpacked; they are in the dead letters. */
  readonly messages_terminated: number;
}

/** What the hub says of itself in the live stream and in `GET /api/v1/status`. */
export interface HubStatus {
  readonly version: string;
  readonly time: Timestamp;
  readonly time_zone: string;
  readonly database: 'ok' | 'failing';
  readonly database_error: string | null;
  readonly readings_stored: number;
  readonly readings_per_second: number;
  readonly batches_duplicate: number;
  readonly dead_letters: number;
  /** Null where NATS is not configured. */
  readonly nats: NatsStatus | null;
}

/**
 * `GET /api/v1/live` (server-sent events), optionally `?machine=ID` for that machine's every reading.
 * `hello` once, then `machines` (only those that changed, at most 4 a second), `readings` (of the machine asked for),
 * `events`, `edges` and `status` (every 2 s; also the sign that the stream lives).
 */
export interface LiveMessages {
  readonly hello: {
    readonly status: HubStatus;
    readonly machines: readonly MachineNow[];
    readonly edges: readonly EdgeReport[];
  };
  readonly machines: readonly MachineNow[];
  /** Samples in wire form, oldest first, at most 500 in one message: the newest. */
  readonly readings: readonly { readonly [key: string]: JsonValue }[];
  readonly events: readonly MachineEventRow[];
  readonly edges: readonly EdgeReport[];
  readonly status: HubStatus;
}

/** `GET /api/v1/dead-letters`, newest first. */
export interface DeadLetter {
  readonly id: number;
  readonly received_at: Timestamp;
  readonly gateway_id: string | null;
  readonly epoch: string | null;
  readonly sequence: number | null;
  readonly reason: string;
  /** Base64 of the refused bytes, at most the first 64 KiB of them. */
  readonly bytes_base64: string;
  readonly bytes_length: number;
}

/** The answer of `POST /api/v1/ingest`: everything is stored, or is in the dead letters. */
export interface IngestAnswer {
  readonly stored: number;
  readonly duplicate_batches: number;
  readonly dead_letters: number;
  /** The first few reasons, so that a person who tries it with curl sees what was wrong. */
  readonly refused: readonly { readonly place: string; readonly reason: string }[];
}

/** Every answer with a 4xx or 5xx status. */
export interface ApiError {
  readonly error: { readonly code: string; readonly message: string };
}

/** The edge's configuration after reading: complete, checked, plain JSON. `config.ts` makes it from YAML. */
import type { LogLevel } from '../base/logger.ts';

export interface SensorSettings {
  readonly name: string;
  /** A folder of `drivers/`. */
  readonly type: string;
  readonly machineId: string;
  readonly samplingIntervalMs: number;
  /** The driver's own slice, already checked by its schema. */
  readonly options: unknown;
}

export interface SinkSettings {
  readonly name: string;
  /** A folder of `sinks/`. */
  readonly type: string;
  /** Where it begins when the log has no cursor for it: a number is the sequence of its first batch. */
  readonly from: 'oldest' | 'now' | number;
  /** Readings in a second that a backlog is delivered with at most; null: as fast as it goes. */
  readonly maxRate: number | null;
  readonly options: unknown;
}

export interface LogSettings {
  readonly folder: string;
  /** A segment is closed when it reaches this size. */
  readonly segmentBytesMax: number;
  /** Newest batches kept in memory, from which a sink that keeps up is served. */
  readonly hotBytesMax: number;
}

export interface EdgeSettings {
  readonly gatewayId: string;
  readonly location: string | null;
  readonly logLevel: LogLevel;
  readonly sensors: readonly SensorSettings[];
  readonly sinks: readonly SinkSettings[];
  readonly log: LogSettings;
  readonly batching: { readonly readingsMax: number; readonly delayMs: number };
  readonly status: { readonly host: string; readonly port: number };
}

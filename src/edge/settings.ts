/** The edge's configuration after reading: complete, checked, plain JSON. `config.ts` makes it from YAML. */
import type { LogLevel } from '../base/logger.ts';
import type { LogLimits } from '../log/keeper.ts';
import type { SyncPolicy } from '../log/writer.ts';

/**
 * What is in the files that a slice's options name, by path: a keyed digest, good for this life of the edge only. null: it
 * could not be read at the start.
 */
export interface FileDigests {
  readonly [path: string]: string | null;
}

export interface SensorSettings {
  readonly name: string;
  /** A folder of `drivers/`. */
  readonly type: string;
  readonly machineId: string;
  readonly samplingIntervalMs: number;
  /** How long it may give no sign of life; left out: by its interval or heartbeat, if it has one. */
  readonly silentAfterMs?: number;
  /** How much a lost sample counts against one of other sensors, when sampling is thinned. */
  readonly priority: number;
  /** The driver's own slice, already checked by its schema. */
  readonly options: unknown;
  /** Left out: they name none. */
  readonly files?: FileDigests;
}

export interface ProcessorSettings {
  /** A folder of `processors/`. */
  readonly type: string;
  /** Whose readings it is for; null: of every machine. */
  readonly machines: readonly string[] | null;
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
  readonly files?: FileDigests;
}

export interface LogSettings {
  readonly folder: string;
  /** A segment is closed when it reaches this size. */
  readonly segmentBytesMax: number;
  /** Newest batches kept in memory, from which a sink that keeps up is served. */
  readonly hotBytesMax: number;
  readonly sync: SyncPolicy;
  readonly limits: LogLimits;
}

/** Of adaptive sampling. */
export interface ControlSettings {
  readonly enabled: boolean;
  readonly intervalMs: number;
  /** The log and the disk are judged by what they will hold after this time. */
  readonly horizonMs: number;
  /** V: what fidelity is worth against the queues. */
  readonly fidelityWeight: number;
  /** Of one core. */
  readonly cpuPercentMax: number;
  readonly memoryBytesMax: number;
}

export interface EdgeSettings {
  readonly gatewayId: string;
  readonly location: string | null;
  readonly logLevel: LogLevel;
  readonly sensors: readonly SensorSettings[];
  /** In the order in which readings go through them. */
  readonly processors: readonly ProcessorSettings[];
  readonly sinks: readonly SinkSettings[];
  readonly log: LogSettings;
  /** What may be written to the log's disk in its life. */
  readonly cardEnduranceBytes: number;
  readonly batching: { readonly readingsMax: number; readonly delayMs: number };
  readonly control: ControlSettings;
  readonly status: { readonly host: string; readonly port: number };
}

/** Where a running edge gets other settings from (decision 028). */
export interface Configuration {
  /**
   * Resolves when they are to be read again; also when the signal is aborted.
   * @returns false when nothing has changed, and what was refused is only tried again
   */
  changed(signal: AbortSignal): Promise<boolean>;
  /** @throws MillwrightError config_invalid with every problem, one a line */
  read(signal: AbortSignal): Promise<EdgeSettings>;
  /** These are in force now. Must not throw. */
  applied(settings: EdgeSettings): void;
}

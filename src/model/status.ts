/** What an edge tells of itself: on its own status page, and to the hub every two seconds. Plain JSON. */
import type { Timestamp } from './time.ts';

export const EDGE_STATES = ['starting', 'online', 'degraded', 'offline', 'draining', 'stopping'] as const;
/**
 * online: every source and sink works. degraded: some do not, or not in every part. offline: no sink works (readings are kept in the log).
 * draining: sinks work and a backlog is being delivered.
 */
export type EdgeState = (typeof EDGE_STATES)[number];

/**
 * connecting: the first try is under way. ok: connected, and heard within its time. silent: connected as it seems, and
 * nothing was heard for longer than it may be. failing: the last try failed or does not end; another follows.
 * misconfigured: it will not work until a person mends the configuration, or the device.
 */
export const SOURCE_STATES = ['connecting', 'ok', 'silent', 'failing', 'misconfigured', 'stopped'] as const;
export type SourceState = (typeof SOURCE_STATES)[number];

/** One configured sensor: the driver behind it and how it fares. Every time is by the gateway's clock. */
export interface SourceStatus {
  readonly name: string;
  readonly type: string;
  readonly machine_id: string;
  readonly state: SourceState;
  readonly state_since: Timestamp;
  /** Why it is not ok; of one that is ok: what was wrong last, since the start of the edge. */
  readonly last_error: string | null;
  readonly last_error_at: Timestamp | null;
  /** When the source last gave any sign of life (a reading, an answer, a heartbeat). */
  readonly last_contact: Timestamp | null;
  readonly last_reading: Timestamp | null;
  /** Without a sign of life for longer it is silent; null: it may be quiet for as long as it likes. */
  readonly silent_after_seconds: number | null;
  readonly readings: number;
  /**
   * Requests that were answered; how long the newest took, and 95 of the newest 100 at most. 0 and null where the source
   * speaks by itself.
   */
  readonly reads: number;
  readonly latency_ms: number | null;
  readonly latency_p95_ms: number | null;
  /** What went wrong, counted: lost and refused connections, unanswered requests, unreadable parts, silences. */
  readonly errors: number;
  /** Parts of the source that cannot be read, while the rest is. */
  readonly problems: readonly SourceProblem[];
  readonly reconnects: number;
  readonly readings_per_second: number;
  /** 1: every sample. 4: sampling is thinned to a quarter, because the edge is pressed. */
  readonly sampling_factor: number;
}

export interface SourceProblem {
  readonly item: string;
  readonly reason: string;
}

export interface SinkStatus {
  readonly name: string;
  readonly type: string;
  readonly state: 'connecting' | 'ok' | 'failing' | 'stopped';
  readonly last_error: string | null;
  /** Highest sequence settled without a gap. */
  readonly cursor: number;
  /** Batches and readings not yet settled. */
  readonly lag_batches: number;
  readonly lag_readings: number;
  readonly oldest_unsent_age_seconds: number | null;
  /** Until a backlog is delivered, at the present rate; null when there is none, or the rate is not known. */
  readonly drained_in_seconds: number | null;
  readonly readings_per_second: number;
  readonly retries: number;
  readonly dead_letters: number;
  /** When the last delivery was settled, by the gateway's clock. */
  readonly last_delivery: Timestamp | null;
}

export interface LogStatus {
  readonly epoch: string;
  readonly first_sequence: number;
  readonly last_sequence: number;
  readonly bytes: number;
  /** How large the log may become, and how large its disk lets it become; null where the system does not tell. */
  readonly bytes_max: number;
  readonly bytes_possible: number | null;
  /** Given up because the log was full, since the start: merged into others, and dropped. */
  readonly readings_thinned: number;
  readonly readings_dropped: number;
  readonly segments: number;
  readonly quarantined_batches: number;
  /** Of appended batches, and of all that was written to the disk, cursors and compression among it. */
  readonly bytes_appended: number;
  readonly bytes_written: number;
  readonly syncs: number;
  readonly last_error: string | null;
}

/** Of the edge's configuration file. */
export interface ConfigurationStatus {
  /** When the one in force was read. */
  readonly loaded_at: Timestamp;
  /** A newer one that was not taken, and why: a sentence each with file, line and key. null: there is none. */
  readonly refused: { readonly at: Timestamp; readonly errors: readonly string[] } | null;
  /** Keys that are changed in the file, and obeyed only after a restart. */
  readonly needs_restart: readonly string[];
}

export interface EdgeStatus {
  readonly gateway_id: string;
  readonly location: string | null;
  readonly version: string;
  readonly state: EdgeState;
  readonly started_at: Timestamp;
  /** The gateway's clock when it wrote this: the hub compares it with its own. */
  readonly sent_at: Timestamp;
  readonly memory_bytes: number;
  readonly readings_per_second: number;
  readonly losses: number;
  /** Absent from an edge of an older version. */
  readonly configuration?: ConfigurationStatus;
  readonly sources: readonly SourceStatus[];
  readonly log: LogStatus;
  readonly sinks: readonly SinkStatus[];
}

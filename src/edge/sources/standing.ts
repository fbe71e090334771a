/**
 * How one source fares: what its driver has told, and what follows from it now. The state is worked out when it is asked
 * for, since silence is what happens while nothing happens.
 *
 * Times are kept by the monotonic clock, and told by the wall clock as it stands then: that of a gateway which has not
 * heard of the time yet would make ages of years.
 */
import { ageText } from '../../base/age.ts';
import type { Clock } from '../../base/clock.ts';
import type { SourceProblem, SourceState, SourceStatus } from '../../model/status.ts';
import { type Timestamp, timestampOf } from '../../model/time.ts';
import { Latencies } from './latencies.ts';

/** A source may be quiet for so long, and for so many of its intervals or heartbeats, whichever is longer. */
export const SILENT_MS_MIN = 10_000;
export const SILENT_INTERVALS = 3;
/** A driver that has not connected within this, and has not given up, is shown as failing. */
export const CONNECTING_MS_MAX = 30_000;
/** Parts of a source that are shown as unreadable; more are not kept apart. */
export const PROBLEMS_MAX = 100;

/** `connected` as far as the driver knows; `waiting` for the next try. */
type Phase = 'trying' | 'connected' | 'waiting' | 'stopped';
type Fault = 'failing' | 'misconfigured';

type StandingStatus = Pick<
  SourceStatus,
  | 'state'
  | 'state_since'
  | 'last_error'
  | 'last_error_at'
  | 'last_contact'
  | 'last_reading'
  | 'silent_after_seconds'
  | 'reads'
  | 'latency_ms'
  | 'latency_p95_ms'
  | 'errors'
  | 'problems'
>;

export interface StandingOptions {
  readonly clock: Clock;
  /** Left out: by the interval or heartbeat. */
  readonly silentAfterMs: number | undefined;
}

export class SourceStanding {
  readonly #clock: Clock;
  readonly #silentAfterMs: number | undefined;
  readonly #latencies = new Latencies();
  readonly #problems = new Map<string, string>();

  #phase: Phase = 'trying';
  /** How the last run ended, until there is a connection. */
  #fault: Fault | null = null;
  /** The try that is under way, and what the state is since. */
  #triedMs: number;
  #sinceMs: number;
  #lastError: string | null = null;
  #lastErrorMs = 0;
  #lastContactMs: number | null = null;
  #lastReadingMs: number | null = null;
  /** Silence is counted from here: the last contact, or the end of a time in which nobody listened. */
  #quietMs = 0;
  /** So many times the driver waits for room in the log: then silence is ours, not the source's. */
  #waits = 0;
  #pollIntervalMs: number | undefined;
  #heartbeatMs: number | undefined;
  #reads = 0;
  #errors = 0;

  constructor({ clock, silentAfterMs }: StandingOptions) {
    this.#clock = clock;
    this.#silentAfterMs = silentAfterMs;
    this.#triedMs = this.#sinceMs = clock.monotonicMs();
  }

  /** By the monotonic clock; null: never. */
  get lastContactMs(): number | null {
    return this.#lastContactMs;
  }

  /** A run begins. */
  tries(): void {
    this.#phase = 'trying';
    this.#triedMs = this.#clock.monotonicMs();
    this.#heartbeatMs = undefined;
  }

  connected(): void {
    this.#phase = 'connected';
    this.#fault = null;
    this.#sinceMs = this.#clock.monotonicMs();
    this.alive();
  }

  alive(nextWithinMs?: number): void {
    if (nextWithinMs !== undefined) this.#heartbeatMs = nextWithinMs;
    this.#lastContactMs = this.#quietMs = this.#clock.monotonicMs();
  }

  read(): void {
    this.alive();
    this.#lastReadingMs = this.#lastContactMs;
  }

  polled(intervalMs: number): void {
    this.#pollIntervalMs = intervalMs;
  }

  answered(latencyMs: number | null): void {
    if (latencyMs === null) {
      this.#errors += 1;
      return;
    }
    this.alive();
    this.#reads += 1;
    this.#latencies.add(latencyMs);
  }

  waits(): void {
    this.#waits += 1;
  }

  goesOn(): void {
    this.#waits -= 1;
    this.#quietMs = this.#clock.monotonicMs();
  }

  /** Silence and hanging are counted from now on. */
  excuse(): void {
    this.#quietMs = this.#triedMs = this.#clock.monotonicMs();
  }

  /** @returns whether that is news */
  problem(item: string, reason: string | null): boolean {
    if ((this.#problems.get(item) ?? null) === reason) return false;
    if (reason === null) return this.#problems.delete(item);
    if (!this.#problems.has(item)) {
      if (this.#problems.size >= PROBLEMS_MAX) return false;
      this.#errors += 1;
    }
    this.#problems.set(item, reason);
    this.#tell(`${item}: ${reason}`);
    return true;
  }

  /** A run has ended, and another follows. */
  failed(reason: string, fault: Fault): void {
    if (this.#fault !== fault) this.#sinceMs = this.#clock.monotonicMs();
    this.#phase = 'waiting';
    this.#fault = fault;
    this.#problems.clear();
    this.countError(reason);
  }

  stopped(): void {
    this.#phase = 'stopped';
    this.#sinceMs = this.#clock.monotonicMs();
    this.#problems.clear();
  }

  /** @param atMs when it went wrong, by the monotonic clock */
  countError(reason: string, atMs?: number): void {
    this.#errors += 1;
    this.#tell(reason, atMs);
  }

  /**
   * A silence that was told is over: what was wrong is, from now on, how long it was.
   * @returns that, in milliseconds
   */
  endSilence(silentSinceMs: number): number {
    this.#sinceMs = this.#clock.monotonicMs();
    const silenceMs = this.#sinceMs - silentSinceMs;
    this.#tell(`was silent for ${ageText(silenceMs)}`, silentSinceMs);
    return silenceMs;
  }

  /** Since when it is silent, by the monotonic clock; undefined: it is not. */
  silentSinceMs(nowMs: number): number | undefined {
    const afterMs = this.#silenceMs();
    if (this.#phase !== 'connected' || this.#waits > 0 || afterMs === null) return undefined;
    return nowMs - this.#quietMs > afterMs ? this.#quietMs : undefined;
  }

  /** Since when a driver tries to connect that should have given up; undefined: none does. */
  hangsSinceMs(nowMs: number): number | undefined {
    return this.#phase === 'trying' && nowMs - this.#triedMs > CONNECTING_MS_MAX ? this.#triedMs : undefined;
  }

  status(): StandingStatus {
    const nowMs = this.#clock.monotonicMs();
    const nowMicros = this.#clock.nowMicros();
    const at = (ms: number | null): Timestamp | null =>
      ms === null ? null : timestampOf(Math.round(nowMicros - (nowMs - ms) * 1000));
    const { state, sinceMs, error, errorMs } = this.#judged(nowMs);
    const silenceMs = this.#silenceMs();
    return {
      state,
      state_since: timestampOf(Math.round(nowMicros - (nowMs - sinceMs) * 1000)),
      last_error: error,
      last_error_at: error === null ? null : at(errorMs),
      last_contact: at(this.#lastContactMs),
      last_reading: at(this.#lastReadingMs),
      silent_after_seconds: silenceMs === null ? null : silenceMs / 1000,
      reads: this.#reads,
      latency_ms: this.#latencies.lastMs,
      latency_p95_ms: this.#latencies.p95Ms,
      errors: this.#errors,
      problems: [...this.#problems].map(([item, reason]): SourceProblem => ({ item, reason })),
    };
  }

  #judged(nowMs: number): { state: SourceState; sinceMs: number; error: string | null; errorMs: number } {
    const known = { sinceMs: this.#sinceMs, error: this.#lastError, errorMs: this.#lastErrorMs };
    const hangsMs = this.hangsSinceMs(nowMs);
    if (hangsMs !== undefined) {
      const sinceMs = this.#fault === null ? hangsMs : this.#sinceMs;
      return { state: this.#fault ?? 'failing', sinceMs, error: hangText(nowMs - hangsMs), errorMs: hangsMs };
    }
    switch (this.#phase) {
      case 'stopped':
        return { ...known, state: 'stopped' };
      case 'trying':
      case 'waiting':
        // A try that is under way after one that failed is still a failure.
        return { ...known, state: this.#fault ?? 'connecting' };
      case 'connected': {
        const silentMs = this.silentSinceMs(nowMs);
        if (silentMs === undefined) return { ...known, state: 'ok' };
        return { state: 'silent', sinceMs: silentMs, error: silenceText(nowMs - silentMs), errorMs: silentMs };
      }
    }
  }

  /** How long it may be quiet; null: for as long as it likes. */
  #silenceMs(): number | null {
    if (this.#silentAfterMs !== undefined) return this.#silentAfterMs;
    if (this.#pollIntervalMs === undefined && this.#heartbeatMs === undefined) return null;
    const intervalMs = Math.max(this.#pollIntervalMs ?? 0, this.#heartbeatMs ?? 0);
    return Math.max(SILENT_MS_MIN, SILENT_INTERVALS * intervalMs);
  }

  #tell(reason: string, atMs?: number): void {
    this.#lastError = reason;
    this.#lastErrorMs = atMs ?? this.#clock.monotonicMs();
  }
}

export function silenceText(silentMs: number): string {
  return `no sign of life for ${ageText(silentMs)}`;
}

export function hangText(tryingMs: number): string {
  return `has not connected for ${ageText(tryingMs)}`;
}

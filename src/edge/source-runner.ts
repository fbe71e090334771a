/**
 * Runs one driver for as long as the edge runs: calls it again whenever it ends, with growing waits; keeps its status;
 * lets nothing that goes wrong in it out.
 *
 * When a connection is lost that had stood, the machine is told to be offline, so that no old value looks like a new
 * one; when it stands again the driver itself says the state.
 *
 * A sampling factor above 1 takes effect here. A driver that asks for its interval is polled, and is given a longer one,
 * up to {@link POLL_INTERVAL_MS_MAX}: with a longer one still it would miss short states of its machine. What is left
 * of the factor, and all of it for a driver that reports on change, is done by merging samples.
 */
import { Backoff } from '../base/backoff.ts';
import { type Clock, now } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Random } from '../base/random.ts';
import { Rate } from '../base/rate.ts';
import { type MachineEvent, type Reading, TEXT_LENGTH_MAX } from '../model/reading.ts';
import type { MachineState } from '../model/signals.ts';
import type { SourceStatus } from '../model/status.ts';
import { timestampOf } from '../model/time.ts';
import type { Driver, DriverContext } from '../ports/driver.ts';
import { SampleMerger } from './sampling/sample-merger.ts';
import type { SensorSettings } from './settings.ts';

export const RECONNECT_LIMITS = { firstMs: 1_000, maxMs: 30_000 } as const;
/** Thinning makes no time between two polls longer than this. */
export const POLL_INTERVAL_MS_MAX = 1_000;
/** Parts of a source that are shown as unreadable; more are not kept apart. */
export const PROBLEMS_MAX = 100;

export interface SourceRunnerOptions {
  readonly sensor: SensorSettings;
  readonly driver: Driver;
  readonly accept: (reading: Reading) => void;
  /** See {@link DriverContext.room}. */
  readonly room: () => Promise<void> | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export class SourceRunner {
  readonly #options: SourceRunnerOptions;
  readonly #logger: Logger;
  readonly #backoff: Backoff;
  readonly #rate = new Rate();
  readonly #merger: SampleMerger;

  #state: SourceStatus['state'] = 'connecting';
  #lastError: string | null = null;
  #lastContactMs: number | null = null;
  #lastContactMicros: number | null = null;
  #lastReadingMicros: number | null = null;
  #readings = 0;
  #reads = 0;
  #latencyMs: number | null = null;
  readonly #problems = new Map<string, string>();
  #connections = 0;
  /** The state the machine was last said to be in; undefined for a source that says none. */
  #machineState: MachineState | undefined;

  #samplingFactor = 1;
  /** The driver has asked for its interval. */
  #isPolled = false;
  /** Of the interval that the driver was last given: its next sample stands for so many. */
  #polledFactor = 1;
  #samplesInFull = 0;

  constructor(options: SourceRunnerOptions) {
    this.#options = options;
    this.#logger = options.logger.with({ source: options.sensor.name });
    this.#backoff = new Backoff(RECONNECT_LIMITS, options.random);
    this.#merger = new SampleMerger(options);
  }

  /** Until aborted. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { driver, clock } = this.#options;
    const context = this.#context();
    // A signal of its own: every sleep adds a listener and takes it away, and looks at all others of that signal.
    const own = new AbortController();
    signal.addEventListener('abort', () => own.abort(), { once: true });
    while (!signal.aborted) {
      this.#state = 'connecting';
      this.#polledFactor = 1;
      const connectionsBefore = this.#connections;
      let reason = 'the source closed the connection';
      try {
        await driver.run(context, own.signal);
      } catch (error) {
        reason = messageOf(error);
      }
      this.#merger.flush();
      this.#problems.clear();
      if (signal.aborted) break;
      this.#failed(reason, this.#connections > connectionsBefore);
      await clock.sleep(this.#backoff.nextMs(), own.signal);
    }
    this.#state = 'stopped';
  }

  /** Samples that wait to be merged go on as they are. */
  flush(): void {
    this.#merger.flush();
  }

  /** When the source last gave a sign of life, by the monotonic clock; null: never. */
  get lastContactMs(): number | null {
    return this.#lastContactMs;
  }

  get name(): string {
    return this.#options.sensor.name;
  }

  get priority(): number {
    return this.#options.sensor.priority;
  }

  /** Time between two samples, thinning included; undefined: the source reports on change. */
  get pollIntervalMs(): number | undefined {
    return this.#isPolled ? this.#options.sensor.samplingIntervalMs * this.#polledFactor : undefined;
  }

  /** Samples that there would have been at sampling factor 1. */
  get samplesInFull(): number {
    return this.#samplesInFull;
  }

  /** Takes effect with the next interval. */
  setSamplingFactor(factor: number): void {
    this.#samplingFactor = factor;
    this.#setMergeWidth();
  }

  status(): SourceStatus {
    const { sensor, clock } = this.#options;
    return {
      name: sensor.name,
      type: sensor.type,
      machine_id: sensor.machineId,
      state: this.#state,
      last_error: this.#lastError,
      last_contact: this.#lastContactMicros === null ? null : timestampOf(this.#lastContactMicros),
      last_reading: this.#lastReadingMicros === null ? null : timestampOf(this.#lastReadingMicros),
      readings: this.#readings,
      reads: this.#reads,
      latency_ms: this.#latencyMs,
      problems: [...this.#problems].map(([item, reason]) => ({ item, reason })),
      reconnects: Math.max(0, this.#connections - 1),
      readings_per_second: this.#rate.perSecond(clock.monotonicMs()),
      sampling_factor: this.#samplingFactor,
    };
  }

  #context(): DriverContext {
    const { sensor, clock, random, room } = this.#options;
    return {
      machineId: sensor.machineId,
      emit: (reading) => this.#emitted(reading),
      connected: () => this.#connected(),
      alive: () => this.#alive(),
      answered: (latencyMs) => this.#answered(latencyMs),
      problem: (item, reason) => this.#problem(item, reason),
      room,
      samplingIntervalMs: () => this.#nextIntervalMs(),
      clock,
      random,
      log: this.#logger,
    };
  }

  #emitted(reading: Reading): void {
    this.#alive();
    this.#lastReadingMicros = this.#lastContactMicros;
    this.#readings += 1;
    this.#rate.add(1, this.#lastContactMs ?? 0);
    if (isState(reading)) this.#machineState = reading.state;
    if (reading.kind === 'event' || reading.kind === 'measurement') return this.#merger.accept(reading);
    this.#samplesInFull += this.#polledFactor;
    this.#merger.accept(this.#polledFactor === 1 ? reading : { ...reading, sampling_factor: this.#polledFactor });
  }

  #nextIntervalMs(): number {
    if (!this.#isPolled) {
      this.#isPolled = true;
      this.#setMergeWidth();
    }
    this.#polledFactor = this.#pollFactor();
    return this.#options.sensor.samplingIntervalMs * this.#polledFactor;
  }

  /** As much of the factor as polling more slowly can do. */
  #pollFactor(): number {
    let factor = this.#samplingFactor;
    while (factor > 1 && this.#options.sensor.samplingIntervalMs * factor > POLL_INTERVAL_MS_MAX) factor /= 2;
    return factor;
  }

  #setMergeWidth(): void {
    const done = this.#isPolled ? this.#pollFactor() : 1;
    const isLeft = this.#samplingFactor > done;
    this.#merger.setWidth(isLeft ? this.#options.sensor.samplingIntervalMs * this.#samplingFactor : 0);
  }

  #alive(): void {
    const { clock } = this.#options;
    this.#lastContactMs = clock.monotonicMs();
    this.#lastContactMicros = clock.nowMicros();
  }

  #answered(latencyMs: number): void {
    this.#alive();
    this.#reads += 1;
    this.#latencyMs = latencyMs;
  }

  #problem(item: string, reason: string | null): void {
    if ((this.#problems.get(item) ?? null) === reason) return;
    if (reason === null) {
      this.#problems.delete(item);
      this.#logger.info('a part of the source can be read again', { item });
      return;
    }
    if (this.#problems.size >= PROBLEMS_MAX && !this.#problems.has(item)) return;
    this.#problems.set(item, reason);
    this.#logger.warn('a part of the source cannot be read', { item, reason });
  }

  #connected(): void {
    const { sensor } = this.#options;
    this.#connections += 1;
    this.#backoff.reset();
    this.#state = 'ok';
    this.#alive();
    if (this.#lastError !== null) this.#logger.info('the source is connected again', { machine_id: sensor.machineId });
    this.#lastError = null;
    if (this.#connections > 1) {
      this.#emitEvent({ event_type: 'connection', item: sensor.name, details: { connected: true } });
    }
  }

  #failed(reason: string, wasConnected: boolean): void {
    if (this.#lastError !== reason) this.#logger.warn('the source is not connected; it is tried again', { reason });
    this.#state = 'failing';
    this.#lastError = reason;
    if (!wasConnected) return;
    const { sensor } = this.#options;
    const text = reason.slice(0, TEXT_LENGTH_MAX).toWellFormed();
    this.#emitEvent({ event_type: 'connection', item: sensor.name, text, details: { connected: false } });
    if (this.#machineState === undefined || this.#machineState === 'offline') return;
    this.#emitEvent({ event_type: 'state', state: 'offline', previous_state: this.#machineState, text });
    this.#machineState = 'offline';
  }

  #emitEvent(event: Omit<MachineEvent, 'machine_id' | 'timestamp' | 'kind'>): void {
    const { sensor, clock } = this.#options;
    const reading: MachineEvent = { machine_id: sensor.machineId, timestamp: now(clock), kind: 'event', ...event };
    this.#merger.accept(reading);
  }
}

function isState(reading: Reading): reading is MachineEvent {
  return reading.kind === 'event' && reading.event_type === 'state';
}

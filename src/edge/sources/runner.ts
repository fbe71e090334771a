/**
 * Runs one driver for as long as the edge runs: calls it again whenever it ends, with growing waits; keeps its status;
 * lets nothing that goes wrong in it out.
 *
 * When a connection is lost that had stood, the machine is told to be offline, so that no old value looks like a new
 * one; when it stands again the driver itself says the state. A source that is only silent makes nothing offline: nobody
 * knows. Its silence is told by an event of the time when it was last heard, so that the event is no sign of life.
 *
 * A sampling factor above 1 takes effect here. A driver that asks for its interval is polled, and is given a longer one,
 * up to {@link POLL_INTERVAL_MS_MAX}: with a longer one still it would miss short states of its machine. What is left
 * of the factor, and all of it for a driver that reports on change, is done by merging samples.
 */
import { ageText } from '../../base/age.ts';
import { Backoff } from '../../base/backoff.ts';
import { type Clock, now } from '../../base/clock.ts';
import { hasCode, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { Random } from '../../base/random.ts';
import { Rate } from '../../base/rate.ts';
import { type MachineEvent, type Reading, TEXT_LENGTH_MAX } from '../../model/reading.ts';
import type { MachineState } from '../../model/signals.ts';
import type { SourceStatus } from '../../model/status.ts';
import { type Timestamp, timestampOf } from '../../model/time.ts';
import type { Driver, DriverContext } from '../../ports/driver.ts';
import { SampleMerger } from '../sampling/sample-merger.ts';
import type { SensorSettings } from '../settings.ts';
import { hangText, SourceStanding, silenceText } from './standing.ts';

export const RECONNECT_LIMITS = { firstMs: 1_000, maxMs: 30_000 } as const;
/** Thinning makes no time between two polls longer than this. */
export const POLL_INTERVAL_MS_MAX = 1_000;
/** How often it is looked whether a source has fallen silent. */
export const WATCH_INTERVAL_MS = 1_000;
/** The edge that looks so much later than it meant to was itself stopped, or busy: it has not listened. */
export const WATCH_LATE_MS_MAX = 3_000;

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

  readonly #standing: SourceStanding;
  #readings = 0;
  /** Why the last run ended, to say the same only once; null: it is connected. */
  #failure: string | null = null;
  /** What was told: since when it is silent, by the monotonic clock; that it does not connect. */
  #silentSinceMs: number | undefined;
  #isHanging = false;
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
    this.#standing = new SourceStanding({ clock: options.clock, silentAfterMs: options.sensor.silentAfterMs });
  }

  /** Until aborted. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { driver, clock } = this.#options;
    const context = this.#context();
    // A signal of its own: every sleep adds a listener and takes it away, and looks at all others of that signal.
    const own = new AbortController();
    signal.addEventListener('abort', () => own.abort(), { once: true });
    while (!signal.aborted) {
      this.#standing.tries();
      this.#polledFactor = 1;
      const connectionsBefore = this.#connections;
      let reason = 'the source closed the connection';
      let isMisconfigured = false;
      try {
        await driver.run(context, own.signal);
      } catch (error) {
        reason = messageOf(error);
        isMisconfigured = hasCode(error, 'config_invalid');
      }
      this.#merger.flush();
      if (signal.aborted) break;
      this.#failed(reason, { wasConnected: this.#connections > connectionsBefore, isMisconfigured });
      // A person is slow, but may mend it at the device, of which nobody tells.
      await clock.sleep(this.#backoff.nextMs(isMisconfigured ? RECONNECT_LIMITS.maxMs : 0), own.signal);
    }
    this.#standing.stopped();
  }

  /** The edge has not listened: whether a source that was not silent before was so meanwhile nobody knows. */
  excuse(): void {
    if (this.#silentSinceMs === undefined) this.#standing.excuse();
  }

  /** Tells when the source has fallen silent, or does not connect. */
  look(): void {
    const { clock } = this.#options;
    const nowMs = clock.monotonicMs();
    const silentMs = this.#standing.silentSinceMs(nowMs);
    if (silentMs !== undefined && this.#silentSinceMs === undefined) this.#fallsSilent(silentMs, nowMs);
    const hangsMs = this.#standing.hangsSinceMs(nowMs);
    if (hangsMs !== undefined && !this.#isHanging) {
      this.#isHanging = true;
      const reason = hangText(nowMs - hangsMs);
      this.#standing.countError(reason, hangsMs);
      this.#logger.warn('the source does not connect, and its driver does not give up', { reason });
    }
  }

  /** Samples that wait to be merged go on as they are. */
  flush(): void {
    this.#merger.flush();
  }

  /** When the source last gave a sign of life, by the monotonic clock; null: never. */
  get lastContactMs(): number | null {
    return this.#standing.lastContactMs;
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
      ...this.#standing.status(),
      readings: this.#readings,
      reconnects: Math.max(0, this.#connections - 1),
      readings_per_second: this.#rate.perSecond(clock.monotonicMs()),
      sampling_factor: this.#samplingFactor,
    };
  }

  #context(): DriverContext {
    const { sensor, clock, random } = this.#options;
    return {
      machineId: sensor.machineId,
      emit: (reading) => this.#emitted(reading),
      connected: () => this.#connected(),
      alive: (nextWithinMs) => {
        this.#standing.alive(nextWithinMs);
        this.#speaks();
      },
      answered: (latencyMs) => {
        this.#standing.answered(latencyMs);
        if (latencyMs !== null) this.#speaks();
      },
      problem: (item, reason) => this.#problem(item, reason),
      room: () => this.#room(),
      samplingIntervalMs: () => this.#nextIntervalMs(),
      clock,
      random,
      log: this.#logger,
    };
  }

  #emitted(reading: Reading): void {
    this.#standing.read();
    this.#speaks();
    this.#readings += 1;
    this.#rate.add(1, this.#standing.lastContactMs ?? 0);
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
    const intervalMs = this.#options.sensor.samplingIntervalMs * this.#polledFactor;
    this.#standing.polled(intervalMs);
    return intervalMs;
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

  /** As the batcher says; while the driver is made to wait, its source is not called silent. */
  #room(): Promise<void> | undefined {
    const room = this.#options.room();
    if (room === undefined) return undefined;
    this.#standing.waits();
    return room.finally(() => this.#standing.goesOn());
  }

  #problem(item: string, reason: string | null): void {
    if (!this.#standing.problem(item, reason)) return;
    if (reason === null) this.#logger.info('a part of the source can be read again', { item });
    else this.#logger.warn('a part of the source cannot be read', { item, reason });
  }

  #connected(): void {
    const { sensor } = this.#options;
    this.#connections += 1;
    this.#backoff.reset();
    this.#standing.connected();
    this.#isHanging = false;
    if (this.#failure !== null) this.#logger.info('the source is connected again', { machine_id: sensor.machineId });
    this.#failure = null;
    if (this.#connections > 1) {
      this.#emitEvent({ event_type: 'connection', item: sensor.name, details: { connected: true } });
    }
  }

  #failed(
    reason: string,
    { wasConnected, isMisconfigured }: { wasConnected: boolean; isMisconfigured: boolean },
  ): void {
    if (this.#failure !== reason) {
      if (isMisconfigured) this.#logger.error('the source is misconfigured; it is tried again, slowly', { reason });
      else this.#logger.warn('the source is not connected; it is tried again', { reason });
    }
    this.#failure = reason;
    this.#standing.failed(reason, isMisconfigured ? 'misconfigured' : 'failing');
    this.#silentSinceMs = undefined;
    this.#isHanging = false;
    if (!wasConnected) return;
    const { sensor } = this.#options;
    // A hub takes no text with a NUL in it, and a device may say what it likes.
    const text = reason.slice(0, TEXT_LENGTH_MAX).replaceAll('\0', '\ufffd').toWellFormed();
    this.#emitEvent({ event_type: 'connection', item: sensor.name, text, details: { connected: false } });
    if (this.#machineState === undefined || this.#machineState === 'offline') return;
    this.#emitEvent({ event_type: 'state', state: 'offline', previous_state: this.#machineState, text });
    this.#machineState = 'offline';
  }

  #fallsSilent(silentMs: number, nowMs: number): void {
    const { sensor, clock } = this.#options;
    this.#silentSinceMs = silentMs;
    const text = silenceText(nowMs - silentMs);
    this.#standing.countError(text, silentMs);
    this.#logger.warn('the source is silent', { reason: text });
    const heardAt = timestampOf(Math.round(clock.nowMicros() - (nowMs - silentMs) * 1000));
    this.#emitEvent({ event_type: 'connection', item: sensor.name, text, details: { silent: true } }, heardAt);
  }

  /** After each sign of life. */
  #speaks(): void {
    if (this.#silentSinceMs === undefined) return;
    const silenceMs = this.#standing.endSilence(this.#silentSinceMs);
    this.#silentSinceMs = undefined;
    const text = `was silent for ${ageText(silenceMs)}`;
    this.#logger.info('the source speaks again', { reason: text });
    const details = { silent: false, silent_seconds: Math.round(silenceMs / 1000) };
    this.#emitEvent({ event_type: 'connection', item: this.#options.sensor.name, text, details });
  }

  #emitEvent(event: Omit<MachineEvent, 'machine_id' | 'timestamp' | 'kind'>, timestamp?: Timestamp): void {
    const { sensor, clock } = this.#options;
    const origin = { machine_id: sensor.machineId, timestamp: timestamp ?? now(clock), kind: 'event' } as const;
    const reading: MachineEvent = { ...origin, ...event };
    this.#merger.accept(reading);
  }
}

function isState(reading: Reading): reading is MachineEvent {
  return reading.kind === 'event' && reading.event_type === 'state';
}

/** Looks at every source again and again, until aborted. `sources` is asked each time. */
export async function watchSources(
  sources: () => readonly Pick<SourceRunner, 'look' | 'excuse'>[],
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  let dueMs = clock.monotonicMs();
  while (!signal.aborted) {
    const isLate = clock.monotonicMs() - dueMs > WATCH_LATE_MS_MAX;
    for (const source of sources()) {
      if (isLate) source.excuse();
      source.look();
    }
    dueMs = clock.monotonicMs() + WATCH_INTERVAL_MS;
    await clock.sleep(WATCH_INTERVAL_MS, signal);
  }
}

/**
 * Runs one driver for as long as the edge runs: calls it again whenever it ends, with growing waits; keeps its status;
 * lets nothing that goes wrong in it out.
 *
 * When a connection is lost that had stood, the machine is told to be offline, so that no old value looks like a new
 * one; when it stands again the driver itself says the state.
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
import type { SensorSettings } from './settings.ts';

export const RECONNECT_LIMITS = { firstMs: 1_000, maxMs: 30_000 } as const;

export interface SourceRunnerOptions {
  readonly sensor: SensorSettings;
  readonly driver: Driver;
  readonly accept: (reading: Reading) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export class SourceRunner {
  readonly #options: SourceRunnerOptions;
  readonly #logger: Logger;
  readonly #backoff: Backoff;
  readonly #rate = new Rate();

  #state: SourceStatus['state'] = 'connecting';
  #lastError: string | null = null;
  #lastContactMs: number | null = null;
  #lastContactMicros: number | null = null;
  #lastReadingMicros: number | null = null;
  #readings = 0;
  #connections = 0;
  /** The state the machine was last said to be in; undefined for a source that says none. */
  #machineState: MachineState | undefined;

  constructor(options: SourceRunnerOptions) {
    this.#options = options;
    this.#logger = options.logger.with({ source: options.sensor.name });
    this.#backoff = new Backoff(RECONNECT_LIMITS, options.random);
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
      const connectionsBefore = this.#connections;
      let reason = 'the source closed the connection';
      try {
        await driver.run(context, own.signal);
      } catch (error) {
        reason = messageOf(error);
      }
      if (signal.aborted) break;
      this.#failed(reason, this.#connections > connectionsBefore);
      await clock.sleep(this.#backoff.nextMs(), own.signal);
    }
    this.#state = 'stopped';
  }

  /** When the source last gave a sign of life, by the monotonic clock; null: never. */
  get lastContactMs(): number | null {
    return this.#lastContactMs;
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
      reconnects: Math.max(0, this.#connections - 1),
      readings_per_second: this.#rate.perSecond(clock.monotonicMs()),
    };
  }

  #context(): DriverContext {
    const { sensor, clock, random } = this.#options;
    return {
      machineId: sensor.machineId,
      emit: (reading) => this.#emitted(reading),
      connected: () => this.#connected(),
      alive: () => this.#alive(),
      samplingIntervalMs: () => sensor.samplingIntervalMs,
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
    this.#options.accept(reading);
  }

  #alive(): void {
    const { clock } = this.#options;
    this.#lastContactMs = clock.monotonicMs();
    this.#lastContactMicros = clock.nowMicros();
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
    const { sensor, clock, accept } = this.#options;
    const reading: MachineEvent = { machine_id: sensor.machineId, timestamp: now(clock), kind: 'event', ...event };
    accept(reading);
  }
}

function isState(reading: Reading): reading is MachineEvent {
  return reading.kind === 'event' && reading.event_type === 'state';
}

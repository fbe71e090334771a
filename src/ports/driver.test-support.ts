/** For tests of drivers: a gateway that keeps what it is told, and runs a driver as the runner does. */
import { type Clock, systemClock } from '../base/clock.ts';
import { MillwrightError, messageOf } from '../base/errors.ts';
import { type Logger, silentLogger } from '../base/logger.ts';
import { type Random, seededRandom } from '../base/random.ts';
import type { MachineEvent, Reading, Sample } from '../model/reading.ts';
import type { Driver, DriverContext } from './driver.ts';

export class Gateway implements DriverContext {
  readonly machineId: string;
  readonly readings: Reading[] = [];
  /** What cannot be read now, and why. */
  readonly problems: Map<string, string> = new Map<string, string>();
  readonly latenciesMs: number[] = [];
  unanswered = 0;
  readonly clock: Clock;
  readonly random: Random = seededRandom(1);
  readonly log: Logger = silentLogger;
  intervalMs: number;
  signs = 0;
  /** When the next sign of life is due, as the driver said last. */
  nextWithinMs: number | undefined;
  connections = 0;

  constructor(options: { machineId?: string; intervalMs?: number; clock?: Clock } = {}) {
    const { machineId = 'M-1', intervalMs = 20, clock = systemClock } = options;
    this.machineId = machineId;
    this.clock = clock;
    this.intervalMs = intervalMs;
  }

  emit(reading: Reading): void {
    this.readings.push(reading);
  }

  connected(): void {
    this.connections += 1;
  }

  alive(nextWithinMs?: number): void {
    this.signs += 1;
    if (nextWithinMs !== undefined) this.nextWithinMs = nextWithinMs;
  }

  answered(latencyMs: number | null): void {
    if (latencyMs === null) this.unanswered += 1;
    else this.latenciesMs.push(latencyMs);
  }

  problem(item: string, reason: string | null): void {
    if (reason === null) this.problems.delete(item);
    else this.problems.set(item, reason);
  }

  room(): Promise<void> | undefined {
    return undefined;
  }

  samplingIntervalMs(): number {
    return this.intervalMs;
  }

  get samples(): Sample[] {
    return this.readings.filter((one): one is Sample => one.kind === undefined);
  }

  get events(): MachineEvent[] {
    return this.readings.filter((one): one is MachineEvent => one.kind === 'event');
  }
}

/** A driver that runs, once or again and again with a short wait, until it is stopped. */
export class Running {
  readonly gateway: Gateway;
  readonly errors: MillwrightError[] = [];
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;

  constructor(driver: Driver, options: { gateway?: Gateway; again?: boolean; againMs?: number } = {}) {
    const { gateway = new Gateway(), again = false, againMs = 20 } = options;
    this.gateway = gateway;
    this.#ended = this.#run(driver, again ? againMs : null);
  }

  /** @param againMs wait before the next try; null: none follows */
  async #run(driver: Driver, againMs: number | null): Promise<void> {
    do {
      try {
        await driver.run(this.gateway, this.#stop.signal);
      } catch (error) {
        if (!(error instanceof MillwrightError)) throw error;
        this.errors.push(error);
      }
      if (againMs !== null) await this.gateway.clock.sleep(againMs, this.#stop.signal);
    } while (againMs !== null && !this.#stop.signal.aborted);
  }

  /** The error with which the run ended. */
  async failure(): Promise<MillwrightError> {
    await this.#ended;
    const [error] = this.errors;
    if (error === undefined) throw new Error('it did not fail');
    return error;
  }

  get lastError(): string {
    const error = this.errors.at(-1);
    return error === undefined ? '' : messageOf(error);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }
}

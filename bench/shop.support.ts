/** For benchmarks: machines of the driver `simulator` on a clock that is moved by hand, so that a day passes in minutes. */
import { type Clock, systemClock } from '../src/base/clock.ts';
import { silentLogger } from '../src/base/logger.ts';
import { create } from '../src/drivers/simulator/driver.ts';
import type { Reading } from '../src/model/reading.ts';

const TICK_MS = 100;
/** Machines differ in their place in the cycle. */
const PHASE_SECONDS = 12;

export function machineIdOf(index: number): string {
  return `CNC-${String(index).padStart(3, '0')}`;
}

/** The sensors of an edge that reads the same machines; of the edge's settings. */
export function sensorsOf(machines: number): SensorOfShop[] {
  return Array.from({ length: machines }, (_, index) => ({
    name: `sim-${index}`,
    type: 'simulator',
    machineId: machineIdOf(index),
    samplingIntervalMs: TICK_MS,
    priority: 1,
    options: { phaseSeconds: index * PHASE_SECONDS },
  }));
}

interface SensorOfShop {
  readonly name: string;
  readonly type: 'simulator';
  readonly machineId: string;
  readonly samplingIntervalMs: number;
  readonly priority: number;
  readonly options: { readonly phaseSeconds: number };
}

export class Shop {
  readonly #sensors: readonly SensorOfShop[];
  readonly #startMicros: number;
  #elapsedMs = 0;
  #sleepers: (() => void)[] = [];
  #allAsleep: () => void = () => {};
  #readings: Reading[] = [];
  #isRunning = false;

  constructor(machines: number, startMicros: number) {
    this.#sensors = sensorsOf(machines);
    this.#startMicros = startMicros;
  }

  /** The time of the newest tick. */
  nowMicros(): number {
    return this.#startMicros + this.#elapsedMs * 1000;
  }

  /** Moves the time on by 100 ms, and resolves to what all machines say then, samples and events. */
  async tick(): Promise<readonly Reading[]> {
    this.#readings = [];
    if (this.#isRunning) this.#elapsedMs += TICK_MS;
    const asleep = new Promise<void>((resolve) => {
      this.#allAsleep = resolve;
    });
    const sleepers = this.#sleepers;
    this.#sleepers = [];
    if (!this.#isRunning) this.#run();
    for (const wake of sleepers) wake();
    await asleep;
    return this.#readings;
  }

  #run(): void {
    this.#isRunning = true;
    const clock: Clock = {
      nowMicros: () => this.nowMicros(),
      monotonicMs: () => this.#elapsedMs,
      sleep: () => new Promise((resolve) => this.#sleep(resolve)),
    };
    for (const { machineId, options } of this.#sensors) {
      const context = {
        machineId,
        emit: (reading: Reading) => void this.#readings.push(reading),
        connected: () => {},
        alive: () => {},
        answered: () => {},
        problem: () => {},
        room: () => undefined,
        samplingIntervalMs: () => TICK_MS,
        clock,
        random: Math.random,
        log: silentLogger,
      };
      void create(options).run(context, new AbortController().signal);
    }
  }

  /** All machines tick alike, so each sleep ends with the next tick. */
  #sleep(wake: () => void): void {
    this.#sleepers.push(wake);
    if (this.#sleepers.length === this.#sensors.length) this.#allAsleep();
  }
}

/** The clock of a log that is filled by the shop: batches are appended at the shop's time, all else takes real time. */
export function clockOf(shop: Shop): Clock {
  return { ...systemClock, nowMicros: () => shop.nowMicros() };
}

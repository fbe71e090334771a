/**
 * Chooses each sensor's sampling factor by drift plus penalty (M. J. Neely, Stochastic Network Optimization, 2010,
 * chapter 4). A factor of 4 means: one sample where there were four. Pure: no clock, no I/O.
 *
 * Once an interval, of the factors 1, 2, 4 … that one is wanted, sensor by sensor, that minimises
 *
 *     V · priority · (factor − 1) / sensors  +  Q · share / factor
 *
 * The first term is the fidelity lost: the mean square error of a held value of a signal that wanders grows as the
 * time between its samples, so it is linear in the factor. The second is the sensor's part of the load, weighed by Q,
 * the sum of all queues (`pressure.ts`). Going from f to 2f breaks even at Q = 2f² · V · priority / (sensors · share), so the
 * factor grows as the square root of Q / V.
 *
 * Hysteresis: a factor goes up when Q is {@link QUEUE_MARGIN} beyond that, and down when a lower one has been wanted
 * for {@link DOWN_INTERVALS} and would still be wanted with the load it brings back; one step an interval. The margin
 * and the steps are constants, so the choice is never more than a constant worse than the best ("C-additive
 * approximation", same chapter), and queue and fidelity keep their bounds of O(V) and O(1/V).
 */
import { type Pressure, queueSum } from './pressure.ts';

export const FACTOR_MAX = 64;
/** A queue this far beyond where two factors are worth the same takes the higher. At a limit a queue is 512. */
export const QUEUE_MARGIN = 16;
/** For so many intervals on end a lower factor must be the better one. */
export const DOWN_INTERVALS = 12;

export interface SensorLoad {
  readonly name: string;
  /** Of all samples that there would be at factor 1: 0 to 1. */
  readonly share: number;
  /** How much a lost sample of it counts against one of another; 1 is usual. */
  readonly priority: number;
}

export interface ControllerOptions {
  /** V: what fidelity is worth against the queues. With 1, one sample of sixteen is left when one limit is reached. */
  readonly fidelityWeight: number;
  /**
   * After so many intervals of wanting a lower factor it is tried even if the load it brings back looks too much: what
   * a link can carry is seen only by giving it more.
   */
  readonly probeIntervals: number;
  /** To begin with, by sensor; 1 where absent. */
  readonly factors?: ReadonlyMap<string, number>;
}

interface Held {
  factor: number;
  /** For how many intervals on end a lower one was wanted. */
  lowerWanted: number;
}

export class SamplingController {
  readonly #options: ControllerOptions;
  readonly #held = new Map<string, Held>();

  constructor(options: ControllerOptions) {
    this.#options = options;
    for (const [name, factor] of options.factors ?? []) this.#held.set(name, { factor, lowerWanted: 0 });
  }

  factorOf(sensor: string): number {
    return this.#held.get(sensor)?.factor ?? 1;
  }

  /** The load at the present factors, as a share of that at factor 1. */
  load(sensors: readonly SensorLoad[]): number {
    return loadAt(sensors, ({ name }) => this.factorOf(name));
  }

  /** One control interval: steps the factors. */
  step(sensors: readonly SensorLoad[], pressures: readonly Pressure[]): void {
    const queue = queueSum(pressures, this.load(sensors));
    const loadAfter = loadAt(sensors, ({ name }) => Math.max(1, this.factorOf(name) / 2));
    const queueAfter = queueSum(pressures, loadAfter);
    // The mean over the sensors that give samples, so that with equal sensors V means the same for one as for many.
    const active = sensors.filter(({ share }) => share > 0).length;
    for (const sensor of sensors) {
      const breakEven = (this.#options.fidelityWeight * sensor.priority) / (active * sensor.share);
      this.#stepOne(this.#heldOf(sensor.name), breakEven, { queue, queueAfter });
    }
  }

  #stepOne(held: Held, breakEven: number, { queue, queueAfter }: { queue: number; queueAfter: number }): void {
    const lowerBelow = stepQueue(held.factor / 2) * breakEven;
    if (held.factor < FACTOR_MAX && queue > stepQueue(held.factor) * breakEven + QUEUE_MARGIN) {
      held.factor *= 2;
      held.lowerWanted = 0;
    } else if (held.factor > 1 && queue <= lowerBelow) {
      held.lowerWanted += 1;
      const isSettled = held.lowerWanted >= DOWN_INTERVALS && queueAfter <= lowerBelow;
      if (!isSettled && held.lowerWanted < this.#options.probeIntervals) return;
      held.factor /= 2;
      held.lowerWanted = 0;
    } else {
      held.lowerWanted = 0;
    }
  }

  #heldOf(name: string): Held {
    let held = this.#held.get(name);
    if (held === undefined) {
      held = { factor: 1, lowerWanted: 0 };
      this.#held.set(name, held);
    }
    return held;
  }
}

/** The queue at which going from this factor to its double breaks even, for V · priority / (sensors · share) of 1. */
function stepQueue(factor: number): number {
  return 2 * factor * factor;
}

function loadAt(sensors: readonly SensorLoad[], factorOf: (sensor: SensorLoad) => number): number {
  return sensors.reduce((sum, sensor) => sum + sensor.share / factorOf(sensor), 0);
}

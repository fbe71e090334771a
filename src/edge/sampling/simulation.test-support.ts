/**
 * A log, the machines that fill it and the link that empties it, for the controller to work on: random arrivals, and a
 * link whose capacity is random and, on average, below what arrives at the full rate. No clock: one step is one interval.
 */
import { type Random, seededRandom } from '../../base/random.ts';
import { SamplingController, type SensorLoad } from './controller.ts';
import { PressureMeter, queueOf, type Usage } from './pressure.ts';

export const INTERVAL_MS = 5_000;
const HORIZON_MS = 600_000;

/** Three machines that differ in load and in how much their samples count. */
export const MACHINES: readonly SensorLoad[] = [
  { name: 'lathe', share: 0.5, priority: 1 },
  { name: 'mill', share: 0.3, priority: 1 },
  { name: 'grinder', share: 0.2, priority: 3 },
];

/** A link that carries six of ten samples, for 39 hours, of which the first third is left out of the means. */
export function tooSlowLink(fidelityWeight: number): Simulation {
  return {
    fidelityWeight,
    sensors: MACHINES,
    intervalsToFill: 1_440,
    capacityAt: () => 0.6,
    intervals: 28_000,
    warmUp: 9_000,
  };
}

export interface Simulation {
  readonly fidelityWeight: number;
  readonly sensors: readonly SensorLoad[];
  /** Intervals in which the log would fill from nothing at the full rate with no link. */
  readonly intervalsToFill: number;
  /** What the link takes away in that interval, as a share of what arrives at the full rate, on average. */
  readonly capacityAt: (interval: number) => number;
  readonly intervals: number;
  /** The first ones are left out of the means. */
  readonly warmUp: number;
  /** How far arrivals and capacity stray: 0 not at all, 1 from nothing to the double. */
  readonly spread?: number;
  readonly seed?: number;
}

export interface SimulationStep {
  readonly logUse: number;
  readonly queue: number;
  readonly factors: readonly number[];
}

export interface SimulationResult {
  /** Time-averaged, after the warm-up. */
  readonly queueMean: number;
  readonly queueMax: number;
  readonly lossMean: number;
  /** What was sampled, as a share of what would have been at factor 1. */
  readonly loadMean: number;
  /** Changes of a factor, of all sensors, after the warm-up. */
  readonly changes: number;
  readonly steps: readonly SimulationStep[];
}

/** Bytes that arrive in an interval at the full rate. */
const ARRIVALS = 1_000_000;

export function simulate(simulation: Simulation): SimulationResult {
  const { sensors, intervals, warmUp, capacityAt, intervalsToFill, spread = 1, seed = 1 } = simulation;
  const random = seededRandom(seed);
  const controller = new SamplingController({
    fidelityWeight: simulation.fidelityWeight,
    probeIntervals: HORIZON_MS / INTERVAL_MS,
  });
  const meter = new PressureMeter({ horizonMs: HORIZON_MS, cpuPercentMax: 100, memoryBytesMax: 2 ** 40 });
  const bytesMax = ARRIVALS * intervalsToFill;
  const steps: SimulationStep[] = [];
  let bytes = 0;
  let bytesAppended = 0;
  for (let interval = 0; interval < intervals; interval += 1) {
    const load = controller.load(sensors);
    const arrived = ARRIVALS * load * stray(random, spread);
    bytesAppended += arrived;
    bytes = Math.max(0, bytes + arrived - ARRIVALS * capacityAt(interval) * stray(random, spread));
    const usage: Usage = {
      log: { bytes, bytesAppended, bytesMax, bytesPossible: null },
      waiting: { readings: 0, readingsMax: 1 },
      cpuMs: 0,
      memoryBytes: 0,
    };
    const pressures = meter.measure(usage, load, interval * INTERVAL_MS);
    const log = pressures.find(({ name }) => name === 'log')!;
    const factors = sensors.map(({ name }) => controller.factorOf(name));
    steps.push({ logUse: bytes / bytesMax, queue: queueOf(log, load), factors });
    controller.step(sensors, pressures);
  }
  return { ...meansOf(steps.slice(warmUp), sensors), steps };
}

function meansOf(steps: readonly SimulationStep[], sensors: readonly SensorLoad[]): Omit<SimulationResult, 'steps'> {
  let queue = 0;
  let queueMax = 0;
  let loss = 0;
  let load = 0;
  let changes = 0;
  let before: readonly number[] = steps[0]?.factors ?? [];
  for (const step of steps) {
    queue += step.queue;
    queueMax = Math.max(queueMax, step.queue);
    for (const [index, factor] of step.factors.entries()) {
      loss += ((factor - 1) * sensors[index]!.priority) / sensors.length;
      load += sensors[index]!.share / factor;
      if (factor !== before[index]) changes += 1;
    }
    before = step.factors;
  }
  const count = steps.length;
  return { queueMean: queue / count, queueMax, lossMean: loss / count, loadMean: load / count, changes };
}

/**
 * The least fidelity that must be lost, on average, for the load to fit the capacity, over all policies that may choose
 * at random: steps f → 2f are taken in the order of what they cost for what they save, the last one in part.
 */
export function leastLoss(sensors: readonly SensorLoad[], capacity: number): number {
  const steps = sensors.flatMap(({ share, priority }) =>
    [1, 2, 4, 8, 16, 32].map((factor) => ({ cost: (factor * priority) / sensors.length, saved: share / (2 * factor) })),
  );
  steps.sort((a, b) => a.cost / a.saved - b.cost / b.saved);
  let over = sensors.reduce((sum, { share }) => sum + share, 0) - capacity;
  let loss = 0;
  for (const { cost, saved } of steps) {
    const part = Math.min(1, Math.max(0, over / saved));
    loss += part * cost;
    over -= part * saved;
  }
  return loss;
}

/** Uniform, of mean 1. */
function stray(random: Random, spread: number): number {
  return 1 + spread * (2 * random() - 1);
}

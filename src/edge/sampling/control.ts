/**
 * Adaptive sampling as a running part: once an interval it measures how the edge is pressed, lets the controller choose
 * the factors, and hands them to the sources. The document is `docs/adaptive-sampling.md`.
 */
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { Metric } from '../../base/prometheus.ts';
import type { ControlSettings } from '../settings.ts';
import { DOWN_INTERVALS, SamplingController, type SensorLoad } from './controller.ts';
import { type Pressure, PressureMeter, type PressureSource, queueOf, WINDOW_INTERVALS } from './pressure.ts';

/** A source as the control sees it. */
export interface ControlledSource {
  readonly name: string;
  readonly priority: number;
  /** Samples that there would have been at factor 1, since the start. */
  readonly samplesInFull: number;
  setSamplingFactor(factor: number): void;
}

export interface SamplingControlOptions {
  readonly settings: ControlSettings;
  /** Those that there are now. */
  readonly sources: () => readonly ControlledSource[];
  /** Sampling factors to begin with, by source; 1 where absent. */
  readonly factors?: ReadonlyMap<string, number>;
  readonly pressures: PressureSource;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class SamplingControl {
  readonly #options: SamplingControlOptions;
  readonly #controller: SamplingController;
  readonly #meter: PressureMeter;
  /** Samples in an interval at factor 1, smoothed, and the count at its end. */
  readonly #flows = new WeakMap<ControlledSource, { perInterval: number; counted: number }>();
  #queues: readonly { readonly name: string; readonly queue: number }[] = [];

  constructor(options: SamplingControlOptions) {
    const { intervalMs, horizonMs, fidelityWeight } = options.settings;
    const { factors = new Map<string, number>() } = options;
    this.#options = options;
    const probeIntervals = Math.max(DOWN_INTERVALS + 1, Math.ceil(horizonMs / intervalMs));
    this.#controller = new SamplingController({ fidelityWeight, probeIntervals, factors });
    this.#meter = new PressureMeter(options.settings);
    for (const source of options.sources()) {
      this.#flows.set(source, { perInterval: 0, counted: source.samplesInFull });
    }
  }

  /** By source. */
  get factors(): ReadonlyMap<string, number> {
    return new Map(this.#options.sources().map(({ name }) => [name, this.#controller.factorOf(name)]));
  }

  /** A source that was put in the place of another goes on with its factor. */
  applyFactors(): void {
    for (const source of this.#options.sources()) source.setSamplingFactor(this.#controller.factorOf(source.name));
  }

  /** Until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { settings, clock } = this.#options;
    if (!settings.enabled) return;
    while (!signal.aborted) {
      await clock.sleep(settings.intervalMs, signal);
      if (!signal.aborted) this.#step();
    }
  }

  metrics(): Metric[] {
    return [
      {
        name: 'millwright_sampling_queue',
        help: 'Queue of each pressure, 512 at its limit; their sum is weighed against fidelity.',
        type: 'gauge',
        points: this.#queues.map(({ name, queue }) => ({ labels: { pressure: name }, value: queue })),
      },
      {
        name: 'millwright_sampling_fidelity_weight',
        help: 'V: what fidelity is worth against the queues.',
        type: 'gauge',
        points: [{ value: this.#options.settings.fidelityWeight }],
      },
    ];
  }

  #step(): void {
    const { pressures, clock } = this.#options;
    const sources = this.#options.sources();
    if (sources.length === 0) return;
    const sensors = this.#loadsOf(sources);
    const load = this.#controller.load(sensors);
    const measured = this.#meter.measure(pressures.usage(), load, clock.monotonicMs());
    this.#queues = measured.map((pressure) => ({ name: pressure.name, queue: queueOf(pressure, load) }));
    const before = sensors.map(({ name }) => this.#controller.factorOf(name));
    this.#controller.step(sensors, measured);
    for (const [index, factor] of before.entries()) this.#apply(sources[index]!, factor, measured);
  }

  /** The sources' shares of the load; equal ones while nothing is known. */
  #loadsOf(sources: readonly ControlledSource[]): SensorLoad[] {
    const flows = sources.map((source) => {
      const { samplesInFull } = source;
      const flow = this.#flows.get(source) ?? { perInterval: 0, counted: 0 };
      flow.perInterval += (samplesInFull - flow.counted - flow.perInterval) / WINDOW_INTERVALS;
      flow.counted = samplesInFull;
      this.#flows.set(source, flow);
      return flow.perInterval;
    });
    const all = flows.reduce((sum, perInterval) => sum + perInterval, 0);
    return sources.map(({ name, priority }, index) => {
      return { name, priority, share: all > 0 ? flows[index]! / all : 1 / sources.length };
    });
  }

  #apply(source: ControlledSource, before: number, measured: readonly Pressure[]): void {
    const factor = this.#controller.factorOf(source.name);
    if (factor === before) return;
    source.setSamplingFactor(factor);
    const uses = measured.map(({ name, present }) => [name, Math.round(present * 1000) / 1000]);
    this.#options.logger.info(factor > before ? 'sampling is thinned' : 'sampling is thinned less', {
      source: source.name,
      sampling_factor: factor,
      previous_factor: before,
      use_of_limits: Object.fromEntries(uses),
    });
  }
}

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
  readonly sources: readonly ControlledSource[];
  readonly pressures: PressureSource;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class SamplingControl {
  readonly #options: SamplingControlOptions;
  readonly #controller: SamplingController;
  readonly #meter: PressureMeter;
  /** Samples in an interval at factor 1, smoothed, and the count at its end; in the order of the sources. */
  readonly #flows: { perInterval: number; counted: number }[];
  #queues: readonly { readonly name: string; readonly queue: number }[] = [];

  constructor(options: SamplingControlOptions) {
    const { intervalMs, horizonMs, fidelityWeight } = options.settings;
    this.#options = options;
    const probeIntervals = Math.max(DOWN_INTERVALS + 1, Math.ceil(horizonMs / intervalMs));
    this.#controller = new SamplingController({ fidelityWeight, probeIntervals });
    this.#meter = new PressureMeter(options.settings);
    this.#flows = options.sources.map(({ samplesInFull }) => ({ perInterval: 0, counted: samplesInFull }));
  }

  /** Until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { settings, sources, clock } = this.#options;
    if (!settings.enabled || sources.length === 0) return;
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
    const sensors = this.#sensors();
    const load = this.#controller.load(sensors);
    const measured = this.#meter.measure(pressures.usage(), load, clock.monotonicMs());
    this.#queues = measured.map((pressure) => ({ name: pressure.name, queue: queueOf(pressure, load) }));
    const before = sensors.map(({ name }) => this.#controller.factorOf(name));
    this.#controller.step(sensors, measured);
    for (const [index, factor] of before.entries()) this.#apply(index, factor, measured);
  }

  /** The sources' shares of the load; equal ones while nothing is known. */
  #sensors(): SensorLoad[] {
    const { sources } = this.#options;
    for (const [index, { samplesInFull }] of sources.entries()) {
      const flow = this.#flows[index]!;
      flow.perInterval += (samplesInFull - flow.counted - flow.perInterval) / WINDOW_INTERVALS;
      flow.counted = samplesInFull;
    }
    const all = this.#flows.reduce((sum, { perInterval }) => sum + perInterval, 0);
    return sources.map(({ name, priority }, index) => {
      return { name, priority, share: all > 0 ? this.#flows[index]!.perInterval / all : 1 / sources.length };
    });
  }

  #apply(index: number, before: number, measured: readonly Pressure[]): void {
    const source = this.#options.sources[index]!;
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

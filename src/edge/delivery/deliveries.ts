/**
 * The sinks that the edge delivers to now, each with its delivery. As with the sources, which they are changes while the
 * edge runs, and what is configured as before is not touched. What is under way to a sink that is stopped is settled
 * within {@link FINISH_MS_MAX}, or is sent again: its cursor stands where all before it is settled.
 */
import type { Clock } from '../../base/clock.ts';
import type { Files } from '../../base/files.ts';
import type { Logger } from '../../base/logger.ts';
import type { Random } from '../../base/random.ts';
import { within } from '../../base/within.ts';
import type { DurableLog, StartFrom } from '../../log/log.ts';
import type { EdgeStatus, SinkStatus } from '../../model/status.ts';
import { isServing, type Sink } from '../../ports/sink.ts';
import { SINKS } from '../../sinks/registry.ts';
import { isSame } from '../reload/changes.ts';
import type { SinkSettings } from '../settings.ts';
import { createSink } from './configured-sink.ts';
import { DeadLetters } from './dead-letters.ts';
import { Delivery } from './delivery.ts';

/** How long calls that are under way to a sink that is stopped may take, */
export const FINISH_MS_MAX = 2_000;
/** and how long to be aborted, and the sink to give back what it has. */
const CLOSE_MS_MAX = 2_500;

export interface DeliveriesOptions {
  readonly gatewayId: string;
  readonly logFolder: string;
  readonly log: DurableLog;
  readonly status: () => EdgeStatus;
  readonly pollIntervalsMs: () => ReadonlyMap<string, number>;
  readonly clock: Clock;
  readonly random: Random;
  readonly files: Files;
  readonly logger: Logger;
}

interface Outlet {
  readonly settings: SinkSettings;
  readonly sink: Sink;
  readonly delivery: Delivery;
  readonly stop: AbortController;
  readonly ended: Promise<unknown>;
}

/** What is to become of the sinks: those that are new or changed, opened, and with a cursor if they are new. */
export interface DeliveriesPlan {
  readonly settings: readonly SinkSettings[];
  readonly sinks: ReadonlyMap<string, Sink>;
}

export class Deliveries {
  readonly #options: DeliveriesOptions;
  /** By name, in the order of the configuration. */
  #outlets: ReadonlyMap<string, Outlet> = new Map();

  constructor(options: DeliveriesOptions) {
    this.#options = options;
  }

  get all(): readonly Delivery[] {
    return [...this.#outlets.values()].map(({ delivery }) => delivery);
  }

  statuses(): readonly SinkStatus[] {
    return this.all.map((delivery) => delivery.status());
  }

  /** Changes nothing that runs. @throws config_invalid for a type that there is not, and what a sink throws at once */
  async plan(settings: readonly SinkSettings[]): Promise<DeliveriesPlan> {
    const { gatewayId, log, clock, random, files, logger } = this.#options;
    const sinks = new Map<string, Sink>();
    const plan = { settings, sinks };
    try {
      for (const own of settings) {
        const { name } = own;
        if (isSame(this.#outlets.get(name)?.settings, own)) continue;
        const backlogReadings = (): number => log.backlog(name).readings;
        const place = { folder: this.#folderOf(name), files };
        sinks.set(name, await createSink(own, { gatewayId, place, clock, random, log: logger, backlogReadings }));
      }
    } catch (error) {
      await this.drop(plan);
      throw error;
    }
    return plan;
  }

  /** The plan is given up. */
  async drop({ sinks }: DeliveriesPlan): Promise<void> {
    await Promise.allSettled([...sinks.values()].map((sink) => sink.close()));
  }

  /**
   * Ends what goes or is to be replaced; at once, when the signal is aborted.
   * @returns names of those that go for good
   */
  async retire({ settings, sinks }: DeliveriesPlan, hurry: AbortSignal): Promise<readonly string[]> {
    const names = new Set(settings.map(({ name }) => name));
    const retired = [...this.#outlets].filter(([name]) => !names.has(name) || sinks.has(name));
    await Promise.all(retired.map(([, outlet]) => this.#retire(outlet, hurry)));
    this.#outlets = new Map([...this.#outlets].filter(([name]) => !retired.some(([other]) => other === name)));
    return retired.map(([name]) => name).filter((name) => !names.has(name));
  }

  /** Starts what is new or changed. The log has a cursor for each. */
  admit({ settings, sinks }: DeliveriesPlan): void {
    const admitted = settings.map((own): [string, Outlet] => {
      return [own.name, this.#outlets.get(own.name) ?? this.#start(own, sinks.get(own.name)!)];
    });
    this.#outlets = new Map(admitted);
  }

  /** Resolves when all sinks have everything that is in the log now, or the signal is aborted. */
  async caughtUp(signal: AbortSignal): Promise<void> {
    await Promise.all(this.all.map((delivery) => delivery.caughtUp(signal)));
  }

  /** Ends all deliveries. Resolves when they have ended. */
  async stop(): Promise<void> {
    const outlets = [...this.#outlets.values()];
    for (const { stop } of outlets) stop.abort();
    await Promise.all(outlets.map(({ ended }) => ended));
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#outlets.values()].map(({ sink }) => sink.close()));
  }

  #start(settings: SinkSettings, sink: Sink): Outlet {
    const { name, type, maxRate } = settings;
    const { gatewayId, logFolder, log, status, pollIntervalsMs, clock, random, files, logger } = this.#options;
    if (isServing(sink)) sink.serve({ folder: this.#folderOf(name), pollIntervalsMs });
    const deadLetters = new DeadLetters({ logFolder, sink: name, files, clock, logger });
    const delivery = new Delivery({ name, type, maxRate, gatewayId, sink, log, deadLetters, clock, random, logger });
    const stop = new AbortController();
    const ended = Promise.all([delivery.run(stop.signal), delivery.runReports(status, stop.signal)]);
    return { settings, sink, delivery, stop, ended };
  }

  #folderOf(name: string): string {
    return `${this.#options.logFolder}/sinks/${encodeURIComponent(name)}`;
  }

  async #retire({ settings, sink, delivery, stop, ended }: Outlet, hurry: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    await within(clock, FINISH_MS_MAX, (limit) => delivery.finish(limit), hurry);
    stop.abort();
    const isEnded = await within(clock, CLOSE_MS_MAX, () => ended, hurry);
    const isClosed = await within(clock, CLOSE_MS_MAX, () => Promise.allSettled([sink.close()]), hurry);
    if (!isEnded || !isClosed) logger.warn('a sink did not end in time', { sink: settings.name });
  }
}

/** Where a sink begins in the log. What serves what is newest begins near the end each time. */
export function startFromOf({ type, from }: SinkSettings): StartFrom {
  return SINKS[type]?.isServing === true ? 'recent' : from;
}

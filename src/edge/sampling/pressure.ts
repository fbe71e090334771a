/**
 * Measures how hard the edge is pressed, as queues against their limits.
 *
 * A pressure is a use of a limit: 1 is the limit itself. Up to a comfortable use its queue is empty; from there it grows
 * evenly to {@link QUEUE_AT_LIMIT} at the limit. The log and the disk are judged by what they will hold at the horizon
 * if it goes on as it does, so that sampling is thinned before a limit is hit and not because of it. That forecast is a
 * function of the load (arrivals at the full rate × load − what leaves), so the controller can ask it of the load as it
 * is and of the load it is about to choose, and is not misled by what it did a moment ago.
 */

/** The queue of a pressure that is at its limit. */
export const QUEUE_AT_LIMIT = 512;
/** Intervals over which rates are taken: at the usual interval of 5 s, two minutes. */
export const WINDOW_INTERVALS = 24;
/** Up to this use of its limit each is comfortable. */
const COMFORTABLE = { log: 0.5, disk: 0.5, waiting: 0.5, cpu: 0.9, memory: 0.9 } as const;

export type PressureName = keyof typeof COMFORTABLE;

/** The use predicted for a load (of 1 at factor 1) is `fixed + perLoad × load`, and not less than `present`. */
export interface Pressure {
  readonly name: PressureName;
  readonly present: number;
  readonly fixed: number;
  readonly perLoad: number;
}

export function queueOf({ name, present, fixed, perLoad }: Pressure, load: number): number {
  const use = Math.max(present, fixed + perLoad * load);
  return Math.max(0, (QUEUE_AT_LIMIT * (use - COMFORTABLE[name])) / (1 - COMFORTABLE[name]));
}

export function queueSum(pressures: readonly Pressure[], load: number): number {
  return pressures.reduce((sum, pressure) => sum + queueOf(pressure, load), 0);
}

/** What is measured at one instant. */
export interface Usage {
  readonly log: {
    /** On the disk, beyond what a log has whose sinks keep up. */
    readonly bytes: number;
    /** Only ever grows. */
    readonly bytesAppended: number;
    readonly bytesMax: number;
    /** How large its disk lets it become: what it has and what is free beyond the reserve. null: not known. */
    readonly bytesPossible: number | null;
  };
  /** Readings that the log has not confirmed, and how many may wait before some are lost. */
  readonly waiting: { readonly readings: number; readonly readingsMax: number };
  /** Processor time of the process since its start. */
  readonly cpuMs: number;
  readonly memoryBytes: number;
}

/** Whoever knows it all: the composition root. */
export interface PressureSource {
  usage(): Usage;
}

export interface PressureLimits {
  readonly horizonMs: number;
  /** Of one core. */
  readonly cpuPercentMax: number;
  readonly memoryBytesMax: number;
}

/** Over one interval, in bytes or in shares of a core, by the millisecond; what follows the load, as if at load 1. */
interface Rates {
  readonly arrivals: number;
  readonly departures: number;
  readonly cpu: number;
}

export class PressureMeter {
  readonly #limits: PressureLimits;
  readonly #rates: Rates[] = [];
  #before: { readonly usage: Usage; readonly atMs: number } | undefined;

  constructor(limits: PressureLimits) {
    this.#limits = limits;
  }

  /** @param load under which the edge has run since the last time, as a share of that at factor 1 */
  measure(usage: Usage, load: number, nowMs: number): Pressure[] {
    this.#note(usage, load, nowMs);
    const { arrivals, departures, cpu } = this.#trend();
    const { horizonMs, cpuPercentMax, memoryBytesMax } = this.#limits;
    const { log, waiting, memoryBytes } = usage;
    const forecast = (name: 'log' | 'disk', bytesMax: number): Pressure => ({
      name,
      present: log.bytes / bytesMax,
      fixed: (log.bytes - departures * horizonMs) / bytesMax,
      perLoad: (arrivals * horizonMs) / bytesMax,
    });
    const pressures = [
      steady('waiting', waiting.readings / waiting.readingsMax),
      { name: 'cpu', present: 0, fixed: 0, perLoad: (cpu * 100) / cpuPercentMax } as const,
      steady('memory', memoryBytes / memoryBytesMax),
    ];
    pressures.push(forecast('log', log.bytesMax));
    if (log.bytesPossible !== null) pressures.push(forecast('disk', log.bytesPossible));
    return pressures;
  }

  #note(usage: Usage, load: number, nowMs: number): void {
    const before = this.#before;
    this.#before = { usage, atMs: nowMs };
    if (before === undefined || nowMs <= before.atMs) return;
    const ms = nowMs - before.atMs;
    const written = usage.log.bytesAppended - before.usage.log.bytesAppended;
    this.#rates.push({
      arrivals: written / ms / load,
      departures: (written - (usage.log.bytes - before.usage.log.bytes)) / ms,
      cpu: (usage.cpuMs - before.usage.cpuMs) / ms / load,
    });
    if (this.#rates.length > WINDOW_INTERVALS) this.#rates.shift();
  }

  /**
   * None until the window is full: a start takes a core for a while, and of what is written nothing leaves before the
   * first segment is settled whole.
   */
  #trend(): Rates {
    if (this.#rates.length < WINDOW_INTERVALS) return { arrivals: 0, departures: 0, cpu: 0 };
    return {
      arrivals: middleMean(this.#rates.map((rates) => rates.arrivals)),
      departures: mean(this.#rates.map((rates) => rates.departures)),
      cpu: middleMean(this.#rates.map((rates) => rates.cpu)),
    };
  }
}

function steady(name: PressureName, use: number): Pressure {
  return { name, present: use, fixed: use, perLoad: 0 };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The mean of the middle half: neither a burst nor a pause makes a trend. */
function middleMean(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const cut = Math.floor(sorted.length / 4);
  return mean(sorted.slice(cut, sorted.length - cut));
}

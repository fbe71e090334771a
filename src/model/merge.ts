/**
 * Merging samples: several samples of one machine become one, and what the machine last said of each signal is kept.
 *
 * A machine that reports on change says a value once and then nothing; to drop its sample would leave the value before
 * it standing, perhaps for days. So samples are never dropped to save room, they are merged into the next one.
 */
import type { Reading, Sample } from './reading.ts';
import type { MachineState } from './signals.ts';
import { isAtLeast, microsOf, type Timestamp } from './time.ts';

/** How many sampling intervals a sample stands for. */
export function samplingFactorOf(sample: Sample): number {
  return sample.sampling_factor ?? 1;
}

/**
 * Both samples as one: the later's time and origin, every signal of the later, and of the earlier those of which the
 * later says nothing. A null is something said ("not known from now on"). The result stands for the intervals of both.
 */
export function mergeSamples(earlier: Sample, later: Sample): Sample {
  // The gateway's clock and its quality belong to the time of the earlier, which is gone.
  const { kind: _kind, gateway_time: _time, clock_quality: _quality, ...signals } = earlier;
  return { ...signals, ...later, sampling_factor: samplingFactorOf(earlier) + samplingFactorOf(later) };
}

/** Readings of one machine that are gone: merged into others, or lost. */
export interface Gone {
  /** The earliest and the latest time of those that are gone. */
  startTime: Timestamp;
  endTime: Timestamp;
  readings: number;
}

export interface Thinned {
  /** What stands at the place of each reading now; undefined: it is gone into a later one. */
  readonly places: readonly (Reading | undefined)[];
  /** By machine; empty when nothing could be merged. */
  readonly merged: ReadonlyMap<string, Gone>;
}

export interface ThinOptions {
  /** Intervals begin at whole multiples of it since 1970. */
  readonly widthMicros: number;
  /**
   * Each machine's state before these readings, brought up to date here: for who thins piece by piece. A machine that
   * is not in it has a change of state at the first state it tells.
   */
  readonly states?: Map<string, MachineState | null>;
}

/**
 * Merges consecutive samples of one machine that lie in one interval into the last of them, at its place.
 *
 * What tells of a change keeps its time: events and measurements are untouched, samples before one are not merged with
 * samples after it, and a sample in which `machine_state` changes stays alone. A time that runs backwards also parts.
 */
export function thinSamples(readings: readonly Reading[], { widthMicros, states = new Map() }: ThinOptions): Thinned {
  const places: (Reading | undefined)[] = [];
  const merged = new Map<string, Gone>();
  const runs = new Map<string, Run>();
  for (const reading of readings) {
    const { machine_id: machineId, timestamp } = reading;
    const place = places.length;
    if (reading.kind === 'event' || reading.kind === 'measurement' || changesState(reading, states)) {
      runs.delete(machineId);
      places.push(reading);
      continue;
    }
    const interval = Math.floor(microsOf(timestamp) / widthMicros);
    const run = runs.get(machineId);
    const joins = run !== undefined && run.interval === interval && isAtLeast(timestamp, run.sample.timestamp);
    const sample = joins ? mergeSamples(run.sample, reading) : reading;
    if (joins) {
      places[run.place] = undefined;
      addGone(merged, machineId, { startTime: run.sample.timestamp, endTime: run.sample.timestamp, readings: 1 });
    }
    places.push(sample);
    runs.set(machineId, { interval, place, sample });
  }
  return { places, merged };
}

/** Samples of one machine that have become one so far. */
interface Run {
  readonly interval: number;
  readonly place: number;
  readonly sample: Sample;
}

/** Whether the sample tells another state than the machine's last one, which it then is. */
export function changesState(sample: Sample, states: Map<string, MachineState | null>): boolean {
  const { machine_id: machineId, machine_state: state } = sample;
  if (state === undefined || states.get(machineId) === state) return false;
  states.set(machineId, state);
  return true;
}

/** Adds what is gone to the sum of its machine. */
export function addGone(sums: Map<string, Gone>, machineId: string, gone: Readonly<Gone>): void {
  const sum = sums.get(machineId);
  if (sum === undefined) {
    sums.set(machineId, { ...gone });
    return;
  }
  if (isAtLeast(gone.endTime, sum.endTime)) sum.endTime = gone.endTime;
  if (isAtLeast(sum.startTime, gone.startTime)) sum.startTime = gone.startTime;
  sum.readings += gone.readings;
}

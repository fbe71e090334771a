/**
 * Merges the samples of one source while its sampling is thinned: those of one interval leave as one, at its end.
 *
 * Intervals are of the machine's own time, so that what comes in a burst (an adapter that was made to wait) is thinned
 * as evenly as what comes live; but no sample is held for longer than one interval of the gateway's clock, because a
 * machine that falls silent does not end its interval by itself. As in `thinSamples`, what tells of a change keeps its
 * time and its place: an event or measurement sends out what is held of that machine first, and so does a change of
 * `machine_state`, which then goes out alone.
 */
import type { Clock } from '../../base/clock.ts';
import { changesState, mergeSamples } from '../../model/merge.ts';
import type { Reading, Sample } from '../../model/reading.ts';
import type { MachineState } from '../../model/signals.ts';
import { isAtLeast, microsOf } from '../../model/time.ts';

/** Samples of one machine that have become one so far. */
interface Run {
  readonly interval: number;
  readonly dueMs: number;
  sample: Sample;
}

export class SampleMerger {
  readonly #accept: (reading: Reading) => void;
  readonly #clock: Clock;
  #widthMs = 0;
  /** By machine, the one that is due first in front: all are held equally long. */
  readonly #runs = new Map<string, Run>();
  readonly #states = new Map<string, MachineState | null>();
  #timing = false;
  #flushed = new AbortController();

  constructor({ accept, clock }: { accept: (reading: Reading) => void; clock: Clock }) {
    this.#accept = accept;
    this.#clock = clock;
  }

  /** Length of an interval; 0: samples pass as they are. */
  setWidth(widthMs: number): void {
    if (widthMs === this.#widthMs) return;
    this.flush();
    this.#widthMs = widthMs;
    // What passes unmerged is not looked at, so what was known of the states grows old.
    this.#states.clear();
  }

  accept(reading: Reading): void {
    if (this.#widthMs === 0) this.#accept(reading);
    else this.#merge(reading);
  }

  /** Sends out all that is held. */
  flush(): void {
    if (this.#runs.size === 0) return;
    for (const machineId of [...this.#runs.keys()]) this.#send(machineId);
    this.#flushed.abort();
    this.#flushed = new AbortController();
  }

  #merge(reading: Reading): void {
    const { machine_id: machineId, timestamp } = reading;
    if (reading.kind === 'event' || reading.kind === 'measurement' || changesState(reading, this.#states)) {
      this.#send(machineId);
      this.#accept(reading);
      return;
    }
    const interval = Math.floor(microsOf(timestamp) / (this.#widthMs * 1000));
    const run = this.#runs.get(machineId);
    if (run !== undefined && run.interval === interval && isAtLeast(timestamp, run.sample.timestamp)) {
      run.sample = mergeSamples(run.sample, reading);
      return;
    }
    this.#send(machineId);
    this.#runs.set(machineId, { interval, dueMs: this.#clock.monotonicMs() + this.#widthMs, sample: reading });
    if (!this.#timing) void this.#sendInTime();
  }

  #send(machineId: string): void {
    const run = this.#runs.get(machineId);
    if (run === undefined) return;
    this.#runs.delete(machineId);
    this.#accept(run.sample);
  }

  async #sendInTime(): Promise<void> {
    this.#timing = true;
    for (;;) {
      const first = this.#runs.entries().next().value;
      if (first === undefined) break;
      const [machineId, { dueMs }] = first;
      const leftMs = dueMs - this.#clock.monotonicMs();
      if (leftMs <= 0) this.#send(machineId);
      else await this.#clock.sleep(leftMs, this.#flushed.signal);
    }
    this.#timing = false;
  }
}

/** Runs of violations: the first of a run and its end are told, with their number; not each of them. */
import type { MachineEvent } from '../../model/reading.ts';
import { type Timestamp, timestampOf } from '../../model/time.ts';

/** So long without a violation, by the readings' own times, ends a run. */
export const QUIET_MS = 60_000;

export interface Violation {
  /** The rule, as it stands in `native_code`. */
  readonly code: string;
  readonly text: string;
}

interface Run {
  readonly firstMicros: number;
  lastMicros: number;
  readings: number;
}

/** Of one signal of one machine, or of a machine's clock. */
export class Violations {
  readonly #machineId: string;
  readonly #item: string;
  readonly #runs = new Map<string, Run>();

  constructor(machineId: string, item: string) {
    this.#machineId = machineId;
    this.#item = item;
  }

  /** @returns the event that tells of a new run; undefined within one */
  add({ code, text }: Violation, micros: number): MachineEvent | undefined {
    const run = this.#runs.get(code);
    if (run !== undefined) {
      run.lastMicros = Math.max(run.lastMicros, micros);
      run.readings += 1;
      return undefined;
    }
    this.#runs.set(code, { firstMicros: micros, lastMicros: micros, readings: 1 });
    return { ...this.#origin(code, timestampOf(micros)), level: 'warning', text };
  }

  /** @returns an event for each run that has ended by then */
  ended(micros: number): MachineEvent[] {
    const events: MachineEvent[] = [];
    for (const [code, { firstMicros, lastMicros, readings }] of this.#runs) {
      if (micros - lastMicros < QUIET_MS * 1000) continue;
      this.#runs.delete(code);
      const times = { start_time: timestampOf(firstMicros), end_time: timestampOf(lastMicros) };
      const text = `${this.#item} is plausible again: ${readings} ${readings === 1 ? 'value was' : 'values were'} not`;
      events.push({
        ...this.#origin(code, timestampOf(micros)),
        level: 'normal',
        text,
        details: { ...times, readings },
      });
    }
    return events;
  }

  #origin(code: string, timestamp: Timestamp) {
    return {
      machine_id: this.#machineId,
      timestamp,
      kind: 'event',
      event_type: 'condition',
      item: this.#item,
      native_code: code,
    } as const;
  }
}

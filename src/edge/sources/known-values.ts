/**
 * What a source has said of its machines and not taken back: when the source is taken away, that is not known any more,
 * and is to be told so.
 */
import { isSignalKey, type MachineEvent, type Reading, type Sample } from '../../model/reading.ts';
import type { MachineState } from '../../model/signals.ts';
import type { Timestamp } from '../../model/time.ts';

const STATE = 'machine_state';

interface Known {
  /** Signals whose newest value is not null. */
  readonly signals: Set<string>;
  /** The newest that was told by a `state` event. */
  state: MachineState | undefined;
}

export class KnownValues {
  readonly #byMachine = new Map<string, Known>();

  /** What all of them know; of the state, what the last says. */
  static joined(...all: readonly (KnownValues | undefined)[]): KnownValues {
    const joined = new KnownValues();
    for (const [machineId, { signals, state }] of all.flatMap((one) =>
      one === undefined ? [] : [...one.#byMachine],
    )) {
      const known = joined.#of(machineId);
      for (const signal of signals) known.signals.add(signal);
      known.state = state ?? known.state;
    }
    return joined;
  }

  note(reading: Reading): void {
    if (reading.kind === 'measurement') return;
    const known = this.#of(reading.machine_id);
    if (reading.kind === 'event') {
      if (reading.event_type === 'state') known.state = reading.state;
      return;
    }
    for (const key in reading) {
      if (!isSignalKey(key)) continue;
      if (isKnown(key, reading[key])) known.signals.add(key);
      else known.signals.delete(key);
    }
  }

  /**
   * What tells that all of it is not known any more, but for what one of the others knows.
   * @param text why, for people
   */
  farewell(others: readonly KnownValues[], { text, timestamp }: { text: string; timestamp: Timestamp }): Reading[] {
    const readings: Reading[] = [];
    for (const [machineId, { signals, state }] of this.#byMachine) {
      const gone = [...signals].filter((signal) => !others.some((other) => other.#knows(machineId, signal)));
      const origin = { machine_id: machineId, timestamp };
      const hasState =
        state !== undefined && !others.some((other) => other.#byMachine.get(machineId)?.state !== undefined);
      if (hasState && state !== 'offline') {
        const event: MachineEvent = { ...origin, kind: 'event', event_type: 'state', state: 'offline' };
        readings.push({ ...event, previous_state: state, text });
      }
      if (gone.length === 0) continue;
      const values = gone.map((signal) => [signal, signal === STATE ? 'offline' : null] as const);
      const sample: Sample = { ...origin, ...Object.fromEntries(values) };
      readings.push(sample);
    }
    return readings;
  }

  #knows(machineId: string, signal: string): boolean {
    return this.#byMachine.get(machineId)?.signals.has(signal) === true;
  }

  #of(machineId: string): Known {
    let known = this.#byMachine.get(machineId);
    if (known === undefined) {
      known = { signals: new Set(), state: undefined };
      this.#byMachine.set(machineId, known);
    }
    return known;
  }
}

function isKnown(key: string, value: unknown): boolean {
  return value !== null && value !== undefined && !(key === STATE && value === 'offline');
}

/** Gathers what one line says into at most one sample per timestamp, and the events after it. */
import type { JsonValue, MachineEvent, Reading, Sample } from '../../model/reading.ts';
import type { Timestamp } from '../../model/time.ts';

/**
 * A sample with more text than this, in UTF-16 units, is continued in another of the same timestamp: a unit is at most
 * six bytes of JSON, so a reading stays within a frame.
 */
export const SAMPLE_CHARS_MAX: number = 128 * 1024;
/** What a number or a key's punctuation counts for. */
const VALUE_CHARS = 24;

interface Draft {
  readonly timestamp: Timestamp;
  readonly fields: { [name: string]: JsonValue };
  chars: number;
}

export interface SampleTaker {
  readonly machineId: string;
  emit(reading: Reading): void;
}

export class Sampler {
  #drafts: Draft[] = [];
  #events: MachineEvent[] = [];
  /** Fields whose newest value is known; the state is not among them, for it is never unknown once it was said. */
  readonly #knownFields = new Set<string>();

  put(timestamp: Timestamp, name: string, value: JsonValue): void {
    if (value === null) this.#knownFields.delete(name);
    else if (name !== 'machine_state') this.#knownFields.add(name);
    const chars = name.length + charsOf(value);
    let draft = this.#drafts.findLast((candidate) => candidate.timestamp === timestamp);
    if (draft === undefined || Object.hasOwn(draft.fields, name) || draft.chars + chars > SAMPLE_CHARS_MAX) {
      draft = { timestamp, fields: {}, chars: 0 };
      this.#drafts.push(draft);
    }
    draft.fields[name] = value;
    draft.chars += chars;
  }

  /** How long the values of the sample were observed. */
  putDuration(timestamp: Timestamp, seconds: number): void {
    const draft = this.#drafts.findLast((candidate) => candidate.timestamp === timestamp);
    if (draft !== undefined) draft.fields['duration_seconds'] = seconds;
  }

  putEvent(event: MachineEvent): void {
    this.#events.push(event);
  }

  /** Null for every field that was known. */
  putUnknown(timestamp: Timestamp): void {
    for (const name of this.#knownFields) this.put(timestamp, name, null);
  }

  /** Emits the samples, then the events, each in the order in which they came. */
  flush(taker: SampleTaker): void {
    if (this.#drafts.length > 0) {
      for (const { timestamp, fields } of this.#drafts) {
        const sample: Sample = { machine_id: taker.machineId, timestamp, ...fields };
        taker.emit(sample);
      }
      this.#drafts = [];
    }
    if (this.#events.length > 0) {
      for (const event of this.#events) taker.emit(event);
      this.#events = [];
    }
  }
}

function charsOf(value: JsonValue): number {
  if (typeof value === 'string') return value.length + VALUE_CHARS;
  return value !== null && typeof value === 'object' ? JSON.stringify(value).length : VALUE_CHARS;
}

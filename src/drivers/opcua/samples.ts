/** Gathers what one message of the server says into one sample for each time of it. Pure. */
import type { JsonValue, Sample } from '../../model/reading.ts';
import type { JudgedTime } from './times.ts';

/**
 * A sample with more text than this, in UTF-16 units, is continued in another of the same time: a unit is at most six bytes
 * of JSON, so a reading stays within a frame.
 */
const SAMPLE_CHARS_MAX = 128 * 1024;
/** What a number or a key's punctuation counts for. */
const VALUE_CHARS = 24;

interface Draft {
  readonly time: JudgedTime;
  readonly fields: { [name: string]: JsonValue };
  chars: number;
}

export class Gathering {
  readonly #drafts: Draft[] = [];
  /** The newest of each time: a message may hold thousands. */
  readonly #newest = new Map<string, Draft>();

  put(time: JudgedTime, name: string, value: JsonValue): void {
    const chars = name.length + charsOf(value);
    const key = `${time.timestamp} ${time.sourceTime ?? ''}`;
    let draft = this.#newest.get(key);
    if (draft === undefined || Object.hasOwn(draft.fields, name) || draft.chars + chars > SAMPLE_CHARS_MAX) {
      draft = { time, fields: {}, chars: 0 };
      this.#drafts.push(draft);
      this.#newest.set(key, draft);
    }
    draft.fields[name] = value;
    draft.chars += chars;
  }

  /** In the order of their times; of one time in that in which they came. */
  samples(machineId: string): Sample[] {
    const sorted = this.#drafts.toSorted((a, b) => compare(a.time.timestamp, b.time.timestamp));
    return sorted.map(({ time, fields }): Sample => {
      const { timestamp, sourceTime } = time;
      const beside =
        sourceTime === undefined ? {} : { clock_quality: 'unsynchronized' as const, source_time: sourceTime };
      return { machine_id: machineId, timestamp, ...beside, ...fields };
    });
  }
}

/** All have six decimals, so they compare as text. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function charsOf(value: JsonValue): number {
  if (typeof value === 'string') return value.length + VALUE_CHARS;
  return value !== null && typeof value === 'object' ? JSON.stringify(value).length : VALUE_CHARS;
}

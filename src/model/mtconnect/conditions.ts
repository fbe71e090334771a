/** The conditions of a machine: which codes of which item are active, as events tell it. */
import { CONDITION_LEVELS, type ConditionLevel, type MachineEvent } from '../reading.ts';
import type { Timestamp } from '../time.ts';
import { storableText } from './values.ts';

/** Codes of one item that are remembered as active; the oldest is forgotten first. */
export const ACTIVE_CODES_MAX = 256;
/** Condition items that are remembered. */
export const CONDITION_ITEMS_MAX = 4_096;
/** Of a text that is saved, in UTF-16 units. */
const SAVED_TEXT_MAX = 120;

/** What an item said; blank for what it did not say. */
export interface ConditionEntry {
  /** Name of the item. */
  readonly key: string;
  /** As the source spelt it. */
  readonly level: string;
  readonly nativeCode: string;
  /** What tells the item's active entries apart, where that is not the native code (MTConnect 2.3, `conditionId`). */
  readonly conditionId?: string | undefined;
  readonly nativeSeverity: string;
  readonly qualifier: string;
  readonly text: string;
}

/** To be kept where a source need not say again what is active. */
export type ActiveConditions = readonly (readonly [
  item: string,
  codes: readonly (readonly [code: string, isFault: boolean, text: string])[],
])[];

interface ActiveCode {
  readonly isFault: boolean;
  readonly text: string;
}

export class Conditions {
  /** By item, then by native code (blank for none); an item whose state is known stands here, be it without a code. */
  readonly #items = new Map<string, Map<string, ActiveCode>>();

  /**
   * Takes what an item said: NORMAL without a code clears all of its codes, with a code that one; UNAVAILABLE makes the
   * item unknown (MTConnect Part 2, Conditions).
   * @returns the event, or undefined when the level is no word of the protocol
   */
  read(entry: ConditionEntry, timestamp: Timestamp, machineId: string): MachineEvent | undefined {
    const level = levelOf(entry.level);
    if (level === undefined) return undefined;
    this.#remember(entry, level);
    const optional = (name: string, value: string): { [key: string]: string } =>
      value === '' ? {} : { [name]: storableText(value) };
    return {
      machine_id: machineId,
      timestamp,
      kind: 'event',
      event_type: 'condition',
      item: storableText(entry.key),
      level,
      ...optional('native_code', entry.nativeCode),
      ...optional('native_severity', entry.nativeSeverity),
      ...optional('qualifier', entry.qualifier),
      ...optional('text', entry.text),
    };
  }

  /** The first fault that is active, as a person reads it. */
  firstFault(): string | undefined {
    for (const [item, codes] of this.#items) {
      for (const [code, active] of codes) {
        if (active.isFault) return [item, code, active.text].filter((part) => part !== '').join(' ');
      }
    }
    return undefined;
  }

  /** Forgets everything; one event for each item that was known. */
  loseAll(timestamp: Timestamp, machineId: string): MachineEvent[] {
    const events = [...this.#items.keys()].map((item): MachineEvent => {
      const text = 'connection lost';
      return {
        machine_id: machineId,
        timestamp,
        kind: 'event',
        event_type: 'condition',
        item: storableText(item),
        level: 'unavailable',
        text,
      };
    });
    this.#items.clear();
    return events;
  }

  /** Codes of the item that are active. */
  activeCodes(item: string): string[] {
    return [...(this.#items.get(item)?.keys() ?? [])];
  }

  /** What a person reads of each code is kept short. */
  saved(): ActiveConditions {
    return [...this.#items].map(([item, codes]) => [
      item,
      [...codes].map(([code, { isFault, text }]) => [code, isFault, text.slice(0, SAVED_TEXT_MAX)] as const),
    ]);
  }

  restore(saved: ActiveConditions): void {
    this.#items.clear();
    for (const [item, codes] of saved) {
      this.#items.set(item, new Map(codes.map(([code, isFault, text]) => [code, { isFault, text }])));
    }
  }

  #remember(entry: ConditionEntry, level: ConditionLevel): void {
    if (level === 'unavailable') {
      this.#items.delete(entry.key);
      return;
    }
    let codes = this.#items.get(entry.key);
    if (codes === undefined) {
      codes = new Map();
      dropOldest(this.#items, CONDITION_ITEMS_MAX);
      this.#items.set(entry.key, codes);
    }
    const code = entry.conditionId ?? entry.nativeCode;
    if (level === 'normal' && code === '') codes.clear();
    else if (level === 'normal') codes.delete(code);
    else {
      if (!codes.has(code)) dropOldest(codes, ACTIVE_CODES_MAX);
      codes.set(code, { isFault: level === 'fault', text: entry.text });
    }
  }
}

function levelOf(written: string): ConditionLevel | undefined {
  const word = written.toLowerCase();
  return CONDITION_LEVELS.find((level) => level === word);
}

function dropOldest(map: Map<string, unknown>, sizeMax: number): void {
  if (map.size < sizeMax) return;
  const oldest = map.keys().next();
  if (oldest.done !== true) map.delete(oldest.value);
}

/** The conditions of a machine: which codes of which item are active, as events tell it. */
import { CONDITION_LEVELS, type ConditionLevel, type MachineEvent } from '../reading.ts';
import type { Timestamp } from '../time.ts';
import { storableText } from './values.ts';

/** Codes of one item that are remembered as active; the oldest is forgotten first. */
export const ACTIVE_CODES_MAX = 256;
/** As {@link ACTIVE_CODES_MAX}, of all items together. */
export const ACTIVE_CODES_ALL_MAX = 4_096;
/** Condition items that are remembered. */
export const CONDITION_ITEMS_MAX = 4_096;
/** Of a code and of a text that are remembered, in UTF-16 units. */
const CODE_CHARS_MAX = 128;
const TEXT_CHARS_MAX = 120;
/** Of all that is saved, as JSON: what holds it has room for twice as much. */
export const SAVED_BYTES_MAX: number = 512 * 1024;

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
export type ActiveConditions = readonly (readonly [item: string, codes: readonly SavedCode[]])[];
type SavedCode = readonly [code: string, isFault: boolean, text: string];
/** What stands around a code or an item in JSON. */
const SEPARATOR_BYTES = 8;

interface ActiveCode {
  readonly isFault: boolean;
  readonly text: string;
}

export class Conditions {
  /** By item, then by native code (blank for none); an item whose state is known stands here, be it without a code. */
  readonly #items = new Map<string, Map<string, ActiveCode>>();
  /** Codes that are active, of all items. */
  #active = 0;

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
    this.#active = 0;
    return events;
  }

  /** Codes of the item that are active. */
  activeCodes(item: string): string[] {
    return [...(this.#items.get(item)?.keys() ?? [])];
  }

  /** Up to {@link SAVED_BYTES_MAX}: where that is not enough the faults are, which decide the state. */
  saved(): ActiveConditions {
    const saved = new Map<string, SavedCode[]>();
    let bytes = 0;
    const fits = (part: string | SavedCode): boolean => {
      bytes += Buffer.byteLength(JSON.stringify(part)) + SEPARATOR_BYTES;
      return bytes <= SAVED_BYTES_MAX;
    };
    for (const isWanted of [true, false]) {
      for (const [item, codes] of this.#items) {
        const own: SavedCode[] = [];
        for (const [code, { isFault, text }] of codes) {
          const entry = [code, isFault, text] as const;
          if (isFault === isWanted && fits(entry)) own.push(entry);
        }
        const before = saved.get(item);
        if (before !== undefined) before.push(...own);
        else if ((own.length > 0 || !isWanted) && fits(item)) saved.set(item, own);
      }
    }
    return [...saved];
  }

  restore(saved: ActiveConditions): void {
    this.#items.clear();
    this.#active = 0;
    for (const [item, codes] of saved) {
      this.#items.set(item, new Map(codes.map(([code, isFault, text]) => [code, { isFault, text }])));
      this.#active += codes.length;
    }
  }

  #remember(entry: ConditionEntry, level: ConditionLevel): void {
    const key = storableText(entry.key);
    const codes = this.#items.get(key) ?? new Map<string, ActiveCode>();
    if (level === 'unavailable') {
      this.#forget(codes);
      this.#items.delete(key);
      return;
    }
    if (!this.#items.has(key)) {
      const oldest = this.#items.size < CONDITION_ITEMS_MAX ? undefined : this.#items.entries().next().value;
      if (oldest !== undefined) {
        this.#forget(oldest[1]);
        this.#items.delete(oldest[0]);
      }
      this.#items.set(key, codes);
    }
    const code = codeKept(entry.conditionId ?? entry.nativeCode);
    if (level === 'normal' && code === '') this.#forget(codes);
    else if (level === 'normal') this.#forget(codes, code);
    else {
      if (!codes.has(code)) this.#makeRoom(codes);
      this.#active += codes.has(code) ? 0 : 1;
      codes.set(code, { isFault: level === 'fault', text: entry.text.slice(0, TEXT_CHARS_MAX) });
    }
  }

  /** That code of the item, or all. */
  #forget(codes: Map<string, ActiveCode>, code?: string): void {
    this.#active -= code === undefined ? codes.size : Number(codes.has(code));
    if (code === undefined) codes.clear();
    else codes.delete(code);
  }

  /** For one more code of the item. */
  #makeRoom(codes: Map<string, ActiveCode>): void {
    let full = codes.size >= ACTIVE_CODES_MAX ? codes : undefined;
    if (this.#active >= ACTIVE_CODES_ALL_MAX) full ??= this.#items.values().find(({ size }) => size > 0);
    const oldest = full?.keys().next().value;
    if (full !== undefined && oldest !== undefined) this.#forget(full, oldest);
  }
}

/** As it is remembered: two codes that are alike for so long are one. */
export function codeKept(code: string): string {
  return code.slice(0, CODE_CHARS_MAX);
}

function levelOf(written: string): ConditionLevel | undefined {
  const word = written.toLowerCase();
  return CONDITION_LEVELS.find((level) => level === word);
}

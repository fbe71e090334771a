/**
 * What is known of each machine behind the broker, and the readings that new values of it give. A value that is taken back
 * or lost becomes null; a lost machine is offline.
 */
import { isUnavailable, storableText } from '../../model/mtconnect/values.ts';
import {
  type EventType,
  jsonText,
  type JsonValue,
  type MachineEvent,
  NAME_LENGTH_MAX,
  type Reading,
} from '../../model/reading.ts';
import { MACHINE_STATES, type MachineState } from '../../model/signals.ts';
import type { Timestamp } from '../../model/time.ts';
import type { Target } from './options.ts';

/** Machines behind one broker that are told apart. */
export const MACHINES_MAX = 10_000;
/** Values of one machine that become unknown when it is lost; of more the newest. */
const VALUES_MAX = 50_000;
/** Of one sample, about, in bytes: a birth of a large machine would fit no frame. */
const SAMPLE_BYTES_MAX: number = 256 * 1024;
/** Digits that a scaled value keeps, so that 0.1 · 3 is 0.3. */
const SCALED_DIGITS = 12;
const INTEGER_MAX = 0x7fffffff;
const NUMBER = /^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$/;

/** A value as it came, and what is to become of it. */
export interface Said {
  /** Its name at the source, for people. */
  readonly item: string;
  readonly target: Target;
  readonly value: JsonValue;
}

export interface Saying {
  readonly machineId: string;
  readonly timestamp: Timestamp;
  readonly said: readonly Said[];
  /** It was so, and need not be so now. */
  readonly isHistorical?: boolean;
}

interface Machine {
  readonly known: Set<string>;
  state: MachineState | undefined;
  /** Of what is told late. */
  pastState: MachineState | undefined;
  /** What is active of each condition's item. */
  readonly conditions: Map<string, string>;
}

type EventFields = Omit<MachineEvent, 'machine_id' | 'timestamp' | 'kind'>;

export class Machines {
  readonly #machines = new Map<string, Machine>();
  /** Told of a value that is not of its target's kind; null: it is again. */
  readonly #onFault: (item: string, fault: string | null) => void;

  constructor(onFault: (item: string, fault: string | null) => void) {
    this.#onFault = onFault;
  }

  get ids(): readonly string[] {
    return [...this.#machines.keys()];
  }

  /** The readings that these values give; events before the sample. */
  take(saying: Saying): Reading[] {
    const { machineId, timestamp, said, isHistorical = false } = saying;
    const machine = this.#machine(machineId);
    if (machine === undefined) return [];
    const events: MachineEvent[] = [];
    const values: [string, JsonValue][] = [];
    const add = (fields: EventFields): void => void events.push(event(machineId, timestamp, fields));
    for (const { item, target, value } of said) {
      if (target.kind === 'event') {
        const fields = eventOf(target.eventType, item, value, machine.conditions);
        if (fields !== undefined) add(fields);
        continue;
      }
      const found = target.kind === 'state' ? stateOf(target.states, value) : fieldValue(target, value);
      this.#onFault(item, found === undefined ? faultOf(target, value) : null);
      if (found === undefined) continue;
      const name = target.kind === 'state' ? 'machine_state' : target.name;
      values.push([name, found]);
      if (target.kind !== 'state' || found === null) continue;
      const state = found as MachineState;
      const previous = isHistorical ? machine.pastState : machine.state;
      if (state === previous) continue;
      if (isHistorical) machine.pastState = state;
      else machine.state = state;
      add(stateEvent(state, previous, `${item} ${wordOf(value)}`));
    }
    if (!isHistorical) {
      for (const [name, value] of values) {
        machine.known.delete(name);
        if (value === null) continue;
        machine.known.add(name);
        if (machine.known.size <= VALUES_MAX) continue;
        // Names that never end are none that somebody waits for.
        const [oldest = ''] = machine.known;
        machine.known.delete(oldest);
      }
    }
    return [...events, ...samplesOf(machineId, timestamp, values)];
  }

  /** A machine that tells no state of its own is said to be there. */
  there(machineId: string, timestamp: Timestamp, text: string): Reading[] {
    const machine = this.#machine(machineId);
    if (machine === undefined || (machine.state !== undefined && machine.state !== 'offline')) return [];
    const { state } = machine;
    machine.state = 'idle';
    return [
      event(machineId, timestamp, stateEvent('idle', state, text)),
      { machine_id: machineId, timestamp, machine_state: 'idle' },
    ];
  }

  /**
   * The machine is not heard any more. What was known of it is not known now, unless it `keepsValues` because all that is
   * missed will be told.
   */
  lose(machineId: string, timestamp: Timestamp, text: string, keepsValues = false): Reading[] {
    const machine = this.#machines.get(machineId);
    if (machine === undefined) return [];
    const readings: Reading[] = [];
    const values: [string, JsonValue][] = keepsValues ? [] : [...machine.known].map((name) => [name, null]);
    if (machine.state !== undefined && machine.state !== 'offline') {
      readings.push(event(machineId, timestamp, stateEvent('offline', machine.state, text)));
      values.push(['machine_state', 'offline']);
      machine.state = 'offline';
    }
    if (!keepsValues) machine.known.clear();
    return [...readings, ...samplesOf(machineId, timestamp, values)];
  }

  #machine(machineId: string): Machine | undefined {
    let machine = this.#machines.get(machineId);
    if (machine !== undefined) return machine;
    if (this.#machines.size >= MACHINES_MAX) {
      this.#onFault(machineId, `there are more than ${MACHINES_MAX} machines`);
      return undefined;
    }
    machine = { known: new Set(), state: undefined, pastState: undefined, conditions: new Map() };
    this.#machines.set(machineId, machine);
    return machine;
  }
}

/** As few as can be framed. */
function samplesOf(machineId: string, timestamp: Timestamp, values: readonly [string, JsonValue][]): Reading[] {
  const samples: [string, JsonValue][][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const [name, value] of values) {
    // Of three bytes each, as the longest characters have them.
    const own = 3 * (name.length + (typeof value === 'string' ? value.length : 8)) + 8;
    if (bytes + own > SAMPLE_BYTES_MAX) samples.push([]);
    bytes = bytes + own > SAMPLE_BYTES_MAX ? own : bytes + own;
    samples.at(-1)?.push([name, value]);
  }
  return samples.map((some) => ({ machine_id: machineId, timestamp, ...Object.fromEntries(some) }));
}

function event(machineId: string, timestamp: Timestamp, fields: EventFields): MachineEvent {
  return { machine_id: machineId, timestamp, kind: 'event', ...fields };
}

function stateEvent(state: MachineState, previous: MachineState | undefined, text: string): EventFields {
  const before = previous === undefined ? {} : { previous_state: previous };
  return { event_type: 'state', state, ...before, text: storableText(text) };
}

function stateOf(states: { readonly [word: string]: MachineState }, value: JsonValue): MachineState | null | undefined {
  if (value === null) return null;
  if (typeof value === 'object') return undefined;
  const word = wordOf(value).trim().toLowerCase();
  if (Object.hasOwn(states, word)) return states[word];
  return MACHINE_STATES.find((state) => state === word);
}

/**
 * The value as its field takes it.
 * @returns null: not known; undefined: it is not of the field's type
 */
export function fieldValue(target: Extract<Target, { kind: 'field' }>, value: JsonValue): JsonValue | undefined {
  if (value === null || (typeof value === 'string' && isUnavailable(value))) return null;
  if (typeof value === 'object') return undefined;
  switch (target.type) {
    case 'text':
      return storableText(String(value));
    case 'auto':
      if (typeof value === 'number') return scaled(target, value);
      return typeof value === 'string' ? storableText(value) : value;
    default: {
      const number = typeof value === 'string' && NUMBER.test(value.trim()) ? Number(value) : value;
      const found = typeof number === 'number' ? scaled(target, number) : undefined;
      if (target.type === 'number' || found === undefined) return found;
      return Number.isInteger(found) && Math.abs(found) <= INTEGER_MAX ? found : undefined;
    }
  }
}

function wordOf(value: JsonValue): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function scaled({ scale, offset }: { scale: number; offset: number }, value: number): number | undefined {
  const result = scale === 1 && offset === 0 ? value : Number((value * scale + offset).toPrecision(SCALED_DIGITS));
  return Number.isFinite(result) ? result + 0 : undefined;
}

/** What a value of an event says; undefined where it says nothing new. */
function eventOf(
  eventType: EventType,
  item: string,
  value: JsonValue,
  conditions: Map<string, string>,
): EventFields | undefined {
  const text = storableText(typeof value === 'string' ? value : (jsonText(value) ?? 'nests too deep'));
  const name = storableText(item).slice(0, NAME_LENGTH_MAX).toWellFormed();
  if (eventType !== 'condition') {
    return value === null || text === '' ? undefined : { event_type: eventType, item: name, text };
  }
  const isActive = value !== null && value !== false && value !== 0 && text.trim() !== '' && text.trim() !== '0';
  const active = conditions.get(name);
  if (!isActive) {
    if (active === undefined) return undefined;
    conditions.delete(name);
    return { event_type: 'condition', item: name, level: 'normal' };
  }
  if (active === text) return undefined;
  conditions.set(name, text);
  const code = value === true ? {} : { native_code: text, text };
  return { event_type: 'condition', item: name, level: 'fault', ...code };
}

function faultOf(target: Target, value: JsonValue): string {
  const found = (jsonText(value) ?? 'what nests too deep').slice(0, 60).toWellFormed();
  if (target.kind === 'state') return `says ${found}, which stands for no state; allowed: what is in its states`;
  if (target.kind === 'event') return '';
  return target.type === 'auto' || target.type === 'text'
    ? `says ${found}, which is no single value`
    : `says ${found}, which is no ${target.type === 'integer' ? 'whole number of 32 bits' : 'number'}`;
}

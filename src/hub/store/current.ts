/**
 * The newest of everything a machine has said, merged so that the order in which batches arrive does not matter: several
 * are on their way at once, and an old one may come after a newer. Pure.
 *
 * Per signal the newest time wins; between equals, what arrived later.
 */
import {
  type ConditionLevel,
  isSignalKey,
  type JsonValue,
  type MachineEvent,
  type Reading,
  type Sample,
} from '../../model/reading.ts';
import { type MachineState, signalNamed } from '../../model/signals.ts';
import { isAtLeast, type Timestamp } from '../../model/time.ts';

/** As it stands in the row of `machine_current`. */
export interface CurrentState {
  /** The newest reading's time, never later than the hub's clock then was: a machine's clock may run ahead. */
  lastSeen: Timestamp | null;
  signals: Map<string, readonly [time: Timestamp, value: JsonValue]>;
  /** Oldest first; the last is the state now. */
  states: StateRun[];
  conditions: ConditionWord[];
}

/** The state was said to be this at `from` and at `to`, and nothing else was said between them. */
export interface StateRun {
  /** null: said to be unknown. */
  readonly state: MachineState | null;
  readonly from: Timestamp;
  readonly to: Timestamp;
  readonly reason: string | null;
}

type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

/** The newest word on one condition. `code` null: a word on all conditions of the item. */
export interface ConditionWord {
  readonly item: string;
  readonly code: string | null;
  readonly time: Timestamp;
  readonly level: ConditionLevel;
  readonly severity: string | null;
  readonly qualifier: string | null;
  readonly text: string | null;
}

/** A machine that invents signals without end keeps the standard ones and its first others only. */
const SIGNALS_MAX = 500;
/** Late words on the state are put in their place among this many intervals. */
const STATE_RUNS_MAX = 8;
/** Cleared conditions are remembered too, so that a late word does not raise them again. */
const CONDITIONS_MAX = 200;

export function emptyCurrent(): CurrentState {
  return { lastSeen: null, signals: new Map(), states: [], conditions: [] };
}

/** What a number of readings say of one machine, gathered before the transaction that knows the rest. */
export class MachineChange {
  /** The sample that holds the signal's newest value: a reference instead of a copy of each value. */
  readonly #newest: Map<string, Sample> = new Map();
  #newestTime: Timestamp = '';
  readonly #runs: Mutable<StateRun>[] = [];
  readonly #conditions: ConditionWord[] = [];

  add(reading: Reading): void {
    const time = reading.timestamp;
    if (isAtLeast(time, this.#newestTime)) this.#newestTime = time;
    if (reading.kind === 'event') this.#addEvent(reading);
    else if (reading.kind !== 'measurement') this.#addSample(reading);
  }

  /**
   * The machine's state after these readings; `current` is altered and returned. `now` is the hub's clock: what a machine
   * says of a later time counts as said now, or a clock that was once set to 2100 would hide all that comes after.
   */
  applyTo(current: CurrentState, now: Timestamp): CurrentState {
    const seen = notAfter(now, this.#newestTime);
    if (current.lastSeen === null || isAtLeast(seen, current.lastSeen)) current.lastSeen = seen;
    for (const [signal, sample] of this.#newest) {
      const known = current.signals.get(signal);
      const time = notAfter(now, sample.timestamp);
      const isWelcome = current.signals.size < SIGNALS_MAX || signalNamed(signal) !== undefined;
      if (known === undefined ? isWelcome : isAtLeast(time, known[0])) {
        current.signals.set(signal, [time, sample[signal] ?? null]);
      }
    }
    const runs = this.#runs.map((run) => ({ ...run, from: notAfter(now, run.from), to: notAfter(now, run.to) }));
    if (runs.length > 0) current.states = mergeRuns(current.states, runs);
    for (const word of this.#conditions) {
      current.conditions = withCondition(current.conditions, { ...word, time: notAfter(now, word.time) });
    }
    return current;
  }

  #addSample(sample: Sample): void {
    const time = sample.timestamp;
    for (const key in sample) {
      if (!isSignalKey(key)) continue;
      const known = this.#newest.get(key);
      if (known === undefined || isAtLeast(time, known.timestamp)) this.#newest.set(key, sample);
    }
    const state = sample.machine_state;
    if (state !== undefined) this.#addState(state, time, null);
  }

  #addState(state: MachineState | null, time: Timestamp, reason: string | null): void {
    const last = this.#runs.at(-1);
    if (last !== undefined && last.state === state && isAtLeast(time, last.to)) {
      last.to = time;
      last.reason = reason ?? last.reason;
    } else this.#runs.push({ state, from: time, to: time, reason });
  }

  #addEvent(event: MachineEvent): void {
    if (event.event_type === 'state' && event.state !== undefined) {
      this.#addState(event.state, event.timestamp, event.text ?? null);
    }
    if (event.event_type !== 'condition' || event.level === undefined) return;
    this.#conditions.push({
      item: event.item ?? '',
      code: event.native_code ?? null,
      time: event.timestamp,
      level: event.level,
      severity: event.native_severity ?? null,
      qualifier: event.qualifier ?? null,
      text: event.text ?? null,
    });
  }
}

function notAfter(now: Timestamp, time: Timestamp): Timestamp {
  return isAtLeast(time, now) ? now : time;
}

/** Puts late words in their place: every run is a word at its beginning and one at its end. */
function mergeRuns(known: readonly StateRun[], added: readonly StateRun[]): StateRun[] {
  const words: { state: MachineState | null; time: Timestamp; reason: string | null }[] = [];
  for (const { state, from, to, reason } of [...known, ...added]) {
    words.push({ state, time: from, reason });
    if (to !== from) words.push({ state, time: to, reason: null });
  }
  words.sort((a, b) => (isAtLeast(a.time, b.time) ? (isAtLeast(b.time, a.time) ? 0 : 1) : -1));
  const runs: StateRun[] = [];
  for (const { state, time, reason } of words) {
    const last = runs.at(-1);
    if (last !== undefined && last.state === state) {
      runs[runs.length - 1] = { state, from: last.from, to: time, reason: reason ?? last.reason };
    } else runs.push({ state, from: time, to: time, reason });
  }
  return runs.slice(-STATE_RUNS_MAX);
}

function withCondition(known: readonly ConditionWord[], word: ConditionWord): ConditionWord[] {
  const sameItem = known.filter((other) => other.item === word.item);
  const overruled = sameItem.some((other) => {
    const speaksOfWord = other.code === word.code || (other.code === null && !isRaised(other));
    return speaksOfWord && !isAtLeast(word.time, other.time);
  });
  if (overruled) return [...known];
  // A word without a code speaks of the whole item (MTConnect: NORMAL without a native code clears all), unless it raises.
  const replaces = (other: ConditionWord): boolean => {
    if (other.item !== word.item) return false;
    return other.code === word.code || (word.code === null && !isRaised(word) && isAtLeast(word.time, other.time));
  };
  const kept = known.filter((other) => !replaces(other));
  kept.push(word);
  if (kept.length <= CONDITIONS_MAX) return kept;
  const oldestCleared = kept.find((other) => !isRaised(other)) ?? kept[0];
  return kept.filter((other) => other !== oldestCleared);
}

/** Whether the condition wants attention. */
export function isRaised(word: ConditionWord): boolean {
  return word.level === 'warning' || word.level === 'fault';
}

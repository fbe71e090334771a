/**
 * The newest of everything a machine has said, merged so that the order in which batches arrive does not matter: several
 * are on their way at once, and an old one may come after a newer. Pure.
 *
 * Per signal the newest time wins; between equals, what arrived later.
 *
 * The state now is the newest word, and it began with the first word after the newest of any other state. All of that
 * follows from one newest word for each state, but for the beginning: a late word of another state may fall anywhere
 * into what was one interval until then, and only all words know which one came next. They are in the database, so it is
 * asked then, and only then ({@link soughtBeginning}).
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
  /** Of the newest measurement, never later than the hub's clock then was. */
  lastMeasurement: Timestamp | null;
  signals: Map<string, readonly [time: Timestamp, value: JsonValue]>;
  /** The newest interval of each state, by their ends; the last is the state now. */
  states: StateRun[];
  /** Whether the state now may have begun before its `from`. Not in the row: it is settled within the transaction. */
  isBeginningOpen: boolean;
  conditions: ConditionWord[];
}

/** The state was said to be this at `from` and at `to`; of the state now: and nothing else was said between them. */
export interface StateRun {
  /** null: said to be unknown. */
  readonly state: MachineState | null;
  readonly from: Timestamp;
  readonly to: Timestamp;
  readonly reason: Reason | null;
}

/** The newest reason given, and when. */
export type Reason = readonly [time: Timestamp, text: string];

/** The first word of that state from `after` to before `before` is its beginning; without one `before` is. */
export interface SoughtBeginning {
  readonly state: MachineState | null;
  readonly after: Timestamp;
  readonly before: Timestamp;
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
/** Cleared conditions are remembered too, so that a late word does not raise them again. */
const CONDITIONS_MAX = 200;
/** Of a timestamp's text up to its minutes. */
const MINUTE_LENGTH = 16;

export function emptyCurrent(): CurrentState {
  return {
    lastSeen: null,
    lastMeasurement: null,
    signals: new Map(),
    states: [],
    isBeginningOpen: false,
    conditions: [],
  };
}

/** What a number of readings say of one machine, gathered before the transaction that knows the rest. */
export class MachineChange {
  /** The sample that holds the signal's newest value: a reference instead of a copy of each value. */
  readonly #newest: Map<string, Sample> = new Map();
  #newestTime: Timestamp = '';
  #newestMeasurement: Timestamp = '';
  /** No time begins with this. */
  #lastMinute = 'none';
  /** Minutes with samples or words of the state: the first 16 characters of their times. */
  readonly minutes: Set<string> = new Set();
  readonly #runs: Mutable<StateRun>[] = [];
  readonly #conditions: ConditionWord[] = [];

  add(reading: Reading): void {
    const time = reading.timestamp;
    if (isAtLeast(time, this.#newestTime)) this.#newestTime = time;
    if (reading.kind === 'measurement') {
      if (isAtLeast(time, this.#newestMeasurement)) this.#newestMeasurement = time;
      return;
    }
    if (!time.startsWith(this.#lastMinute)) this.#addMinute(time);
    if (reading.kind === 'event') this.#addEvent(reading);
    else this.#addSample(reading);
  }

  /**
   * The machine's state after these readings; `current` is altered and returned. `now` is the hub's clock: what a machine
   * says of a later time counts as said now, or a clock that was once set to 2100 would hide all that comes after.
   */
  applyTo(current: CurrentState, now: Timestamp): CurrentState {
    const seen = notAfter(now, this.#newestTime);
    if (current.lastSeen === null || isAtLeast(seen, current.lastSeen)) current.lastSeen = seen;
    const measured = notAfter(now, this.#newestMeasurement);
    if (measured !== '' && isAtLeast(measured, current.lastMeasurement ?? '')) current.lastMeasurement = measured;
    for (const [signal, sample] of this.#newest) {
      const known = current.signals.get(signal);
      const time = notAfter(now, sample.timestamp);
      const isWelcome = current.signals.size < SIGNALS_MAX || signalNamed(signal) !== undefined;
      if (known === undefined ? isWelcome : isAtLeast(time, known[0])) {
        current.signals.set(signal, [time, sample[signal] ?? null]);
      }
    }
    if (this.#runs.length > 0)
      mergeRuns(
        current,
        this.#runs.map((run) => runNotAfter(now, run)),
      );
    for (const word of this.#conditions) {
      current.conditions = withCondition(current.conditions, { ...word, time: notAfter(now, word.time) });
    }
    return current;
  }

  #addMinute(time: Timestamp): void {
    this.#lastMinute = time.slice(0, MINUTE_LENGTH);
    this.minutes.add(this.#lastMinute);
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

  #addState(state: MachineState | null, time: Timestamp, text: string | null): void {
    const last = this.#runs.at(-1);
    const reason: Reason | null = text === null ? null : [time, text];
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

function runNotAfter(now: Timestamp, { state, from, to, reason }: StateRun): StateRun {
  const told: Reason | null = reason === null ? null : [notAfter(now, reason[0]), reason[1]];
  return { state, from: notAfter(now, from), to: notAfter(now, to), reason: told };
}

/** Of a run only the words at its ends are known here: what other states say between them cuts it. */
function mergeRuns(current: CurrentState, added: readonly StateRun[]): void {
  const runs = [...current.states, ...added];
  const states = newestOfEach(runs);
  const last = states.at(-1);
  if (last === undefined) return;
  const { state } = last;
  const after = states.at(-2)?.to ?? '';
  const own = runs.filter((run) => run.state === state && isAtLeast(run.to, after));
  const cut = own.some((run) => !isAtLeast(run.from, after));
  let from = last.to;
  let reason: Reason | null = null;
  for (const run of own) {
    const known = isAtLeast(run.from, after) ? run.from : run.to;
    if (isAtLeast(from, known)) from = known;
    const told = run.reason;
    if (told !== null && isAtLeast(told[0], reason === null ? after : reason[0])) reason = told;
  }
  const wasOpen = current.isBeginningOpen && current.states.at(-1)?.state === state;
  current.isBeginningOpen = cut || wasOpen;
  current.states = [...states.slice(0, -1), { state, from, to: last.to, reason }];
}

/** By their ends; between equals, what arrived later comes later. */
function newestOfEach(runs: readonly StateRun[]): StateRun[] {
  const newest = new Map<MachineState | null, StateRun>();
  for (const run of runs) {
    const other = newest.get(run.state);
    if (other !== undefined && !isAtLeast(run.to, other.to)) continue;
    newest.delete(run.state);
    newest.set(run.state, run);
  }
  return [...newest.values()].sort((a, b) => (isAtLeast(a.to, b.to) ? (isAtLeast(b.to, a.to) ? 0 : 1) : -1));
}

/** What is to be looked up among all words; undefined when the beginning of the state now is known. */
export function soughtBeginning({ states, isBeginningOpen }: CurrentState): SoughtBeginning | undefined {
  const [other, last] = states.slice(-2);
  if (!isBeginningOpen || other === undefined || last === undefined) return undefined;
  return { state: last.state, after: other.to, before: last.from };
}

/** Settles the beginning of the state now. `found`: null when there is no earlier word. */
export function settleBeginning(current: CurrentState, found: Timestamp | null): void {
  const last = current.states.at(-1);
  current.isBeginningOpen = false;
  if (last === undefined || found === null) return;
  current.states = [...current.states.slice(0, -1), { ...last, from: found }];
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

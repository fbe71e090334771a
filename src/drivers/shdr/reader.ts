/**
 * Lines in, readings out: what is kept between lines, and between connections, to tell what is new.
 *
 * An adapter repeats its whole state on every connection. What is repeated with the same stamp was emitted before and is
 * passed over; only after a loss of the connection, which made everything unavailable, is a repetition news: the value
 * is known again, from now on by the gateway's clock.
 */
import type { Clock } from '../../base/clock.ts';
import { now } from '../../base/clock.ts';
import { FaultCounter } from '../../base/fault-counter.ts';
import type { Logger } from '../../base/logger.ts';
import { Conditions } from '../../model/mtconnect/conditions.ts';
import {
  type Decision,
  decideState,
  STATE_ROLES,
  type StateRole,
  type StateWords,
} from '../../model/mtconnect/state.ts';
import { fieldValue, isUnavailable, seriesValues, storableText } from '../../model/mtconnect/values.ts';
import { isSignalKey, type JsonValue, NAME_LENGTH_MAX, type Reading } from '../../model/reading.ts';
import type { MachineState } from '../../model/signals.ts';
import { signalNamed } from '../../model/signals.ts';
import type { Timestamp } from '../../model/time.ts';
import type { Line } from './lines.ts';
import type { ItemSettings, ShdrOptions } from './options.ts';
import { type Entry, type ItemKind, LineParser } from './parse.ts';
import { Sampler } from './sampler.ts';
import { LineTimes } from './times.ts';

/** The part of a driver's context that reading lines needs. */
export interface ReaderContext {
  readonly machineId: string;
  emit(reading: Reading): void;
  problem(item: string, reason: string | null): void;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Items of which the last value is remembered. */
export const ITEMS_MAX = 8_192;

/** Of a longer value only so many UTF-16 units, and its length, are remembered to know a repetition. */
const KNOWN_CHARS_MAX = 4_096;

const CONDITION: ItemSettings = { kind: 'condition', fields: [] };

/** What an item said last, to know a repetition. */
interface Known {
  timestamp: Timestamp;
  text: string;
  /** Made unavailable by the loss of a connection, and not said again since. */
  isLost: boolean;
}

export class ShdrReader {
  readonly #options: ShdrOptions;
  readonly #items: Map<string, ItemSettings>;
  readonly #roles: ReadonlyMap<string, readonly StateRole[]>;
  readonly #known = new Map<string, Known>();
  readonly #faults = new FaultCounter('the adapter sent what cannot be used');
  readonly #conditions = new Conditions();
  readonly #sampler = new Sampler();
  #parser: LineParser;
  #times: LineTimes;
  #words: StateWords = {};
  #state: MachineState | undefined;
  #program: string | undefined;

  constructor(options: ShdrOptions) {
    this.#options = options;
    this.#items = new Map(Object.entries(options.items));
    this.#roles = rolesByItem(options);
    this.#parser = this.#newParser();
    this.#times = new LineTimes(options.assumeZone);
  }

  /** Before the first line of each connection. */
  connected(): void {
    this.#parser = this.#newParser();
    this.#times = new LineTimes(this.#options.assumeZone);
    this.#words = {};
    this.#faults.begin();
  }

  /** @returns what a command says; undefined for every other line */
  readLine({ text, isUtf8 }: Line, context: ReaderContext): { name: string; value: string } | undefined {
    if (!isUtf8) this.#faults.count('not UTF-8, read as Latin-1', text, context);
    const line = this.#parser.parse(text);
    switch (line.type) {
      case 'nothing':
        return undefined;
      case 'command':
        return line;
      case 'fault':
        this.#faults.count(line.reason, text, context);
        return undefined;
      case 'data': {
        const timestamp = this.#times.read(line.stamp.text, () => now(context.clock));
        if (timestamp === undefined) {
          this.#faults.count('not a time', text, context);
          return undefined;
        }
        if (line.fault !== undefined) this.#faults.count(line.fault, text, context);
        this.#readEntries(line.entries, timestamp, line.stamp.durationSeconds, context);
        this.#faults.calm(context);
        return undefined;
      }
    }
  }

  /** After the loss of a connection: every item becomes unavailable. */
  disconnected(context: ReaderContext): void {
    const timestamp = now(context.clock);
    for (const known of this.#known.values()) known.isLost = true;
    this.#sampler.putUnknown(timestamp);
    if (this.#state !== undefined) this.#setState({ state: 'offline', reason: 'connection lost' }, timestamp, context);
    for (const event of this.#conditions.loseAll(timestamp, context.machineId)) this.#sampler.putEvent(event);
    this.#sampler.flush(context);
    this.#words = {};
  }

  #newParser(): LineParser {
    const { device } = this.#options;
    return new LineParser({ device, kindOf: (key): ItemKind | undefined => this.#items.get(key)?.kind });
  }

  #readEntries(
    entries: readonly Entry[],
    timestamp: Timestamp,
    durationSeconds: number | undefined,
    context: ReaderContext,
  ): void {
    let stateTimestamp: Timestamp | undefined;
    for (const entry of entries) {
      const item = this.#itemOf(entry, context);
      if (item === undefined) continue;
      const at = this.#newsTime(entry, timestamp, context.clock);
      if (at === undefined) continue;
      if (this.#readEntry(entry, item, at, durationSeconds, context)) stateTimestamp = at;
    }
    if (stateTimestamp !== undefined) {
      const decision = decideState(this.#words, {
        fault: this.#conditions.firstFault(),
        previous: this.#state,
        hasExecution: this.#options.state.execution !== null,
      });
      this.#setState(decision, stateTimestamp, context);
    }
    this.#sampler.flush(context);
  }

  /** The settings of an entry that is wanted; an item of nobody's choice is learned where all are taken. */
  #itemOf(entry: Entry, context: ReaderContext): ItemSettings | undefined {
    const { key, kind } = entry;
    const { conditions, takeAll } = this.#options;
    const item = this.#items.get(key);
    if (kind === 'condition') {
      return conditions === 'all' || conditions.includes(key) || item?.kind === 'condition' ? CONDITION : undefined;
    }
    if (item !== undefined || !takeAll || kind === 'message') return item;
    if (this.#items.size >= ITEMS_MAX || key.length > NAME_LENGTH_MAX || !isStorableName(key)) {
      this.#faults.count(`item ${key.slice(0, 40)} has no name that can be kept`, key, context);
      return undefined;
    }
    const name = isSignalKey(key) && signalNamed(key) === undefined ? key : `item_${key}`;
    const learned: ItemSettings = { kind, fields: [{ name, type: 'auto', scale: 1, offset: 0, index: null }] };
    this.#items.set(key, learned);
    return learned;
  }

  /**
   * The time from which the entry holds; undefined when it only repeats what was said before.
   */
  #newsTime(entry: Entry, timestamp: Timestamp, clock: Clock): Timestamp | undefined {
    const { id, text } = fingerprint(entry);
    const known = this.#known.get(id);
    if (known === undefined) {
      if (this.#known.size >= ITEMS_MAX) this.#known.delete(this.#known.keys().next().value ?? '');
      this.#known.set(id, { timestamp, text, isLost: false });
      return timestamp;
    }
    const isRepeated = known.timestamp === timestamp && known.text === text;
    if (isRepeated && !known.isLost) return undefined;
    const at = isRepeated && !isUnavailable(text) ? now(clock) : timestamp;
    known.timestamp = timestamp;
    known.text = text;
    known.isLost = false;
    return isRepeated && isUnavailable(text) ? undefined : at;
  }

  /** @returns whether the entry may have changed the state */
  #readEntry(
    entry: Entry,
    item: ItemSettings,
    at: Timestamp,
    durationSeconds: number | undefined,
    context: ReaderContext,
  ): boolean {
    switch (entry.kind) {
      case 'condition': {
        const event = this.#conditions.read(entry, at, context.machineId);
        if (event === undefined)
          this.#faults.count(`item ${entry.key} has no level of a condition`, entry.level, context);
        else this.#sampler.putEvent(event);
        return event !== undefined;
      }
      case 'message':
        this.#readMessage(entry, at, context);
        return false;
      case 'time_series':
        this.#readSeries(entry, item, at, context);
        return false;
      case 'value': {
        const isUsed = this.#readValue(entry, item, at, context);
        if (isUsed && durationSeconds !== undefined) this.#sampler.putDuration(at, durationSeconds);
        this.#readProgram(entry, at, context);
        return this.#readRoles(entry);
      }
    }
  }

  #readValue(entry: Entry & { kind: 'value' }, item: ItemSettings, at: Timestamp, context: ReaderContext): boolean {
    let isUsed = false;
    for (const field of item.fields) {
      const value = fieldValue(field, entry.text);
      if (value === undefined) {
        const expected = field.type === 'integer' ? 'a whole number' : 'a number';
        this.#faults.count(`item ${entry.key} is not ${expected}`, entry.text, context);
        continue;
      }
      isUsed = true;
      this.#sampler.put(at, field.name, value);
    }
    return isUsed;
  }

  #readSeries(entry: Entry & { kind: 'time_series' }, item: ItemSettings, at: Timestamp, context: ReaderContext): void {
    const isUnknown = isUnavailable(entry.text) || isUnavailable(entry.count);
    const values = isUnknown ? [] : seriesValues(entry.text);
    if (values === undefined) {
      this.#faults.count(`item ${entry.key} is not a series of numbers`, entry.text, context);
      return;
    }
    const rate = Number(entry.rate);
    const series: JsonValue = { rate: rate > 0 && Number.isFinite(rate) ? rate : null, values };
    for (const field of item.fields) this.#sampler.put(at, field.name, isUnknown ? null : series);
  }

  #readMessage(entry: Entry & { kind: 'message' }, at: Timestamp, context: ReaderContext): void {
    if (isUnavailable(entry.text) || isUnavailable(entry.nativeCode)) return;
    this.#sampler.putEvent({
      machine_id: context.machineId,
      timestamp: at,
      kind: 'event',
      event_type: 'message',
      item: entry.key,
      ...(entry.nativeCode === '' ? {} : { native_code: storableText(entry.nativeCode) }),
      text: storableText(entry.text),
    });
  }

  #readProgram(entry: Entry & { kind: 'value' }, at: Timestamp, context: ReaderContext): void {
    if (entry.key !== this.#options.program || isUnavailable(entry.text)) return;
    const program = storableText(entry.text);
    if (program === this.#program) return;
    this.#program = program;
    this.#sampler.putEvent({
      machine_id: context.machineId,
      timestamp: at,
      kind: 'event',
      event_type: 'program',
      item: entry.key,
      text: program,
    });
  }

  #readRoles(entry: Entry & { kind: 'value' }): boolean {
    const roles = this.#roles.get(entry.key);
    if (roles === undefined) return false;
    for (const role of roles) {
      this.#words[role] = isUnavailable(entry.text) ? null : entry.text.toUpperCase();
    }
    return true;
  }

  #setState(decision: Decision | undefined, at: Timestamp, context: ReaderContext): void {
    if (decision === undefined || decision.state === this.#state) return;
    const previous = this.#state;
    this.#state = decision.state;
    this.#sampler.put(at, 'machine_state', decision.state);
    this.#sampler.putEvent({
      machine_id: context.machineId,
      timestamp: at,
      kind: 'event',
      event_type: 'state',
      state: decision.state,
      ...(previous === undefined ? {} : { previous_state: previous }),
      text: storableText(decision.reason),
    });
  }
}

function rolesByItem(options: ShdrOptions): ReadonlyMap<string, readonly StateRole[]> {
  const roles = new Map<string, StateRole[]>();
  for (const role of STATE_ROLES) {
    const item = options.state[role];
    if (item !== null) roles.set(item, [...(roles.get(item) ?? []), role]);
  }
  return roles;
}

/** What tells an entry from another of the same item; a condition's codes are told apart. */
function fingerprint(entry: Entry): { id: string; text: string } {
  const { id, text } = wholeFingerprint(entry);
  return { id, text: text.length <= KNOWN_CHARS_MAX ? text : `${text.slice(0, KNOWN_CHARS_MAX)}${text.length}` };
}

function wholeFingerprint(entry: Entry): { id: string; text: string } {
  switch (entry.kind) {
    case 'value':
      return { id: entry.key, text: entry.text };
    case 'condition':
      return {
        id: `${entry.key}|${entry.nativeCode}`,
        text: `${entry.level}|${entry.nativeSeverity}|${entry.qualifier}|${entry.text}`,
      };
    case 'message':
      return { id: entry.key, text: `${entry.nativeCode}|${entry.text}` };
    case 'time_series':
      return { id: entry.key, text: `${entry.count}|${entry.rate}|${entry.text}` };
  }
}

function isStorableName(name: string): boolean {
  return name !== '' && name !== '__proto__' && !name.includes('\0') && name.isWellFormed();
}

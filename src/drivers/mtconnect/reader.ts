/**
 * Observations in, readings out: what is kept between documents, and across restarts, to tell the machine's state.
 *
 * A document lists observations by component; they are taken in the order of their sequence numbers. Those of one
 * timestamp that follow one another become one sample, and the state is decided after them.
 */
import { type Clock, now } from '../../base/clock.ts';
import { FaultCounter } from '../../base/fault-counter.ts';
import type { Logger } from '../../base/logger.ts';
import { type ActiveConditions, codeKept, Conditions } from '../../model/mtconnect/conditions.ts';
import { type Decision, decideState, type StateWords } from '../../model/mtconnect/state.ts';
import { fieldValue, isUnavailable, seriesValues, storableText } from '../../model/mtconnect/values.ts';
import type { JsonValue, MachineEvent, Reading } from '../../model/reading.ts';
import { withReadFrom } from '../../model/read-from.ts';
import type { MachineState } from '../../model/signals.ts';
import { parseTimestamp, type Timestamp } from '../../model/time.ts';
import type { Observation } from './document.ts';
import type { ItemPlan, Mapping } from './mapping.ts';
import { FoundMarks, mark } from './marks.ts';

/** The part of a driver's context that reading needs. */
export interface ReaderContext {
  readonly machineId: string;
  emit(reading: Reading): void;
  problem(item: string, reason: string | null): void;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * A sample with more text than this, in UTF-16 units, is continued in another of the same timestamp: a unit is at most
 * six bytes of JSON, so a reading stays within a frame.
 */
export const SAMPLE_CHARS_MAX: number = 128 * 1024;
/** Of a word that decides the state: the longest that means something is shorter. */
const WORD_CHARS_MAX = 64;

/** What must be known to go on with the next observation. */
export interface ReaderState {
  readonly state?: MachineState | undefined;
  /** It is said to be offline, since nobody sees it. */
  readonly isLost: boolean;
  readonly program?: string | undefined;
  readonly words: StateWords;
  readonly conditions: ActiveConditions;
}

/** A sample that is being filled. */
interface Draft {
  readonly first: number;
  last: number;
  readonly fields: { [name: string]: JsonValue };
  chars: number;
}

/** Observations of one timestamp that follow one another. */
interface Run {
  readonly timestamp: Timestamp;
  draft: Draft | undefined;
  readonly events: { readonly event: MachineEvent; readonly mark: string }[];
  /** Of the newest observation that the state may depend on. */
  stateSequence: number | undefined;
}

const NO_MAPPING: Mapping = { plans: new Map(), missing: [], hasExecution: false };

export class ObservationReader {
  readonly #source: string;
  readonly #faults = new FaultCounter('the agent gave what cannot be used');
  readonly #conditions = new Conditions();
  #mapping: Mapping = NO_MAPPING;
  #found = new FoundMarks();
  #words: StateWords = {};
  #state: MachineState | undefined;
  #program: string | undefined;
  /** The state is said to be offline since the connection was lost, and is to be said when it stands again. */
  #isLost = false;

  constructor(source: string) {
    this.#source = source;
  }

  setMapping(mapping: Mapping): void {
    this.#mapping = mapping;
  }

  /** Before anything is read: where an earlier life of the process stood, and what the log has beyond it. */
  restore(saved: ReaderState, found: FoundMarks): void {
    this.#found = found;
    this.#state = saved.state;
    this.#isLost = found.said === undefined ? saved.isLost : found.said === 'offline';
    this.#program = saved.program;
    this.#words = { ...saved.words };
    this.#conditions.restore(saved.conditions);
  }

  saved(): ReaderState {
    return {
      state: this.#state,
      isLost: this.#isLost,
      program: this.#program,
      words: this.#words,
      conditions: this.#conditions.saved(),
    };
  }

  /** Before the first document of each run. */
  begin(): void {
    this.#faults.begin();
  }

  /** Of an agent that was restarted nothing is known. */
  forget(): void {
    this.#words = {};
    this.#conditions.restore([]);
  }

  /** What was observed, as a stream tells it: every change. */
  read(instance: string, observations: readonly Observation[], context: ReaderContext): void {
    this.#faults.calm(context);
    let run: Run | undefined;
    for (const observation of inOrder(observations)) {
      const plan = this.#mapping.plans.get(observation.dataItemId);
      const timestamp = plan === undefined ? undefined : this.#timeOf(observation, context);
      if (plan === undefined || timestamp === undefined) continue;
      if (run !== undefined && run.timestamp !== timestamp) {
        this.#end(instance, run, context);
        run = undefined;
      }
      run ??= { timestamp, draft: undefined, events: [], stateSequence: undefined };
      this.#readOne(instance, observation, plan, run, context);
      // Where the log says that the state was decided here, it is again.
      if (this.#found.has(mark.event(instance, observation.sequence, 's'))) this.#decide(instance, run, context);
    }
    if (run !== undefined) this.#end(instance, run, context);
    const newest = observations.at(-1)?.sequence;
    if (newest !== undefined) this.#found.forgetBelow(instance, newest);
  }

  /**
   * What holds, as `current` tells it: the newest of each item, and of a condition all that is active. Only those of the
   * `wanted` numbers become readings; the state is decided by all of them together.
   */
  readCurrent(
    instance: string,
    observations: readonly Observation[],
    wanted: { readonly first: number; readonly before: number },
    context: ReaderContext,
  ): void {
    const isWanted = ({ sequence }: Observation): boolean => wanted.first <= sequence && sequence < wanted.before;
    // What came after is told by the stream.
    const known = inOrder(observations).filter(({ sequence }) => sequence < wanted.before);
    const isCleared = this.#clearUnseen(instance, observations, context);
    let newest: { readonly timestamp: Timestamp; readonly sequence: number } | undefined;
    for (const observation of known) {
      const plan = this.#mapping.plans.get(observation.dataItemId);
      const timestamp = plan === undefined ? undefined : this.#timeOf(observation, context);
      if (plan === undefined || timestamp === undefined) continue;
      const run: Run = { timestamp, draft: undefined, events: [], stateSequence: undefined };
      this.#readOne(instance, observation, plan, run, context);
      if (isWanted(observation)) {
        if (run.stateSequence !== undefined && timestamp >= (newest?.timestamp ?? '')) {
          newest = { timestamp, sequence: observation.sequence };
        }
        this.#flush(instance, run, context);
      }
    }
    if (isCleared) newest ??= { timestamp: now(context.clock), sequence: wanted.before - 1 };
    if (newest === undefined) return;
    const run: Run = { timestamp: newest.timestamp, draft: undefined, events: [], stateSequence: newest.sequence };
    this.#end(instance, run, context);
  }

  /** After a lost connection, once all is read that was missed: what the state is, by the gateway's clock. */
  caughtUp(context: ReaderContext): void {
    if (!this.#isLost) return;
    this.#isLost = false;
    if (this.#state !== undefined && this.#state !== 'offline') {
      this.#say(this.#state, { previous: 'offline', reason: 'connected again' }, context);
    }
  }

  /** After the loss of the connection: whatever the machine does, nobody sees it. */
  disconnected(context: ReaderContext): void {
    if (this.#isLost || this.#state === undefined || this.#state === 'offline') return;
    this.#isLost = true;
    this.#say('offline', { previous: this.#state, reason: 'connection lost' }, context);
  }

  #say(
    state: MachineState,
    { previous, reason }: { readonly previous: MachineState; readonly reason: string },
    context: ReaderContext,
  ): void {
    const origin = { machine_id: context.machineId, timestamp: now(context.clock) };
    const from = { source: this.#source, mark: mark.said(state) };
    context.emit(withReadFrom({ ...origin, machine_state: state }, from));
    const change = { event_type: 'state', state, previous_state: previous, text: reason } as const;
    context.emit(withReadFrom({ ...origin, kind: 'event', ...change }, from));
  }

  #timeOf({ timestamp, element }: Observation, context: ReaderContext): Timestamp | undefined {
    const time = parseTimestamp(timestamp);
    if (time === undefined) this.#faults.count(`${element} has no time`, timestamp, context);
    return time;
  }

  #readOne(instance: string, observation: Observation, plan: ItemPlan, run: Run, context: ReaderContext): void {
    const { category, sequence, text } = observation;
    const put = (event: Omit<MachineEvent, 'machine_id' | 'timestamp' | 'kind'>, kind: 'm' | 'p'): void => {
      run.events.push({
        event: { machine_id: context.machineId, timestamp: run.timestamp, kind: 'event', ...event },
        mark: mark.event(instance, sequence, kind),
      });
    };
    if (category === 'condition') {
      const event = this.#conditions.read(conditionEntry(observation, plan), run.timestamp, context.machineId);
      if (event === undefined) {
        this.#faults.count(`item ${plan.name} has no level of a condition`, observation.element, context);
        return;
      }
      run.events.push({ event, mark: mark.event(instance, sequence, 'c') });
      run.stateSequence = sequence;
      return;
    }
    if (plan.item.type === 'MESSAGE' && !isUnavailable(text)) {
      const code = observation.attributes['nativeCode'] ?? '';
      const nativeCode = code === '' ? {} : { native_code: storableText(code) };
      put({ event_type: 'message', item: plan.name, ...nativeCode, text: storableText(text) }, 'm');
    }
    this.#putFields(instance, observation, plan, run, context);
    const program = plan.isProgram && !isUnavailable(text) ? storableText(text) : this.#program;
    if (program !== undefined && program !== this.#program) {
      this.#program = program;
      put({ event_type: 'program', item: plan.name, text: program }, 'p');
    }
    for (const role of plan.roles) {
      this.#words[role] = isUnavailable(text) ? null : text.slice(0, WORD_CHARS_MAX).toUpperCase();
      run.stateSequence = sequence;
    }
  }

  #putFields(instance: string, observation: Observation, plan: ItemPlan, run: Run, context: ReaderContext): void {
    const { sequence, text, attributes } = observation;
    if (this.#found.hasSample(instance, sequence)) return;
    for (const field of plan.fields) {
      const value = valueOf(field, observation);
      if (value === undefined) {
        const expected = field.type === 'integer' ? 'a whole number' : 'a number';
        this.#faults.count(`item ${plan.name} is not ${expected}`, text, context);
        continue;
      }
      if (charsOf(value) > SAMPLE_CHARS_MAX) {
        this.#faults.count(`item ${plan.name} says more than a reading can hold`, text, context);
        continue;
      }
      this.#put(instance, run, sequence, field.name, value, context);
    }
    const duration = Number(attributes['duration'] ?? Number.NaN);
    if (plan.fields.length > 0 && duration >= 0 && Number.isFinite(duration)) {
      this.#put(instance, run, sequence, 'duration_seconds', duration, context);
    }
  }

  #put(instance: string, run: Run, sequence: number, name: string, value: JsonValue, context: ReaderContext): void {
    const chars = name.length + charsOf(value);
    const { draft } = run;
    const fits = draft !== undefined && !Object.hasOwn(draft.fields, name) && draft.chars + chars <= SAMPLE_CHARS_MAX;
    if (!fits) this.#flushSample(instance, run, context);
    const open = (run.draft ??= { first: sequence, last: sequence, fields: {}, chars: 0 });
    open.last = sequence;
    open.fields[name] = value;
    open.chars += chars;
  }

  #end(instance: string, run: Run, context: ReaderContext): void {
    this.#decide(instance, run, context);
    this.#flush(instance, run, context);
  }

  #decision(previous: MachineState | undefined): Decision | undefined {
    const fault = this.#conditions.firstFault();
    return decideState(this.#words, { fault, previous, hasExecution: this.#mapping.hasExecution });
  }

  #decide(instance: string, run: Run, context: ReaderContext): void {
    const sequence = run.stateSequence;
    if (sequence === undefined) return;
    run.stateSequence = undefined;
    const decision = this.#decision(this.#state);
    if (decision === undefined || decision.state === this.#state) return;
    const previous = this.#state;
    this.#state = decision.state;
    const stateMark = mark.event(instance, sequence, 's');
    if (this.#found.has(stateMark)) return;
    if (run.draft === undefined) {
      const sample = { machine_id: context.machineId, timestamp: run.timestamp, machine_state: decision.state };
      this.#emit(sample, mark.event(instance, sequence, 'v'), context);
    } else {
      run.draft.fields['machine_state'] = decision.state;
    }
    run.events.push({
      event: {
        machine_id: context.machineId,
        timestamp: run.timestamp,
        kind: 'event',
        event_type: 'state',
        state: decision.state,
        ...(previous === undefined ? {} : { previous_state: previous }),
        text: storableText(decision.reason),
      },
      mark: stateMark,
    });
  }

  #flush(instance: string, run: Run, context: ReaderContext): void {
    this.#flushSample(instance, run, context);
    for (const { event, mark } of run.events) this.#emit(event, mark, context);
  }

  #flushSample(instance: string, run: Run, context: ReaderContext): void {
    const { draft, timestamp } = run;
    run.draft = undefined;
    if (draft === undefined) return;
    const sample = { machine_id: context.machineId, timestamp, ...draft.fields };
    this.#emit(sample, mark.sample(instance, draft.first, draft.last), context);
  }

  /** Codes that were active and are not any more, though their end was never told. @returns whether there are any */
  #clearUnseen(instance: string, observations: readonly Observation[], context: ReaderContext): boolean {
    const active = new Map<string, Set<string>>();
    for (const observation of observations) {
      const plan = this.#mapping.plans.get(observation.dataItemId);
      if (plan === undefined || observation.category !== 'condition') continue;
      const { level, conditionId, nativeCode } = conditionEntry(observation, plan);
      const codes = active.get(plan.name) ?? new Set();
      if (/^(warning|fault)$/i.test(level)) codes.add(codeKept(conditionId ?? nativeCode));
      active.set(plan.name, codes);
    }
    let isCleared = false;
    for (const [item, codes] of active) {
      for (const code of this.#conditions.activeCodes(item)) {
        if (codes.has(code)) continue;
        isCleared = true;
        const entry = { key: item, nativeCode: code, nativeSeverity: '', qualifier: '', text: 'its end was not seen' };
        const event = this.#conditions.read({ ...entry, level: 'NORMAL' }, now(context.clock), context.machineId);
        if (event !== undefined) this.#emit(event, mark.cleared(instance, item, code), context);
      }
    }
    return isCleared;
  }

  #emit(reading: Reading, mark: string, context: ReaderContext): void {
    // The log has it since before a crash.
    if (this.#found.has(mark)) return;
    context.emit(withReadFrom(reading, { source: this.#source, mark }));
  }
}

function inOrder(observations: readonly Observation[]): Observation[] {
  return [...observations].sort((a, b) => a.sequence - b.sequence);
}

/** Undefined for what is not of the field's type. */
function valueOf(field: ItemPlan['fields'][number], { text, entries, attributes }: Observation): JsonValue | undefined {
  const isSet = entries !== undefined;
  if (!isSet && attributes['sampleCount'] === undefined) return fieldValue(field, text);
  if (isUnavailable(text)) return null;
  // A set or a series is none of the standard signals' values, whatever the configuration maps it to.
  if (field.type === 'number' || field.type === 'integer') return undefined;
  if (isSet) return entries;
  const values = seriesValues(text);
  const rate = Number(attributes['sampleRate']);
  return values === undefined ? undefined : { rate: rate > 0 && Number.isFinite(rate) ? rate : null, values };
}

function conditionEntry(
  { element, text, attributes }: Observation,
  { name }: ItemPlan,
): Parameters<Conditions['read']>[0] {
  const { nativeCode = '', nativeSeverity = '', qualifier = '', conditionId } = attributes;
  return { key: name, level: element, nativeCode, conditionId, nativeSeverity, qualifier, text };
}

function charsOf(value: JsonValue): number {
  if (typeof value === 'string') return value.length + VALUE_CHARS;
  return value !== null && typeof value === 'object' ? JSON.stringify(value).length : VALUE_CHARS;
}

/** What a number or a key's punctuation counts for. */
const VALUE_CHARS = 24;

/**
 * Judges the values of one signal of one machine, in the order in which they come.
 *
 * A value breaks one rule at most: the first of range, flip, rate, stuck. What is judged by the values before it (all but
 * the range) is compared with the last plausible one, so that one wrong value does not make the next right one look
 * wrong. A value that is older than the last one is judged by its range alone.
 *
 * Whether a value is a flip is known only when the next one comes. Nothing is held back for that (decision 027): the value
 * goes on at once, and is told of afterwards by a {@link Correction} of the same time.
 */
import { type MachineState, signalNamed } from '../../model/signals.ts';
import { microsOf, type Timestamp } from '../../model/time.ts';
import type { Action, SignalRules } from './options.ts';

export const QUALITIES = ['out_of_range', 'flip', 'changes_too_fast', 'stuck', 'unconfirmed', 'good'] as const;
export type Quality = (typeof QUALITIES)[number];

/** A source whose time goes back by more than this begins anew; by less, its readings only came out of their order. */
export const LATE_MS_MAX = 600_000;
/** Values of one flip that are remembered; one that has more is none. */
export const AWAY_MAX = 1_024;

export interface Judgement {
  readonly quality: Quality;
  readonly action: Action;
  /** Why it is not plausible; empty where it is, or may be. */
  readonly text: string;
  /** Older than the last one: it says nothing of what stands now. */
  readonly isLate: boolean;
  /** Of values that are on their way already. */
  readonly corrections: readonly Correction[];
}

export interface Correction {
  readonly timestamp: Timestamp;
  readonly quality: 'flip' | 'good';
  readonly value: number;
  readonly action: Action;
  readonly text: string;
}

interface Said {
  readonly timestamp: Timestamp;
  readonly micros: number;
  readonly value: number;
}

export class SignalWatch {
  readonly #name: string;
  readonly #rules: SignalRules;
  #lastMicros = Number.NEGATIVE_INFINITY;
  /** The last plausible value. */
  #reference: Said | undefined;
  /** Values that are away from the reference, and may come back in time. */
  #away: Said[] = [];
  /** Since when the same value is said. */
  #same: { readonly value: number; sinceMicros: number; lastMicros: number } | undefined;

  constructor(name: string, rules: SignalRules) {
    this.#name = name;
    this.#rules = rules;
  }

  /** @param state the machine's, as far as known */
  judge(value: number, timestamp: Timestamp, state: MachineState | undefined): Judgement {
    const said = { value, timestamp, micros: microsOf(timestamp) };
    const range = this.#outOfRange(value);
    const isLate = said.micros < this.#lastMicros;
    if (isLate && this.#lastMicros - said.micros <= LATE_MS_MAX * 1000) {
      return { ...(range ?? this.#plausible([])), isLate };
    }
    const corrections = isLate ? this.forget() : this.elapsed(said.micros);
    this.#lastMicros = said.micros;
    if (range !== undefined) return { ...range, corrections };
    const flip = this.#flip(said);
    if (flip.quality === 'unconfirmed') return { ...flip, corrections };
    corrections.push(...flip.corrections);
    const fault = this.#tooFast(said) ?? this.#stuck(said, state);
    if (fault !== undefined) return { ...fault, corrections };
    this.#reference = said;
    return this.#plausible(corrections);
  }

  /** What becomes of the values that were away, when time has gone on to that instant without them coming back. */
  elapsed(micros: number): Correction[] {
    const { flip } = this.#rules;
    const [first] = this.#away;
    if (flip === null || first === undefined) return [];
    const isOver = micros - first.micros > flip.withinMs * 1000 || this.#away.length >= AWAY_MAX;
    return isOver ? this.#confirm(flip.action) : [];
  }

  /** The signal is not known any more, or its time begins anew: what comes next is compared with nothing. */
  forget(): Correction[] {
    const corrections = this.#confirm(this.#rules.flip?.action ?? 'mark');
    this.#reference = undefined;
    this.#same = undefined;
    return corrections;
  }

  #outOfRange(value: number): Judgement | undefined {
    const { range } = this.#rules;
    if (range === null) return undefined;
    const { min, max, action } = range;
    if (min !== null && value < min) return this.#fault('out_of_range', action, `is ${value}, below ${min}`);
    if (max !== null && value > max) return this.#fault('out_of_range', action, `is ${value}, above ${max}`);
    return undefined;
  }

  #flip(said: Said): Judgement {
    const { flip } = this.#rules;
    const reference = this.#reference;
    if (flip === null || reference === undefined) return this.#plausible([]);
    const { by, action } = flip;
    if (Math.abs(said.value - reference.value) < by) {
      const text = `went from ${reference.value} to ${this.#away[0]?.value} and back within ${flip.withinMs} ms`;
      const flips = this.#away.map((one) => this.#correction(one, { quality: 'flip', action, text }));
      this.#away = [];
      return this.#plausible(flips);
    }
    this.#away.push(said);
    return { quality: 'unconfirmed', action, text: '', isLate: false, corrections: [] };
  }

  /** They have stayed away: it was a change. What had been taken out is put back. */
  #confirm(action: Action): Correction[] {
    const away = this.#away;
    this.#away = [];
    this.#reference = away.at(-1) ?? this.#reference;
    if (action === 'mark') return [];
    return away.map((one) => this.#correction(one, { quality: 'good', action, text: '' }));
  }

  #correction({ timestamp, value }: Said, of: Pick<Correction, 'quality' | 'action' | 'text'>): Correction {
    return { timestamp, value, ...of, text: of.text === '' ? '' : this.#sentence(of.text) };
  }

  #tooFast({ value, micros }: Said): Judgement | undefined {
    const { rate } = this.#rules;
    const reference = this.#reference;
    if (rate === null || reference === undefined) return undefined;
    const { perSecondMax, overMs, action } = rate;
    const seconds = Math.max(micros - reference.micros, overMs * 1000) / 1e6;
    if (Math.abs(value - reference.value) <= perSecondMax * seconds) return undefined;
    const text = `went from ${reference.value} to ${value} within ${seconds} s; allowed are ${perSecondMax} a second`;
    return this.#fault('changes_too_fast', action, text);
  }

  #stuck({ value, micros }: Said, state: MachineState | undefined): Judgement | undefined {
    const { stuck } = this.#rules;
    if (stuck === null) return undefined;
    const { afterMs, states, action } = stuck;
    const isWatched = states === null || (state !== undefined && states.includes(state));
    const same = this.#same;
    // A long silence says nothing of the value.
    const goesOn = same !== undefined && same.value === value && micros - same.lastMicros <= afterMs * 1000;
    if (!goesOn || !isWatched) {
      this.#same = { value, sinceMicros: micros, lastMicros: micros };
      return undefined;
    }
    same.lastMicros = micros;
    const seconds = (micros - same.sinceMicros) / 1e6;
    if (seconds * 1000 < afterMs) return undefined;
    return this.#fault('stuck', action, `has been ${value} for longer than ${afterMs / 1000} s`);
  }

  #fault(quality: Quality, action: Action, text: string): Judgement {
    return { quality, action, text: this.#sentence(text), isLate: false, corrections: [] };
  }

  #plausible(corrections: readonly Correction[]): Judgement {
    return { quality: 'good', action: 'mark', text: '', isLate: false, corrections };
  }

  #sentence(text: string): string {
    const unit = signalNamed(this.#name)?.unit ?? '';
    return `${this.#name}${unit === '' ? '' : ` (${unit})`} ${text}`;
  }
}

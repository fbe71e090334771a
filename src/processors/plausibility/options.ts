/** What the processor works by, after reading the configuration: complete, checked, plain JSON. `config.ts` makes it. */
import type { MachineState } from '../../model/signals.ts';

/** `mark`: the value stays, and is told to be implausible. `remove`: it becomes null, and is kept beside. */
export const ACTIONS = ['mark', 'remove'] as const;
export type Action = (typeof ACTIONS)[number];

interface Rule {
  readonly action: Action;
}

/** Limits in the signal's own unit. */
export interface RangeRule extends Rule {
  readonly min: number | null;
  readonly max: number | null;
}

/** A value that comes back within a time after it went away by so much. */
export interface FlipRule extends Rule {
  /** Least change that is a flip, in the signal's own unit. */
  readonly by: number;
  readonly withinMs: number;
}

export interface RateRule extends Rule {
  /** Largest change in a second, in the signal's own unit. */
  readonly perSecondMax: number;
  /** A change within less time than this is taken as if it took so long: times and values are coarse. */
  readonly overMs: number;
}

export interface StuckRule extends Rule {
  readonly afterMs: number;
  /** Only the time in these states counts; null: all time. */
  readonly states: readonly MachineState[] | null;
}

/** null: not looked at. */
export interface SignalRules {
  readonly range: RangeRule | null;
  readonly flip: FlipRule | null;
  readonly rate: RateRule | null;
  readonly stuck: StuckRule | null;
}

export interface ClockRule {
  /** A source's time before this instant is that of a clock that was never set, µs since 1970. */
  readonly notBeforeMicros: number;
  /** How far it may be ahead of the gateway's. */
  readonly futureMs: number;
  /** How far it may be behind the gateway's; null: as far as it likes, as what was recorded before is read too. */
  readonly pastMs: number | null;
}

export interface PlausibilityOptions {
  readonly signals: { readonly [signal: string]: SignalRules };
  readonly clock: ClockRule | null;
}

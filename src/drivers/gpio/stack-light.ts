/**
 * The machine's state by its stack light. Colours as IEC 60204-1, 10.3, has them: red is an emergency or a fault, amber is
 * abnormal, blue asks the operator for something, green is normal, white says nothing by itself. Pure.
 */
import type { MachineState } from '../../model/signals.ts';
import type { Pattern } from './lamp.ts';
import type { Colour, LampMeaning } from './options.ts';

export interface LampState {
  readonly colour: Colour;
  readonly possible: readonly Pattern[];
}

export interface Decision {
  readonly state: MachineState;
  /** The raw signal: `red on, green blinking`. */
  readonly text: string;
}

/**
 * @returns undefined while it depends on what a lamp turns out to be
 * @param meanings in the order of what counts most
 */
export function decide(
  lamps: readonly LampState[],
  meanings: readonly LampMeaning[],
  none: MachineState,
): Decision | undefined {
  const states = new Set<MachineState>();
  for (const patterns of combinations(lamps)) states.add(stateOf(patterns, meanings, none));
  const [state, ...more] = states;
  if (state === undefined || more.length > 0) return undefined;
  const lit = lamps.filter(({ possible }) => !possible.includes('off') || possible.length > 1);
  const text = lit.map(({ colour, possible }) => `${colour} ${possible.join(' or ')}`).join(', ');
  return { state, text: text === '' ? 'no lamp is lit' : text };
}

function stateOf(
  patterns: ReadonlyMap<Colour, Pattern>,
  meanings: readonly LampMeaning[],
  none: MachineState,
): MachineState {
  for (const { colour, on, blinking } of meanings) {
    const pattern = patterns.get(colour);
    const state = pattern === 'on' ? on : pattern === 'blinking' ? blinking : null;
    if (state !== null) return state;
  }
  return none;
}

function combinations(lamps: readonly LampState[]): ReadonlyMap<Colour, Pattern>[] {
  let all: ReadonlyMap<Colour, Pattern>[] = [new Map()];
  for (const { colour, possible } of lamps) {
    all = all.flatMap((known) => possible.map((pattern) => new Map([...known, [colour, pattern]])));
  }
  return all;
}

/** The machine's state from what its items say (the table of `docs/drivers/shdr.md`). Pure. */
import type { MachineState } from '../../model/signals.ts';

/** The items that decide the state. */
export const STATE_ROLES = [
  'execution',
  'controller_mode',
  'emergency_stop',
  'functional_mode',
  'availability',
] as const;
export type StateRole = (typeof STATE_ROLES)[number];

/** The newest words, in capitals; null: said to be unavailable; absent: nothing said since the connection stands. */
export type StateWords = { [role in StateRole]?: string | null };

export interface Decision {
  readonly state: MachineState;
  /** The raw signal that decided, e.g. `execution FEED_HOLD`. */
  readonly reason: string;
}

/** MTConnect Part 2, Execution: the words that say something of the state. */
const EXECUTION_STATES: { readonly [word: string]: MachineState | undefined } = {
  ACTIVE: 'running',
  READY: 'idle',
  STOPPED: 'idle',
  WAIT: 'idle',
  OPTIONAL_STOP: 'idle',
  PROGRAM_STOPPED: 'idle',
  PROGRAM_COMPLETED: 'idle',
  PROGRAM_OPTIONAL_STOP: 'idle',
  FEED_HOLD: 'hold',
  INTERRUPTED: 'hold',
};

const SETUP_MODES: ReadonlySet<string> = new Set(['SETUP', 'TEARDOWN', 'MAINTENANCE']);

/**
 * The first that decides: availability, emergency stop, an active fault, functional mode, execution.
 * @param fault the first active fault as a person reads it; undefined when there is none
 * @returns undefined when nothing said so far decides: the state stays what it was
 */
export function decideState(words: StateWords, fault: string | undefined): Decision | undefined {
  if (words.availability === null) return { state: 'offline', reason: 'availability UNAVAILABLE' };
  if (words.emergency_stop === 'TRIGGERED') return { state: 'alarm', reason: 'emergency stop TRIGGERED' };
  if (fault !== undefined) return { state: 'alarm', reason: `fault ${fault}` };
  const mode = words.functional_mode;
  if (typeof mode === 'string' && SETUP_MODES.has(mode)) return { state: 'setup', reason: `functional mode ${mode}` };
  const { execution } = words;
  if (execution === undefined) return undefined;
  if (execution === null) return { state: 'offline', reason: 'execution UNAVAILABLE' };
  const state = Object.hasOwn(EXECUTION_STATES, execution) ? EXECUTION_STATES[execution] : undefined;
  return state === undefined ? undefined : { state, reason: `execution ${execution}` };
}

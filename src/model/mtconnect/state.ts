/** The machine's state from what its items say (the table of `docs/drivers/shdr.md`), for every driver that speaks MTConnect's words. Pure. */
import type { MachineState } from '../signals.ts';

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

/** What the decision needs besides the words. */
export interface StateFacts {
  /** The first active fault as a person reads it; undefined when there is none. */
  readonly fault: string | undefined;
  /** Undefined when no state was ever known. */
  readonly previous: MachineState | undefined;
  /** Whether an item is configured that says the execution. */
  readonly hasExecution: boolean;
}

/**
 * The first that decides: availability, emergency stop, an active fault, functional mode, execution.
 * @returns undefined when nothing said so far decides: the state stays what it was
 */
export function decideState(words: StateWords, facts: StateFacts): Decision | undefined {
  if (words.availability === null) return { state: 'offline', reason: 'availability UNAVAILABLE' };
  if (words.emergency_stop === 'TRIGGERED') return { state: 'alarm', reason: 'emergency stop TRIGGERED' };
  if (facts.fault !== undefined) return { state: 'alarm', reason: `fault ${facts.fault}` };
  const mode = words.functional_mode;
  if (typeof mode === 'string' && SETUP_MODES.has(mode)) return { state: 'setup', reason: `functional mode ${mode}` };
  const { execution } = words;
  if (execution === null) return { state: 'offline', reason: 'execution UNAVAILABLE' };
  if (execution !== undefined && Object.hasOwn(EXECUTION_STATES, execution)) {
    const state = EXECUTION_STATES[execution];
    if (state !== undefined) return { state, reason: `execution ${execution}` };
  }
  return decideWithoutExecution(words, facts);
}

/** An alarm that is over must not stand for ever, nor `offline` where no execution will ever follow. */
function decideWithoutExecution(words: StateWords, { previous, hasExecution }: StateFacts): Decision | undefined {
  if (previous === 'alarm' || previous === 'setup') return { state: 'idle', reason: `no longer in ${previous}` };
  const isBack = previous === undefined || previous === 'offline';
  if (isBack && !hasExecution && words.availability === 'AVAILABLE') {
    return { state: 'idle', reason: 'availability AVAILABLE' };
  }
  return undefined;
}

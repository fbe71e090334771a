/**
 * What a page may say of a machine now: its state while there is a sign of life, and something honest otherwise.
 * Pure: hub time is passed in, in milliseconds since 1970.
 */
import type { CurrentValue, MachineNow } from '../model/api.ts';
import type { MachineState } from '../model/signals.ts';

/** Without a sign of life for longer than this, what is shown is old. */
export const STALE_AFTER_MS = 10_000;
/** And after this, the state is not known any more. */
export const UNKNOWN_AFTER_MS = 60_000;
/** Data older than this is not spoken of as now, even if something still answers: a recording, or a clock far off. */
export const DATED_AFTER_MS: number = 3 * 24 * 3_600_000;

export type ShownState = MachineState | 'unknown';

/** In the order in which counts are shown. */
export const SHOWN_STATES: readonly ShownState[] = ['running', 'idle', 'setup', 'hold', 'alarm', 'offline', 'unknown'];

export const STATE_LABELS: { readonly [state in ShownState]: string } = {
  running: 'Running',
  idle: 'Idle',
  hold: 'Hold',
  alarm: 'Alarm',
  setup: 'Setup',
  offline: 'Offline',
  unknown: 'Unknown',
};

export interface Standing {
  /**
   * now: there is a sign of life. stale: none for 10 s. unknown: none for 60 s. offline: the gateway says so.
   * dated: the newest data is days old. never: nothing was ever heard.
   */
  readonly kind: 'now' | 'stale' | 'unknown' | 'offline' | 'dated' | 'never';
  readonly state: ShownState;
  /** Since when the state stands, in ms; null where that is not known or not now. */
  readonly sinceMs: number | null;
  /** Newest sign of life, in ms. */
  readonly lastSeenMs: number | null;
  /** Newest data, in ms: the newest value or state, whichever is later. */
  readonly newestDataMs: number | null;
  /** Why the state is what it is: the raw signal, or the gateway's error. */
  readonly reason: string | null;
}

export function standingOf(machine: MachineNow, nowMs: number): Standing {
  const lastSeenMs = msOf(machine.last_seen);
  const newestDataMs = newestOf(machine);
  const facts = { lastSeenMs, newestDataMs, sinceMs: msOf(machine.state_since), reason: machine.state_reason };
  const unknownSince = { ...facts, state: 'unknown', sinceMs: lastSeenMs } as const;

  if (cannotBeReached(machine)) {
    const reason = machine.source_error ?? 'The gateway cannot reach the machine';
    return { ...facts, kind: 'offline', state: 'offline', sinceMs: lastSeenMs, reason };
  }
  if (machine.source_state === 'misconfigured') {
    const reason = `Misconfigured: ${machine.source_error ?? 'the gateway cannot read it as it is configured'}`;
    return { ...unknownSince, kind: 'unknown', reason };
  }
  if (lastSeenMs === null) return { ...unknownSince, kind: 'never', reason: 'Nothing was heard of this machine yet' };
  if (newestDataMs !== null && nowMs - newestDataMs > DATED_AFTER_MS) {
    return { ...unknownSince, kind: 'dated', sinceMs: null, reason: 'No recent data' };
  }
  const silentMs = nowMs - lastSeenMs;
  if (silentMs > UNKNOWN_AFTER_MS) {
    return { ...unknownSince, kind: 'unknown', reason: `Was ${labelOf(machine.state)}` };
  }
  const kind = silentMs > STALE_AFTER_MS ? 'stale' : 'now';
  if (machine.state === null)
    return { ...unknownSince, kind, sinceMs: null, reason: facts.reason ?? 'It tells no state' };
  return { ...facts, kind, state: machine.state };
}

/** Whether a value is too old to pass for the present one. `periodMs`: how often it usually comes; 0 if not known. */
export function isStaleValue(value: CurrentValue, nowMs: number, periodMs = 0): boolean {
  return nowMs - Date.parse(value.time) > Math.max(STALE_AFTER_MS, 3 * periodMs);
}

/** A try that is under way after a failed one is still a failure: the label must not change with each try. */
function cannotBeReached(machine: MachineNow): boolean {
  switch (machine.source_state) {
    case 'failing':
    case 'stopped':
      return true;
    case 'connecting':
      return machine.source_error !== null;
    case 'misconfigured':
      return false;
    // Silence is not known to be an end: without a sign of life the state is soon stale, and then unknown.
    case 'silent':
    case 'ok':
    case null:
      return machine.state === 'offline';
  }
}

function newestOf(machine: MachineNow): number | null {
  let newest = msOf(machine.state_since) ?? Number.NEGATIVE_INFINITY;
  for (const { time } of Object.values(machine.values)) newest = Math.max(newest, Date.parse(time));
  return Number.isFinite(newest) ? newest : null;
}

function labelOf(state: MachineState | null): string {
  return state === null ? 'unknown' : STATE_LABELS[state].toLowerCase();
}

function msOf(timestamp: string | null): number | null {
  return timestamp === null ? null : Date.parse(timestamp);
}

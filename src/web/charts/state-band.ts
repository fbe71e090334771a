/** The state intervals of a window as segments of whole pixels. Pure. Times in ms since 1970. */
import type { StateInterval } from '../../model/api.ts';
import type { MachineState } from '../../model/signals.ts';
import type { TimeWindow } from '../view.ts';

export interface Stretch extends TimeWindow {
  readonly state: MachineState;
  readonly reason: string | null;
}

export interface Segment {
  readonly state: MachineState;
  /** In pixels from the left. */
  readonly x: number;
  readonly width: number;
}

/** An alarm is at least so wide, in pixels: it never vanishes. */
const ALARM_PX_MIN = 2;

/** An open interval ends at the last sign of life: beyond it the state is not known. */
export function stretchesOf(intervals: readonly StateInterval[], confirmedMs: number): Stretch[] {
  return intervals.flatMap(({ state, start_time: start, end_time: end, reason }) => {
    const fromMs = Date.parse(start);
    const toMs = end === null ? confirmedMs : Date.parse(end);
    return toMs > fromMs ? [{ state, reason, fromMs, toMs }] : [];
  });
}

/** The intervals after one more word on the state; a word that is not newer than all before it is the hub's to place. */
export function withState(
  intervals: readonly StateInterval[],
  { time, state, reason }: { time: string; state: MachineState; reason: string | null },
): readonly StateInterval[] {
  const last = intervals.at(-1);
  const next: StateInterval = { state, start_time: time, end_time: null, reason };
  if (last === undefined) return [next];
  if (Date.parse(last.start_time) >= Date.parse(time) || (last.state === state && last.end_time === null)) {
    return intervals;
  }
  return [...intervals.slice(0, -1), { ...last, end_time: last.end_time ?? time }, next];
}

/** What is below a pixel merges into the state that fills most of it; an alarm wins over everything. */
export function segmentsOf(stretches: readonly Stretch[], { fromMs, toMs }: TimeWindow, widthPx: number): Segment[] {
  const msPerPx = (toMs - fromMs) / widthPx;
  const winners: (MachineState | null)[] = new Array(widthPx).fill(null);
  const shares: number[] = new Array(widthPx).fill(0);
  for (const stretch of stretches) {
    const left = (stretch.fromMs - fromMs) / msPerPx;
    let right = (stretch.toMs - fromMs) / msPerPx;
    if (right <= 0 || left >= widthPx) continue;
    const alarm = stretch.state === 'alarm';
    if (alarm) right = Math.max(right, Math.floor(left) + ALARM_PX_MIN);
    for (let px = Math.max(0, Math.floor(left)); px < Math.min(widthPx, right); px++) {
      const share = alarm ? 2 : Math.min(right, px + 1) - Math.max(left, px);
      if (share > (shares[px] ?? 0)) {
        shares[px] = share;
        winners[px] = stretch.state;
      }
    }
  }
  return runsOf(winners);
}

/** Time in each state within the window, the longest first. */
export function durationsOf(
  stretches: readonly Stretch[],
  { fromMs, toMs }: TimeWindow,
): { state: MachineState; ms: number }[] {
  const sums = new Map<MachineState, number>();
  for (const stretch of stretches) {
    const ms = Math.min(stretch.toMs, toMs) - Math.max(stretch.fromMs, fromMs);
    if (ms > 0) sums.set(stretch.state, (sums.get(stretch.state) ?? 0) + ms);
  }
  return [...sums].map(([state, ms]) => ({ state, ms })).sort((a, b) => b.ms - a.ms);
}

function runsOf(winners: readonly (MachineState | null)[]): Segment[] {
  const segments: { state: MachineState; x: number; width: number }[] = [];
  winners.forEach((state, px) => {
    const previous = segments.at(-1);
    if (state === null) return;
    if (previous !== undefined && previous.state === state && previous.x + previous.width === px) previous.width++;
    else segments.push({ state, x: px, width: 1 });
  });
  return segments;
}

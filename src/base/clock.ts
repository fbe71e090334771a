/** Time, passed in so that tests can hold it still, step it, or run it fast. */
import { type Timestamp, timestampOf } from '../model/time.ts';

export interface Clock {
  /** Wall-clock time in microseconds since 1970. May jump. */
  nowMicros(): number;
  /** Milliseconds of a clock that never jumps and has no fixed zero. */
  monotonicMs(): number;
  /** Resolves after `ms`; at once, without error, when the signal is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** How far the fine clock may stray from the wall clock (in whole milliseconds) before it is set by it again. */
const STRAY_MS_MAX = 5;
/** Longest wait of a timer of Node; a longer one would end at once. Of one below zero it warns among the lines of the log. */
const TIMER_MS_MAX = 0x7fffffff;

/** The machine's own clocks. */
export const systemClock: Clock = {
  nowMicros: wallClock(Date.now, fineMs),
  monotonicMs: fineMs,
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted === true) return resolve();
      const sleepers = signal === undefined ? undefined : sleepersOf(signal);
      const wake = (): void => {
        clearTimeout(timer);
        sleepers?.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, Math.max(0, Math.min(ms, TIMER_MS_MAX)));
      sleepers?.add(wake);
    }),
};

/** How to wake each sleeper, by the signal that ends its sleep. */
const sleepersBySignal = new WeakMap<AbortSignal, Set<() => void>>();

/** One listener serves all sleeps with a signal: to add and remove one for each takes the edge four times as long. */
function sleepersOf(signal: AbortSignal): Set<() => void> {
  const known = sleepersBySignal.get(signal);
  if (known !== undefined) return known;
  const sleepers = new Set<() => void>();
  sleepersBySignal.set(signal, sleepers);
  const wakeAll = (): void => {
    for (const wake of sleepers) wake();
  };
  signal.addEventListener('abort', wakeAll, { once: true });
  return sleepers;
}

/** Not `performance.now()`, whose first use loads half a megabyte of `node:perf_hooks` into the edge. */
function fineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/**
 * The wall clock with the fine clock's decimals. It follows when the wall clock is set: a gateway that starts before it
 * has heard of the time would otherwise keep its wrong time for as long as it runs.
 */
export function wallClock(wallMs: () => number, fineMs: () => number): () => number {
  let offsetMs = wallMs() - fineMs();
  return () => {
    const wall = wallMs();
    const fine = fineMs();
    // The wall clock is cut to whole milliseconds, so the fine one is between it and one more.
    if (Math.abs(offsetMs + fine - wall) > STRAY_MS_MAX) offsetMs = wall - fine;
    return Math.round((offsetMs + fine) * 1000);
  };
}

/** Resolves when the signal is aborted; at once when it is already. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

/** @returns whether the work is done, and not the signal aborted before */
export async function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return false;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const abort = (): void => resolve(false);
  signal.addEventListener('abort', abort, { once: true });
  const isDone = await Promise.race([work.then(() => true), promise]);
  signal.removeEventListener('abort', abort);
  return isDone;
}

export function now(clock: Clock): Timestamp {
  return timestampOf(clock.nowMicros());
}

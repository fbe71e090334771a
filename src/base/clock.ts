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

/** The machine's own clocks. */
export const systemClock: Clock = {
  nowMicros: () => Math.round((performance.timeOrigin + performance.now()) * 1000),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted === true) return resolve();
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal?.addEventListener('abort', done);
    }),
};

export function now(clock: Clock): Timestamp {
  return timestampOf(clock.nowMicros());
}

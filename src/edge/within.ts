import type { Clock } from '../base/clock.ts';

/** Whether the work ended within the limit; it is handed a signal that is aborted when it did not. */
export async function within(
  clock: Clock,
  limitMs: number,
  work: (limit: AbortSignal) => Promise<unknown>,
): Promise<boolean> {
  const limit = new AbortController();
  const ended = new AbortController();
  const timer = clock.sleep(limitMs, ended.signal).then(() => limit.abort());
  const inTime = await Promise.race([work(limit.signal).then(() => true), timer.then(() => false)]);
  ended.abort();
  return inTime;
}

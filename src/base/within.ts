import type { Clock } from './clock.ts';

/**
 * Whether the work ended within the limit; it is handed a signal that is aborted when it did not.
 * @param hurry when it is aborted, the limit is reached
 */
export async function within(
  clock: Clock,
  limitMs: number,
  work: (limit: AbortSignal) => Promise<unknown>,
  hurry?: AbortSignal,
): Promise<boolean> {
  const limit = new AbortController();
  const ended = new AbortController();
  const end = (): void => ended.abort();
  hurry?.addEventListener('abort', end);
  if (hurry?.aborted === true) end();
  const timer = clock.sleep(limitMs, ended.signal).then(() => limit.abort());
  const inTime = await Promise.race([work(limit.signal).then(() => true), timer.then(() => false)]);
  end();
  hurry?.removeEventListener('abort', end);
  return inTime;
}

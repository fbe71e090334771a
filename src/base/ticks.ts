/** The fixed grid of instants on which a source is polled: a late tick is skipped, never made up for. */
import { MillwrightError } from './errors.ts';

/** The next instant of the grid through `dueMs` that is not past. */
export function nextTickMs(dueMs: number, intervalMs: number, nowMs: number): number {
  if (!(intervalMs > 0)) throw new MillwrightError('config_invalid', `a sampling interval of ${intervalMs} ms`);
  const next = dueMs + intervalMs;
  return next >= nowMs ? next : next + Math.ceil((nowMs - next) / intervalMs) * intervalMs;
}

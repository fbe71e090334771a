/** The state of the edge as a whole, from those of its parts. Pure. */
import type { EdgeState, SinkStatus, SourceStatus } from '../../model/status.ts';

/** A batch that has waited longer than this is a backlog, not the way of things. */
export const BACKLOG_AGE_SECONDS = 5;

export interface EdgeParts {
  readonly stopping: boolean;
  readonly sources: readonly Pick<SourceStatus, 'state' | 'problems'>[];
  readonly sinks: readonly Pick<SinkStatus, 'state' | 'oldest_unsent_age_seconds'>[];
  /** Whether the log takes batches. */
  readonly logWritable: boolean;
}

export function edgeState({ stopping, sources, sinks, logWritable }: EdgeParts): EdgeState {
  if (stopping) return 'stopping';
  const parts = [...sources, ...sinks];
  const isPartly = sources.some(({ problems }) => problems.length > 0);
  const isWell = logWritable && !isPartly && parts.every((part) => isOk(part) || isConnecting(part));
  if (isWell && parts.some(isConnecting)) return 'starting';
  if (sinks.length > 0 && !sinks.some(isOk)) return 'offline';
  if (!isWell) return 'degraded';
  const isLate = sinks.some((sink) => (sink.oldest_unsent_age_seconds ?? 0) > BACKLOG_AGE_SECONDS);
  return isLate ? 'draining' : 'online';
}

/** Of the sources that do not work, so many are named. */
const NAMED_MAX = 3;

/** Why the edge is not healthy, as a sentence; undefined when readings arrive and can be kept. */
export function unhealthyReason(health: {
  readonly stopping: boolean;
  readonly logError: string | null;
  readonly sources: readonly Pick<SourceStatus, 'name' | 'state' | 'last_error'>[];
  /** Since the newest sign of life of any source, or since the start where there was none. */
  readonly silentMs: number;
  /** So long sources that connect, or connect again, have for it. */
  readonly silentMsMax: number;
}): string | undefined {
  const { stopping, logError, sources, silentMs, silentMsMax } = health;
  if (stopping) return 'The edge is stopping.';
  if (logError !== null) return `The log cannot be written: ${logError}`;
  if (sources.length === 0) return 'No source is configured.';
  if (sources.some(isOk)) return undefined;
  const areAllSilent = sources.every(({ state }) => state === 'silent');
  if (!areAllSilent && silentMs <= silentMsMax) return undefined;
  const words = sources.slice(0, NAMED_MAX).map(({ name, state, last_error: error }) => {
    return `${name} is ${state}${error === null ? '' : ` (${error})`}`;
  });
  const more = sources.length > NAMED_MAX ? `; and ${sources.length - NAMED_MAX} more` : '';
  return `No source gives readings: ${words.join('; ')}${more}.`;
}

function isConnecting(part: { readonly state: SourceStatus['state'] }): boolean {
  return part.state === 'connecting';
}

function isOk(part: { readonly state: SourceStatus['state'] }): boolean {
  return part.state === 'ok';
}

/** The state of the edge as a whole, from those of its parts. Pure. */
import type { EdgeState, SinkStatus, SourceStatus } from '../model/status.ts';

/** A batch that has waited longer than this is a backlog, not the way of things. */
export const BACKLOG_AGE_SECONDS = 5;

export interface EdgeParts {
  readonly stopping: boolean;
  readonly sources: readonly Pick<SourceStatus, 'state'>[];
  readonly sinks: readonly Pick<SinkStatus, 'state' | 'oldest_unsent_age_seconds'>[];
  /** Whether the log takes batches. */
  readonly logWritable: boolean;
}

export function edgeState({ stopping, sources, sinks, logWritable }: EdgeParts): EdgeState {
  if (stopping) return 'stopping';
  const parts = [...sources, ...sinks];
  if (logWritable && parts.some(isConnecting) && !parts.some(isFailing)) return 'starting';
  if (sinks.length > 0 && !sinks.some(isOk)) return 'offline';
  if (!logWritable || !parts.every(isOk)) return 'degraded';
  const isLate = sinks.some((sink) => (sink.oldest_unsent_age_seconds ?? 0) > BACKLOG_AGE_SECONDS);
  return isLate ? 'draining' : 'online';
}

/** Why the edge is not healthy, as a sentence; undefined when readings arrive and can be kept. */
export function unhealthyReason(health: {
  readonly stopping: boolean;
  readonly logError: string | null;
  /** Since the newest reading of any source, or since the start where there was none. */
  readonly silentMs: number;
  readonly sources: number;
  readonly silentMsMax: number;
}): string | undefined {
  const { stopping, logError, silentMs, sources, silentMsMax } = health;
  if (stopping) return 'The edge is stopping.';
  if (logError !== null) return `The log cannot be written: ${logError}`;
  if (sources === 0) return 'No source is configured.';
  if (silentMs <= silentMsMax) return undefined;
  return `No source has given a reading for ${Math.round(silentMs / 1000)} seconds.`;
}

function isConnecting(part: { readonly state: SourceStatus['state'] }): boolean {
  return part.state === 'connecting';
}

function isFailing(part: { readonly state: SourceStatus['state'] }): boolean {
  return part.state === 'failing';
}

function isOk(part: { readonly state: SourceStatus['state'] }): boolean {
  return part.state === 'ok';
}

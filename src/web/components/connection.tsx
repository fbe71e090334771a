/** How fresh the page is: the badge in the header, and the banner when the hub cannot be heard. */
import type { JSX } from 'preact';
import { useShell } from '../context.ts';
import { formatAge } from '../format.ts';
import { STALE_AFTER_MS, standingOf, UNKNOWN_AFTER_MS } from '../standing.ts';
import type { Store } from '../store.ts';

/** The banner waits this long, so that a hub that is back at once makes no fuss. Below the 5 s that are promised. */
const BANNER_AFTER_MS = 2000;

export function ConnectionBadge(): JSX.Element {
  const { store, stream } = useShell();
  const connection = stream.connection.value;
  switch (connection.state) {
    case 'connecting':
      return <Badge kind="waiting" text="Connecting" />;
    case 'reconnecting':
      return <Badge kind="lost" text={`Reconnecting ${connection.attempt}`} age={agoOf(connection.sinceMs, store)} />;
    case 'disconnected':
      return <Badge kind="lost" text="Disconnected" age={agoOf(connection.sinceMs, store)} />;
    case 'late':
    case 'live': {
      const oldestMs = oldestShownAgeMs(store);
      const delayed = connection.state === 'late' || oldestMs > STALE_AFTER_MS;
      return <Badge kind={delayed ? 'late' : 'live'} text={delayed ? 'Delayed' : 'Live'} age={formatAge(oldestMs)} />;
    }
  }
}

function Badge({ kind, text, age }: { kind: string; text: string; age?: string | undefined }): JSX.Element {
  return (
    <span
      class={`badge badge-${kind}`}
      title={age === undefined ? undefined : `The oldest data shown as now is ${age} old`}
    >
      <span class="badge-dot" aria-hidden="true" />
      <span class="badge-text">{text}</span>
      {age === undefined ? null : <span class="badge-age">{age}</span>}
    </span>
  );
}

export function DisconnectedBanner(): JSX.Element | null {
  const { store, stream } = useShell();
  const connection = stream.connection.value;
  if (connection.state !== 'reconnecting' && connection.state !== 'disconnected') return null;
  const { sinceMs, attempt } = connection;
  const nowMs = store.nowMs.value;
  if (sinceMs === null) {
    // The first answer has not come yet: after one more try this is worth saying.
    if (attempt < 2) return null;
  } else if (nowMs - sinceMs < BANNER_AFTER_MS) return null;
  return (
    <div class="banner" role="alert">
      <strong>No connection to the hub.</strong>{' '}
      {sinceMs === null ? (
        'Nothing could be loaded yet.'
      ) : (
        <span>Values are frozen as of {store.plant.value.near(sinceMs, nowMs)}.</span>
      )}{' '}
      <span aria-hidden="true">Trying again ({attempt}).</span>
      <button type="button" class="banner-button" onClick={() => stream.retryNow()}>
        Try now
      </button>
    </div>
  );
}

/** Age of the oldest data that the pages show as present; machines marked as unknown or offline do not count. */
function oldestShownAgeMs(store: Store): number {
  const nowMs = store.nowMs.value;
  let oldestMs = 0;
  for (const machine of store.machines()) {
    const { kind, lastSeenMs } = standingOf(machine, nowMs);
    if ((kind === 'now' || kind === 'stale') && lastSeenMs !== null) {
      oldestMs = Math.max(oldestMs, Math.min(nowMs - lastSeenMs, UNKNOWN_AFTER_MS));
    }
  }
  return oldestMs;
}

function agoOf(sinceMs: number | null, store: Store): string | undefined {
  return sinceMs === null ? undefined : formatAge(store.nowMs.value - sinceMs);
}

/** What the store needs besides reading and writing: to be set up, and to be kept in order while the hub runs. */
import type { Client } from 'pg';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { HubSettings, StoreSettings } from '../settings.ts';
import { ADVISORY_LOCKS, withConnection } from './connection.ts';
import { migrate } from './migrations.ts';
import { applyRetention } from './retention.ts';
import { Rollups } from './rollup.ts';
import { useTimescale } from './timescale.ts';

export interface MaintenanceParts {
  /** Readings wait to be stored: whatever can wait leaves the database to them. */
  readonly isPressed: () => boolean;
  readonly clock: Clock;
  readonly log: Logger;
}

/** There is something to do so often, for roll-ups and for retention. */
const TURN_INTERVAL_MS = 10_000;
const RETENTION_INTERVAL_MS = 600_000;
const RETRY_INTERVAL_MS = 5_000;
/** However pressed the hub is, roll-ups are no older than this and a turn; charts read the rows meanwhile. */
const PRESSED_MS_MAX = 120_000;

/** Brings the database up to date. Several hubs may start at once. @throws as {@link migrate} does */
export async function prepareStore(client: Client, settings: StoreSettings, log: Logger): Promise<void> {
  await client.query('set statement_timeout = 0; set lock_timeout = 0');
  await migrate(client, log);
  await client.query('select pg_advisory_lock($1)', [ADVISORY_LOCKS.migration]);
  try {
    await useTimescale(client, settings, log);
  } finally {
    await client.query('select pg_advisory_unlock($1)', [ADVISORY_LOCKS.migration]).catch(() => undefined);
  }
}

/**
 * Works out roll-ups and removes what is too old, until the signal is aborted. Of several hubs one does so, and another
 * takes over when its connection ends.
 */
export async function maintainStore(
  settings: HubSettings,
  parts: MaintenanceParts,
  signal: AbortSignal,
): Promise<void> {
  const { clock, log } = parts;
  while (!signal.aborted) {
    try {
      await withConnection(settings.database, 'maintain', signal, async (client) => {
        await waitForTurn(client, clock, signal);
        await maintain(client, settings.store, { ...parts, signal });
      });
    } catch (error) {
      if (signal.aborted) return;
      log.warn('the upkeep of the store was interrupted; it goes on in a moment', { error });
      await clock.sleep(RETRY_INTERVAL_MS, signal);
    }
  }
}

/** Resolves when this connection holds the lock, which it does as long as it lives; or when the signal is aborted. */
async function waitForTurn(client: Client, clock: Clock, signal: AbortSignal): Promise<void> {
  const asked = 'select pg_try_advisory_lock($1) as ours';
  while (!signal.aborted) {
    const { rows } = await client.query<{ ours: boolean }>(asked, [ADVISORY_LOCKS.maintenance]);
    if (rows[0]?.ours === true) return;
    await clock.sleep(TURN_INTERVAL_MS, signal);
  }
}

async function maintain(
  client: Client,
  settings: StoreSettings,
  { isPressed, clock, log, signal }: MaintenanceParts & { readonly signal: AbortSignal },
): Promise<void> {
  // All that is done here is done again where a crash has taken it back.
  await client.query('set synchronous_commit = off');
  const rollups = new Rollups(client, { clock, log });
  let retentionDueMs = 0;
  let turnMs = clock.monotonicMs();
  while (!signal.aborted) {
    const startMs = clock.monotonicMs();
    const mayWork = (): boolean => !isPressed() || startMs - turnMs >= PRESSED_MS_MAX;
    if (mayWork()) {
      await rollups.turn(signal, TURN_INTERVAL_MS, mayWork);
      turnMs = startMs;
    }
    if (startMs >= retentionDueMs && !signal.aborted) {
      const isDone = await applyRetention(client, settings.retention, { clock, log, signal });
      if (isDone) retentionDueMs = startMs + RETENTION_INTERVAL_MS;
    }
    await clock.sleep(Math.max(0, startMs + TURN_INTERVAL_MS - clock.monotonicMs()), signal);
  }
}

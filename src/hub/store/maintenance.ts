/** What the store does by itself while the hub runs. */
import type { Client } from 'pg';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { HubSettings } from '../settings.ts';
import { withConnection } from './connection.ts';
import { runRollups } from './rollup.ts';

export interface MaintenanceParts {
  readonly clock: Clock;
  readonly log: Logger;
}

const RETRY_INTERVAL_MS = 5_000;

/** Runs until the signal is aborted. Any number of hubs may do so at once. */
export async function maintainStore(
  settings: HubSettings,
  { clock, log }: MaintenanceParts,
  signal: AbortSignal,
): Promise<void> {
  /** With a connection that is made again when it is lost. */
  const keep = async (purpose: string, work: (client: Client) => Promise<void>): Promise<void> => {
    while (!signal.aborted) {
      try {
        await withConnection(settings.database, purpose, signal, work);
      } catch (error) {
        if (!signal.aborted) log.warn(`the store's ${purpose} was interrupted; it goes on in a moment`, { error });
        await clock.sleep(RETRY_INTERVAL_MS, signal);
      }
    }
  };
  await keep('rollup', (client) => runRollups(client, { clock, log, signal }));
}

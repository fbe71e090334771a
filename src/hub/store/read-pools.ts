/**
 * Where history is read: from a replica while there is one that answers and has caught up, else from the primary.
 *
 * A replica is behind by what is on its way to it. Whoever has just been told that a reading is stored must find it, and a
 * chart must join with what the live stream says next; so a read waits until the replica has everything that the primary
 * had when it was asked for, which is a few milliseconds. A replica that is too far behind is treated as one that is down.
 */
import type { Pool, PoolClient } from 'pg';
import type { Clock } from '../../base/clock.ts';
import { messageOf, MillwrightError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';

/** What a read of history needs: a connection, to be released by whoever has got it. */
export interface ReadConnections {
  connect(): Promise<PoolClient>;
}

export interface Replica {
  /** For the log. */
  readonly name: string;
  readonly pool: Pool;
}

export interface ReadPoolsOptions {
  readonly primary: Pool;
  /** In the order in which they are preferred. */
  readonly replicas: readonly Replica[];
  readonly clock: Clock;
  readonly log: Logger;
}

/** A read waits for a replica no longer than this to catch up. */
const BEHIND_MS_MAX = 500;
const BEHIND_POLL_MS = 10;
/** A replica that takes longer to answer the simplest of questions is taken as down. */
const ANSWER_MS_MAX = 1_000;
/** One that is down is looked at again this often, while there is something to read. */
const RETRY_MS = 5_000;

export class ReadPools implements ReadConnections {
  readonly #primary: Pool;
  readonly #replicas: readonly WatchedReplica[];

  constructor({ primary, replicas, clock, log }: ReadPoolsOptions) {
    this.#primary = primary;
    this.#replicas = replicas.map((replica) => new WatchedReplica(replica, { clock, log }));
  }

  async connect(): Promise<PoolClient> {
    const candidates = this.#replicas.filter((replica) => replica.isUp(() => this.#position()));
    if (candidates.length > 0) {
      const position = await this.#position();
      for (const replica of candidates) {
        const client = await replica.connect(position);
        if (client !== undefined) return client;
      }
    }
    return this.#primary.connect();
  }

  async end(): Promise<void> {
    await Promise.all([this.#primary.end(), ...this.#replicas.map((replica) => replica.end())]);
  }

  /** Up to where the primary's log is on its disk; null when it cannot be asked: then what a replica has is the best there is. */
  async #position(): Promise<string | null> {
    try {
      const { rows } = await this.#primary.query<{ position: string | null }>(
        'select case when not pg_is_in_recovery() then pg_current_wal_flush_lsn() end as position',
      );
      return rows[0]?.position ?? null;
    } catch {
      return null;
    }
  }
}

class WatchedReplica {
  readonly #name: string;
  readonly #pool: Pool;
  readonly #clock: Clock;
  readonly #log: Logger;
  /** When it is looked at again; undefined: it is up. */
  #retryAtMs: number | undefined;

  constructor({ name, pool }: Replica, { clock, log }: { clock: Clock; log: Logger }) {
    this.#name = name;
    this.#pool = pool;
    this.#clock = clock;
    this.#log = log;
  }

  /** Nobody waits for one that is down: it is looked at on the side when the time has come. */
  isUp(position: () => Promise<string | null>): boolean {
    if (this.#retryAtMs === undefined) return true;
    if (this.#clock.monotonicMs() >= this.#retryAtMs) {
      this.#retryAtMs = Number.POSITIVE_INFINITY;
      void this.#lookAgain(position);
    }
    return false;
  }

  /** A connection that sees all that the primary had written up to there; undefined, and a warning, when there is none. */
  async connect(position: string | null): Promise<PoolClient | undefined> {
    let client: PoolClient | undefined;
    try {
      client = await this.#pool.connect();
      await this.#caughtUp(client, position);
      return client;
    } catch (error) {
      client?.release(true);
      if (this.#retryAtMs === undefined) {
        const replica = this.#name;
        this.#log.warn('a read replica cannot be used; reading from the primary', { replica, error: messageOf(error) });
      }
      this.#retryAtMs = this.#clock.monotonicMs() + RETRY_MS;
      return undefined;
    }
  }

  end(): Promise<void> {
    return this.#pool.end();
  }

  async #lookAgain(position: () => Promise<string | null>): Promise<void> {
    const client = await this.connect(await position());
    if (client === undefined) return;
    client.release();
    this.#retryAtMs = undefined;
    this.#log.info('the read replica can be used again', { replica: this.#name });
  }

  async #caughtUp(client: PoolClient, position: string | null): Promise<void> {
    const startMs = this.#clock.monotonicMs();
    for (;;) {
      // A server that is no standby has no position of its own: it was promoted, or is the primary by another name.
      const text = 'select $1::pg_lsn is null or coalesce(pg_last_wal_replay_lsn() >= $1::pg_lsn, true) as has_all';
      const query = { text, values: [position], query_timeout: ANSWER_MS_MAX };
      const { rows } = await client.query<{ has_all: boolean }>(query);
      if (rows[0]?.has_all === true) return;
      if (this.#clock.monotonicMs() - startMs >= BEHIND_MS_MAX) {
        throw new MillwrightError('try_later', `it is more than ${BEHIND_MS_MAX} ms behind the primary`);
      }
      await this.#clock.sleep(BEHIND_POLL_MS);
    }
  }
}

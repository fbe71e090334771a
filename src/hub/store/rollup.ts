/**
 * The roll-up job: works out anew the minutes that have a mark, and their hours.
 *
 * A batch of marks is one transaction: read the marks · read their rows · store minutes, hours, states · remove the marks
 * whose number is still the one read. Who stores readings gives their minute a new number in the same transaction, so
 * rows that become visible after they were looked for have left a mark that stays. A kill at any instant leaves either all
 * of a batch or nothing of it, and all can be repeated. The commit does not wait for the disk: what a crash takes back,
 * it takes back together with the removal of the marks.
 *
 * Ingestion comes first: a batch is as large as can be worked out in a fraction of a second, and the job rests after each
 * for as long as it took. Newest minutes come first, so a backlog does not keep the present out of the charts.
 */
import type { Client } from 'pg';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { ADVISORY_LOCKS, faultKind } from './connection.ts';
import { HOURS, MINUTE_TABLES, minutesStatement, readStatement } from './rollup-minutes.ts';
import { markOlderRows } from './rollup-backfill.ts';
import { PARTS, RANGES, STATE_HOURS, STATE_MINUTES, STATE_TABLES } from './rollup-states.ts';

export interface RollupOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** New marks are looked for so often. */
const TURN_INTERVAL_MS = 10_000;
/** A minute that is still open changes all the time: it is worked out no more often than this. */
const OPEN_INTERVAL_MS = 30_000;
/** Marks of one transaction: as many as take about so long. */
const BATCH_MS = 200;
const BATCH_MARKS_FIRST = 16;
const BATCH_MARKS_MAX = 1_000;

/**
 * Runs until the signal is aborted or the connection fails; the connection must be its own. Of several hubs one works, and
 * another takes over when its connection ends.
 */
export async function runRollups(client: Client, { clock, log, signal }: RollupOptions): Promise<void> {
  const job = new RollupJob(client, { clock, log });
  let openDueMs = 0;
  while (!signal.aborted) {
    const startMs = clock.monotonicMs();
    if (await job.isOurs()) {
      const includesOpen = startMs >= openDueMs;
      if (includesOpen) openDueMs = startMs + OPEN_INTERVAL_MS;
      job.startTurn(includesOpen);
      // A turn that takes long is ended, so that the next one begins with what is newest by then.
      while (!signal.aborted && clock.monotonicMs() - startMs < TURN_INTERVAL_MS) {
        const batchMs = clock.monotonicMs();
        if (!(await job.next()) && !(await job.markOlder())) break;
        await clock.sleep(clock.monotonicMs() - batchMs, signal);
      }
    }
    await clock.sleep(Math.max(0, startMs + TURN_INTERVAL_MS - clock.monotonicMs()), signal);
  }
}

/** Works out everything that has a mark, or should have one, without rests. */
export async function rollUpAll(client: Client, parts: Pick<RollupOptions, 'clock' | 'log'>): Promise<void> {
  const job = new RollupJob(client, parts);
  if (!(await job.isOurs())) return;
  job.startTurn(true);
  while ((await job.next()) || (await job.markOlder()));
}

/** The marks taken for one transaction. */
interface Taken {
  readonly marks: number;
  /** The oldest minute and, of several marks on it, the machine first by name: the turn goes on below. */
  readonly minute: string;
  readonly machine_id: string;
  readonly newest_minute: string;
}

class RollupJob {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #log: Logger;
  #isOurs = false;
  #includesOpen = false;
  /** Marks from here on were done in this turn. */
  #below: Pick<Taken, 'minute' | 'machine_id'> = { minute: 'infinity', machine_id: '' };
  #batchMarks = BATCH_MARKS_FIRST;
  /** The next mark is one that has failed alone. */
  #careful = false;

  constructor(client: Client, { clock, log }: Pick<RollupOptions, 'clock' | 'log'>) {
    this.#client = client;
    this.#clock = clock;
    this.#log = log;
  }

  /** Takes the lock of the job, if no other hub has it, for as long as the connection lives. */
  async isOurs(): Promise<boolean> {
    if (this.#isOurs) return true;
    const { rows } = await this.#client.query<{ ours: boolean }>('select pg_try_advisory_lock($1) as ours', [
      ADVISORY_LOCKS.rollup,
    ]);
    if (rows[0]?.ours !== true) return false;
    await this.#client.query(`${MINUTE_TABLES}; ${STATE_TABLES}; set synchronous_commit = off`);
    this.#isOurs = true;
    return true;
  }

  startTurn(includesOpen: boolean): void {
    this.#includesOpen = includesOpen;
    this.#below = { minute: 'infinity', machine_id: '' };
  }

  /** Sets marks on rows from before there were marks, and begins at the newest again; false when all have been set. */
  async markOlder(): Promise<boolean> {
    const isMore = await markOlderRows(this.#client);
    this.startTurn(false);
    return isMore;
  }

  /** One batch; false when this turn has no more. Rejects when the marks cannot be read. */
  async next(): Promise<boolean> {
    const startMs = this.#clock.monotonicMs();
    await this.#client.query('begin');
    let taken: Taken | undefined;
    try {
      taken = await this.#take();
      if (taken !== undefined) await this.#rollUp(taken);
      await this.#client.query('commit');
    } catch (error) {
      await this.#client.query('rollback').catch(() => undefined);
      if (taken === undefined) throw error;
      this.#failed(taken, error);
      return true;
    }
    if (taken === undefined) return false;
    this.#passed(taken);
    const ratio = BATCH_MS / Math.max(1, this.#clock.monotonicMs() - startMs);
    const wanted = Math.round(taken.marks * Math.min(2, ratio));
    this.#batchMarks = Math.max(1, Math.min(BATCH_MARKS_MAX, wanted));
    return true;
  }

  async #take(): Promise<Taken | undefined> {
    const { rows } = await this.#client.query<Taken>(
      `with taken as (
        insert into marked
        select machine_id, minute, mark from rollup_marks
        where (minute, machine_id) < ($1::timestamptz, $2) and ($3 or minute <= now() - interval '1 minute')
        order by minute desc, machine_id desc limit $4
        returning machine_id, minute
      )
      select (count(*) over ())::integer as marks, minute::text, machine_id, (max(minute) over ())::text as newest_minute
      from taken order by taken.minute, machine_id limit 1`,
      [this.#below.minute, this.#below.machine_id, this.#includesOpen, this.#batchMarks],
    );
    return rows[0];
  }

  async #rollUp({ minute, newest_minute }: Taken): Promise<void> {
    const careful = { careful: this.#careful };
    const window = [minute, newest_minute];
    await this.#client.query(readStatement(careful), window);
    await this.#client.query(minutesStatement(careful), window);
    await this.#client.query(HOURS);
    await this.#client.query(PARTS, window);
    await this.#client.query(RANGES);
    await this.#client.query(STATE_MINUTES);
    await this.#client.query(STATE_HOURS);
    await this.#client.query(REMOVE_MARKS);
  }

  #passed({ minute, machine_id }: Taken): void {
    this.#below = { minute, machine_id };
    this.#careful = false;
  }

  /** What has failed among others is tried alone, and then carefully; what fails even so is left to the next turn. */
  #failed(taken: Taken, error: unknown): void {
    this.#batchMarks = 1;
    if (taken.marks > 1) return;
    if (!this.#careful && faultKind(error) === 'data') {
      this.#careful = true;
      return;
    }
    const { machine_id, minute } = taken;
    this.#log.warn('a minute was not rolled up; it is tried again', { machine_id, minute, error });
    this.#passed(taken);
  }
}

/**
 * A mark that has another number by now, or is just getting one, stays. Rows that are locked belong to a transaction that
 * stores readings: it is not waited for, and so it never waits for longer than this commit.
 */
const REMOVE_MARKS = `
  delete from rollup_marks using (
    select known.machine_id, known.minute
    from marked join rollup_marks as known using (machine_id, minute)
    where known.mark = marked.mark
    for update of known skip locked
  ) as done
  where rollup_marks.machine_id = done.machine_id and rollup_marks.minute = done.minute`;

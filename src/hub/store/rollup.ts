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
import { faultKind } from './connection.ts';
import { HOURS, MINUTE_TABLES, minutesStatement, readStatement } from './rollup-minutes.ts';
import { markOlderRows } from './rollup-backfill.ts';
import { PARTS, RANGES, STATE_HOURS, STATE_MINUTES, STATE_TABLES } from './rollup-states.ts';

export interface RollupParts {
  readonly clock: Clock;
  readonly log: Logger;
}

/** A minute that is still open changes all the time: it is worked out no more often than this. */
const OPEN_INTERVAL_MS = 30_000;
/**
 * Marks of one transaction: as many as take about so long. Fewer than the least would not make it shorter, since its
 * statements have to be planned.
 */
const BATCH_MS = 200;
const BATCH_MARKS_MIN = 32;
const BATCH_MARKS_MAX = 1_000;

const NEWEST = { minute: 'infinity', machine_id: '' };

/** The marks taken for one transaction. */
interface Taken {
  readonly marks: number;
  /** The oldest minute and, of several marks on it, the machine first by name: the turn goes on below. */
  readonly minute: string;
  readonly machine_id: string;
  readonly newest_minute: string;
}

/** Of all hubs one may work at a time: who holds the lock of the store's maintenance. */
export class Rollups {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #log: Logger;
  #openDueMs = 0;
  #includesOpen = false;
  /** Marks from here on were done in this turn. */
  #below: Pick<Taken, 'minute' | 'machine_id'> = NEWEST;
  #batchMarks = BATCH_MARKS_MIN;
  #hasTables = false;
  /** The next mark is one that has failed alone. */
  #careful = false;

  /** @param client Keeps its temporary tables; its commits must not need to wait for the disk. */
  constructor(client: Client, { clock, log }: RollupParts) {
    this.#client = client;
    this.#clock = clock;
    this.#log = log;
  }

  /**
   * Works out what has a mark, or should have one, from the newest minute to the oldest, until there is no more or the
   * time is over, or it may not work any more. Rejects when the connection fails.
   */
  async turn(signal: AbortSignal, msMax: number, mayWork: () => boolean = () => true): Promise<void> {
    const startMs = this.#clock.monotonicMs();
    if (!this.#hasTables) await this.#client.query(`${MINUTE_TABLES}; ${STATE_TABLES}`);
    this.#hasTables = true;
    this.#begin(startMs >= this.#openDueMs);
    if (this.#includesOpen) this.#openDueMs = startMs + OPEN_INTERVAL_MS;
    while (!signal.aborted && mayWork() && this.#clock.monotonicMs() - startMs < msMax) {
      const batchMs = this.#clock.monotonicMs();
      if (!(await this.#next())) {
        if (!(await markOlderRows(this.#client))) return;
        this.#begin(false);
      }
      await this.#clock.sleep(this.#clock.monotonicMs() - batchMs, signal);
    }
  }

  #begin(includesOpen: boolean): void {
    this.#includesOpen = includesOpen;
    this.#below = NEWEST;
  }

  /** One batch; false when there are no more marks. */
  async #next(): Promise<boolean> {
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
    this.#batchMarks = Math.max(BATCH_MARKS_MIN, Math.min(BATCH_MARKS_MAX, wanted));
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

/** Works out everything at once, without rests. */
export async function rollUpAll(client: Client, { clock, log }: RollupParts): Promise<void> {
  const restless = { ...clock, sleep: () => Promise.resolve() };
  await new Rollups(client, { clock: restless, log }).turn(new AbortController().signal, Number.POSITIVE_INFINITY);
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

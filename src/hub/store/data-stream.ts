/**
 * One machine's samples as the text of an answer, row by row, in constant memory.
 *
 * `COPY … TO STDOUT` in its text format (PostgreSQL manual, "COPY", Text Format) instead of a cursor: rows come as they
 * are read from the index, nothing is asked for twice, and a slow reader holds back the server through the socket.
 */
import type { PoolClient } from 'pg';
import { escapeLiteral } from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { MillwrightError } from '../../base/errors.ts';
import type { Timestamp } from '../../model/time.ts';
import { CsvRows } from './csv-rows.ts';
import { JsonRows } from './json-rows.ts';
import type { ReadConnections } from './read-pools.ts';
import { SAMPLE_ROW_COLUMNS, type SampleRows } from './sample-rows.ts';

/** So many streams at once; each holds a connection for as long as its reader takes. */
export const DATA_STREAMS_MAX = 4;

export const DATA_FORMATS = ['json', 'ndjson', 'csv'] as const;
export type DataFormat = (typeof DATA_FORMATS)[number];

export interface DataRequest {
  readonly machineId: string;
  readonly format: DataFormat;
  readonly start?: Timestamp;
  readonly end?: Timestamp;
  /** Only what is later than this: the last time of the page before. */
  readonly after?: Timestamp;
  /** About so many rows: all that share the last one's time belong to the same page. */
  readonly limit?: number;
}

export interface DataAnswer {
  /** Pieces of the text, in the order of time; each stands only until the next is asked for. */
  readonly pieces: AsyncGenerator<Uint8Array, void>;
  /** `after` of the next page; null when this one reaches the end of the data. */
  readonly next: Timestamp | null;
}

/**
 * A stream takes as long as its reader does. It is read in the order of the index: the planner, which does not know that a
 * machine's rows of one time lie together, would rather read the whole table and sort it, which takes the longer the more
 * machines there are, and sends nothing until it is done.
 */
const FOR_LONG = 'set statement_timeout = 0; set enable_sort = off; set max_parallel_workers_per_gather = 0';
const AS_USUAL = 'reset statement_timeout; reset enable_sort; reset max_parallel_workers_per_gather';

export class DataStreams {
  readonly #pool: ReadConnections;
  readonly #streamsMax: number;
  #open = 0;

  /** `streamsMax` must be smaller than the pool, or the other reads wait for the streams. */
  constructor(pool: ReadConnections, streamsMax: number) {
    this.#pool = pool;
    this.#streamsMax = streamsMax;
  }

  /**
   * Resolves when the first piece is known, so that a fault of the database can still be told; ending the iteration
   * early ends the query.
   * @throws `try_later` when too many streams are open
   */
  async open(request: DataRequest): Promise<DataAnswer> {
    if (this.#open >= this.#streamsMax) {
      const message = `${this.#streamsMax} long answers are being sent already; come again when one is finished`;
      throw new MillwrightError('try_later', message, { retryAfterMs: 5_000 });
    }
    // Its place is taken before anything is awaited, and given back by the pieces, however they end.
    this.#open += 1;
    let page: PageEnd | undefined;
    try {
      page = await this.#pageEnd(request);
    } catch (error) {
      this.#open -= 1;
      throw error;
    }
    const pieces = this.#pieces(request, page?.last);
    const first = await pieces.next();
    return { pieces: withFirst(first, pieces), next: page?.hasMore === true ? page.last : null };
  }

  /**
   * Where a page ends: at a time, not at a row. Rows have no number of their own, so a page that ended between two rows
   * of the same time could not say where the next one begins. undefined: there are fewer rows.
   */
  async #pageEnd(request: DataRequest): Promise<PageEnd | undefined> {
    if (request.limit === undefined) return undefined;
    const client = await this.#pool.connect();
    let failed = true;
    try {
      const { rows } = await client.query<PageEnd>(
        `with page as (
          select time as last from sensor_data where ${conditionsOf(request)} order by time offset $1 limit 1
        )
        select last, exists (select from sensor_data where ${conditionsOf(request)} and time > last) as "hasMore" from page`,
        [request.limit - 1],
      );
      failed = false;
      return rows[0];
    } finally {
      client.release(failed);
    }
  }

  /** Takes a connection when it begins, and gives it and the place back however it ends. */
  async *#pieces(request: DataRequest, last: Timestamp | undefined): AsyncGenerator<Uint8Array, void> {
    let client: PoolClient | undefined;
    let whole = false;
    try {
      client = await this.#pool.connect();
      await client.query(FOR_LONG);
      const copied = client.query(copyTo(copyText(request, last)));
      const rows = rowsOf(request);
      for await (const chunk of copied as AsyncIterable<Uint8Array>) {
        rows.push(chunk);
        for (let piece = rows.next(); piece !== undefined; piece = rows.next()) yield piece;
      }
      whole = true;
      yield rows.end();
    } finally {
      this.#open -= 1;
      if (whole) await client?.query(AS_USUAL).catch(() => undefined);
      // A connection with an unfinished answer is closed, and the server then ends the query.
      client?.release(!whole);
    }
  }
}

interface PageEnd {
  readonly last: Timestamp;
  readonly hasMore: boolean;
}

async function* withFirst(
  first: IteratorResult<Uint8Array, void>,
  rest: AsyncGenerator<Uint8Array, void>,
): AsyncGenerator<Uint8Array, void> {
  try {
    if (first.done === true) return;
    yield first.value;
    yield* rest;
  } finally {
    await rest.return();
  }
}

function rowsOf({ machineId, format }: DataRequest): SampleRows {
  switch (format) {
    case 'json':
      return new JsonRows(machineId, 'array');
    case 'ndjson':
      return new JsonRows(machineId, 'lines');
    case 'csv':
      return new CsvRows(machineId);
  }
}

/** COPY takes no parameters, so the values are written as literals. */
function copyText(request: DataRequest, last: Timestamp | undefined): string {
  const upToLast = last === undefined ? '' : ` and time <= ${escapeLiteral(last)}`;
  return `copy (select ${SAMPLE_ROW_COLUMNS} from sensor_data where ${conditionsOf(request)}${upToLast} order by time) to stdout`;
}

function conditionsOf({ machineId, start, end, after }: DataRequest): string {
  const conditions = [`machine_id = ${escapeLiteral(machineId)}`];
  if (start !== undefined) conditions.push(`time >= ${escapeLiteral(start)}`);
  if (after !== undefined) conditions.push(`time > ${escapeLiteral(after)}`);
  if (end !== undefined) conditions.push(`time < ${escapeLiteral(end)}`);
  return conditions.join(' and ');
}

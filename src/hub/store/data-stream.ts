/**
 * One machine's samples as a JSON array, row by row, in constant memory.
 *
 * `COPY … TO STDOUT` in its text format (PostgreSQL manual, "COPY", Text Format) instead of a cursor: rows come as they
 * are read from the index, nothing is asked for twice, and a slow reader holds back the server through the socket.
 */
import type { Pool, PoolClient } from 'pg';
import { escapeLiteral } from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { MillwrightError } from '../../base/errors.ts';
import type { Timestamp } from '../../model/time.ts';
import { JSON_ROW_COLUMNS, JsonRows } from './json-rows.ts';

/** So many streams at once; each holds a connection for as long as its reader takes. */
export const DATA_STREAMS_MAX = 4;

export interface DataRequest {
  readonly machineId: string;
  readonly start?: Timestamp;
  readonly end?: Timestamp;
}

export class DataStreams {
  readonly #pool: Pool;
  readonly #streamsMax: number;
  #open = 0;

  /** `streamsMax` must be smaller than the pool, or the other reads wait for the streams. */
  constructor(pool: Pool, streamsMax: number) {
    this.#pool = pool;
    this.#streamsMax = streamsMax;
  }

  /**
   * Pieces of the array's text, in the order of time; each stands only until the next is asked for. Resolves when the
   * first piece is known, so that a fault of the database can still be told; ending the iteration early ends the query.
   * @throws `try_later` when too many streams are open
   */
  async open(request: DataRequest): Promise<AsyncGenerator<Uint8Array, void>> {
    if (this.#open >= this.#streamsMax) {
      const message = `${this.#streamsMax} long answers are being sent already; come again when one is finished`;
      throw new MillwrightError('try_later', message, { retryAfterMs: 5_000 });
    }
    const pieces = this.#pieces(request);
    const first = await pieces.next();
    return withFirst(first, pieces);
  }

  /** Takes a place and a connection when it begins, and gives both back however it ends. */
  async *#pieces(request: DataRequest): AsyncGenerator<Uint8Array, void> {
    let client: PoolClient | undefined;
    let whole = false;
    this.#open += 1;
    try {
      client = await this.#pool.connect();
      await client.query('set statement_timeout = 0');
      const rows = client.query(copyTo(copyText(request)));
      const json = new JsonRows(request.machineId);
      for await (const chunk of rows as AsyncIterable<Uint8Array>) {
        json.push(chunk);
        for (let piece = json.next(); piece !== undefined; piece = json.next()) yield piece;
      }
      whole = true;
      yield json.end();
    } finally {
      this.#open -= 1;
      if (whole) await client?.query('reset statement_timeout').catch(() => undefined);
      // A connection with an unfinished answer is closed, and the server then ends the query.
      client?.release(!whole);
    }
  }
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

/** COPY takes no parameters, so the values are written as literals. */
function copyText({ machineId, start, end }: DataRequest): string {
  const conditions = [`machine_id = ${escapeLiteral(machineId)}`];
  if (start !== undefined) conditions.push(`time >= ${escapeLiteral(start)}`);
  if (end !== undefined) conditions.push(`time < ${escapeLiteral(end)}`);
  return `copy (select ${JSON_ROW_COLUMNS} from sensor_data where ${conditions.join(' and ')} order by time) to stdout`;
}

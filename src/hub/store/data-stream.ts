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
import { SIGNALS } from '../../model/signals.ts';
import type { Timestamp } from '../../model/time.ts';
import { timestampOfColumn } from './connection.ts';

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
   * Pieces of the array's text, in the order of time. Resolves when the first piece is known, so that a fault of the
   * database can still be told; ending the iteration early ends the query.
   * @throws `try_later` when too many streams are open
   */
  async open(request: DataRequest): Promise<AsyncGenerator<string, void>> {
    if (this.#open >= this.#streamsMax) {
      const message = `${this.#streamsMax} long answers are being sent already; come again when one is finished`;
      throw new MillwrightError('try_later', message, { retryAfterMs: 5_000 });
    }
    this.#open += 1;
    let client: PoolClient | undefined;
    try {
      client = await this.#pool.connect();
      await client.query('set statement_timeout = 0');
      const pieces = this.#pieces(client, request);
      const first = await pieces.next();
      return withFirst(first, pieces);
    } catch (error) {
      if (client === undefined) this.#open -= 1;
      throw error;
    }
  }

  async *#pieces(client: PoolClient, request: DataRequest): AsyncGenerator<string, void> {
    let whole = false;
    try {
      const rows = client.query(copyTo(copyText(request)));
      const prefix = `{"machine_id":${JSON.stringify(request.machineId)},"timestamp":"`;
      let rest = '';
      let separator = '[\n';
      // A stream of text decodes characters that are cut in two by the pieces' borders.
      for await (const chunk of rows.setEncoding('utf8') as AsyncIterable<string>) {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        if (lines.length === 0) continue;
        yield separator + lines.map((line) => jsonOfRow(line, prefix)).join(',\n');
        separator = ',\n';
      }
      whole = true;
      yield separator === '[\n' ? '[]' : '\n]';
    } finally {
      this.#open -= 1;
      if (whole) await client.query('reset statement_timeout').catch(() => undefined);
      // A connection with an unfinished answer is closed, and the server then ends the query.
      client.release(!whole);
    }
  }
}

async function* withFirst(
  first: IteratorResult<string, void>,
  rest: AsyncGenerator<string, void>,
): AsyncGenerator<string, void> {
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
  const columns = ['time', ...SIGNALS.map(({ name }) => name), 'extra'].join(', ');
  return `copy (select ${columns} from sensor_data where ${conditions.join(' and ')} order by time) to stdout`;
}

/** A row in wire form: what is null is left out, what is in `extra` follows. */
function jsonOfRow(line: string, prefix: string): string {
  const fields = line.split('\t');
  let json = `${prefix}${timestampOfColumn(fields[0] ?? '')}"`;
  for (const [index, { name, type }] of SIGNALS.entries()) {
    const field = fields[index + 1] ?? '\\N';
    if (field === '\\N') continue;
    if (type === 'text') json += `,"${name}":${JSON.stringify(unescapeField(field))}`;
    else if (isJsonNumber(field)) json += `,"${name}":${field}`;
  }
  const extra = fields[SIGNALS.length + 1] ?? '\\N';
  return extra === '\\N' || extra === '{}' ? `${json}}` : `${json},${unescapeField(extra).slice(1)}`;
}

/** NaN and the infinities, which other programs may have stored, have no form in JSON. */
function isJsonNumber(field: string): boolean {
  const last = field.charCodeAt(field.length - 1);
  return last >= 48 && last <= 57;
}

const ESCAPES: { readonly [letter: string]: string } = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

function unescapeField(field: string): string {
  if (!field.includes('\\')) return field;
  return field.replace(/\\(.)/gs, (_, letter: string) => ESCAPES[letter] ?? letter);
}

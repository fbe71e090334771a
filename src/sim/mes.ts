/**
 * A stand-in for a manufacturing execution system (MES): takes inspected values over HTTP, can be made to fail in the ways
 * in which such systems fail, and tells what it has got.
 *
 * - `POST /api/v1/cmm/measurements`: one JSON object, or a list of them; `machine_id` and `timestamp` are text. The header
 *   `Idempotency-Key` has a key for each object, divided by commas. A key that was answered before is answered in the
 *   same way and not counted again.
 * - `GET /received`: how many, by machine, and the newest (`?newest=N`); `?all=1`: everything, in the order of arrival.
 * - `GET /control`, `POST /control`: the faults, all or some of {@link MesFaults}, while it runs.
 *
 * While it is down nobody can send it anything, and whoever tries loses the connection; the two others still answer.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type Clock, now } from '../base/clock.ts';
import { MillwrightError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Random } from '../base/random.ts';
import { MesMemory, type Received } from './mes-memory.ts';

/** What is drawn for each request in turn: `fail`, `busy`, `drop`. Shares are from 0 to 1. */
export interface MesFaults {
  /** As if it were switched off. What it has got it still knows afterwards. */
  readonly down: boolean;
  /** Before each answer. */
  readonly delay_ms: number;
  /** Share answered 500. */
  readonly fail: number;
  /** Share answered 429 with `Retry-After`. */
  readonly busy: number;
  readonly retry_after_s: number;
  /** Share whose connection is closed without an answer: half of them before, half of them after it has taken the values. */
  readonly drop: number;
  /** Every so manyth value that it has not seen before is answered 400, always; 0: none. */
  readonly refuse_every: number;
  /** Values of which this field is this text are answered 400. */
  readonly refuse_where: { readonly field: string; readonly value: string } | null;
}

export const NO_FAULTS: MesFaults = {
  down: false,
  delay_ms: 0,
  fail: 0,
  busy: 0,
  retry_after_s: 1,
  drop: 0,
  refuse_every: 0,
  refuse_where: null,
};

export interface MesOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly faults: MesFaults;
  /** Where it keeps what it has got; null: in memory only. */
  readonly stateFile: string | null;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export interface MesReport {
  /** Accepted, each once. */
  readonly count: number;
  readonly by_machine: { readonly [machineId: string]: number };
  readonly is_down: boolean;
  /** Values that came again after they had been answered, since it started. */
  readonly repeated: number;
  /** Values that were answered 400, since it started. */
  readonly refused: number;
  /** Requests by what was done with them, since it started. */
  readonly requests: { readonly [outcome: string]: number };
  readonly newest: readonly Received[];
}

export interface Mes {
  readonly url: string;
  report(newest: number): MesReport;
  close(): Promise<void>;
}

export const MEASUREMENTS_PATH = '/api/v1/cmm/measurements';
const BODY_BYTES_MAX: number = 1024 * 1024;
const NEWEST_DEFAULT = 20;

/**
 * Starts to listen.
 * @throws `port_unavailable` when the port is taken, `storage_failed` when its file cannot be used
 */
export async function startMes(options: MesOptions): Promise<Mes> {
  const mes = new StandIn(options);
  await mes.listen();
  return mes;
}

class StandIn implements Mes {
  readonly #options: MesOptions;
  readonly #server: Server;
  #faults: MesFaults;
  readonly #memory: MesMemory;
  /** Values of which it was decided whether to refuse them. */
  #decided = 0;
  #repeated = 0;
  #refused = 0;
  readonly #requests = new Map<string, number>();

  constructor(options: MesOptions) {
    this.#options = options;
    this.#faults = options.faults;
    this.#memory = new MesMemory(options.stateFile);
    this.#server = createServer((request, response) => {
      this.#handle(request, response).catch((error: unknown) => {
        this.#options.log.debug('a request broke off', { error });
        response.destroy();
      });
    });
  }

  get url(): string {
    const address = this.#server.address();
    const port = typeof address === 'object' && address !== null ? address.port : this.#options.port;
    return `http://${this.#options.host}:${port}`;
  }

  listen(): Promise<void> {
    const { host, port, log } = this.#options;
    this.#memory.open();
    return new Promise((resolve, reject) => {
      this.#server.once('error', (cause) => {
        reject(new MillwrightError('port_unavailable', `cannot listen on ${host}:${port}`, { cause }));
      });
      this.#server.listen(port, host, () => {
        const measurements = `${this.url}${MEASUREMENTS_PATH}`;
        log.info('the stand-in MES serves', { measurements, known: this.#memory.count });
        resolve();
      });
    });
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  report(newest: number): MesReport {
    return {
      count: this.#memory.count,
      by_machine: this.#memory.byMachine,
      is_down: this.#faults.down,
      repeated: this.#repeated,
      refused: this.#refused,
      requests: Object.fromEntries(this.#requests),
      newest: newest === 0 ? [] : this.#memory.received.slice(-newest),
    };
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', this.url);
    if (pathname === MEASUREMENTS_PATH && this.#faults.down) return this.#drop(response);
    const body = await bodyOf(request);
    if (body === undefined) return answer(response, 413, { error: `more than ${BODY_BYTES_MAX} bytes` });
    switch (`${request.method} ${pathname}`) {
      case `POST ${MEASUREMENTS_PATH}`:
        return this.#take(request, response, body);
      case 'GET /received':
        if (searchParams.get('all') === '1') return answer(response, 200, this.#memory.received);
        return this.#tell(response, Number(searchParams.get('newest') ?? NEWEST_DEFAULT));
      case 'GET /control':
        return answer(response, 200, this.#faults);
      case 'POST /control':
        return this.#control(response, body);
      default:
        return answer(response, 404, { error: `there is no ${request.method} ${pathname}` });
    }
  }

  #tell(response: ServerResponse, newest: number): void {
    if (Number.isInteger(newest) && newest >= 0) return answer(response, 200, this.report(newest));
    return answer(response, 400, { error: 'newest is a whole number from 0' });
  }

  async #take(request: IncomingMessage, response: ServerResponse, body: Buffer): Promise<void> {
    const { clock, random } = this.#options;
    const { delay_ms, fail, busy, drop, retry_after_s } = this.#faults;
    if (delay_ms > 0) await clock.sleep(delay_ms);
    if (random() < fail) return this.#answer(response, 500, { error: 'the database of the MES is locked' });
    if (random() < busy) {
      response.setHeader('retry-after', String(retry_after_s));
      return this.#answer(response, 429, { error: 'too many requests' });
    }
    const isDropped = random() < drop;
    const isDroppedBefore = isDropped && random() < 0.5;
    if (isDroppedBefore) return this.#drop(response);
    const [status, said] = this.#settle(body, keysOf(request));
    if (isDropped) return this.#drop(response);
    return this.#answer(response, status, said);
  }

  /** All values of a request are accepted, or none. */
  #settle(body: Buffer, keys: readonly string[]): [number, unknown] {
    const values = valuesOf(body);
    if (typeof values === 'string') return [400, { error: values }];
    if (keys.length > 0 && keys.length !== values.length) {
      return [400, { error: `${values.length} values, but ${keys.length} keys in Idempotency-Key` }];
    }
    const refused = values.filter((value, index) => this.#isRefused(value, keys[index]));
    if (refused.length > 0) {
      return [400, { error: 'refused', machine_id: refused[0]?.['machine_id'], timestamp: refused[0]?.['timestamp'] }];
    }
    for (const [index, value] of values.entries()) this.#accept(value, keys[index] ?? null);
    return [201, { accepted: values.length }];
  }

  /** Decided once for each key. */
  #isRefused(value: Received['body'], key: string | undefined): boolean {
    const before = key === undefined ? undefined : this.#memory.answerTo(key);
    if (before !== undefined) return before === 'refused';
    const { refuse_every, refuse_where } = this.#faults;
    this.#decided += 1;
    const isChosen =
      (refuse_every > 0 && this.#decided % refuse_every === 0) ||
      (refuse_where !== null && String(value[refuse_where.field]) === refuse_where.value);
    if (!isChosen) return false;
    this.#refused += 1;
    if (key !== undefined) this.#memory.refuse(key);
    return true;
  }

  #accept(body: Received['body'], key: string | null): void {
    if (key !== null && this.#memory.answerTo(key) !== undefined) this.#repeated += 1;
    else this.#memory.accept({ key, received_at: now(this.#options.clock), body });
  }

  #control(response: ServerResponse, body: Buffer): void {
    let changes: unknown;
    try {
      changes = JSON.parse(body.toString('utf8'));
    } catch {
      return answer(response, 400, { error: 'is not JSON' });
    }
    const fault = faultOf(changes);
    if (fault !== undefined) return answer(response, 400, { error: fault });
    this.#faults = { ...this.#faults, ...(changes as Partial<MesFaults>) };
    this.#options.log.info('the faults are', { ...this.#faults });
    return answer(response, 200, this.#faults);
  }

  #answer(response: ServerResponse, status: number, said: unknown): void {
    this.#countRequest(String(status));
    answer(response, status, said);
  }

  #drop(response: ServerResponse): void {
    this.#countRequest('dropped');
    response.destroy();
  }

  #countRequest(outcome: string): void {
    this.#requests.set(outcome, (this.#requests.get(outcome) ?? 0) + 1);
  }
}

/** Why these are no changes of the faults. */
function faultOf(changes: unknown): string | undefined {
  if (typeof changes !== 'object' || changes === null || Array.isArray(changes)) return 'is not an object';
  for (const [key, value] of Object.entries(changes)) {
    if (!Object.hasOwn(NO_FAULTS, key)) return `there is no ${key}; there is ${Object.keys(NO_FAULTS).join(', ')}`;
    if (key === 'refuse_where') {
      const isRule = typeof value === 'object' && (value === null || ('field' in value && 'value' in value));
      if (!isRule) return 'refuse_where is {"field", "value"}, or null';
    } else if (key === 'down') {
      if (typeof value !== 'boolean') return 'down is true or false';
    } else if (typeof value !== 'number' || !(value >= 0)) return `${key} is a number from 0`;
  }
  return undefined;
}

/** The objects of a body, or why there are none. */
function valuesOf(body: Buffer): readonly Received['body'][] | string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString('utf8'));
  } catch {
    return 'is not JSON';
  }
  const values: unknown[] = Array.isArray(parsed) ? parsed : [parsed];
  for (const value of values) {
    if (typeof value !== 'object' || value === null) return 'a measurement is a JSON object';
    if (!('machine_id' in value) || typeof value.machine_id !== 'string') return 'machine_id is text';
    if (!('timestamp' in value) || typeof value.timestamp !== 'string') return 'timestamp is text';
  }
  return values as Received['body'][];
}

function keysOf({ headers }: IncomingMessage): string[] {
  const text = headers['idempotency-key'];
  if (typeof text !== 'string' || text === '') return [];
  return text.split(',').map((key) => key.trim());
}

/** Undefined when it is too long. */
async function bodyOf(request: IncomingMessage): Promise<Buffer | undefined> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes <= BODY_BYTES_MAX) parts.push(part);
  }
  return bytes > BODY_BYTES_MAX ? undefined : Buffer.concat(parts);
}

function answer(response: ServerResponse, status: number, said: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(said));
}

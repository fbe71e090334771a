/**
 * The sink `mes`: posts measurements to a manufacturing execution system, each with its key, those of a machine in their
 * order.
 *
 * A batch may be taken in part when the MES fails. What became of each measurement is then remembered, so that it is not
 * sent again when the batch comes again; after a crash that is forgotten, and the MES knows a measurement by its
 * `Idempotency-Key`. After the first failure of a call nothing more is sent in it: the runner waits, as long as the MES asks.
 */
import { MillwrightError } from '../../base/errors.ts';
import { type Answer, HttpClient, retryAfterMs } from '../../base/http-client.ts';
import { type Batch, readingsOfBatch } from '../../model/batch.ts';
import type { JsonValue, Measurement } from '../../model/reading.ts';
import type { Checkable } from '../../ports/checkable.ts';
import type { CreateSink, Refusal, Settlement, Sink, SinkContext } from '../../ports/sink.ts';
import type { MesSinkOptions } from './config.ts';
import { fill } from './template.ts';

export const create: CreateSink<MesSinkOptions> = (options, context) => new MesSink(options, context);

/** What one call may carry; so much is sent again, at most, to a MES that honours no keys when the edge is killed. */
export const CALL_LIMITS: Sink['limits'] = { batchesMax: 16, bytesMax: 128 * 1024 };
/** Measurements of batches under way whose fate is remembered; a batch has half of that at most. */
export const REMEMBERED_MAX = 20_000;
/** Servers take 8 KiB of headers or more. */
const KEYS_BYTES_MAX = 6 * 1024;
/** Longest answer that is kept with a refused measurement, in UTF-16 units. */
const REASON_LENGTH_MAX = 2_000;

/** Only frames with this text hold a measurement: the log's frames are written by `encodeFrame`. */
const MEASUREMENT_MARK = '"kind":"measurement"';

const MAY_PASS: readonly number[] = [408, 425, 429];

interface Item {
  readonly sequence: number;
  readonly index: number;
  readonly key: string;
  readonly machineId: string;
  readonly body: JsonValue;
}

/** Accepted, or refused for good with this reason. */
type Fate = 'accepted' | { readonly reason: string };

class MesSink implements Sink, Checkable {
  readonly limits: Sink['limits'] = CALL_LIMITS;
  readonly window = 1;
  readonly ordered = true;
  readonly #options: MesSinkOptions;
  readonly #context: SinkContext;
  readonly #client: HttpClient;
  /** By key, of calls that have failed and come again. */
  readonly #fates = new Map<string, Fate>();

  constructor(options: MesSinkOptions, context: SinkContext) {
    this.#options = options;
    this.#context = context;
    const { url, headers, tls, connections } = options;
    const json = { 'content-type': 'application/json', ...headers };
    this.#client = new HttpClient({ url, headers: json, tls, connectionsMax: connections }, context.clock);
  }

  async deliver(batches: readonly Batch[], signal: AbortSignal): Promise<Settlement> {
    const refused: Refusal[] = [];
    const items: Item[] = [];
    for (const batch of batches) {
      for (const placed of readingsOfBatch(batch, MEASUREMENT_MARK)) {
        const { index } = placed;
        if ('fault' in placed) refused.push({ sequence: batch.sequence, index, reason: placed.fault });
        else if (this.#isWanted(placed.reading)) items.push(this.#item(batch, index, placed.reading));
      }
    }
    await this.#sendAll(
      items.filter(({ key }) => !this.#fates.has(key)),
      signal,
    );
    for (const { sequence, index, key } of items) {
      const fate = this.#fates.get(key);
      if (fate === undefined) throw new MillwrightError('limit_exceeded', `more than ${REMEMBERED_MAX} measurements`);
      if (fate !== 'accepted') refused.push({ sequence, index, reason: fate.reason });
    }
    for (const { key } of items) this.#fates.delete(key);
    return { refused };
  }

  /** A GET changes nothing there, and most interfaces answer it with 404 or 405: more can be known only by sending. */
  async check(signal: AbortSignal): Promise<string> {
    const { url, path, timeoutMs } = this.#options;
    const answer = await this.#client.send({ method: 'GET', path, headers: {}, body: [], timeoutMs }, signal);
    const { status } = answer;
    if (status === 401 || status === 403) {
      throw new MillwrightError('connection_failed', `${url}${path}: ${reasonOf(answer)}; look at headers and tls`);
    }
    if (status >= 500 && status !== 501) {
      throw new MillwrightError(
        'connection_failed',
        `${url}${path}: ${reasonOf(answer)}; the MES has trouble of its own`,
      );
    }
    return `reached (HTTP ${status} to a GET of ${path}); whether it takes a measurement is known when one is sent`;
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  #isWanted(reading: { readonly kind?: string; readonly machine_id: string }): reading is Measurement {
    if (reading.kind !== 'measurement') return false;
    const { machines, characteristics } = this.#options;
    const { machine_id, characteristic } = reading as Measurement;
    return (machines?.includes(machine_id) ?? true) && (characteristics?.includes(characteristic) ?? true);
  }

  #item({ gatewayId, epoch, sequence }: Batch, index: number, measurement: Measurement): Item {
    const key = `${encodeURIComponent(gatewayId)}/${epoch}/${sequence}/${index}`;
    const { template, length, failAboveC, failVerdicts } = this.#options;
    const body = fill(template, measurement, { gatewayId, idempotencyKey: key, length, failAboveC, failVerdicts });
    return { sequence, index, key, machineId: measurement.machine_id, body };
  }

  /** Rejects when one failed in a way that may pass; what became of the others is remembered. */
  async #sendAll(items: readonly Item[], signal: AbortSignal): Promise<void> {
    const before = this.#fates.size;
    const queues = this.#queues(items);
    const failures: unknown[] = [];
    const work = async (): Promise<void> => {
      for (let queue = queues.shift(); queue !== undefined; queue = queues.shift()) {
        for (const request of this.#requests(queue)) {
          if (failures.length > 0) return;
          try {
            await this.#send(request, signal);
          } catch (error) {
            failures.push(error);
          }
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(queues.length, this.#options.connections) }, work));
    if (failures.length > 0) throw worstOf(failures, this.#fates.size > before);
  }

  /** What must be sent one after the other: of each machine, or, where lists are sent, all. */
  #queues(items: readonly Item[]): Item[][] {
    if (this.#options.listSize > 1) return items.length === 0 ? [] : [[...items]];
    return [...Map.groupBy(items, ({ machineId }) => machineId).values()];
  }

  *#requests(queue: readonly Item[]): Generator<readonly Item[]> {
    let request: Item[] = [];
    let keyBytes = 0;
    for (const item of queue) {
      const isFull = request.length >= this.#options.listSize || keyBytes + item.key.length + 2 > KEYS_BYTES_MAX;
      if (request.length > 0 && isFull) {
        yield request;
        request = [];
        keyBytes = 0;
      }
      request.push(item);
      keyBytes += item.key.length + 2;
    }
    if (request.length > 0) yield request;
  }

  /** Of a list that is refused, each measurement is sent alone, so that only the guilty ones are refused. */
  async #send(items: readonly Item[], signal: AbortSignal): Promise<void> {
    const refusal = await this.#post(items, signal);
    if (refusal === undefined) for (const { key } of items) this.#remember(key, 'accepted');
    else if (items.length === 1) for (const { key } of items) this.#remember(key, refusal);
    else for (const item of items) await this.#send([item], signal);
  }

  /** Undefined when all is accepted. Rejects when it may pass. */
  async #post(items: readonly Item[], signal: AbortSignal): Promise<{ readonly reason: string } | undefined> {
    const { path, timeoutMs, listSize, waitOn } = this.#options;
    const bodies = items.map(({ body }) => body);
    const answer = await this.#client.send(
      {
        method: 'POST',
        path,
        headers: { 'idempotency-key': items.map(({ key }) => key).join(', ') },
        body: [Buffer.from(JSON.stringify(listSize > 1 ? bodies : bodies[0]))],
        timeoutMs,
      },
      signal,
    );
    const { status } = answer;
    if (status >= 200 && status < 300) return undefined;
    const reason = reasonOf(answer);
    if (status < 400) throw new MillwrightError('protocol_violation', reason);
    if (status < 500 && !MAY_PASS.includes(status) && !waitOn.includes(status)) return { reason };
    const waitMs = retryAfterMs(answer, this.#context.clock.nowMicros());
    if (waitMs === undefined) throw new MillwrightError('connection_failed', reason);
    throw new MillwrightError('try_later', reason, { retryAfterMs: waitMs });
  }

  #remember(key: string, fate: Fate): void {
    this.#fates.set(key, fate);
    if (this.#fates.size <= REMEMBERED_MAX) return;
    const [oldest = ''] = this.#fates.keys();
    this.#fates.delete(oldest);
  }
}

/** The one that asks for the longest wait. A programmer's error is told before all others. */
function worstOf(failures: readonly unknown[], hasProgressed: boolean): unknown {
  const own = failures.filter((failure) => failure instanceof MillwrightError);
  if (own.length < failures.length) return failures.find((failure) => !(failure instanceof MillwrightError));
  const [worst] = own.toSorted((a, b) => (b.retryAfterMs ?? 0) - (a.retryAfterMs ?? 0));
  if (worst === undefined) return undefined;
  const { code, message, cause, retryAfterMs } = worst;
  return new MillwrightError(code, message, { cause, retryAfterMs, hasProgressed });
}

/** `HTTP 400: ` and the beginning of what was said. */
function reasonOf({ status, body }: Answer): string {
  const text = body.toString('utf8').replaceAll('\0', '').trim().toWellFormed();
  return `HTTP ${status}${text === '' ? '' : `: ${text}`}`.slice(0, REASON_LENGTH_MAX).toWellFormed();
}

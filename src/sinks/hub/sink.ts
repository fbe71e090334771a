/**
 * The sink `hub`: delivers batches to a hub over HTTP.
 *
 * One request carries several batches; the hub answers 200 when all of it is committed (what it cannot understand is in
 * its own dead letters by then). A status that speaks of the way (408, 425, 429, 5xx, and 401, 403, 404, 405, 407, 415: a
 * wrong token, address, proxy or version) may pass: all is kept and tried again. Any other 4xx in the hub's own words
 * speaks of the content: the batches are then sent one by one, so that only the guilty one is refused. The same status
 * from something else on the way (a proxy answers 400 to plain HTTP on its TLS port) would put a whole log into the
 * dead letters, so it may pass too.
 */
import { MillwrightError } from '../../base/errors.ts';
import { type Answer, HttpClient, type Request, retryAfterMs } from '../../base/http-client.ts';
import { type Batch, BATCHES_MEDIA_TYPE, encodeBatchHeader } from '../../model/batch.ts';
import type { EdgeStatus } from '../../model/status.ts';
import type { Checkable } from '../../ports/checkable.ts';
import type { CreateSink, Settlement, Sink, SinkContext, StatusReporter } from '../../ports/sink.ts';
import type { HubSinkOptions } from './config.ts';

export const create: CreateSink<HubSinkOptions> = (options, context) => new HubSink(options, context);

/**
 * What one request may carry; a single batch that is longer goes alone. Catching up after an outage with requests of
 * 1 MiB left the process 3 MB larger for good.
 */
export const REQUEST_LIMITS: Sink['limits'] = { batchesMax: 64, bytesMax: 256 * 1024 };
/**
 * Requests under way at once; there is a connection for each, and one for the status. The hub stores what comes
 * during one transaction with the next one: with six, a backlog of an hour took an eighth less processor time of edge, hub
 * and database than with three, and the edge's memory was the same.
 */
const REQUESTS_MAX = 6;
const REPORT_TIMEOUT_MS = 5_000;
/** Longest reason that is kept with a refused batch, in UTF-16 units. */
const REASON_LENGTH_MAX = 500;

/** 4xx that say nothing of the batches themselves. */
const MAY_PASS: readonly number[] = [401, 403, 404, 405, 407, 408, 415, 425, 429];

/** All is stored, of which the hub knew so many batches already; or the content is refused. */
type Sent = { readonly known: number } | { readonly reason: string };

class HubSink implements Sink, StatusReporter, Checkable {
  readonly limits: Sink['limits'] = REQUEST_LIMITS;
  readonly window = REQUESTS_MAX;
  readonly #options: HubSinkOptions;
  readonly #context: SinkContext;
  readonly #client: HttpClient;
  readonly #crc32: (bytes: Uint8Array) => number;

  constructor(options: HubSinkOptions, context: SinkContext) {
    this.#options = options;
    this.#context = context;
    const { url, token, tlsCaFile } = options;
    const headers = token === null ? {} : { authorization: `Bearer ${token}` };
    const tls = { caFile: tlsCaFile, certFile: null, keyFile: null };
    this.#client = new HttpClient({ url, headers, tls, connectionsMax: REQUESTS_MAX + 1 }, context.clock);
    this.#crc32 = process.getBuiltinModule('node:zlib').crc32;
  }

  async deliver(batches: readonly Batch[], signal: AbortSignal): Promise<Settlement> {
    const [first] = batches;
    if (first === undefined) return { refused: [] };
    const sent = await this.#send(batches, signal);
    if ('known' in sent) return { refused: [], known: sent.known };
    if (batches.length === 1) return { refused: [{ sequence: first.sequence, reason: sent.reason }], known: 0 };
    const refused: { sequence: number; reason: string }[] = [];
    let known = 0;
    for (const batch of batches) {
      const own = await this.#send([batch], signal);
      if ('known' in own) known += own.known;
      else refused.push({ sequence: batch.sequence, reason: own.reason });
    }
    return { refused, known };
  }

  async report(status: EdgeStatus, signal: AbortSignal): Promise<void> {
    const answer = await this.#client.send(
      {
        method: 'PUT',
        path: `/api/v1/edges/${encodeURIComponent(this.#context.gatewayId)}/status`,
        headers: { 'content-type': 'application/json' },
        body: [Buffer.from(JSON.stringify(status))],
        timeoutMs: Math.min(REPORT_TIMEOUT_MS, this.#options.timeoutMs),
      },
      signal,
    );
    if (answer.status >= 300) throw mayPass(answer, this.#context.clock.nowMicros());
  }

  /** By a request without a batch, which the hub takes as any other and stores nothing of. */
  async check(signal: AbortSignal): Promise<string> {
    const answer = await this.#post({ body: [], headers: {} }, signal);
    if (answer.status === 200) {
      this.#checkStored(answer);
      return 'the hub takes batches';
    }
    const { message } = mayPass(answer, this.#context.clock.nowMicros());
    throw new MillwrightError('connection_failed', `${this.#options.url}: ${message}${adviceFor(answer.status)}`);
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  #post({ body, headers }: Pick<Request, 'body' | 'headers'>, signal: AbortSignal): Promise<Answer> {
    const content = { 'content-type': BATCHES_MEDIA_TYPE, ...headers };
    const { timeoutMs } = this.#options;
    return this.#client.send({ method: 'POST', path: '/api/v1/ingest', headers: content, body, timeoutMs }, signal);
  }

  /** Rejects when it may pass. */
  async #send(batches: readonly Batch[], signal: AbortSignal): Promise<Sent> {
    const first = batches[0];
    const last = batches.at(-1);
    if (first === undefined || last === undefined) return { known: 0 };
    const body: Uint8Array[] = [];
    for (const batch of batches) body.push(encodeBatchHeader(batch, this.#crc32(batch.payload)), batch.payload);
    const key = `${first.gatewayId}/${first.epoch}/${first.sequence}-${last.sequence}`;
    const answer = await this.#post({ body, headers: { 'idempotency-key': encodeURI(key) } }, signal);
    if (answer.status === 200) return this.#checkStored(answer);
    const isOfContent = answer.status >= 400 && answer.status < 500 && !MAY_PASS.includes(answer.status);
    if (isOfContent && hubsSentence(answer) !== undefined) return { reason: reasonOf(answer) };
    throw mayPass(answer, this.#context.clock.nowMicros());
  }

  /** A 200 counts only when it is the hub's own: a captive proxy says 200 to everything. */
  #checkStored(answer: Answer): Sent {
    const { stored, duplicate_batches: known, dead_letters, refused } = fieldsOf(answer);
    if (typeof stored !== 'number' || typeof dead_letters !== 'number') {
      throw new MillwrightError('protocol_violation', `${this.#options.url} answered 200, but not as a hub does`);
    }
    if (dead_letters > 0)
      this.#context.log.warn('the hub has put readings into its dead letters', { dead_letters, refused });
    return { known: typeof known === 'number' ? known : 0 };
  }
}

/** What a person may do about it. */
function adviceFor(status: number): string {
  if (status === 401 || status === 403) return '; look at token, and at the proxy before the hub';
  if (status === 404 || status === 405 || status < 400) return '; look at url: that is no hub, or not its root';
  return '';
}

/** The error for an answer after which all is tried again. */
function mayPass(answer: Answer, nowMicros: number): MillwrightError {
  const waitMs = retryAfterMs(answer, nowMicros);
  const reason = reasonOf(answer);
  if (answer.status < 400) return new MillwrightError('protocol_violation', reason);
  if (waitMs === undefined) return new MillwrightError('connection_failed', reason);
  return new MillwrightError('try_later', reason, { retryAfterMs: waitMs });
}

/** `HTTP 400: ` and the hub's own sentence, or the beginning of whatever was said instead. */
function reasonOf(answer: Answer): string {
  const text = hubsSentence(answer) ?? answer.body.toString('utf8').trim();
  return `HTTP ${answer.status}${text === '' ? '' : `: ${text}`}`.slice(0, REASON_LENGTH_MAX);
}

/** The sentence of an answer that is the hub's own (`ApiError`); undefined for anybody else's. */
function hubsSentence(answer: Answer): string | undefined {
  const { error } = fieldsOf(answer);
  if (typeof error !== 'object' || error === null || !('code' in error) || !('message' in error)) return undefined;
  return typeof error.message === 'string' ? error.message : undefined;
}

function fieldsOf(answer: Answer): { readonly [key: string]: unknown } {
  try {
    const value: unknown = JSON.parse(answer.body.toString('utf8'));
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

/**
 * The sink `influx`: writes readings as points to a historian that takes InfluxDB's line protocol (API of version 2).
 *
 * A point that is written twice is one point, so whatever may have been written is written again without harm: after
 * trouble the whole call, and of a request of which lines are refused, those that are not named. Where the answer names no
 * lines, the request is halved until the guilty ones stand alone.
 *
 * How the edge fares is written beside the readings, every two seconds. It does not go through the log: there it would
 * delay what it tells of. What cannot be written now is kept in memory for a while ({@link StatusMemory}).
 */
import { MillwrightError } from '../../base/errors.ts';
import { type Answer, HttpClient, retryAfterMs } from '../../base/http-client.ts';
import { type Batch, readingsOfBatch } from '../../model/batch.ts';
import type { Reading } from '../../model/reading.ts';
import type { EdgeStatus } from '../../model/status.ts';
import type { Checkable } from '../../ports/checkable.ts';
import type { CreateSink, Refusal, Settlement, Sink, SinkContext, StatusReporter } from '../../ports/sink.ts';
import type { InfluxSinkOptions } from './config.ts';
import { lineOf } from './line.ts';
import { pointOf, statusPoints } from './points.ts';
import { StatusMemory } from './status-memory.ts';

export const create: CreateSink<InfluxSinkOptions> = (options, context) => {
  const sink = new InfluxSink(options, context);
  return options.status ? Object.assign(sink, { report: sink.writeStatus.bind(sink) } satisfies StatusReporter) : sink;
};

/** What one call may carry; it is one request, or two. */
export const CALL_LIMITS: Sink['limits'] = { batchesMax: 64, bytesMax: 256 * 1024 };
/** Lines in a request; InfluxDB advises 5,000. A server that finds it too large is sent fewer. */
export const LINES_MAX = 5_000;
const CALLS_MAX = 3;
/** Moments of the edge's status in a request. */
const MOMENTS_MAX = 100;
const STATUS_TIMEOUT_MS = 5_000;
/** However long the historian asks to wait: as in the delivery of readings. */
const STATUS_WAIT_MS_MAX = 5 * 60_000;
/** Longest answer that is kept with a refused line, in UTF-16 units. */
const REASON_LENGTH_MAX = 1_000;

/** Begins what is JSON, and no proxy's page. */
const OPENING_BRACE = 0x7b;

/** The content is refused: what cannot be parsed, a field of another type, too old for the bucket. */
const OF_CONTENT: readonly number[] = [400, 422];

interface Line {
  readonly sequence: number;
  readonly index: number;
  readonly text: string;
}

interface Work {
  readonly lines: readonly Line[];
  readonly timeoutMs: number;
}

/** Written; or refused as a whole, and which lines are to blame where that is told. */
type Written = 'written' | { readonly reason: string; readonly guilty: ReadonlyMap<number, string> };

class InfluxSink implements Sink, Checkable {
  readonly limits: Sink['limits'] = CALL_LIMITS;
  readonly window = CALLS_MAX;
  readonly #options: InfluxSinkOptions;
  readonly #context: SinkContext;
  readonly #client: HttpClient;
  readonly #path: string;
  /** Halved when the server finds a request too large. */
  #linesMax: number = LINES_MAX;
  readonly #statuses: StatusMemory<readonly Line[]> = new StatusMemory();
  /** Before this the historian wants nothing; the runner knows for itself when to deliver again. */
  #statusFromMs = Number.NEGATIVE_INFINITY;

  constructor(options: InfluxSinkOptions, context: SinkContext) {
    const { url, path, token, tls, org, bucket, compression } = options;
    this.#options = options;
    this.#context = context;
    const headers = {
      'content-type': 'text/plain; charset=utf-8',
      ...(token !== null && { authorization: `Token ${token}` }),
      ...(compression === 'gzip' && { 'content-encoding': 'gzip' }),
    };
    this.#client = new HttpClient({ url, headers, tls, connectionsMax: CALLS_MAX }, context.clock);
    this.#path = `${path}?${new URLSearchParams({ org, bucket, precision: 'ns' }).toString()}`;
  }

  async deliver(batches: readonly Batch[], signal: AbortSignal): Promise<Settlement> {
    const refused: Refusal[] = [];
    const lines: Line[] = [];
    const backlogReadings = this.#context.backlogReadings();
    for (const batch of batches) {
      const { sequence } = batch;
      for (const placed of readingsOfBatch(batch)) {
        const { index } = placed;
        if ('fault' in placed) refused.push({ sequence, index, reason: placed.fault });
        else if (this.#isWanted(placed.reading)) {
          const point = pointOf(placed.reading, backlogReadings);
          const text = point && lineOf(point);
          if (text !== undefined) lines.push({ sequence, index, text });
        }
      }
    }
    await this.#write({ lines, timeoutMs: this.#options.timeoutMs }, refused, signal);
    return { refused };
  }

  /** Rejects when it may pass, and when some of it was refused for good: that is not tried again. */
  async writeStatus(status: EdgeStatus, signal: AbortSignal): Promise<void> {
    const { clock } = this.#context;
    const texts = statusPoints(status).flatMap((point) => lineOf(point) ?? []);
    this.#statuses.add(texts.map((text) => ({ sequence: 0, index: 0, text })));
    if (clock.monotonicMs() < this.#statusFromMs)
      throw new MillwrightError('try_later', 'the historian has asked to wait');
    const refused: Refusal[] = [];
    const timeoutMs = Math.min(STATUS_TIMEOUT_MS, this.#options.timeoutMs);
    for (;;) {
      const moments = this.#statuses.first(MOMENTS_MAX);
      if (moments.length === 0) break;
      await this.#write({ lines: moments.flat(), timeoutMs }, refused, signal);
      this.#statuses.remove(moments.length);
    }
    if (refused[0] !== undefined) throw new MillwrightError('protocol_violation', refused[0].reason);
  }

  /**
   * By a write without a point. Servers look at the token and for the bucket first, and then find nothing to write, which
   * some call a fault: a token that may write need not be able to ask for anything.
   */
  async check(signal: AbortSignal): Promise<string> {
    const { url, org, bucket, timeoutMs } = this.#options;
    const answer = await this.#client.send(
      { method: 'POST', path: this.#path, headers: { 'content-encoding': 'identity' }, body: [], timeoutMs },
      signal,
    );
    const { status } = answer;
    const isTaken = (status >= 200 && status < 300) || (status === 400 && sentenceOf(answer) !== undefined);
    if (isTaken) return `the historian takes writes to ${bucket}`;
    const advice =
      status === 401 || status === 403
        ? `; look at token: it must be allowed to write to ${bucket}`
        : status === 404
          ? `; look at url, path, org (${org}) and bucket (${bucket})`
          : '';
    throw new MillwrightError('connection_failed', `${url}: ${reasonOf(answer)}${advice}`);
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  #isWanted({ kind, machine_id }: Reading): boolean {
    const { machines, samples } = this.#options;
    return (kind === 'measurement' || samples) && (machines?.includes(machine_id) ?? true);
  }

  /** Adds to `refused` what will never be written. Rejects when it may pass. */
  async #write({ lines, timeoutMs }: Work, refused: Refusal[], signal: AbortSignal): Promise<void> {
    const waiting: (readonly Line[])[] = [lines];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (next.length === 0) continue;
      if (next.length > this.#linesMax) {
        waiting.push(next.slice(this.#linesMax), next.slice(0, this.#linesMax));
        continue;
      }
      const written = await this.#post({ lines: next, timeoutMs }, signal);
      if (written === 'written') continue;
      const { reason, guilty } = written;
      const [only] = next;
      if (next.length === 1 && only !== undefined) {
        refused.push({ sequence: only.sequence, index: only.index, reason });
      } else if (guilty.size > 0) {
        for (const [place, why] of guilty) {
          const line = next[place];
          if (line !== undefined) refused.push({ sequence: line.sequence, index: line.index, reason: why });
        }
        waiting.push(next.filter((_, place) => !guilty.has(place)));
      } else {
        const half = Math.ceil(next.length / 2);
        waiting.push(next.slice(half), next.slice(0, half));
      }
    }
  }

  async #post({ lines, timeoutMs }: Work, signal: AbortSignal): Promise<Written> {
    const text = Buffer.from(lines.map((line) => line.text).join('\n'));
    const { gzipSync } = process.getBuiltinModule('node:zlib');
    const body = this.#options.compression === 'gzip' ? gzipSync(text) : text;
    const request = { method: 'POST', path: this.#path, headers: {}, body: [body] } as const;
    const answer = await this.#client.send({ ...request, timeoutMs }, signal);
    const { status } = answer;
    if (status >= 200 && status < 300) return 'written';
    const reason = reasonOf(answer);
    if (status === 413) {
      // The limit stays: the next requests would be too large as well.
      this.#linesMax = Math.max(1, Math.min(this.#linesMax, Math.floor(lines.length / 2)));
      return { reason, guilty: new Map() };
    }
    // One that blames thousands of lines is cut; halved requests are blamed in few words.
    const isOwn = sentenceOf(answer) !== undefined || (answer.isCut && answer.body.at(0) === OPENING_BRACE);
    if (OF_CONTENT.includes(status) && isOwn) return { reason, guilty: guiltyOf(answer, lines.length) };
    if (status < 400) throw new MillwrightError('protocol_violation', reason);
    const waitMs = retryAfterMs(answer, this.#context.clock.nowMicros());
    if (waitMs === undefined) throw new MillwrightError('connection_failed', reason);
    this.#statusFromMs = this.#context.clock.monotonicMs() + Math.min(waitMs, STATUS_WAIT_MS_MAX);
    throw new MillwrightError('try_later', reason, { retryAfterMs: waitMs });
  }
}

/** Of a historian's own words: InfluxDB 2 says `message`, 1 and 3 say `error`. A proxy's 400 has neither. */
function sentenceOf(answer: Answer): string | undefined {
  const { message, error } = fieldsOf(answer);
  if (typeof message === 'string') return message;
  return typeof error === 'string' ? error : undefined;
}

/** Which of so many lines the answer blames, from 0, and what for, as InfluxDB 3 tells: `data: [{line_number, error_message}]`. */
function guiltyOf(answer: Answer, lines: number): Map<number, string> {
  const guilty = new Map<number, string>();
  const { data } = fieldsOf(answer);
  if (!Array.isArray(data)) return guilty;
  for (const one of data as unknown[]) {
    if (typeof one !== 'object' || one === null || !('line_number' in one)) continue;
    const { line_number: number, error_message: why } = one as { line_number: unknown; error_message?: unknown };
    if (!Number.isInteger(number) || Number(number) < 1 || Number(number) > lines) continue;
    guilty.set(Number(number) - 1, `HTTP ${answer.status}: ${String(why)}`.slice(0, REASON_LENGTH_MAX));
  }
  return guilty;
}

function reasonOf(answer: Answer): string {
  const text = sentenceOf(answer) ?? answer.body.toString('utf8').trim();
  return `HTTP ${answer.status}${text === '' ? '' : `: ${text}`}`.slice(0, REASON_LENGTH_MAX).toWellFormed();
}

function fieldsOf(answer: Answer): { readonly [key: string]: unknown } {
  try {
    const value: unknown = JSON.parse(answer.body.toString('utf8'));
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

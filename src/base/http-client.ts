/**
 * A small HTTP client over kept-alive connections, with a limit on the time of a whole request and on the answer's
 * length. Takes the built-in module without importing it: the import would load nine megabytes that are not used here.
 */
import type { Agent, ClientRequest, IncomingMessage, RequestOptions } from 'node:http';
import type { Clock } from './clock.ts';
import { MillwrightError, messageOf } from './errors.ts';
import { readNamedFile } from './named-file.ts';

/** So much of an answer is read; what it means stands in its status, or at its beginning. */
export const ANSWER_BYTES_MAX: number = 64 * 1024;

export interface HttpClientOptions {
  readonly url: string;
  /** Of every request; names in small letters. */
  readonly headers: { readonly [name: string]: string };
  /** Connections at a time. */
  readonly connectionsMax: number;
  /** PEM files; they are read when the first connection is opened. */
  readonly tls: {
    /** Of the authority that signed the server's certificate; null: those that Node knows. */
    readonly caFile: string | null;
    /** Our own certificate and its key, for a server that asks for one. */
    readonly certFile: string | null;
    readonly keyFile: string | null;
  };
}

export interface Request {
  readonly method: 'GET' | 'POST' | 'PUT';
  /** Is put behind the path of the options' url. */
  readonly path: string;
  readonly headers: { readonly [name: string]: string };
  readonly body: readonly Uint8Array[];
  /** Of the whole answer; of an answer that is read piece by piece, until it begins. */
  readonly timeoutMs: number;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  /** At most {@link ANSWER_BYTES_MAX} of it. */
  readonly body: Buffer;
  /** It was longer, and its rest was not read. */
  readonly isCut: boolean;
}

/** An answer whose body is still to come, perhaps for as long as the server runs. */
export interface OpenAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  /** While it is not read the server is made to wait. @throws connection_failed when it breaks off */
  readonly body: AsyncIterable<Buffer>;
  /** Ends it, and with it the connection; whoever reads the body is told `connection_failed`. */
  close(): void;
}

/** The connection was closed by the far end while it was idle: the request can be sent again at once. */
class StaleConnection extends Error {}

export class HttpClient {
  readonly #options: HttpClientOptions;
  readonly #clock: Clock;
  readonly #url: URL;
  #agent: Agent | undefined;

  constructor(options: HttpClientOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#url = new URL(options.url);
  }

  /**
   * @throws MillwrightError `connection_failed` for all trouble on the way, also with what a file of certificates holds,
   * `storage_failed` when one cannot be read
   */
  send(request: Request, signal: AbortSignal): Promise<Answer> {
    return this.#request(request, readAnswer, signal);
  }

  /**
   * For an answer that is too long to be kept whole, or that does not end.
   * @throws MillwrightError as {@link send} does
   */
  open(request: Request, signal: AbortSignal): Promise<OpenAnswer> {
    return this.#request(request, async (incoming) => openAnswer(incoming), signal);
  }

  close(): void {
    this.#agent?.destroy();
    this.#agent = undefined;
  }

  async #request<Result>(request: Request, read: ReadIncoming<Result>, signal: AbortSignal): Promise<Result> {
    for (;;) {
      try {
        return await this.#sendOnce(request, read, signal);
      } catch (error) {
        if (!(error instanceof StaleConnection)) throw error;
      }
    }
  }

  #sendOnce<Result>(request: Request, read: ReadIncoming<Result>, signal: AbortSignal): Promise<Result> {
    const { method, path, timeoutMs, body } = request;
    const where = this.#options.url;
    const agent = (this.#agent ??= this.#openAgent());
    const { request: open } = this.#isTls()
      ? process.getBuiltinModule('node:https')
      : process.getBuiltinModule('node:http');
    const options: RequestOptions = {
      protocol: this.#url.protocol,
      hostname: this.#url.hostname.replace(/^\[|\]$/g, ''),
      port: this.#url.port,
      path: this.#url.pathname.replace(/\/+$/, '') + path,
      method,
      agent,
      headers: this.#headers(request),
    };
    let outgoing: ClientRequest;
    try {
      outgoing = open(options);
    } catch (cause) {
      // A key that is no key, or that does not belong to its certificate. It may be another one next time.
      this.close();
      throw new MillwrightError('connection_failed', `${where} cannot be reached`, { cause });
    }
    const ended = new AbortController();
    const answered = new Promise<Result>((resolve, reject) => {
      outgoing.on('response', (incoming) => void read(incoming).then(resolve, reject));
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        const isStale = outgoing.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
        if (isStale && !ended.signal.aborted) reject(new StaleConnection());
        else reject(new MillwrightError('connection_failed', `${where} cannot be reached`, { cause: error }));
      });
      const stop = (reason: string): void => {
        if (ended.signal.aborted) return;
        reject(new MillwrightError('connection_failed', reason));
        outgoing.destroy();
      };
      signal.addEventListener('abort', () => stop('the request was stopped'), { signal: ended.signal });
      if (signal.aborted) stop('the request was stopped');
      void this.#clock.sleep(timeoutMs, ended.signal).then(() => stop(`${where} gave no answer in ${timeoutMs} ms`));
    });
    outgoing.cork();
    for (const part of body) outgoing.write(part);
    outgoing.uncork();
    outgoing.end();
    return answered.finally(() => ended.abort());
  }

  #headers(request: Request): { [name: string]: string | number } {
    return {
      accept: 'application/json',
      ...this.#options.headers,
      ...request.headers,
      ...(request.method !== 'GET' && {
        'content-length': request.body.reduce((bytes, part) => bytes + part.length, 0),
      }),
    };
  }

  #isTls(): boolean {
    return this.#url.protocol === 'https:';
  }

  #openAgent(): Agent {
    const { connectionsMax, tls } = this.#options;
    const common = { keepAlive: true, maxSockets: connectionsMax };
    if (!this.#isTls()) return new (process.getBuiltinModule('node:http').Agent)(common);
    const { Agent } = process.getBuiltinModule('node:https');
    return new Agent({
      ...common,
      ...(tls.caFile !== null && { ca: readPem(tls.caFile) }),
      ...(tls.certFile !== null && { cert: readPem(tls.certFile) }),
      ...(tls.keyFile !== null && { key: readPem(tls.keyFile) }),
    });
  }
}

/** The wait in milliseconds that an answer asks for by Retry-After: seconds, or an HTTP date (RFC 9110, 10.2.3). */
export function retryAfterMs({ headers }: Pick<Answer, 'headers'>, nowMicros: number): number | undefined {
  const header = headers['retry-after'];
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1000;
  // A date begins with the name of its day; `Date.parse` would take "-5" for one too.
  if (!/^[A-Z]/i.test(header)) return undefined;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMicros / 1000);
}

function readPem(file: string): Buffer {
  try {
    return readNamedFile(file);
  } catch (cause) {
    throw new MillwrightError('storage_failed', `the certificate file ${file} cannot be read`, { cause });
  }
}

type ReadIncoming<Result> = (incoming: IncomingMessage) => Promise<Result>;

function openAnswer(incoming: IncomingMessage): OpenAnswer {
  return {
    status: incoming.statusCode ?? 0,
    headers: incoming.headers,
    body: piecesOf(incoming),
    close: () => incoming.destroy(),
  };
}

async function* piecesOf(incoming: IncomingMessage): AsyncGenerator<Buffer> {
  try {
    for await (const piece of incoming) if (Buffer.isBuffer(piece)) yield piece;
  } catch (cause) {
    throw new MillwrightError('connection_failed', `the answer broke off: ${messageOf(cause)}`, { cause });
  }
}

async function readAnswer(incoming: IncomingMessage): Promise<Answer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const part of incoming) {
      if (!Buffer.isBuffer(part)) continue;
      parts.push(part.subarray(0, ANSWER_BYTES_MAX - bytes));
      bytes += part.length;
      if (bytes > ANSWER_BYTES_MAX) break;
    }
  } catch (cause) {
    throw new MillwrightError('connection_failed', `the answer broke off: ${messageOf(cause)}`, { cause });
  }
  const { statusCode: status = 0, headers } = incoming;
  return { status, headers, body: Buffer.concat(parts), isCut: bytes > ANSWER_BYTES_MAX };
}

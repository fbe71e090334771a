/** The hub's HTTP API, as a program outside asks it: kept-alive connections, errors by kind. */
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { MillwrightError, messageOf } from '../base/errors.ts';

export interface HubAddress {
  /** Without /api; may have a path of a proxy. */
  readonly url: string;
  /** The value of the header `Authorization`. */
  readonly authorization: string | null;
  /** PEM texts. */
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string };
}

export interface HttpRequest {
  readonly method?: 'GET' | 'POST';
  /** Behind the address, such as `/api/v1/machines`. */
  readonly path: string;
  readonly headers?: { readonly [name: string]: string };
  readonly body?: readonly Uint8Array[];
}

/** Without a byte for so long, a request is given up. */
const SILENT_MS_MAX = 60_000;
/** Longest answer that is read as a whole. */
const ANSWER_BYTES_MAX: number = 256 * 1024 * 1024;
const SECOND_MS = 1000;

/**
 * All calls throw: `connection_failed` when the hub cannot be reached or breaks off, `try_later` for 429, 502, 503 and 504,
 * `not_found` for 404, `bad_request` for what else it refuses, with its own words.
 */
export class HubClient {
  readonly url: string;
  readonly #address: HubAddress;
  readonly #base: URL;
  readonly #agent: http.Agent;

  constructor(address: HubAddress, connectionsMax: number) {
    this.#address = address;
    this.#base = new URL(address.url);
    // What is told to a person shows no password.
    this.url = this.#base.origin + this.#base.pathname.replace(/\/+$/, '');
    const options = { keepAlive: true, maxSockets: connectionsMax };
    this.#agent =
      this.#base.protocol === 'https:' ? new https.Agent({ ...options, ...address.tls }) : new http.Agent(options);
  }

  async json<Answer>(request: HttpRequest, signal?: AbortSignal): Promise<Answer> {
    const response = await this.open(request, signal);
    const text = await wholeText(response);
    try {
      return JSON.parse(text) as Answer;
    } catch (cause) {
      throw new MillwrightError('protocol_violation', `${this.url}${request.path} answers what is not JSON`, { cause });
    }
  }

  /** An answer with a status of success; its body is for the caller to read, or to destroy. */
  async open(request: HttpRequest, signal?: AbortSignal): Promise<IncomingMessage> {
    const response = await this.#send(request, signal);
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300) return response;
    throw this.#refusal(request, status, response.headers['retry-after'], await wholeText(response));
  }

  close(): void {
    this.#agent.destroy();
  }

  #send(
    { method = 'GET', path, headers = {}, body = [] }: HttpRequest,
    signal?: AbortSignal,
  ): Promise<IncomingMessage> {
    const { authorization } = this.#address;
    const { request: open } = this.#base.protocol === 'https:' ? https : http;
    return new Promise((resolve, reject) => {
      const outgoing = open({
        protocol: this.#base.protocol,
        hostname: this.#base.hostname.replace(/^\[|\]$/g, ''),
        port: this.#base.port,
        path: this.#base.pathname.replace(/\/+$/, '') + path,
        method,
        agent: this.#agent,
        timeout: SILENT_MS_MAX,
        headers: {
          accept: 'application/json',
          ...headers,
          ...(method === 'POST' && { 'content-length': body.reduce((bytes, part) => bytes + part.length, 0) }),
          ...(authorization !== null && { authorization }),
        },
        ...(signal !== undefined && { signal }),
      });
      outgoing.once('response', resolve);
      outgoing.once('timeout', () => outgoing.destroy(new Error(`no answer in ${SILENT_MS_MAX / SECOND_MS} s`)));
      outgoing.on('error', (cause) => {
        reject(new MillwrightError('connection_failed', `${this.url} cannot be reached`, { cause }));
      });
      outgoing.cork();
      for (const part of body) outgoing.write(part);
      outgoing.end();
      outgoing.uncork();
    });
  }

  #refusal({ path }: HttpRequest, status: number, retryAfter: string | undefined, text: string): MillwrightError {
    const message = `${this.url}${path.split('?')[0]} answers ${status}: ${toldError(text)}`;
    if ([429, 502, 503, 504].includes(status)) {
      return new MillwrightError('try_later', message, { retryAfterMs: SECOND_MS * (Number(retryAfter) || 0) });
    }
    return new MillwrightError(status === 404 ? 'not_found' : 'bad_request', message);
  }
}

async function wholeText(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const part of response as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (bytes > ANSWER_BYTES_MAX) throw new MillwrightError('limit_exceeded', 'an answer of more than 256 MB');
      parts.push(part);
    }
  } catch (cause) {
    if (cause instanceof MillwrightError) throw cause;
    throw new MillwrightError('connection_failed', `the answer broke off: ${messageOf(cause)}`, { cause });
  }
  return Buffer.concat(parts).toString('utf8');
}

/** The hub's own sentence; of another server, the beginning of what it says. */
function toldError(text: string): string {
  try {
    const { error } = JSON.parse(text) as { error?: { message?: string } };
    if (typeof error?.message === 'string') return error.message;
  } catch {
    // It is no answer of a hub.
  }
  return text.trim().slice(0, 200) || 'nothing more';
}

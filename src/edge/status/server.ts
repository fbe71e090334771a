/**
 * The edge's own small web server, for the people and the monitoring beside the machine:
 * `/` and `/status` (a page for who prefers HTML, else JSON), `/status.json`, `/healthz` (200 or 503 and a sentence),
 * `/metrics` (Prometheus text).
 *
 * Takes the built-in module without importing it: the import would load nine megabytes that are not used here.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { MillwrightError, messageOf } from '../../base/errors.ts';
import { type Metric, PROMETHEUS_MEDIA_TYPE, prometheusText } from '../../base/prometheus.ts';
import type { EdgeStatus } from '../../model/status.ts';

/** Whoever asks, asks at once: no long requests, few of them. */
const REQUEST_TIMEOUT_MS = 5_000;
const CONNECTIONS_MAX = 32;

export interface StatusSource {
  status(): EdgeStatus;
  /** Why the edge is not healthy, as a sentence; undefined when it is. */
  unhealthyReason(): string | undefined;
  metrics(): readonly Metric[];
}

export class StatusServer {
  readonly #source: StatusSource;
  #server: Server | undefined;

  constructor(source: StatusSource) {
    this.#source = source;
  }

  /** Resolves to the port, which is chosen when 0 is asked for. @throws MillwrightError `port_unavailable` */
  async listen(host: string, port: number): Promise<number> {
    const server = process
      .getBuiltinModule('node:http')
      .createServer((request, response) => this.#answer(request, response));
    server.requestTimeout = REQUEST_TIMEOUT_MS;
    server.maxConnections = CONNECTIONS_MAX;
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause: NodeJS.ErrnoException) => {
        const why = cause.code === 'EADDRINUSE' ? 'another program uses it' : cause.message;
        reject(new MillwrightError('port_unavailable', `the status page cannot use ${host}:${port}: ${why}`));
      });
      server.listen(port, host, resolve);
    });
    return portOf(server.address());
  }

  async close(): Promise<void> {
    const server = this.#server;
    if (server?.listening !== true) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    request.resume();
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      return say(response, 405, 'text/plain', 'Only GET is answered here.\n');
    }
    switch (request.url?.split('?')[0]) {
      case '/':
        return void this.#sayLater(response, () => this.#sayPage(response));
      case '/status':
        response.setHeader('vary', 'accept');
        if (prefersPage(request.headers.accept)) {
          return void this.#sayLater(response, () => this.#sayPage(response));
        }
        return say(response, 200, 'application/json', JSON.stringify(this.#source.status()));
      case '/status.json':
        return say(response, 200, 'application/json', JSON.stringify(this.#source.status()));
      case '/status.js':
        return void this.#sayLater(response, () => this.#sayScript(response));
      case '/healthz': {
        const reason = this.#source.unhealthyReason();
        return say(response, reason === undefined ? 200 : 503, 'text/plain', `${reason ?? 'healthy'}\n`);
      }
      case '/metrics':
        return say(response, 200, PROMETHEUS_MEDIA_TYPE, prometheusText(this.#source.metrics()));
      default:
        return say(response, 404, 'text/plain', 'There are /status, /status.json, /healthz and /metrics here.\n');
    }
  }

  /** What goes wrong with a page is no reason for the edge to fall. */
  async #sayLater(response: ServerResponse, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!response.headersSent) say(response, 500, 'text/plain', `The page cannot be shown: ${messageOf(error)}\n`);
    }
  }

  async #sayPage(response: ServerResponse): Promise<void> {
    const { PAGE_POLICY, statusPage } = await import('./page.ts');
    response.setHeader('content-security-policy', PAGE_POLICY);
    response.setHeader('x-content-type-options', 'nosniff');
    say(response, 200, 'text/html; charset=utf-8', statusPage(this.#source.status(), this.#source.unhealthyReason()));
  }

  async #sayScript(response: ServerResponse): Promise<void> {
    const { REFRESH_SCRIPT } = await import('./page.ts');
    say(response, 200, 'text/javascript; charset=utf-8', REFRESH_SCRIPT);
  }
}

/** Browsers name HTML; what is not one of them names JSON, or anything, and is given what it was always given. */
function prefersPage(accept: string | undefined): boolean {
  const weights = new Map<string, number>();
  for (const range of (accept ?? '').split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const weight = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? '1';
    weights.set(type, Number(weight));
  }
  return (weights.get('text/html') ?? 0) > (weights.get('application/json') ?? 0);
}

function say(response: ServerResponse, status: number, type: string, text: string): void {
  const body = Buffer.from(text);
  response.writeHead(status, { 'content-type': type, 'content-length': body.length, 'cache-control': 'no-store' });
  response.end(body);
}

function portOf(address: AddressInfo | string | null): number {
  return typeof address === 'object' && address !== null ? address.port : 0;
}

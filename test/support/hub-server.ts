/** For tests: a hub in this process, on a free port, until the test file ends. */
import http from 'node:http';
import { after } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { seededRandom } from '../../src/base/random.ts';
import { runHub } from '../../src/hub/hub.ts';
import { type DatabaseSettings, DEFAULT_STORE, type NatsSettings } from '../../src/hub/settings.ts';

export interface TestHub {
  readonly url: string;
  readonly stop: () => Promise<void>;
}

export async function startHub(
  database: DatabaseSettings,
  { pagesFolder = null, nats = null }: { pagesFolder?: string | null; nats?: NatsSettings | null } = {},
): Promise<TestHub> {
  const settings = {
    server: { host: '127.0.0.1', port: 0 },
    database,
    store: DEFAULT_STORE,
    nats,
    timeZone: 'Europe/Berlin',
    logLevel: 'error',
    pagesFolder,
  } as const;
  const stopping = new AbortController();
  const parts = { version: '0.0.0', clock: systemClock, random: seededRandom(7), log: silentLogger };
  let running: Promise<void> = Promise.resolve();
  const port = await new Promise<number>((resolve, reject) => {
    running = runHub(settings, { ...parts, serving: (address) => resolve(address.port) }, stopping.signal);
    running.catch(reject);
  });
  const stop = async (): Promise<void> => {
    stopping.abort();
    await running;
  };
  after(stop);
  return { url: `http://127.0.0.1:${port}`, stop };
}

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
  /** Of a body that is JSON. */
  readonly json: unknown;
}

export interface Asked {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Uint8Array;
}

/** One request; the body is sent as JSON unless a content-type is given. */
export function ask(url: string, { method = 'GET', headers = {}, body }: Asked = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const type = body === undefined ? {} : { 'content-type': 'application/json' };
    const request = http.request(url, { method, headers: { ...type, ...headers } });
    request.once('error', reject);
    request.once('response', (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.once('error', reject);
      response.once('end', () => {
        const text = Buffer.concat(pieces).toString();
        const isJson = response.headers['content-type']?.startsWith('application/json') === true;
        const json: unknown = isJson ? JSON.parse(text) : undefined;
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json });
      });
    });
    request.end(body);
  });
}

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { EdgeStatus } from '../../model/status.ts';
import { StatusServer } from './server.ts';

const STATUS: EdgeStatus = {
  gateway_id: 'gw',
  location: null,
  version: '1',
  state: 'online',
  started_at: '2026-01-01T08:00:00.000000Z',
  sent_at: '2026-01-01T08:00:01.000000Z',
  memory_bytes: 1,
  readings_per_second: 1,
  losses: 0,
  sources: [],
  log: {
    epoch: 'e',
    first_sequence: 1,
    last_sequence: 1,
    bytes: 1,
    segments: 1,
    quarantined_batches: 0,
    bytes_max: 1,
    bytes_possible: null,
    readings_thinned: 0,
    readings_dropped: 0,
    syncs: 0,
    bytes_appended: 1,
    bytes_written: 1,
    last_error: null,
  },
  sinks: [],
};

async function open(context: TestContext, unhealthy?: string): Promise<string> {
  const server = new StatusServer({
    status: () => STATUS,
    unhealthyReason: () => unhealthy,
    metrics: () => [{ name: 'a_total', help: 'A.', type: 'counter', points: [{ value: 1 }] }],
  });
  const port = await server.listen('127.0.0.1', 0);
  context.after(() => server.close());
  return `http://127.0.0.1:${port}`;
}

test('status, metrics and health are answered', async (context) => {
  const url = await open(context);
  assert.deepEqual(await (await fetch(`${url}/status?x=1`)).json(), STATUS);
  const metrics = await fetch(`${url}/metrics`);
  assert.match(metrics.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  assert.match(await metrics.text(), /^a_total 1$/m);
  const health = await fetch(`${url}/healthz`);
  assert.equal(health.status, 200);
  assert.equal(await health.text(), 'healthy\n');
});

test('who prefers HTML is given a page, and everybody else what there always was', async (context) => {
  const url = await open(context);
  const typeFor = async (accept: string, path = '/status'): Promise<string | null> => {
    return (await fetch(url + path, { headers: { accept } })).headers.get('content-type');
  };
  const browser = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';
  const json = 'application/json';
  const html = 'text/html; charset=utf-8';
  assert.equal(await typeFor(browser), html);
  assert.equal(await typeFor('*/*', '/'), html);
  for (const accept of ['*/*', json, `${json}, text/html;q=0.5`, 'text/html;q=0', 'nonsense;q=;;,']) {
    assert.equal(await typeFor(accept), json, accept);
  }
  assert.equal(await typeFor(browser, '/status.json'), json);
  const page = await fetch(url, { headers: { accept: browser } });
  assert.match(page.headers.get('content-security-policy') ?? '', /^default-src 'none'; /);
  assert.match(await page.text(), /<title>gw: online<\/title>/);
  assert.match(await (await fetch(`${url}/status.js`)).text(), /^'use strict';/);
});

test('a page that cannot be made does not take the edge with it', async (context) => {
  const status = (): never => {
    throw new TypeError('x is undefined');
  };
  const server = new StatusServer({ status, unhealthyReason: () => undefined, metrics: () => [] });
  const port = await server.listen('127.0.0.1', 0);
  context.after(() => server.close());
  assert.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 500);
  assert.equal((await fetch(`http://127.0.0.1:${port}/healthz`)).status, 200);
});

test('what is not healthy says why', async (context) => {
  const health = await fetch(`${await open(context, 'The log cannot be written: no space left')}/healthz`);
  assert.equal(health.status, 503);
  assert.equal(await health.text(), 'The log cannot be written: no space left\n');
});

test('other paths and methods are refused', async (context) => {
  const url = await open(context);
  assert.equal((await fetch(`${url}/nothing`)).status, 404);
  const posted = await fetch(`${url}/status`, { method: 'POST', body: 'x' });
  assert.equal(posted.status, 405);
  assert.equal(posted.headers.get('allow'), 'GET, HEAD');
});

test('a port that is taken is told with its number', async (context) => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  context.after(() => other.close());
  const { port } = other.address() as AddressInfo;
  const server = new StatusServer({ status: () => STATUS, unhealthyReason: () => undefined, metrics: () => [] });
  await assert.rejects(server.listen('127.0.0.1', port), {
    code: 'port_unavailable',
    message: `the status page cannot use 127.0.0.1:${port}: another program uses it`,
  });
  await server.close();
});

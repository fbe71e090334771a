import assert from 'node:assert/strict';
import http from 'node:http';
import { after, test } from 'node:test';
import type { LiveMessages, MachineNow } from '../../model/api.ts';
import { now, systemClock } from '../../base/clock.ts';
import { select, startTestServer } from '../testing/database.ts';
import { ask, startHub } from '../testing/hub.ts';

const server = await startTestServer();
const settings = await server.database();
const hub = await startHub(settings);

interface Client {
  /** The next message of that name that fits; fails with the test's own timeout. */
  next<Name extends keyof LiveMessages>(
    name: Name,
    fits?: (data: LiveMessages[Name]) => boolean,
  ): Promise<LiveMessages[Name]>;
  readonly names: string[];
  readonly ended: Promise<void>;
  close(): void;
}

async function listen(query = ''): Promise<Client> {
  const response = await new Promise<http.IncomingMessage>((resolve) => {
    http.get(`${hub.url}/api/v1/live${query}`, resolve);
  });
  assert.equal(response.headers['content-type'], 'text/event-stream; charset=utf-8');
  assert.equal(response.headers['cache-control'], 'no-store');
  const names: string[] = [];
  const waiting = new Set<(name: string, data: unknown) => void>();
  let rest = '';
  response.setEncoding('utf8').on('data', (piece: string) => {
    const messages = (rest + piece).split('\n\n');
    rest = messages.pop() ?? '';
    for (const message of messages) {
      const [, name = '', data = ''] = /^event: (\w+)\ndata: (.*)$/s.exec(message) ?? [];
      names.push(name);
      for (const check of [...waiting]) check(name, JSON.parse(data));
    }
  });
  const ended = new Promise<void>((resolve) => {
    response.on('error', () => {});
    response.once('close', resolve);
  });
  const close = (): void => void response.destroy();
  after(close);
  const next: Client['next'] = (name, fits = () => true) => {
    return new Promise((resolve) => {
      const check = (found: string, data: unknown): void => {
        if (found !== name || !fits(data as Parameters<typeof fits>[0])) return;
        waiting.delete(check);
        resolve(data as Parameters<typeof fits>[0]);
      };
      waiting.add(check);
    });
  };
  return { next, names, ended, close };
}

const ingest = (...readings: object[]): Promise<unknown> => {
  return ask(`${hub.url}/api/v1/ingest`, { method: 'POST', body: JSON.stringify(readings) });
};
const sample = (machine_id: string, fields: object): object => ({ machine_id, timestamp: now(systemClock), ...fields });

test('hello first; then what changes, the readings of the machine asked for, events, and a sign of life', {
  timeout: 20_000,
}, async () => {
  await ingest(sample('L1', { temperature: 1 }));
  const client = await listen('?machine=L2');
  const hello = await client.next('hello');
  assert.deepEqual(
    hello.machines.map(({ id }) => id),
    ['L1'],
  );
  assert.equal(hello.status.database, 'ok');

  const changed = client.next('machines');
  const readings = client.next('readings');
  const events = client.next('events');
  const alarm = { ...sample('L1', { event_type: 'message', text: 'door open' }), kind: 'event' };
  const sent = [sample('L2', { temperature: 1, coolant: 'on' }), sample('L2', { temperature: 2 })];
  await ingest(...sent, sample('L1', { temperature: 5 }), alarm);
  assert.deepEqual(
    (await changed).map(({ id, values }) => [id, values['temperature']?.value]),
    [
      ['L1', 5],
      ['L2', 2],
    ],
  );
  assert.deepEqual(await readings, sent);
  assert.deepEqual(
    (await events).map(({ machine_id, text }) => [machine_id, text]),
    [['L1', 'door open']],
  );
  await client.next('status');
  await client.next('edges');
  assert.equal(client.names[0], 'hello');
  client.close();
});

test('a machine that changes a hundred times a second is told at most four times', { timeout: 20_000 }, async () => {
  const client = await listen();
  await client.next('hello');
  const started = performance.now();
  let last: readonly MachineNow[] = [];
  const done = client.next('machines', (machines) => {
    last = machines;
    return machines.some(({ values }) => values['temperature']?.value === 100);
  });
  for (let step = 1; step <= 100; step += 1) await ingest(sample('FAST', { temperature: step }));
  await done;
  const seconds = (performance.now() - started) / 1000;
  const told = client.names.filter((name) => name === 'machines').length;
  assert.ok(told <= seconds * 4 + 1, `${told} messages in ${seconds} s`);
  assert.equal(last.length, 1);
  client.close();
});

test('a client that does not read costs no memory and is let go', { timeout: 60_000 }, async () => {
  const slow = await new Promise<http.IncomingMessage>((resolve) => {
    http.get(`${hub.url}/api/v1/live?machine=SLOW`, resolve);
  });
  slow.pause();
  slow.on('error', () => {});
  const closed = new Promise<void>((resolve) => slow.once('close', resolve));
  const text = 'x'.repeat(4_000);
  let gone = false;
  void closed.then(() => {
    gone = true;
  });
  const before = process.memoryUsage.rss();
  const clients = async (): Promise<string> =>
    (await ask(`${hub.url}/metrics`)).text.match(/live_clients (\d+)/)?.[1] ?? '';
  while ((await clients()) !== '1') await systemClock.sleep(20);
  while (!gone && (await clients()) === '1')
    await ingest(...Array.from({ length: 100 }, () => sample('SLOW', { text })));
  assert.ok(process.memoryUsage.rss() - before < 150e6);
  slow.destroy();
});

test('the stream outlives the database, and says that it is away', { timeout: 30_000 }, async () => {
  const client = await listen();
  await client.next('hello');
  const other = { ...settings, dbname: 'postgres' };
  await select(other, `alter database ${settings.dbname} with allow_connections false`);
  await select(other, `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${settings.dbname}'`);
  const failing = await client.next('status', ({ database }) => database === 'failing');
  assert.match(failing.database_error ?? '', /not currently accepting connections/);
  assert.equal((await ask(`${hub.url}/healthz`)).status, 503);
  await select(other, `alter database ${settings.dbname} with allow_connections true`);
  const stored = ingest(sample('L1', { temperature: 9 }));
  const back = client.next('machines', (machines) => machines.some(({ values }) => values['temperature']?.value === 9));
  await stored;
  await back;
  const stopped = hub.stop();
  await client.ended;
  await stopped;
});

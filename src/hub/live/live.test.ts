import assert from 'node:assert/strict';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import { silentLogger } from '../../base/logger.ts';
import type { HubStatus, LiveMessages, MachineNow } from '../../model/api.ts';
import type { MachineEvent, Sample } from '../../model/reading.ts';
import { now, systemClock } from '../../base/clock.ts';
import { select, startTestServer } from '../../../test/support/hub-database.ts';
import { createReadPool } from '../store/connection.ts';
import { Reader } from '../store/reader.ts';
import { LiveBus } from './bus.ts';
import { LIVE_LIMITS, LiveStream } from './live-stream.ts';
import { ask, startHub } from '../../../test/support/hub-server.ts';

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
      for (const check of waiting) check(name, JSON.parse(data));
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
  await Promise.all([client.next('status'), client.next('edges')]);
  assert.equal(client.names[0], 'hello');
  client.close();
});

test('a machine that changes a hundred times a second is told at most four times', { timeout: 60_000 }, async () => {
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

test('a client that does not read is sent nothing more, and is let go', { timeout: 60_000 }, async (t) => {
  const pool = createReadPool(settings, silentLogger);
  t.after(() => pool.end());
  const bus = new LiveBus();
  const health = (await ask(`${hub.url}/api/v1/status`)).json as HubStatus;
  const parts = { bus, reader: new Reader(pool), hubStatus: () => Promise.resolve(health), clock: systemClock };
  const limits = { ...LIVE_LIMITS, sendIntervalMs: 5, unsentBytesMax: 100_000, stalledMsMax: 300 };
  let unsentMax = 0;
  const ended = new AbortController();
  const running: Promise<void>[] = [];
  const slowServer = http.createServer((_, response) => {
    const stream = new LiveStream(parts, response, 'SLOW', limits).run(new AbortController().signal);
    running.push(
      (async () => {
        await stream;
        ended.abort();
      })(),
    );
    const flood = async (): Promise<void> => {
      for (let step = 0; !ended.signal.aborted; step += 1) {
        const sample = { machine_id: 'SLOW', timestamp: now(systemClock), text: 'x'.repeat(1_000), step };
        bus.publish({ machines: [], samples: Array.from({ length: 50 }, () => sample), events: [] });
        unsentMax = Math.max(unsentMax, response.writableLength);
        await systemClock.sleep(1);
      }
    };
    running.push(flood());
  });
  await new Promise<void>((resolve) => slowServer.listen(0, '127.0.0.1', resolve));
  t.after(() => slowServer.close());
  const { port } = slowServer.address() as AddressInfo;
  const slow = net.connect(port, '127.0.0.1');
  slow.on('error', () => {});
  slow.pause();
  slow.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  while (!ended.signal.aborted) await systemClock.sleep(10);
  await Promise.all(running);
  // What is sent at once is at most the newest 500 readings of 1 kB.
  assert.ok(unsentMax > 100_000 && unsentMax < 100_000 + 500 * 1_200, `${unsentMax} bytes`);
  assert.equal(bus.subscribers, 0);
  slow.destroy();
});

test('while a backlog arrives the newest readings and events are told, not those that arrived last', {
  timeout: 20_000,
}, async (t) => {
  const pool = createReadPool(settings, silentLogger);
  t.after(() => pool.end());
  const bus = new LiveBus();
  const health = (await ask(`${hub.url}/api/v1/status`)).json as HubStatus;
  const parts = { bus, reader: new Reader(pool), hubStatus: () => Promise.resolve(health), clock: systemClock };
  const streaming = new AbortController();
  const told: { readings?: { timestamp: string }[]; events?: { time: string }[] } = {};
  const response = new http.ServerResponse(new http.IncomingMessage(new net.Socket()));
  t.mock.method(response, 'write', (text: string) => {
    const [, name = '', data = ''] = /^event: (\w+)\ndata: (.*)\n\n$/s.exec(text) ?? [];
    if (name === 'readings' || name === 'events') told[name] = JSON.parse(data);
    if (told.readings !== undefined && told.events !== undefined) streaming.abort();
  });
  const stream = new LiveStream(parts, response, 'M', { ...LIVE_LIMITS, readingsMax: 4, eventsMax: 2 });
  const at = (second: number): string => `2026-01-01T08:00:${String(second).padStart(2, '0')}.000000Z`;
  const samples = (...seconds: number[]): Sample[] => seconds.map((s) => ({ machine_id: 'M', timestamp: at(s) }));
  const events = (...seconds: number[]): MachineEvent[] => {
    return seconds.map((s) => ({ kind: 'event', event_type: 'part', machine_id: 'M', timestamp: at(s) }));
  };
  stream.committed({ machines: [], samples: samples(50, 51), events: events(50) });
  for (let old = 0; old < 40; old += 4) {
    stream.committed({ machines: [], samples: samples(old, old + 1, old + 2, old + 3), events: events(old, old + 1) });
  }
  stream.committed({ machines: [], samples: samples(52), events: [] });
  await stream.run(streaming.signal);
  assert.deepEqual(
    told.readings?.map(({ timestamp }) => timestamp),
    [at(39), at(50), at(51), at(52)],
  );
  assert.deepEqual(
    told.events?.map(({ time }) => time),
    [at(37), at(50)],
  );
});

test('what is committed while the machines are asked for is told with the next word', {
  timeout: 20_000,
}, async (t) => {
  const bus = new LiveBus();
  const health = (await ask(`${hub.url}/api/v1/status`)).json as HubStatus;
  const asked: (readonly string[])[] = [];
  const sent: string[] = [];
  const streaming = new AbortController();
  class WatchedReader extends Reader {
    override async fleet(_now: string, ids: readonly string[] = []): Promise<MachineNow[]> {
      asked.push(ids);
      // The first answer does not know yet what is committed meanwhile; of a source that never spoke there is none.
      if (asked.length === 2) bus.publish({ machines: ['A'], samples: [], events: [] });
      if (asked.length === 4) streaming.abort();
      return ids.includes('A') ? [{ id: 'A' } as MachineNow] : [];
    }
    override edges(): Promise<[]> {
      return Promise.resolve([]);
    }
  }
  const pool = createReadPool(settings, silentLogger);
  t.after(() => pool.end());
  const reader = new WatchedReader(pool);
  const parts = { bus, reader, hubStatus: () => Promise.resolve(health), clock: systemClock };
  const response = new http.ServerResponse(new http.IncomingMessage(new net.Socket()));
  t.mock.method(response, 'write', (text: string) => sent.push(text));
  const limits = { ...LIVE_LIMITS, sendIntervalMs: 1, statusIntervalMs: 3_600_000 };
  const running = new LiveStream(parts, response, undefined, limits).run(streaming.signal);
  bus.publish({ machines: ['A', 'SILENT'], samples: [], events: [] });
  while (asked.length < 3) await systemClock.sleep(1);
  bus.publish({ machines: ['SILENT'], samples: [], events: [] });
  await running;
  assert.deepEqual(asked, [[], ['A', 'SILENT'], ['A'], ['SILENT']]);
  assert.equal(sent.filter((text) => text.startsWith('event: machines')).length, 2);
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

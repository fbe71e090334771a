import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { STOP_MS_MAX } from '../../src/hub/hub.ts';
import type { DatabaseSettings } from '../../src/hub/settings.ts';
import { startTestPostgres } from '../support/postgres.ts';
import { select, startTestServer } from '../support/hub-database.ts';
import { ask } from '../support/hub-server.ts';
import { CLI, freePort } from '../support/system.ts';

const server = await startTestServer();
const folder = await mkdtemp(path.join(tmpdir(), 'millwright-main-'));
// Started by root, the database server runs as another user, who must be able to enter.
await chmod(folder, 0o755);
after(() => rm(folder, { recursive: true, force: true }));

interface HubProcess {
  readonly child: ChildProcess;
  readonly exit: Promise<number | null>;
  /** All that it has said. */
  said(): string;
  /** Resolves when it has said that. */
  says(text: string): Promise<void>;
}

let files = 0;
async function launch(database: DatabaseSettings, port: number): Promise<HubProcess> {
  const file = path.join(folder, `hub-${(files += 1)}.json`);
  const { readConnectionsMax, ...rest } = database;
  const config = { server: { host: '127.0.0.1', port }, database: { ...rest, read_connections: readConnectionsMax } };
  await writeFile(file, JSON.stringify(config));
  const child = spawn(process.execPath, [CLI, 'hub', '--config', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  after(() => child.kill('SIGKILL'));
  let all = '';
  const waiting = new Set<() => void>();
  child.stderr.on('data', (piece: Buffer) => {
    all += piece.toString();
    for (const check of waiting) check();
  });
  const exit = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  const says = (text: string): Promise<void> => {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        if (all.includes(text)) resolve();
      };
      waiting.add(check);
      check();
      void exit.then((code) => reject(new Error(`ended with ${code} before it said "${text}": ${all}`)));
    });
  };
  return { child, exit, said: () => all, says };
}

const readings = (first: number, count: number): string => {
  const list = Array.from({ length: count }, (_, index) => {
    return { machine_id: 'M', timestamp: new Date(1_767_225_600_000 + (first + index) * 100).toISOString() };
  });
  return JSON.stringify(list);
};
const post = (port: number, sequence: number, body: string): ReturnType<typeof ask> => {
  const headers = { 'idempotency-key': `gw/e/${sequence}` };
  return ask(`http://127.0.0.1:${port}/api/v1/ingest`, { method: 'POST', body, headers });
};

test('SIGTERM: what was sent is stored and answered, and live streams end by themselves', async () => {
  const database = await server.database();
  const port = await freePort();
  const hub = await launch(database, port);
  await hub.says(`http://127.0.0.1:${port}`);
  const live = ask(`http://127.0.0.1:${port}/api/v1/live`).catch(() => 'ended');
  const answers = Array.from({ length: 5 }, (_, index) => post(port, index + 1, readings(index * 5_000, 5_000)));
  await answers[0];
  const startedMs = performance.now();
  hub.child.kill('SIGTERM');
  const stored = (await Promise.allSettled(answers)).filter((answer) => {
    return answer.status === 'fulfilled' && answer.value.status === 200;
  });
  assert.equal(await hub.exit, 0);
  // Whoever stays longer is cut off then.
  assert.ok(performance.now() - startedMs < STOP_MS_MAX, `${performance.now() - startedMs} ms`);
  await live;
  const [row] = await select<{ n: number }>(database, 'select count(*) as n from sensor_data');
  assert.equal(row?.n, stored.length * 5_000);
});

test('a port in use is told in one sentence', async () => {
  const taken = net.createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const { port } = taken.address() as net.AddressInfo;
  const hub = await launch(await server.emptyDatabase(), port);
  assert.equal(await hub.exit, 2);
  assert.match(hub.said(), new RegExp(`port ${port} on 127.0.0.1 is in use by another program; choose another`));
  assert.equal(hub.said().trim().split('\n').length, 1);
  taken.close();
});

test('kill -9 at any moment, and the sender tries again: everything is there once', { timeout: 60_000 }, async () => {
  const database = await server.database();
  const port = await freePort();
  let sequence = 1;
  for (let round = 0; round < 3; round += 1) {
    const hub = await launch(database, port);
    await hub.says('hub serves');
    let sent = 0;
    const sender = (async () => {
      for (;;) {
        const { status } = await post(port, sequence, readings(sequence * 200, 200));
        if (status !== 200) continue;
        sequence += 1;
        sent += 1;
        if (sent === 10 + round * 7) setTimeout(() => hub.child.kill('SIGKILL'), round * 3);
      }
    })();
    await assert.rejects(sender);
    await hub.exit;
  }
  const last = await launch(database, port);
  await last.says('hub serves');
  assert.equal((await post(port, sequence, readings(sequence * 200, 200))).status, 200);
  const [row] = await select<{ n: number; times: number; newest: string }>(
    database,
    `select count(*) as n, count(distinct time) as times, (select last_seen from machine_current) as newest from sensor_data`,
  );
  assert.deepEqual([row?.n, row?.times], [sequence * 200, sequence * 200]);
  const newest = new Date(1_767_225_600_000 + (sequence * 200 + 199) * 100);
  assert.equal(Date.parse(row?.newest ?? ''), newest.getTime());
  last.child.kill('SIGTERM');
  await last.exit;
});

test('a hub waits for its database, says so, and outlives its restart', { timeout: 60_000 }, async () => {
  const own = path.join(folder, 'restarted');
  const dbPort = await freePort();
  const options = { folder: own, port: dbPort };
  let postgres = await startTestPostgres(options);
  await postgres.stop();
  const { host, user, password } = postgres;
  const database = { host, port: dbPort, user, password, dbname: postgres.database, readConnectionsMax: 4 };
  const port = await freePort();
  const hub = await launch(database, port);
  await hub.says('waiting for the database');
  assert.equal((await ask(`http://127.0.0.1:${port}/healthz`)).status, 503);
  const early = await post(port, 1, readings(0, 10));
  assert.deepEqual([early.status, early.headers['retry-after']], [503, '1']);
  assert.match(early.text, /the hub waits for its database/);
  postgres = await startTestPostgres(options);
  await hub.says('hub serves');
  assert.equal((await post(port, 1, readings(0, 10))).status, 200);

  await postgres.stop();
  const health = await ask(`http://127.0.0.1:${port}/healthz`);
  assert.equal(health.status, 503);
  assert.match(health.text, /the database cannot be used/);
  const away = await ask(`http://127.0.0.1:${port}/api/v1/machines`);
  assert.deepEqual([away.status, away.headers['retry-after']], [503, '2']);
  const waiting = post(port, 2, readings(10, 10));
  postgres = await startTestPostgres(options);
  assert.equal((await waiting).status, 200);
  assert.deepEqual((await post(port, 2, readings(10, 10))).json, {
    stored: 0,
    duplicate_batches: 1,
    dead_letters: 0,
    refused: [],
  });
  hub.child.kill('SIGTERM');
  assert.equal(await hub.exit, 0);
  await postgres.stop();
});

import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../base/clock.ts';
import { silentLogger } from '../base/logger.ts';
import { seededRandom } from '../base/random.ts';
import { type Mes, type MesFaults, type MesReport, NO_FAULTS, startMes } from './mes.ts';
import { RECEIVED_MAX, type Received } from './mes-memory.ts';

async function start(
  context: TestContext,
  faults: Partial<MesFaults> = {},
  stateFile: string | null = null,
): Promise<Mes> {
  const common = { host: '127.0.0.1', port: 0, stateFile, clock: systemClock, log: silentLogger };
  const mes = await startMes({ ...common, random: seededRandom(1), faults: { ...NO_FAULTS, ...faults } });
  context.after(() => mes.close());
  return mes;
}

function value(number: number, machine = 'CMM-1'): object {
  return { machine_id: machine, timestamp: '2026-01-01T08:00:00.000000Z', length: number };
}

function post({ url }: Mes, body: unknown, key?: string): Promise<Response> {
  const headers = { 'content-type': 'application/json', ...(key !== undefined && { 'idempotency-key': key }) };
  return fetch(`${url}/api/v1/cmm/measurements`, { method: 'POST', headers, body: JSON.stringify(body) });
}

async function all({ url }: Mes): Promise<Received[]> {
  return (await (await fetch(`${url}/received?all=1`)).json()) as Received[];
}

test('single values and lists are accepted, in the order of arrival', async (context) => {
  const mes = await start(context);
  assert.equal((await post(mes, value(1), 'a')).status, 201);
  assert.equal((await post(mes, [value(2, 'CMM-2'), value(3)], 'b, c')).status, 201);
  assert.equal((await post(mes, value(4))).status, 201);
  const report = (await (await fetch(`${mes.url}/received?newest=1`)).json()) as MesReport;
  assert.deepEqual([report.count, report.by_machine, report.newest.length], [4, { 'CMM-1': 3, 'CMM-2': 1 }, 1]);
  assert.deepEqual(
    (await all(mes)).map(({ key, body }) => [key, body['length']]),
    [
      ['a', 1],
      ['b', 2],
      ['c', 3],
      [null, 4],
    ],
  );
});

test('how many are to be told is a whole number', async (context) => {
  const mes = await start(context);
  for (const newest of ['all', '-1', '1.5', 'NaN']) {
    assert.equal((await fetch(`${mes.url}/received?newest=${newest}`)).status, 400);
  }
  assert.equal((await fetch(`${mes.url}/received?newest=0`)).status, 200);
});

test('a key that comes again is answered as the first time, and not counted', async (context) => {
  const mes = await start(context, { refuse_every: 2 });
  assert.equal((await post(mes, value(1), 'a')).status, 201);
  assert.equal((await post(mes, value(2), 'b')).status, 400);
  await fetch(`${mes.url}/control`, { method: 'POST', body: '{"refuse_every":0}' });
  assert.equal((await post(mes, value(1), 'a')).status, 201);
  assert.equal((await post(mes, value(2), 'b')).status, 400);
  // Of a list with one that is refused, none is taken.
  assert.equal((await post(mes, [value(2), value(3)], 'b,c')).status, 400);
  const { count, repeated, refused } = mes.report(0);
  assert.deepEqual({ count, repeated, refused }, { count: 1, repeated: 1, refused: 1 });
});

test('it fails as told, also while it runs', async (context) => {
  const mes = await start(context, { fail: 1 });
  assert.equal((await post(mes, value(1), 'a')).status, 500);
  const control = async (changes: unknown): Promise<number> =>
    (await fetch(`${mes.url}/control`, { method: 'POST', body: JSON.stringify(changes) })).status;
  assert.equal(await control({ fail: 0, busy: 1, retry_after_s: 7 }), 200);
  const busy = await post(mes, value(1), 'a');
  assert.deepEqual([busy.status, busy.headers.get('retry-after')], [429, '7']);
  assert.equal(await control({ busy: 0, refuse_where: { field: 'length', value: '2' } }), 200);
  assert.equal((await post(mes, value(2), 'b')).status, 400);
  assert.equal(await control({ drop: 1, refuse_where: null }), 200);
  for (let number = 3; number < 20; number += 1) await assert.rejects(post(mes, value(number), `c${number}`));
  const taken = mes.report(0).count;
  assert.ok(taken > 0 && taken < 17, `${taken} of 17 were taken before the connection was closed`);
  assert.equal(await control({ speed: 1 }), 400);
  assert.equal(await control({ drop: 'often' }), 400);
  assert.deepEqual(mes.report(0).requests, { 500: 1, 429: 1, 400: 1, dropped: 17 });
});

test('while it is down connections are closed and nothing is taken, and afterwards it knows its keys', async (context) => {
  const mes = await start(context);
  const control = (down: unknown): Promise<Response> =>
    fetch(`${mes.url}/control`, { method: 'POST', body: JSON.stringify({ down }) });
  assert.equal((await post(mes, value(1), 'a')).status, 201);
  assert.equal((await control('yes')).status, 400);
  assert.equal((await control(true)).status, 200);
  await assert.rejects(post(mes, value(2), 'b'));
  const report = (await (await fetch(`${mes.url}/received`)).json()) as MesReport;
  assert.deepEqual([report.is_down, report.count], [true, 1]);
  await control(false);
  assert.equal((await post(mes, value(1), 'a')).status, 201);
  assert.equal((await post(mes, value(2), 'b')).status, 201);
  assert.deepEqual([mes.report(0).is_down, mes.report(0).count, mes.report(0).repeated], [false, 2, 1]);
});

test('with a file it knows all of it again after a restart, also after one in the middle of a line', async (context) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-mes-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'in', 'mes.ndjson');
  const first = await start(context, { refuse_where: { field: 'length', value: '2' } }, file);
  for (const number of [1, 2, 3]) await post(first, value(number), `k${number}`);
  await post(first, value(4, 'CMM-2'));
  const before = await all(first);
  await first.close();
  await appendFile(file, 'null\n{"key":"k6"}\n{"earlier":{"CMM-1":"2"}}\n{"key":"k5","rec');

  const second = await start(context, {}, file);
  assert.deepEqual(await all(second), before);
  assert.equal((await post(second, value(2), 'k2')).status, 400);
  assert.equal((await post(second, value(3), 'k3')).status, 201);
  assert.equal((await post(second, value(5), 'k5')).status, 201);
  const { count, by_machine, repeated } = second.report(0);
  assert.deepEqual([count, by_machine, repeated], [4, { 'CMM-1': 3, 'CMM-2': 1 }, 1]);
});

test('its file keeps the newest values and the number of all', async (context) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-mes-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'mes.ndjson');
  const lines = Array.from({ length: RECEIVED_MAX + 5 }, (_, number) => {
    return `${JSON.stringify({ key: `k${number}`, received_at: 'then', body: value(number) })}\n`;
  });
  await writeFile(file, `{"earlier":{"CMM-1":2,"CMM-2":1}}\n${lines.join('')}`);
  for (const round of [1, 2]) {
    const mes = await start(context, {}, file);
    assert.deepEqual(mes.report(0).by_machine, { 'CMM-1': RECEIVED_MAX + 7, 'CMM-2': 1 }, `start ${round}`);
    await mes.close();
  }
  const [head, ...rest] = (await readFile(file, 'utf8')).trimEnd().split('\n');
  assert.deepEqual(JSON.parse(head ?? ''), { earlier: { 'CMM-1': 7, 'CMM-2': 1 } });
  assert.equal(rest.length, RECEIVED_MAX);
});

test('what makes no sense is answered 4xx', async (context) => {
  const mes = await start(context);
  for (const body of [1, { machine_id: 'CMM-1' }, [value(1), { timestamp: 'now' }]]) {
    assert.equal((await post(mes, body)).status, 400);
  }
  assert.equal((await post(mes, [value(1), value(2)], 'only-one')).status, 400);
  assert.equal((await post(mes, 'x'.repeat(1_100_000))).status, 413);
  assert.equal((await fetch(`${mes.url}/nowhere`)).status, 404);
  const port = Number(new URL(mes.url).port);
  const common = { host: '127.0.0.1', clock: systemClock, random: Math.random, log: silentLogger, faults: NO_FAULTS };
  await assert.rejects(startMes({ ...common, port, stateFile: null }), { code: 'port_unavailable' });
  await assert.rejects(startMes({ ...common, port: 0, stateFile: '/dev/null/mes' }), { code: 'storage_failed' });
});

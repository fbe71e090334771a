import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../base/clock.ts';
import { silentLogger } from '../base/logger.ts';
import { seededRandom } from '../base/random.ts';
import { type Mes, type MesFaults, type MesReport, NO_FAULTS, type Received, startMes } from './mes.ts';

async function start(context: TestContext, faults: Partial<MesFaults> = {}): Promise<Mes> {
  const common = { host: '127.0.0.1', port: 0, clock: systemClock, log: silentLogger };
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

test('what makes no sense is answered 4xx', async (context) => {
  const mes = await start(context);
  for (const body of [1, { machine_id: 'CMM-1' }, [value(1), { timestamp: 'now' }]]) {
    assert.equal((await post(mes, body)).status, 400);
  }
  assert.equal((await post(mes, [value(1), value(2)], 'only-one')).status, 400);
  assert.equal((await post(mes, 'x'.repeat(1_100_000))).status, 413);
  assert.equal((await fetch(`${mes.url}/nowhere`)).status, 404);
  const port = Number(new URL(mes.url).port);
  const common = { host: '127.0.0.1', port, clock: systemClock, random: Math.random, log: silentLogger };
  await assert.rejects(startMes({ ...common, faults: NO_FAULTS }), { code: 'port_unavailable' });
});

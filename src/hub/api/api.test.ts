import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import type { DeadLetter, Machine, MachineNow, Series, SignalInfo, StateInterval } from '../../model/api.ts';
import { timestampOf } from '../../model/time.ts';
import { select, startTestServer, withClient } from '../../../test/support/hub-database.ts';
import { type Answer, ask, startHub } from '../../../test/support/hub-server.ts';
import { heldBytes } from '../../../test/support/memory.ts';
import { until } from '../../../test/support/until.ts';

const server = await startTestServer();
const settings = await server.database();
const pages = await mkdtemp(path.join(tmpdir(), 'millwright-pages-'));
after(() => rm(pages, { recursive: true, force: true }));
await mkdir(path.join(pages, 'assets'));
await writeFile(path.join(pages, 'index.html'), '<title>page</title>');
await writeFile(path.join(pages, 'assets', 'a-1234.js'), 'export {};');
const hub = await startHub(settings, { pagesFolder: pages });
const api = `${hub.url}/api/v1`;

const at = (seconds: number): string => `2026-01-01T08:00:${seconds.toFixed(6).padStart(9, '0')}Z`;
const sample = (machine_id: string, second: number, fields: object): object => ({
  machine_id,
  timestamp: at(second),
  ...fields,
});
const event = (machine_id: string, second: number, fields: object): object => {
  return { kind: 'event', machine_id, timestamp: at(second), ...fields };
};
const store = async (...readings: object[]): Promise<void> => {
  assert.equal((await ask(`${api}/ingest`, { method: 'POST', body: JSON.stringify(readings) })).status, 200);
};
const get = async <Body>(address: string): Promise<Body> => {
  const answer = await ask(`${api}/${address}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.json as Body;
};
const refusal = async (address: string): Promise<string> => {
  const { status, json } = await ask(`${api}/${address}`);
  assert.equal(status, 400);
  const { error } = json as { error: { code: string; message: string } };
  assert.equal(error.code, 'bad_request');
  return error.message;
};

test('data: wire form in time order, to the microsecond, with and without times', async () => {
  const readings = [
    sample('D', 3.5, { temperature: 3, machine_state: 'idle', coolant: null, text: 'a\tb\\n"ü\n' }),
    sample('D', 1, { temperature: -1e-7, active_program_line: 7, clock_quality: 'unknown' }),
    sample('D', 2.000001, { temperature: null, deep: { x: [1, null] } }),
  ];
  await store(...readings);
  const all = await get<object[]>('machines/D/data');
  assert.deepEqual(all, [readings[1], readings[2], readings[0]]);
  const range = (query: string): Promise<{ timestamp: string }[]> => get(`machines/D/data?${query}`);
  assert.deepEqual((await range(`start_time=${at(2.000001)}`)).length, 2);
  assert.deepEqual((await range(`start_time=${at(2.000002)}&end_time=${at(3.5)}`)).length, 0);
  assert.deepEqual(
    (await range('end_time=2026-01-01T09:00:02%2B01:00')).map(({ timestamp }) => timestamp),
    [at(1)],
  );
  assert.deepEqual(await get('machines/UNKNOWN/data'), []);
  assert.deepEqual(await get(`machines/${encodeURIComponent(`x'; drop table machines; --`)}/data`), []);
});

test('bad times are refused with a sentence', async () => {
  assert.match(
    await refusal('machines/D/data?start_time=yesterday'),
    /start_time is an RFC 3339 time .* found "yesterday"/,
  );
  assert.match(await refusal('machines/D/data?start_time=2026-01-01T08:00:00'), /with a zone/);
  assert.match(await refusal('machines/D/data?end_time=2026-02-30T08:00:00Z'), /2026-02-30/);
  assert.match(await refusal(`machines/D/data?start_time=${at(2)}&end_time=${at(1)}`), /is after end_time/);
  assert.match(await refusal(`machines/D/data?start_time=${at(2)}&start_time=${at(1)}`), /given 2 times/);
  assert.match(await refusal('machines/D/events?limit=0'), /limit is a whole number from 1 to 1000; found "0"/);
  assert.match(await refusal('machines/D/series?points=10'), /signals names at least one/);
  assert.match(await refusal('machines/D/series?signals=machine_state'), /machine_state is text/);
  assert.match(await refusal('machines/D/series?signals=temperature&points=5001'), /from 1 to 5000/);
});

test('864,000 rows are streamed in time order while the memory stays as it is', { timeout: 120_000 }, async () => {
  await select(
    settings,
    `insert into sensor_data (time, machine_id, temperature, spindle_speed, machine_state, extra)
     select timestamptz '2026-01-01T00:00:00Z' + n * interval '100 milliseconds', 'BIG', n, 1000, 'running', '{"tool": 5}'
     from generate_series(0, 863999) as n`,
  );
  // The beginning makes room for what is under way at a time, which does not depend on how many rows there are.
  const step = 10e6;
  const held: number[] = [];
  let [bytes, rows] = [0, 0];
  const response = await new Promise<http.IncomingMessage>((resolve) => {
    http.get(`${api}/machines/BIG/data`, resolve);
  });
  for await (const piece of response as AsyncIterable<Buffer>) {
    bytes += piece.length;
    for (const byte of piece) if (byte === 0x0a) rows += 1;
    if (bytes > step * (held.length + 1)) held.push(heldBytes());
  }
  assert.equal(rows, 864_001);
  assert.ok(held.length >= 10, `${bytes} bytes`);
  const [first = 0, ...later] = held;
  const grownMb = (Math.max(...later) - first) / 1e6;
  assert.ok(grownMb < 10, `${grownMb} MB more are held than after the first ${step / 1e6} MB`);
});

test('a client that goes ends its query', async () => {
  const running = async (): Promise<number> => {
    const rows = await select(
      settings,
      `select 1 from pg_stat_activity where state = 'active' and query like 'copy (select%'`,
    );
    return rows.length;
  };
  await new Promise<void>((resolve) => {
    const request = http.get(`${api}/machines/BIG/data`, (response) => {
      response.once('data', () => {
        response.pause();
        void running().then((count) => {
          assert.equal(count, 1);
          request.destroy();
          resolve();
        });
      });
    });
    request.on('error', () => {});
  });
  while ((await running()) > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  for (let round = 0; round < 10; round += 1) assert.equal((await get<object[]>('machines/D/data')).length, 3);
});

test('series: minimum, maximum and last of each bucket, and null where the signal became unavailable', async () => {
  const values = [5, 9, 1, 4];
  await store(
    ...values.map((temperature, index) => sample('S', 10 + index / 10, { temperature, flow: temperature * 10 })),
    sample('S', 12, { temperature: 7 }),
    sample('S', 12.5, { temperature: null, flow: 'high' }),
    sample('S', 14, { temperature: null, flow: null }),
    sample('S', 15, { spindle_speed: 1 }),
  );
  const series = await get<Series>(
    `machines/S/series?signals=temperature,flow,none&start_time=${at(10)}&end_time=${at(20)}&points=10`,
  );
  assert.equal(series.bucket_seconds, 1);
  const start = Date.parse(at(10)) / 1000;
  assert.deepEqual(series.signals['temperature'], {
    time: [start, start + 2, start + 2.5, start + 4],
    min: [1, 7, null, null],
    max: [9, 7, null, null],
    mean: [4.75, 7, null, null],
    last: [4, 7, null, null],
    before: null,
  });
  assert.deepEqual(series.signals['flow'], {
    time: [start, start + 4],
    min: [10, null],
    max: [90, null],
    mean: [47.5, null],
    last: [40, null],
    before: null,
  });
  assert.deepEqual(series.signals['none'], { time: [], min: [], max: [], mean: [], last: [], before: null });
  const signals = await get<SignalInfo[]>('machines/S/signals');
  assert.deepEqual(
    signals.map(({ name, numeric, unit }) => [name, numeric, unit]),
    [
      ['temperature', true, '°C'],
      ['spindle_speed', true, 'rpm'],
      ['flow', false, ''],
    ],
  );
});

test('states: intervals clipped to the window, the one before it included; events newest first', async () => {
  await store(
    event('E', 1, { event_type: 'state', state: 'idle', text: 'READY' }),
    event('E', 5, { event_type: 'state', state: 'running', previous_state: 'idle', text: 'ACTIVE' }),
    event('E', 6, { event_type: 'state', state: 'running', text: 'ACTIVE' }),
    event('E', 8, { event_type: 'state', state: 'alarm', text: 'FAULT' }),
    event('E', 9, { event_type: 'condition', level: 'fault', item: 'servo', native_code: '7', text: 'overload' }),
  );
  assert.deepEqual(await get(`machines/E/states?start_time=${at(2)}&end_time=${at(7)}`), [
    { state: 'idle', start_time: at(2), end_time: at(5), reason: 'READY' },
    { state: 'running', start_time: at(5), end_time: at(7), reason: 'ACTIVE' },
  ]);
  // A time without decimals is before those of the same second, though its text sorts after them.
  await store(event('HALF', 1.5, { event_type: 'state', state: 'idle' }));
  assert.deepEqual(await get(`machines/HALF/states?start_time=2026-01-01T08:00:01Z&end_time=2026-01-01T08:00:02Z`), [
    { state: 'idle', start_time: at(1.5), end_time: '2026-01-01T08:00:02Z', reason: null },
  ]);
  // A publisher without an edge sends no events; then the samples tell.
  const states = ['idle', 'idle', 'running', 'running', 'alarm'];
  await store(...states.map((state, second) => sample('S', second, { machine_state: state })));
  assert.deepEqual(await get(`machines/S/states?start_time=${at(1)}&end_time=${at(9)}`), [
    { state: 'idle', start_time: at(1), end_time: at(2), reason: null },
    { state: 'running', start_time: at(2), end_time: at(4), reason: null },
    { state: 'alarm', start_time: at(4), end_time: at(9), reason: null },
  ]);
  const open = await get<object[]>(`machines/E/states?start_time=${at(0)}`);
  assert.deepEqual(open.at(-1), { state: 'alarm', start_time: at(8), end_time: null, reason: 'FAULT' });
  const events = await get<{ time: string; event_type: string }[]>('machines/E/events?limit=2');
  assert.deepEqual(
    events.map(({ time, event_type }) => [time, event_type]),
    [
      [at(9), 'condition'],
      [at(8), 'state'],
    ],
  );
  assert.equal((await get<object[]>(`machines/E/events?before=${at(8)}`)).length, 3);
  const [machine] = (await get<MachineNow[]>('fleet')).filter(({ id }) => id === 'E');
  assert.deepEqual([machine?.state, machine?.state_since, machine?.state_reason], ['alarm', at(8), 'FAULT']);
  assert.deepEqual(
    machine?.active_conditions.map(({ item, native_code, text }) => [item, native_code, text]),
    [['servo', '7', 'overload']],
  );
});

test('a window may reach as far as times can be written', async () => {
  await store(sample('WIDE', 1, { temperature: 7, machine_state: 'idle' }));
  const all = 'start_time=0001-01-01T00:00:00Z&end_time=9999-12-31T23:59:59.999999Z';
  for (const query of [all, `points=1&${all}`, 'points=9&start_time=0001-01-01T00:00:00Z']) {
    const { signals } = await get<Series>(`machines/WIDE/series?signals=temperature&${query}`);
    assert.deepEqual(signals['temperature']?.last, [7], query);
    assert.equal((await get<StateInterval[]>(`machines/WIDE/states?${query}`)).length, 1, query);
  }
  for (const route of ['series?signals=temperature&', 'states?']) {
    await get(`machines/WIDE/${route}end_time=0001-01-01T00:00:00Z`);
  }
});

test('machines are registered by their first reading, created and changed by hand', async () => {
  const post = (body: unknown): Promise<Answer> =>
    ask(`${api}/machines`, { method: 'POST', body: JSON.stringify(body) });
  const fields = {
    id: 'NEW',
    name: 'Mill 1',
    location: 'Hall 2',
    controller_type: 'OSP',
    max_spindle_speed_rpm: 12000,
    axis_count: 5,
  };
  const created = await post(fields);
  assert.equal(created.status, 201);
  const { created_at, last_updated, ...rest } = created.json as Machine;
  assert.deepEqual(rest, fields);
  assert.equal(created_at, last_updated);
  assert.equal((await post({ id: 'NEW', name: 'Mill 1b' })).status, 200);
  const machines = await get<Machine[]>('machines');
  assert.deepEqual(
    machines.filter(({ id }) => id === 'NEW' || id === 'E').map(({ id, name }) => [id, name]),
    [
      ['E', 'E'],
      ['NEW', 'Mill 1b'],
    ],
  );
  const [quiet] = (await get<MachineNow[]>('fleet')).filter(({ id }) => id === 'NEW');
  assert.deepEqual([quiet?.state, quiet?.last_seen, quiet?.values], [null, null, {}]);
  assert.match(
    (await post({ id: 'NEW', axis_count: 'five' })).text,
    /axis_count is a whole number from 0 to 100, or null; found/,
  );
  assert.match((await post({ id: 'NEW', colour: 'red' })).text, /known are id, name/);
  assert.match((await post([])).text, /a machine is a JSON object/);
});

test('edges: their words are kept, and a heartbeat is a sign of life by the hub’s clock', async () => {
  const nowMicros = Date.now() * 1000;
  const ahead = 3_600e6;
  const status = {
    gateway_id: 'gw',
    location: null,
    version: '0',
    state: 'online',
    started_at: at(0),
    sent_at: timestampOf(nowMicros + ahead),
    memory_bytes: 1,
    readings_per_second: 1,
    losses: 0,
    sources: [
      { machine_id: 'E', state: 'failing', last_error: 'refused', last_contact: null },
      { machine_id: 'E', state: 'ok', last_error: null, last_contact: timestampOf(nowMicros + ahead - 2e6) },
    ],
    log: {},
    sinks: [],
  };
  const put = (body: object, id = 'gw'): Promise<Answer> => {
    return ask(`${api}/edges/${id}/status`, { method: 'PUT', body: JSON.stringify(body) });
  };
  assert.equal((await put(status)).status, 204);
  assert.match((await put(status, 'other')).text, /gateway_id is the gateway of the address/);
  assert.match((await put({ ...status, sent_at: 'now' })).text, /sent_at is an RFC 3339 time/);
  assert.match((await put({ ...status, sources: {} })).text, /sources is a JSON array/);
  assert.equal((await put({ ...status, location: 'a\0b' })).status, 204);
  const [report] = await get<{ status: { location: string }; clock_offset_seconds: number }[]>('edges');
  assert.equal(report?.status.location, 'ab');
  assert.ok(Math.abs((report?.clock_offset_seconds ?? 0) - 3600) < 5);
  const [machine] = (await get<MachineNow[]>('fleet')).filter(({ id }) => id === 'E');
  assert.deepEqual([machine?.source_state, machine?.source_error, machine?.gateway_id], ['ok', 'refused', 'gw']);
  const age = Date.now() - Date.parse(machine?.last_seen ?? '');
  assert.ok(age > 1_000 && age < 10_000, `seen ${age} ms ago`);
});

test('what an edge of any version tells of itself reaches the page unchanged', async () => {
  const source = { machine_id: 'E', state: 'ok', last_error: null, last_contact: null, sampling_factor: 4 };
  const status = {
    ...{
      gateway_id: 'newer',
      state: 'draining',
      sent_at: timestampOf(Date.now() * 1000),
      of_a_later_version: { a: [1] },
    },
    log: { bytes: 1, bytes_max: 2, bytes_possible: null, readings_thinned: 3, readings_dropped: 4, syncs: 5 },
    ...{ sources: [source], sinks: [{ name: 'hub', drained_in_seconds: 236.5 }] },
  };
  const answer = await ask(`${api}/edges/newer/status`, { method: 'PUT', body: JSON.stringify(status) });
  assert.equal(answer.status, 204);
  const reports = await get<{ status: { gateway_id: string } }[]>('edges');
  assert.deepEqual(reports.find((report) => report.status.gateway_id === 'newer')?.status, status);
});

test('how its sources fare is told of a machine, in the words of any version', async () => {
  const at = timestampOf(Date.now() * 1000);
  const put = async (gateway_id: string, sources: object[]): Promise<void> => {
    const status = { gateway_id, state: 'degraded', sent_at: at, log: {}, sinks: [], sources };
    const answer = await ask(`${api}/edges/${gateway_id}/status`, { method: 'PUT', body: JSON.stringify(status) });
    assert.equal(answer.status, 204, answer.text);
  };
  // The first as an edge of last month tells it, the last as one of next month may.
  await put('month-ago', [{ machine_id: 'W-OLD', state: 'failing', last_error: 'refused', last_contact: null }]);
  await put('today', [
    { machine_id: 'W-SILENT', state: 'silent', last_error: 'no sign of life for 42 s', last_contact: at },
    { machine_id: 'W-WRONG', state: 'misconfigured', last_error: 'illegal data address', last_contact: null },
    { machine_id: 'W-TWO', state: 'misconfigured', last_error: 'illegal data address', last_contact: null },
    { machine_id: 'W-TWO', state: 'ok', last_error: 'was silent for 9 s', last_contact: at, problems: [{}] },
  ]);
  await put('in-a-month', [{ machine_id: 'W-NEW', state: 'calibrating', last_error: 'warm-up', last_contact: at }]);
  for (const id of ['W-OLD', 'W-SILENT', 'W-WRONG', 'W-TWO', 'W-NEW']) {
    assert.equal((await ask(`${api}/machines`, { method: 'POST', body: JSON.stringify({ id }) })).status, 201);
  }
  const fleet = await get<MachineNow[]>('fleet');
  const told = fleet.filter(({ id }) => id.startsWith('W-'));
  assert.deepEqual(
    Object.fromEntries(told.map(({ id, source_state, source_error }) => [id, [source_state, source_error]])),
    {
      'W-OLD': ['failing', 'refused'],
      'W-SILENT': ['silent', 'no sign of life for 42 s'],
      'W-WRONG': ['misconfigured', 'illegal data address'],
      'W-TWO': ['ok', 'illegal data address'],
      'W-NEW': [null, 'warm-up'],
    },
  );
});

test('dead letters, status, health and metrics', async () => {
  const body = `{"machine_id":"${'bad'.repeat(40)}"}`;
  await ask(`${api}/ingest`, { method: 'POST', body });
  const [letter] = await get<DeadLetter[]>('dead-letters?limit=1');
  assert.equal(letter?.reason, 'timestamp is required');
  assert.equal(letter?.bytes_base64, Buffer.from(body).toString('base64'));
  const status = await get<Record<string, unknown>>('status');
  assert.deepEqual([status['database'], status['time_zone'], status['dead_letters']], ['ok', 'Europe/Berlin', 1]);
  assert.equal((await ask(`${hub.url}/healthz`)).status, 200);
  assert.match((await ask(`${hub.url}/metrics`)).text, /^millwright_hub_readings_stored_total \d+$/m);
});

test('requests that wait for the database do not make the hub look unhealthy', async () => {
  const charts = await withClient(settings, async (client) => {
    await client.query('begin; lock table sensor_data');
    const waiting = Array.from({ length: 12 }, () => ask(`${api}/machines/D/series?signals=temperature`));
    const blocked = `select from pg_stat_activity where wait_event_type = 'Lock' and application_name like '% read'`;
    await until(async () => (await select(settings, blocked)).length === settings.readConnectionsMax);
    // Whatever was found a second ago is not told again.
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    assert.equal((await ask(`${hub.url}/healthz`)).status, 200);
    await client.query('rollback');
    return waiting;
  });
  await Promise.all(charts);
});

test('pages: files, the page for its own addresses, and headers that keep it safe', async () => {
  const page = await ask(`${hub.url}/machine/E?window=1h`);
  assert.deepEqual([page.status, page.text], [200, '<title>page</title>']);
  assert.match(String(page.headers['content-security-policy']), /default-src 'self'/);
  assert.equal(page.headers['cache-control'], 'no-cache');
  const script = await ask(`${hub.url}/assets/a-1234.js`);
  assert.match(script.headers['cache-control'] ?? '', /immutable/);
  assert.equal((await ask(`${hub.url}/assets/gone.js`)).status, 404);
  assert.equal((await ask(`${hub.url}/..%2f..%2fetc/passwd.txt`)).status, 404);
  const unknown = await ask(`${api}/nothing`);
  assert.deepEqual([unknown.status, (unknown.json as { error: { code: string } }).error.code], [404, 'not_found']);
  const reference = await ask(`${hub.url}/api/docs/`);
  assert.equal(reference.status, 200);
  assert.doesNotMatch(reference.text, /https?:\/\//);
});

test('what the router refuses is told as all else is', async () => {
  // Where there are pages, too long a name is simply not found.
  const bare = await startHub(settings);
  for (const [address, status] of [
    ['machines/%ff/data', 400],
    ['machines/%zz/data', 400],
    [`machines/${'x'.repeat(2_000)}/data`, 414],
  ] as const) {
    const answer = await ask(`${bare.url}/api/v1/${address}`);
    assert.equal(answer.status, status);
    const { error } = answer.json as { error: { code: string; message: string } };
    assert.equal(error.code, 'bad_request');
    assert.ok(error.message.length < 100);
    assert.equal(answer.headers['x-content-type-options'], 'nosniff');
  }
});

test('HEAD of the live stream ends, and packed readings are refused', async () => {
  assert.equal((await fetch(`${api}/live`, { method: 'HEAD' })).status, 404);
  const packed = await ask(`${api}/ingest`, { method: 'POST', headers: { 'content-encoding': 'gzip' }, body: 'x' });
  assert.equal(packed.status, 415);
  assert.match(packed.text, /content-encoding is identity, or absent; found gzip/);
});

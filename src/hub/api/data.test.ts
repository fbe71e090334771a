/** The forms in which a machine's samples are given out. */
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { test } from 'node:test';
import { createGunzip, createZstdDecompress, gunzipSync, zstdDecompressSync } from 'node:zlib';
import { select, startTestServer } from '../../../test/support/hub-database.ts';
import { type Answer, ask, startHub } from '../../../test/support/hub-server.ts';
import { heldBytes } from '../../../test/support/memory.ts';
import { until } from '../../../test/support/until.ts';

const server = await startTestServer();
const settings = await server.database();
const hub = await startHub(settings);
const api = `${hub.url}/api/v1`;

const at = (second: number): string => `2026-01-01T08:00:${second.toFixed(6).padStart(9, '0')}Z`;
const sample = (machine_id: string, second: number, fields: object): object => ({
  machine_id,
  timestamp: at(second),
  ...fields,
});
const store = async (...readings: object[]): Promise<void> => {
  assert.equal((await ask(`${api}/ingest`, { method: 'POST', body: JSON.stringify(readings) })).status, 200);
};
/** The bytes as they came, and the headers. */
const raw = (
  url: string,
  headers: Record<string, string>,
): Promise<{ headers: http.IncomingHttpHeaders; body: Buffer }> =>
  new Promise((resolve, reject) => {
    http.get(url, { headers }, (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.once('end', () => resolve({ headers: response.headers, body: Buffer.concat(pieces) }));
      response.once('error', reject);
    });
  });

test('NDJSON: one sample a line, and nothing for a machine that is not known', async () => {
  const readings = [sample('L', 1, { temperature: 3, coolant: null }), sample('L', 2, { text: 'a\tb\\n"ü\n' })];
  await store(...readings);
  const answer = await ask(`${api}/machines/L/data?format=ndjson`);
  assert.equal(answer.headers['content-type'], 'application/x-ndjson; charset=utf-8');
  const lines = answer.text.split('\n');
  assert.equal(lines.pop(), '');
  assert.deepEqual(
    lines.map((line) => JSON.parse(line) as unknown),
    readings,
  );
  assert.equal((await ask(`${api}/machines/NONE/data?format=ndjson`)).text, '');
});

test('CSV: a header, a column for each signal, the rest as JSON, quoted where it must be', async () => {
  const name = 'a, "b"';
  await store(
    sample(name, 1, { temperature: 20.5, machine_state: 'idle', active_program_line: 7 }),
    sample(name, 2.000001, { temperature: null, tool: 'T"5\n' }),
  );
  await select(settings, `update sensor_data set spindle_speed = 'NaN' where time = '${at(1)}'`);
  const answer = await ask(`${api}/machines/${encodeURIComponent(name)}/data?format=csv`);
  assert.equal(answer.headers['content-type'], 'text/csv; charset=utf-8');
  const quoted = '"a, ""b"""';
  assert.equal(
    answer.text,
    'machine_id,timestamp,temperature,spindle_speed,x_pos_mm,y_pos_mm,z_pos_mm,feed_rate_actual,spindle_load_percent,' +
      'machine_state,active_program_line,total_power_kw,extra\r\n' +
      `${quoted},2026-01-01T08:00:01.000000Z,20.5,,,,,,,idle,7,,\r\n` +
      `${quoted},2026-01-01T08:00:02.000001Z,,,,,,,,,,,"{""tool"": ""T\\""5\\n"", ""temperature"": null}"\r\n`,
  );
  assert.match((await ask(`${api}/machines/NONE/data?format=csv`)).text, /^machine_id,.*extra\r\n$/);
});

test('the form is that of the parameter, else that of the header accept, else JSON', async () => {
  const typeOf = async (query: string, accept?: string): Promise<string | undefined> => {
    const answer = await ask(`${api}/machines/NONE/data${query}`, { headers: accept === undefined ? {} : { accept } });
    return answer.headers['content-type']?.split(';')[0];
  };
  assert.equal(await typeOf(''), 'application/json');
  assert.equal(await typeOf('', '*/*'), 'application/json');
  assert.equal(await typeOf('', 'text/csv'), 'text/csv');
  assert.equal(await typeOf('', 'application/x-ndjson, application/json;q=0.5'), 'application/x-ndjson');
  assert.equal(await typeOf('', 'image/png'), 'application/json');
  assert.equal(await typeOf('?format=csv', 'application/json'), 'text/csv');
  const refused = await ask(`${api}/machines/NONE/data?format=xml`);
  assert.equal(refused.status, 400);
  assert.match(refused.text, /format is one of json, ndjson, csv; found \\"xml\\"/);
});

test('pages give every row once: rows of one instant stay together, and new rows do not shift the others', async () => {
  const seconds = [1, 2, 2, 2, 3, 4, 5];
  await store(...seconds.map((second, index) => sample('P', second, { index })));
  const indexes: number[][] = [];
  let address: string | undefined = '/api/v1/machines/P/data?limit=2&start_time=2026-01-01T09:00:01%2B01:00';
  while (address !== undefined) {
    const answer: Answer = await ask(`${hub.url}${address}`);
    indexes.push((answer.json as { index: number }[]).map(({ index }) => index));
    address = /^<(\/[^>]+)>; rel="next"$/.exec(String(answer.headers.link ?? ''))?.[1];
    // Before, at, and after the place where the next page begins.
    if (indexes.length === 1) {
      await store(sample('P', 0.5, { index: 10 }), sample('P', 1.5, { index: 11 }), sample('P', 6, { index: 12 }));
    }
  }
  assert.deepEqual(
    indexes.map((page) => page.toSorted((a, b) => a - b)),
    [
      [0, 1, 2, 3],
      [4, 5],
      [6, 12],
    ],
  );
});

test('the last page has no link, a limit beyond the end none either, and bad pages are refused', async () => {
  const links = async (query: string): Promise<unknown> => (await ask(`${api}/machines/P/data?${query}`)).headers.link;
  assert.equal(await links('limit=100'), undefined);
  assert.equal(await links('limit=1&end_time=2026-01-01T08:00:00.6Z'), undefined);
  assert.match(String(await links('limit=1&format=csv')), /format=csv&cursor=2026-01-01T08%3A00%3A00\.500000Z/);
  assert.equal(await links(`limit=5&cursor=${at(6)}`), undefined);
  for (const query of ['limit=0', 'limit=1000001', 'limit=x', 'cursor=x', 'limit=1&limit=2']) {
    assert.equal((await ask(`${api}/machines/P/data?${query}`)).status, 400, query);
  }
  assert.equal((await fetch(`${api}/machines/P/data`, { method: 'HEAD' })).status, 404);
});

test('answers are packed as the client takes it, streams and others alike', async () => {
  await select(
    settings,
    `insert into sensor_data (time, machine_id, temperature) select
     timestamptz '2026-01-01T00:00:00Z' + n * interval '1 second', 'Z', n from generate_series(0, 9999) as n`,
  );
  for (const path of ['machines/Z/data', 'machines/Z/data?format=csv', 'openapi.json']) {
    const plain = await raw(`${api}/${path}`, {});
    assert.equal(plain.headers['content-encoding'], undefined);
    const gzip = await raw(`${api}/${path}`, { 'accept-encoding': 'gzip, deflate' });
    const zstd = await raw(`${api}/${path}`, { 'accept-encoding': 'gzip, zstd' });
    if (path === 'openapi.json') continue;
    assert.equal(gzip.headers['content-encoding'], 'gzip');
    assert.equal(zstd.headers['content-encoding'], 'zstd');
    assert.deepEqual(gunzipSync(gzip.body), plain.body);
    assert.deepEqual(zstdDecompressSync(zstd.body), plain.body);
    assert.match(String(plain.headers.vary), /accept-encoding/);
  }
  const events = Array.from({ length: 50 }, (_, second) => {
    return { kind: 'event', machine_id: 'Z', timestamp: at(second), event_type: 'message', text: `number ${second}` };
  });
  await store(...events);
  const plain = await raw(`${api}/machines/Z/events`, {});
  const packed = await raw(`${api}/machines/Z/events`, { 'accept-encoding': 'zstd' });
  assert.deepEqual(
    [packed.headers['content-encoding'], packed.headers['content-length']],
    ['zstd', `${packed.body.length}`],
  );
  assert.deepEqual(zstdDecompressSync(packed.body), plain.body);
  const small = await raw(`${api}/machines/NONE/events`, { 'accept-encoding': 'zstd' });
  assert.deepEqual([small.headers['content-encoding'], small.body.toString()], [undefined, '[]']);
});

/** How many streams of rows the database is sending. */
const streamsUnderWay = async (): Promise<number> => {
  return (await select(settings, `select from pg_stat_activity where state = 'active' and query like 'copy (select%'`))
    .length;
};
const noPlaceIsTaken = async (): Promise<void> => {
  for (let round = 0; round < 10; round += 1) assert.equal((await ask(`${api}/machines/NONE/data`)).text, '[]');
};

test('a packed stream is read in constant memory, and one that is left ends its query', {
  timeout: 120_000,
}, async () => {
  await select(
    settings,
    `insert into sensor_data (time, machine_id, temperature, x_pos_mm, extra) select
     timestamptz '2026-01-01T00:00:00Z' + n * interval '100 milliseconds', 'BIG', n, random(), '{"tool": 5}'
     from generate_series(0, 299999) as n`,
  );
  for (const [coding, unpacker] of [
    ['gzip', createGunzip()],
    ['zstd', createZstdDecompress()],
  ] as const) {
    const response = await new Promise<http.IncomingMessage>((resolve) => {
      http.get(`${api}/machines/BIG/data?format=ndjson`, { headers: { 'accept-encoding': coding } }, resolve);
    });
    let lines = 0;
    const held: number[] = [];
    for await (const piece of response.pipe(unpacker) as AsyncIterable<Buffer>) {
      for (const byte of piece) if (byte === 0x0a) lines += 1;
      if (lines > 50_000 * (held.length + 1)) held.push(heldBytes());
    }
    assert.equal(lines, 300_000);
    const [first = 0, ...later] = held;
    const grownMb = (Math.max(...later) - first) / 1e6;
    assert.ok(grownMb < 5, `${grownMb} MB more are held than after the first 50,000 lines`);
    const request = http.get(`${api}/machines/BIG/data`, { headers: { 'accept-encoding': coding } });
    request.on('error', () => {});
    const left = await new Promise<http.IncomingMessage>((resolve) => request.once('response', resolve));
    left.pause();
    request.destroy();
    await until(async () => (await streamsUnderWay()) === 0);
  }
  await noPlaceIsTaken();
});

test('a stream that waits behind another on one connection ends with it', { timeout: 60_000 }, async () => {
  for (const coding of ['identity', 'zstd']) {
    const socket = net.connect(Number(new URL(hub.url).port), '127.0.0.1').pause();
    const head = `GET /api/v1/machines/BIG/data HTTP/1.1\r\nhost: hub\r\naccept-encoding: ${coding}\r\n\r\n`;
    socket.write(head + head);
    await until(async () => (await streamsUnderWay()) === 2);
    socket.destroy();
    await until(async () => (await streamsUnderWay()) === 0);
  }
  await noPlaceIsTaken();
});

test('a database that ends the connections cuts the answers short, and nothing else', { timeout: 60_000 }, async () => {
  const end = `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'millwright hub read'`;
  for (const format of ['json', 'csv']) {
    const response = await new Promise<http.IncomingMessage>((resolve) => {
      http.get(`${api}/machines/BIG/data?format=${format}`, resolve);
    });
    await until(async () => (await streamsUnderWay()) === 1);
    await select(settings, end);
    await assert.rejects(async () => {
      for await (const _ of response);
    });
  }
  await noPlaceIsTaken();
});

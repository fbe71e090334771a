import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '../../base/errors.ts';
import { silentLogger } from '../../base/logger.ts';
import type { Sample } from '../../model/reading.ts';
import { select, startTestServer } from '../../../test/support/hub-database.ts';
import { createReadPool } from './connection.ts';
import { CsvRows } from './csv-rows.ts';
import { type DataRequest, DataStreams } from './data-stream.ts';
import { JsonRows } from './json-rows.ts';

const server = await startTestServer();

test('a stream that cannot begin gives its place and its connection back', async (t) => {
  const settings = await server.database();
  const pool = createReadPool({ ...settings, readConnectionsMax: 1 }, silentLogger);
  t.after(() => pool.end());
  const streams = new DataStreams(pool, 1);
  const request: DataRequest = { machineId: 'M', format: 'json' };
  const text = async (): Promise<string> => {
    let all = '';
    const { pieces } = await streams.open(request);
    for await (const piece of pieces) all += Buffer.from(piece).toString();
    return all;
  };
  assert.equal(await text(), '[]');
  // The connection dies after the pool has handed it out, as it does when a firewall has forgotten it.
  pool.once('acquire', (client) => client.end());
  await assert.rejects(text());
  assert.equal(await text(), '[]');
  const first = await streams.open(request);
  await assert.rejects(streams.open(request), (error) => hasCode(error, 'try_later'));
  for await (const _ of first.pieces);
  await select(settings, 'alter table sensor_data rename to elsewhere');
  await assert.rejects(text(), /sensor_data/);
  await assert.rejects(streams.open({ ...request, limit: 1 }), /sensor_data/);
  await select(settings, 'alter table elsewhere rename to sensor_data');
  assert.equal(await text(), '[]');
});

test('whatever other programs have written, a row is written whole', () => {
  // PostgreSQL prints control characters as they are, and JSON needs six bytes for each.
  const state = '\u0001'.repeat(1_000);
  const row = `2026-01-01 08:00:00+00${'\t\\N'.repeat(7)}\t${state}${'\t\\N'.repeat(3)}\n`;
  for (const rows of [new JsonRows('M', 'lines'), new CsvRows('M')]) {
    let text = '';
    rows.push(Buffer.from(row.repeat(200)));
    for (let piece = rows.next(); piece !== undefined; piece = rows.next()) text += Buffer.from(piece).toString();
    const lines = (text + Buffer.from(rows.end()).toString()).trimEnd().split(/\r?\n/);
    if (rows instanceof CsvRows) assert.equal(lines.length, 201);
    else for (const line of lines) assert.equal((JSON.parse(line) as Sample).machine_state, state);
  }
});

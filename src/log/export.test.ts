import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { silentLogger } from '../base/logger.ts';
import { ManualClock } from '../base/manual-clock.test-support.ts';
import { nodeFiles } from '../base/node-files.ts';
import { encodeFrame } from '../model/frame.ts';
import type { Reading } from '../model/reading.ts';
import { type ExportOptions, exportedText } from './export.ts';
import { DurableLog } from './log.ts';
import { ROOMY } from './options.test-support.ts';
import { parseRange } from './range.ts';

const START = '2026-01-01T08:00:00.000000Z';
const sample: Reading = {
  machine_id: 'CNC-1',
  timestamp: START,
  temperature: 45.5,
  x_pos_mm: null,
  text: 'a "quoted", text',
};
const event: Reading = {
  machine_id: 'CNC-1',
  timestamp: '2026-01-01T08:00:01.500Z',
  kind: 'event',
  event_type: 'message',
  text: 'door,\n"open"',
};
const measurement: Reading = {
  machine_id: 'CMM-1',
  timestamp: '2026-01-01T08:00:02Z',
  kind: 'measurement',
  characteristic: 'bore_1.diameter',
  measured_value: 20.004,
  unit: 'mm',
  details: { probe: 3 },
};

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millwright-export-'));
  const clock = new ManualClock(START);
  const common = { folder, files: nodeFiles, clock, log: silentLogger, gatewayId: 'gw', sinks: ['hub'], ...ROOMY };
  const log = await DurableLog.open({ ...common, segmentBytesMax: 300, hotBytesMax: 1, newId: () => 'id' });
  await log.append(Buffer.concat([encodeFrame(sample), encodeFrame(event)]), 2);
  await log.append(Buffer.concat([encodeFrame(measurement), encodeFrame({ machine_id: 7 })]), 2);
  await log.append(encodeFrame({ ...sample, timestamp: '2026-01-01T08:00:03Z' }), 1);
  await log.close();
});
after(() => rm(folder, { recursive: true }));

const faults: string[] = [];

async function exported(
  changes: Partial<ExportOptions> = {},
  range: { from?: string; to?: string } = {},
): Promise<string> {
  faults.length = 0;
  const onFault = (sequence: number, reason: string): void => void faults.push(`${sequence} ${reason}`);
  const common = {
    files: nodeFiles,
    folder,
    format: 'ndjson',
    identity: null,
    range: parseRange(range),
    onFault,
  } as const;
  let text = '';
  for await (const piece of exportedText({ ...common, ...changes })) text += piece;
  return text;
}

function parsed(text: string): unknown[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line): unknown => JSON.parse(line));
}

test('every reading is a line of JSON as it was read; what is no reading is told', async () => {
  const last = { ...sample, timestamp: '2026-01-01T08:00:03Z' };
  assert.deepEqual(parsed(await exported()), [sample, event, measurement, last]);
  assert.deepEqual(faults, ['2 machine_id is text, found 7']);
  const [first] = parsed(await exported({ identity: { gatewayId: 'gw' } }));
  assert.deepEqual(first, { gateway_id: 'gw', epoch: 'id_id', sequence: 1, reading: sample });
});

test('a part is named by sequences or by the readings’ own times, both ends included', async () => {
  assert.deepEqual(parsed(await exported({}, { from: '2', to: '2' })), [measurement]);
  assert.deepEqual(parsed(await exported({}, { from: '2026-01-01T08:00:01.5Z', to: '2026-01-01T09:00:02+01:00' })), [
    event,
    measurement,
  ]);
  assert.deepEqual(parsed(await exported({}, { to: START })), [sample]);
  assert.throws(() => parseRange({ from: 'yesterday' }), { code: 'bad_request', message: /--from.*"yesterday"/ });
  assert.throws(() => parseRange({ to: '2026-01-01T08:00:00' }), { code: 'bad_request', message: /with its zone/ });
});

test('a table has a column for each signal and field, quotes by RFC 4180, and the rest as JSON', async () => {
  const [head = '', ...rows] = (await exported({ format: 'csv', identity: { gatewayId: 'gw' } })).split('\r\n');
  const columns = head.split(',');
  assert.deepEqual(columns.slice(0, 5), ['gateway_id', 'epoch', 'sequence', 'kind', 'machine_id']);
  assert.equal(columns.at(-1), 'extra');
  assert.equal(rows.length, 5, 'four rows, and the end of the last one');
  assert.deepEqual(
    rows.map(fieldsOf).map((fields) => fields.length),
    [...Array.from({ length: 4 }, () => columns.length), 1],
  );
  const table = rows.slice(0, 4).map((row) => {
    const named = fieldsOf(row).map((value, index) => [columns[index], value] as const);
    return Object.fromEntries(named.filter(([, value]) => value !== ''));
  });
  const identity = { gateway_id: 'gw', epoch: 'id_id' };
  assert.deepEqual(table[0], {
    ...identity,
    sequence: '1',
    kind: 'sample',
    machine_id: 'CNC-1',
    timestamp: START,
    temperature: '45.5',
    extra: '{"text":"a \\"quoted\\", text"}',
  });
  assert.equal(table[1]?.['text'], 'door,\n"open"');
  assert.equal(table[2]?.['measured_value'], '20.004');
  assert.equal(table[2]?.['extra'], '{"details":{"probe":3}}');
});

/** A reader of RFC 4180 that shares nothing with the writer. */
function fieldsOf(row: string): string[] {
  const fields = [...row.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^",]*))/g)];
  return fields.map(([, quoted, bare = '']) => quoted?.replaceAll('""', '"') ?? bare);
}

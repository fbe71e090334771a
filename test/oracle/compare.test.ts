/** The rule can fail: what is missing, too many or altered is found, and nothing else is. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { encodeFrame } from '../../src/model/frame.ts';
import type { Reading } from '../../src/model/reading.ts';
import type { DatabaseSettings } from '../../src/hub/settings.ts';
import { startTestServer, withClient } from '../support/hub-database.ts';
import { type Comparison, compare } from './compare.ts';
import type { Excused } from './damage.ts';
import { openWitness, type Witness } from './witness.ts';

const GATEWAY = 'G';
const EPOCH = 'e-1';

const server = await startTestServer();
const folder = mkdtempSync(path.join(tmpdir(), 'millwright-oracle-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function sample(second: number): Reading {
  const timestamp = `2026-01-01T08:00:0${second}.123456Z`;
  return { machine_id: 'M', timestamp, temperature: 20.1 + second, x_pos_mm: null, program: 'a\\b"c' };
}

function event(second: number): Reading {
  const timestamp = `2026-01-01T08:00:0${second}.000001Z`;
  return { machine_id: 'M', timestamp, kind: 'event', event_type: 'part', item: 'count', details: { n: 1.5 } };
}

interface Situation {
  readonly database: DatabaseSettings;
  readonly witness: Witness;
  readonly compare: (excused?: readonly Excused[]) => Promise<Comparison>;
  readonly sql: (text: string) => Promise<void>;
}

/** Three batches were kept, of a sample and an event each; they are in the database. */
async function situation(): Promise<Situation> {
  const database = await server.database();
  const file = path.join(folder, database.dbname);
  const witness = openWitness(file);
  const sql = (text: string): Promise<void> => withClient(database, async (client) => void (await client.query(text)));
  for (const sequence of [1, 2, 3]) {
    const readings = [sample(sequence), event(sequence)];
    witness.tried({ epoch: EPOCH, sequence, payload: Buffer.concat(readings.map(encodeFrame)) });
    witness.kept({ epoch: EPOCH, sequence });
    witness.acknowledged({ epoch: EPOCH, sequence, payload: Buffer.concat(readings.map(encodeFrame)) });
    await sql(`
      insert into sensor_data (time, machine_id, temperature, extra) values
        ('${sample(sequence).timestamp}', 'M', ${20.1 + sequence}, '{"program": "a\\\\b\\"c", "x_pos_mm": null}');
      insert into events (time, machine_id, event_type, item, details) values
        ('${event(sequence).timestamp}', 'M', 'part', 'count', '{"n": 1.5}');
      ${settled(sequence)}`);
  }
  const judge = (excused: readonly Excused[] = []): Promise<Comparison> =>
    compare({ database, gatewayId: GATEWAY, witnessFiles: [file], excused });
  return { database, witness, compare: judge, sql };
}

function settled(sequence: number, epoch = EPOCH): string {
  return `insert into settled_ranges values ('gateway', '${GATEWAY}', '${epoch}', int8range(${sequence}, ${sequence + 1}));`;
}

function unsettled(sequence: number): string {
  return `delete from settled_ranges where ${sequence}::bigint <@ sequences;`;
}

const SOUND = {
  batches: 3,
  readings: 6,
  batchesLost: 0,
  batchesDestroyed: 0,
  batchesUntold: 0,
  batchesToldWrongly: 0,
  batchesUnknown: 0,
  numbersUsedTwice: 0,
  batchesPromisedEarly: 0,
  readingsLost: 0,
  readingsDoubled: 0,
  readingsCorrupted: 0,
};

/** Without the offenders, which are text. */
function figures({ offenders: _, ...rest }: Comparison): Omit<Comparison, 'offenders'> {
  return rest;
}

test('what arrived as it was kept is sound, whether its identities are in the row of the log or beside it', async () => {
  const { compare, sql } = await situation();
  const found = await compare();
  assert.deepEqual(found, { ...SOUND, offenders: [] });
  await sql(`${unsettled(1)} ${unsettled(2)}
    insert into settled_logs values ('gateway', '${GATEWAY}', '${EPOCH}', '{[1,3)}')`);
  assert.deepEqual(figures(await compare()), SOUND);
});

test('a missing row is lost, a second one is doubled, another value is corrupted', async () => {
  const lost = await situation();
  await lost.sql(`delete from sensor_data where temperature > 23`);
  const found = await lost.compare();
  assert.deepEqual(figures(found), { ...SOUND, readingsLost: 1 });
  assert.match(found.offenders.join(), /reading lost: sensor_data, M at 2026-01-01 08:00:03\.123456\+00, batch e-1\/3/);

  const doubled = await situation();
  await doubled.sql(`insert into events select * from events limit 1`);
  assert.deepEqual(figures(await doubled.compare()), { ...SOUND, readingsDoubled: 1 });

  const altered = [
    `update sensor_data set temperature = temperature + 1e-13 where temperature > 23`,
    `update sensor_data set extra = '{"program": "a\\\\b\\"c"}' where temperature > 23`,
    `update events set details = '{"n": 1.25}' where time > '2026-01-01T08:00:03Z'`,
  ];
  for (const alter of altered) {
    const corrupted = await situation();
    await corrupted.sql(alter);
    assert.deepEqual(figures(await corrupted.compare()), { ...SOUND, readingsCorrupted: 1 }, alter);
  }

  const moved = await situation();
  await moved.sql(`update events set time = time + interval '1 microsecond' where time > '2026-01-01T08:00:03Z'`);
  assert.deepEqual(figures(await moved.compare()), { ...SOUND, readingsLost: 1, readingsCorrupted: 1 });
});

test('a kept batch that did not arrive is lost, one that was only tried may be there or not', async () => {
  const { compare, sql, witness } = await situation();
  witness.tried({ epoch: EPOCH, sequence: 4, payload: encodeFrame(sample(4)) });
  assert.deepEqual(figures(await compare()), SOUND);
  await sql(settled(4));
  assert.deepEqual(figures(await compare()), { ...SOUND, batches: 4, readings: 7, readingsLost: 1 });
  witness.kept({ epoch: EPOCH, sequence: 4 });
  await sql(unsettled(4));
  const lost = { ...SOUND, batches: 4, readings: 7, batchesLost: 1, readingsLost: 1 };
  assert.deepEqual(figures(await compare()), lost);
  await sql(settled(4) + settled(1, 'other'));
  assert.deepEqual(figures(await compare()), { ...lost, batchesLost: 0, batchesUnknown: 1 });
});

test('the last try under a number counts, and a number that was kept is never tried again', async () => {
  const { compare, sql, witness } = await situation();
  witness.tried({ epoch: EPOCH, sequence: 4, payload: encodeFrame(sample(8)) });
  witness.tried({ epoch: EPOCH, sequence: 4, payload: encodeFrame(event(4)) });
  witness.kept({ epoch: EPOCH, sequence: 4 });
  await sql(`insert into events (time, machine_id, event_type, item, details) values
      ('${event(4).timestamp}', 'M', 'part', 'count', '{"n": 1.5}');
    ${settled(4)}`);
  assert.deepEqual(figures(await compare()), { ...SOUND, batches: 4, readings: 7 });
  witness.tried({ epoch: EPOCH, sequence: 4, payload: encodeFrame(event(4)) });
  assert.equal((await compare()).numbersUsedTwice, 1);
});

test('an append is acknowledged only when its bytes are kept', async () => {
  const { compare, witness } = await situation();
  const batch = { epoch: EPOCH, sequence: 4, payload: encodeFrame(event(4)) };
  witness.tried(batch);
  witness.acknowledged(batch);
  witness.acknowledged({ ...batch, sequence: 5 });
  witness.acknowledged({ ...batch, sequence: 3 });
  assert.deepEqual(figures(await compare()), { ...SOUND, batchesPromisedEarly: 3 });
});

test('a destroyed batch is excused and must be told, with its range and no more', async () => {
  const { compare, sql } = await situation();
  const excused = [{ epoch: EPOCH, first: 2, last: 2 }];
  await sql(`${unsettled(2)} delete from events where time = '${event(2).timestamp}';
    delete from sensor_data where time = '${sample(2).timestamp}'`);
  const destroyed = { ...SOUND, batches: 2, readings: 4, batchesDestroyed: 1 };
  assert.deepEqual(figures(await compare(excused)), { ...destroyed, batchesUntold: 1 });
  assert.equal((await compare()).batchesLost, 1);
  const tell = (first: number, last: number): Promise<void> =>
    sql(`insert into events (time, machine_id, event_type, details) values
      (now(), 'M', 'gap', '{"reason": "destroyed", "first_sequence": ${first}, "last_sequence": ${last}}')`);
  await tell(2, 2);
  const told = await compare(excused);
  assert.deepEqual([told.batchesUntold, told.batchesToldWrongly], [0, 0]);
  await tell(1, 2);
  assert.equal((await compare(excused)).batchesToldWrongly, 1);
});

import assert from 'node:assert/strict';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { hasCode } from '../../base/errors.ts';
import { silentLogger } from '../../base/logger.ts';
import { select, startTestServer, withClient } from '../../../test/support/hub-database.ts';
import { upgradeCases } from '../../../test/support/upgrade-cases.ts';
import { migrate } from './migrations.ts';

const server = await startTestServer();
const OWN = new URL('./migrations/', import.meta.url);

upgradeCases(server);

test('several hubs that start at once set up an empty database once', async () => {
  const settings = await server.emptyDatabase();
  const start = (): Promise<void> => withClient(settings, (client) => migrate(client, silentLogger));
  await Promise.all([start(), start(), start()]);
  const steps = await select<{ number: number }>(settings, 'select number from schema_migrations');
  assert.equal(steps[0]?.number, 1);
});

test('the states that a first version kept are read by this one', async () => {
  const settings = await server.emptyDatabase();
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-steps-'));
  after(() => rm(folder, { recursive: true, force: true }));
  await cp(new URL('0001_foundation.sql', OWN), path.join(folder, '0001_foundation.sql'));
  await withClient(settings, (client) => migrate(client, silentLogger, pathToFileURL(`${folder}/`)));
  const [from, to] = ['2026-01-01T08:00:00Z', '2026-01-01T08:00:09Z'];
  const run = { state: 'idle', from, to };
  const states = [
    { ...run, reason: null },
    { ...run, state: 'running', reason: 'ACTIVE' },
  ];
  await select(
    settings,
    `insert into machine_current (machine_id, states) values ('M', '${JSON.stringify(states)}'), ('N', '[]')`,
  );
  await withClient(settings, (client) => migrate(client, silentLogger));
  assert.deepEqual(await select(settings, 'select states from machine_current order by machine_id'), [
    { states: [states[0], { ...run, state: 'running', reason: [from, 'ACTIVE'] }] },
    { states: [] },
  ]);
});

test('a newer database, and one made from other files, are refused with a sentence', async (t) => {
  const settings = await server.database();
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-steps-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await cp(OWN, folder, { recursive: true });
  const newer = pathToFileURL(`${folder}/`);
  const run = (steps: URL): Promise<void> => withClient(settings, (client) => migrate(client, silentLogger, steps));

  await writeFile(path.join(folder, '9999_later.sql'), 'create table later (n integer)');
  await run(newer);
  await assert.rejects(run(OWN), (error) => {
    return (
      hasCode(error, 'database_version') && /newer Millwright \(its schema has step 9999_later/.test(error.message)
    );
  });
  await writeFile(path.join(folder, '9999_later.sql'), 'create table later (n bigint)');
  await assert.rejects(run(newer), (error) => hasCode(error, 'database_version') && /another file/.test(error.message));
});

test('a step that fails leaves nothing of itself', async (t) => {
  const settings = await server.database();
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-steps-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await cp(OWN, folder, { recursive: true });
  await writeFile(path.join(folder, '9999_broken.sql'), 'create table half (n integer); select nonsense');
  await assert.rejects(withClient(settings, (client) => migrate(client, silentLogger, pathToFileURL(`${folder}/`))));
  const tables = await select(settings, `select 1 from pg_tables where tablename = 'half'`);
  assert.deepEqual(tables, []);
});

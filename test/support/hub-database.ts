/** For tests: one real PostgreSQL per test file, a fresh database with the schema for each test. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import { Client } from 'pg';
import { silentLogger } from '../../src/base/logger.ts';
import type { EmbeddedPostgres } from '../../src/up/postgres.ts';
import { type DatabaseSettings, DEFAULT_STORE } from '../../src/hub/settings.ts';
import { createClient } from '../../src/hub/store/connection.ts';
import { prepareStore } from '../../src/hub/store/maintenance.ts';
import { startTestPostgres } from './postgres.ts';

export interface TestServer {
  readonly pid: number;
  /** A database of its own, empty but for the schema. */
  database(): Promise<DatabaseSettings>;
  /** One without even that. */
  emptyDatabase(): Promise<DatabaseSettings>;
}

/** Stops with the test file. */
export async function startTestServer(): Promise<TestServer> {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-hub-'));
  const server = await startTestPostgres({ folder });
  after(async () => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });
  return testServerOf(server);
}

type RunningServer = Pick<EmbeddedPostgres, 'host' | 'port' | 'user' | 'password' | 'database' | 'pid'>;

export function testServerOf(server: RunningServer): TestServer {
  const { host, port, user, password } = server;
  let count = 0;
  const emptyDatabase = async (): Promise<DatabaseSettings> => {
    count += 1;
    const dbname = `test_${count}`;
    const admin = new Client({ host, port, user, password, database: server.database });
    await admin.connect();
    await admin.query(`create database ${dbname}`);
    await admin.end();
    return { host, port, user, password, dbname, readConnectionsMax: 4 };
  };
  const database = async (): Promise<DatabaseSettings> => {
    const settings = await emptyDatabase();
    await withClient(settings, (client) => prepareStore(client, DEFAULT_STORE, silentLogger));
    return settings;
  };
  return { pid: server.pid, database, emptyDatabase };
}

/** Runs the work with a connection, and closes it. */
export async function withClient<Result>(
  settings: DatabaseSettings,
  work: (client: Client) => Promise<Result>,
): Promise<Result> {
  const client = createClient(settings, 'test', () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** The rows of a statement. */
export async function select<Row extends object>(settings: DatabaseSettings, sql: string): Promise<Row[]> {
  return withClient(settings, async (client) => (await client.query<Row>(sql)).rows);
}

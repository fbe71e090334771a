/**
 * Brings the database to this version's schema.
 *
 * `migrations/NNNN_name.sql`, in the order of their numbers, each in a transaction of its own and recorded with its
 * checksum in `schema_migrations`. An advisory lock lets several hubs start at once. A file that was applied must never
 * be changed: add another.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import type { Client } from 'pg';
import { MillwrightError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import { ADVISORY_LOCKS } from './connection.ts';

/** Applies what is missing. @throws `database_version` when the database is newer, or was made from other files */
export async function migrate(client: Client, log: Logger, folder: URL = MIGRATIONS_FOLDER): Promise<void> {
  const migrations = await readMigrations(folder);
  await client.query('select pg_advisory_lock($1)', [ADVISORY_LOCKS.migration]);
  try {
    await client.query(`create table if not exists schema_migrations (
      number integer primary key, name text not null, checksum text not null, applied_at timestamptz not null default now())`);
    const applied = await client.query<Applied>('select number, name, checksum from schema_migrations order by number');
    checkApplied(applied.rows, migrations);
    for (const migration of migrations.slice(applied.rows.length)) await apply(client, migration, log);
  } finally {
    // Where the connection is what has failed, the lock is gone with it, and the first error is the one to tell.
    await client.query('select pg_advisory_unlock($1)', [ADVISORY_LOCKS.migration]).catch(() => undefined);
  }
}

const MIGRATIONS_FOLDER: URL = new URL('./migrations/', import.meta.url);

interface Applied {
  readonly number: number;
  readonly name: string;
  readonly checksum: string;
}

interface Migration extends Applied {
  readonly sql: string;
}

async function readMigrations(folder: URL): Promise<Migration[]> {
  const names = (await readdir(folder)).filter((name) => /^\d{4}_\w+\.sql$/.test(name)).sort();
  return Promise.all(
    names.map(async (name) => {
      const sql = (await readFile(new URL(name, folder), 'utf8')).replaceAll('\r\n', '\n');
      return { number: Number(name.slice(0, 4)), name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
    }),
  );
}

function checkApplied(applied: readonly Applied[], migrations: readonly Migration[]): void {
  for (const [index, { number, name, checksum }] of applied.entries()) {
    const own = migrations[index];
    if (own === undefined) {
      throw new MillwrightError(
        'database_version',
        `the database was set up by a newer Millwright (its schema has step ${name}, this version ends at ` +
          `${migrations.at(-1)?.name ?? 'nothing'}); start that version, or use another database`,
      );
    }
    if (own.number !== number || own.checksum !== checksum) {
      throw new MillwrightError(
        'database_version',
        `the database's schema step ${name} was made from another file than this version's ${own.name}`,
      );
    }
  }
}

async function apply(client: Client, migration: Migration, log: Logger): Promise<void> {
  await client.query('begin');
  try {
    await client.query(migration.sql);
    await client.query('insert into schema_migrations (number, name, checksum) values ($1, $2, $3)', [
      migration.number,
      migration.name,
      migration.checksum,
    ]);
    await client.query('commit');
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
  log.info('schema step applied', { step: migration.name });
}

/** For tests: a streaming replica of an embedded PostgreSQL, made from a base backup while the primary runs. */
import { execFileSync } from 'node:child_process';
import { appendFile, copyFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Client } from 'pg';
import type { EmbeddedPostgres } from '../../src/up/postgres.ts';
import { startTestPostgres } from './postgres.ts';

export interface ReplicaFolders {
  readonly primaryFolder: string;
  /** Must not exist within a folder that others may not enter. */
  readonly folder: string;
}

/** The package of the embedded server has no pg_basebackup; these are its steps (PostgreSQL manual, 25.3.3). */
export async function makeReplica(primary: EmbeddedPostgres, { primaryFolder, folder }: ReplicaFolders): Promise<void> {
  const { host, port, user, password, database } = primary;
  const client = new Client({ host, port, user, password, database });
  await client.connect();
  const cluster = path.join(folder, 'cluster');
  execFileSync('mkdir', ['-p', folder]);
  await client.query(`select pg_backup_start('replica', true)`);
  // A primary that is at work deletes files under the copy's hands, which the log then makes up for.
  execFileSync('sh', ['-c', 'cp -a "$0" "$1" || test -d "$1/base"', path.join(primaryFolder, 'cluster'), cluster], {
    stdio: 'ignore',
  });
  const { rows } = await client.query<{ labelfile: string }>('select labelfile from pg_backup_stop(false)');
  await client.end();
  await copyFile(path.join(primaryFolder, 'password'), path.join(folder, 'password'));
  await rm(path.join(cluster, 'postmaster.pid'), { force: true });
  await writeFile(path.join(cluster, 'backup_label'), rows[0]?.labelfile ?? '');
  await writeFile(path.join(cluster, 'standby.signal'), '');
  const source = `host=${host} port=${port} user=${user} password=${password}`;
  await appendFile(path.join(cluster, 'postgresql.auto.conf'), `primary_conninfo = '${source}'\nhot_standby = on\n`);
  // What was written here belongs to root; the server may run as another user.
  execFileSync('chown', ['-R', '--reference', path.join(primaryFolder, 'cluster'), cluster]);
}

export function startReplica({ folder }: ReplicaFolders, port?: number): Promise<EmbeddedPostgres> {
  return startTestPostgres({ folder, ...(port === undefined ? {} : { port }) });
}

/** For tests: a PostgreSQL without waiting for the disk, in a folder of its own. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { silentLogger } from '../../src/base/logger.ts';
import { type EmbeddedPostgres, type PostgresOptions, startPostgres } from '../../src/up/postgres.ts';

const ROOT = new URL('../../', import.meta.url);
const CACHE = fileURLToPath(new URL('node_modules/.cache/', ROOT));

/** Starts with a copy of a cluster: making one takes longer than many a test. A cluster that is there is started. */
export async function startTestPostgres({
  folder,
  durable = false,
  ...options
}: Omit<PostgresOptions, 'log'>): Promise<EmbeddedPostgres> {
  if (!existsSync(path.join(folder, 'cluster'))) {
    // With the owner, who is another when the tests are run by root.
    mkdirSync(folder, { recursive: true });
    execFileSync('cp', ['-a', `${await template()}/.`, folder]);
  }
  return startPostgres({ folder, log: silentLogger, durable, ...options });
}

/** A folder with a cluster that is stopped; made once for a version of the server and of the code that makes it. */
async function template(): Promise<string> {
  const key = createHash('sha256');
  for (const file of ['package.json', 'src/up/postgres.ts']) key.update(readFileSync(new URL(file, ROOT)));
  const folder = path.join(CACHE, `cluster-${key.digest('hex').slice(0, 16)}`);
  if (existsSync(folder)) return folder;
  const own = `${folder}.${process.pid}`;
  const server = await startPostgres({ folder: own, log: silentLogger, durable: false });
  await server.stop();
  try {
    renameSync(own, folder);
  } catch {
    // Another test was quicker.
    rmSync(own, { recursive: true, force: true });
  }
  return folder;
}

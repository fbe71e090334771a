/** For tests: a real PostgreSQL with TimescaleDB, until the test file ends. Needs root, see scripts/timescale.mjs. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after } from 'node:test';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { type TestServer, testServerOf } from './hub-database.ts';
import { provided } from './processes.ts';
import { freePort, waitUntil } from './system.ts';

const BINARIES = '/usr/lib/postgresql/17/bin';
/** Below the folder that `chroot` makes the root; one folder in it for each server. */
const CLUSTERS = 'srv';
const HOST = '127.0.0.1';
const USER = 'millwright';
const PASSWORD = 'timescale-secret';
/** `postgres` in the small Debian. */
const USER_ID = 65_534;
const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: HOST,
  unix_socket_directories: '',
  shared_preload_libraries: 'timescaledb',
  'timescaledb.telemetry_level': 'off',
  // There is no /dev/shm in that folder.
  dynamic_shared_memory_type: 'mmap',
  shared_buffers: '128MB',
  max_connections: '40',
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
};

/** Its databases have the extension at hand, not created: that is the hub's. */
export async function startTimescale(): Promise<TestServer> {
  const root = await provided({ variable: 'MILLWRIGHT_TIMESCALE', script: 'timescale.mjs' });
  await removeAbandoned(path.join(root, CLUSTERS));
  const folder = await mkdtemp(path.join(root, CLUSTERS, `${process.pid}-`));
  await chown(folder, USER_ID, USER_ID);
  const cluster = `/${path.relative(root, folder)}`;
  await writeFile(path.join(folder, 'password'), PASSWORD);
  const init = [
    '-D',
    `${cluster}/data`,
    '-U',
    USER,
    `--pwfile=${cluster}/password`,
    '-A',
    'scram-sha-256',
    '-E',
    'UTF8',
  ];
  init.push('--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C', '--no-sync', '--no-instructions');
  const [initdb = '', ...initArgs] = inside(root, [`${BINARIES}/initdb`, ...init]);
  await promisify(execFile)(initdb, initArgs);

  const port = await freePort();
  const settings = Object.entries({ ...SETTINGS, port: String(port) }).map(([name, value]) => `--${name}=${value}`);
  const [program = '', ...args] = inside(root, [`${BINARIES}/postgres`, '-D', `${cluster}/data`, ...settings]);
  const server = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  after(async () => {
    await end(server);
    await rm(folder, { recursive: true, force: true });
  });
  let said = '';
  server.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const reached = { host: HOST, port, user: USER, password: PASSWORD, database: 'postgres' };
  const isReady = async (): Promise<true> => {
    if (!isRunning(server)) return true;
    const client = new Client(reached);
    await client.connect();
    await client.end();
    return true;
  };
  await waitUntil('TimescaleDB', isReady);
  if (!isRunning(server)) throw new Error(`TimescaleDB ended: ${said}`);
  return testServerOf({ ...reached, pid: server.pid ?? 0 });
}

/** The command with that folder as root, as the database's own user; it ends at once when our process does. */
function inside(root: string, command: readonly string[]): string[] {
  const asUser = ['setpriv', `--reuid=${USER_ID}`, `--regid=${USER_ID}`, '--clear-groups', '--pdeathsig=QUIT', '--'];
  return ['chroot', root, ...asUser, ...command];
}

function isRunning(server: ChildProcess): boolean {
  return server.exitCode === null && server.signalCode === null;
}

async function end(server: ChildProcess): Promise<void> {
  if (!isRunning(server)) return;
  const ended = once(server, 'exit');
  server.kill('SIGINT');
  await ended;
}

/** What test runs left that were killed. */
async function removeAbandoned(clusters: string): Promise<void> {
  for (const name of await readdir(clusters)) {
    const owner = await readFile(`/proc/${name.split('-')[0]}/cmdline`, 'utf8').catch(() => undefined);
    if (owner === undefined) await rm(path.join(clusters, name), { recursive: true, force: true });
  }
}

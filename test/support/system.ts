/** A whole Millwright for a test: a real PostgreSQL, a real hub and real edges, each a process that can be killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Pool } from 'pg';
import { stringify } from 'yaml';
import { type EmbeddedPostgres, freePort } from '../../src/up/postgres.ts';
import { startTestPostgres } from './postgres.ts';

export { freePort };

export const CLI: string = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));
/** Longest wait for a condition; generous, since a test never waits longer than the condition takes. */
export const WAIT_MS_MAX = 60_000;
const POLL_MS = 25;

/** Resolves to the first answer that is not undefined; fails with `what` and the last error when none comes. */
export async function waitUntil<Answer>(
  what: string,
  look: () => Promise<Answer | undefined> | Answer | undefined,
  { timeoutMs = WAIT_MS_MAX, pollMs = POLL_MS }: { timeoutMs?: number; pollMs?: number } = {},
): Promise<Answer> {
  const deadline = performance.now() + timeoutMs;
  let lastError: unknown;
  for (;;) {
    try {
      const answer = await look();
      if (answer !== undefined) return answer;
    } catch (error) {
      lastError = error;
    }
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${what}`, { cause: lastError });
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** SIGSTOP, until none of its threads runs any more: the signal alone returns while some still do. SIGCONT lets it go on. */
export async function suspend(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  const isStopped = (task: string): boolean => {
    const stat = readFileSync(`/proc/${pid}/task/${task}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')')).startsWith(') T');
  };
  await waitUntil(`process ${pid} to stop`, () => readdirSync(`/proc/${pid}/task`).every(isStopped) || undefined, {
    pollMs: 1,
  });
}

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A command of Millwright in a process of its own; what it logs is kept. It does not keep a failed test from ending. */
export class Command {
  readonly args: readonly string[];
  readonly #process: ChildProcess;
  #said = '';

  /** @param variables of the environment, besides our own */
  constructor(args: readonly string[], variables: Readonly<Record<string, string>> = {}) {
    this.args = args;
    this.#process = spawn(process.execPath, [CLI, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...variables },
    });
    running.add(this.#process);
    this.#process.once('exit', () => running.delete(this.#process));
    this.#process.unref();
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#said += chunk.toString();
      });
      if (stream instanceof Socket) stream.unref();
    }
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** Everything it has written so far. */
  get said(): string {
    return this.#said;
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Sends the signal and resolves to the exit code when it has ended. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    if (this.running) this.#process.kill(signal);
    return this.exited();
  }

  async exited(): Promise<number | null> {
    this.#process.ref();
    if (this.running) await once(this.#process, 'exit');
    return this.#process.exitCode;
  }
}

export interface System {
  readonly folder: string;
  readonly url: string;
  readonly postgres: EmbeddedPostgres;
  readonly database: Pool;
  hub: Command;
  /** Starts the hub on the same port as before, and resolves when it serves. */
  startHub(): Promise<Command>;
  /** Writes the configuration and starts an edge with it; a `hub` sink to this hub is added. */
  startEdge(name: string, config: object): Promise<Command>;
  /** The folder of that edge's log. */
  logFolder(name: string): string;
  rows<Row extends object>(sql: string, values?: unknown[]): Promise<Row[]>;
  get<Answer>(path: string): Promise<Answer>;
  stop(): Promise<void>;
}

/** A folder for a test, that the database's own user may enter. */
export async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-'));
  await chmod(folder, 0o711);
  return folder;
}

export interface SystemOptions {
  /** Whether the database syncs what it commits: for tests it need not. */
  readonly durable?: boolean;
  /** Sections of the hub's configuration besides `server` and `database`. */
  readonly hub?: object;
}

export async function startSystem({ durable = false, hub = {} }: SystemOptions = {}): Promise<System> {
  const folder = await makeFolder();
  const postgres = await startTestPostgres({ folder: path.join(folder, 'database'), durable });
  const { host, port, user, password, database: dbname } = postgres;
  const database = new Pool({ host, port, user, password, database: dbname, max: 4 });
  database.on('error', () => {}); // The server may be stopped under an idle connection; a query tells.
  const hubPort = await freePort();
  const hubConfig = path.join(folder, 'hub.yaml');
  const server = { host: '127.0.0.1', port: hubPort };
  await writeFile(hubConfig, stringify({ server, database: { host, port, dbname, user, password }, ...hub }));
  const url = `http://127.0.0.1:${hubPort}`;
  const commands: Command[] = [];

  const command = (args: readonly string[]): Command => {
    const started = new Command(args);
    commands.push(started);
    return started;
  };
  const startHub = async (): Promise<Command> => {
    system.hub = command(['hub', '--config', hubConfig]);
    await waitUntil(`the hub to serve`, async () => {
      if (!system.hub.running) throw new Error(system.hub.said);
      return (await fetch(`${url}/healthz`)).ok ? true : undefined;
    });
    return system.hub;
  };
  const startEdge = async (name: string, config: object): Promise<Command> => {
    const file = path.join(folder, `${name}.yaml`);
    await mkdir(system.logFolder(name), { recursive: true });
    const buffering = { folder: system.logFolder(name) };
    await writeFile(file, stringify({ sinks: [{ type: 'hub', url }], buffering, status: { port: 0 }, ...config }));
    return command(['edge', '--config', file]);
  };
  const system: System = {
    folder,
    url,
    postgres,
    database,
    hub: command(['--version']),
    startHub,
    startEdge,
    logFolder: (name) => path.join(folder, `log-${name}`),
    rows: async <Row extends object>(sql: string, values: unknown[] = []) =>
      (await database.query<Row>(sql, values)).rows,
    get: async <Answer>(place: string) => (await (await fetch(`${url}${place}`)).json()) as Answer,
    stop: async () => {
      await Promise.all(commands.map((each) => each.end('SIGKILL')));
      await database.end();
      await postgres.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
  await startHub();
  return system;
}

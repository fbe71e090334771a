/** A real PostgreSQL whose whole process tree can be killed, and that comes back on the same port. */
import { readFileSync } from 'node:fs';
import { silentLogger } from '../../src/base/logger.ts';
import type { DatabaseSettings } from '../../src/hub/settings.ts';
import { type EmbeddedPostgres, startPostgres } from '../../src/up/postgres.ts';
import { waitUntil } from '../support/system.ts';

export class DatabaseServer {
  readonly #folder: string;
  readonly #port: number;
  #server: EmbeddedPostgres | undefined;

  constructor({ folder, port }: { folder: string; port: number }) {
    this.#folder = folder;
    this.#port = port;
  }

  /** Waits for the disk with every commit, as a real one must. */
  async start(): Promise<void> {
    this.#server = await startPostgres({ folder: this.#folder, log: silentLogger, durable: true, port: this.#port });
  }

  get settings(): DatabaseSettings {
    const { host, port, user, password, database } = this.#running;
    return { host, port, user, password, dbname: database, readConnectionsMax: 4 };
  }

  /** `kill -9` of the server and of all its children. */
  async kill(): Promise<void> {
    const { pid } = this.#running;
    const pids = [pid, ...childrenOf(pid)];
    for (const each of pids) send(each, 'SIGKILL');
    await waitUntil('the database to be gone', () => (pids.some((each) => send(each, 0)) ? undefined : true));
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
  }

  /** For the last moment of this process. */
  killNow(): void {
    if (this.#server !== undefined) send(this.#server.pid, 'SIGQUIT');
  }

  get #running(): EmbeddedPostgres {
    if (this.#server === undefined) throw new Error('the database was not started');
    return this.#server;
  }
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1');
  return text.split(' ').filter(Boolean).map(Number);
}

/** Whether there is such a process. */
function send(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

/** What an edge delivers to: everything between it and the database. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { stringify } from 'yaml';
import type { SinkSettings } from '../../src/edge/settings.ts';
import type { DatabaseSettings } from '../../src/hub/settings.ts';
import { CLI, freePort } from '../support/system.ts';
import { Supervised } from './supervised.ts';
import { type Line, TcpProxy } from './tcp-proxy.ts';

export const HOST = '127.0.0.1';
export const SINK = 'hub';
/** Shorter than the longest silence of the network, so that requests are sent again which the hub has got. */
const SINK_TIMEOUT_MS = 4_000;

export interface Receiver {
  readonly sink: SinkSettings;
  /** Where the edge's connections run. */
  readonly network: Line;
  readonly hubs: readonly Supervised[];
  /** The hubs, and all else that can end by itself. */
  readonly processes: readonly Supervised[];
  /** The database as the hubs reach it. */
  start(database: DatabaseSettings): Promise<void>;
  /** Messages that the edge takes for delivered and that no hub has stored yet. Rejects while nobody can tell. */
  waiting(): Promise<number>;
  stop(): Promise<void>;
  /** For the last moment of this process. */
  stopNow(): void;
}

/** One hub, to which the edge sends its requests. */
export class HttpReceiver implements Receiver {
  readonly sink: SinkSettings;
  readonly network: TcpProxy;
  readonly hubs: readonly Supervised[];
  readonly #hub: HubProcess;

  static async create(folder: string): Promise<HttpReceiver> {
    const [hub, network] = await freePorts(2);
    return new HttpReceiver(folder, { hub: hub!, network: network! });
  }

  constructor(folder: string, ports: { readonly hub: number; readonly network: number }) {
    this.#hub = new HubProcess({ folder, name: 'hub', port: ports.hub });
    this.hubs = [this.#hub.process];
    this.network = new TcpProxy({ port: ports.network, targetPort: ports.hub });
    const url = `http://${HOST}:${ports.network}`;
    const options = { url, timeoutMs: SINK_TIMEOUT_MS, token: null, tlsCaFile: null };
    this.sink = { name: SINK, type: 'hub', from: 'oldest', maxRate: null, options };
  }

  get processes(): readonly Supervised[] {
    return this.hubs;
  }

  async start(database: DatabaseSettings): Promise<void> {
    await this.network.start();
    this.#hub.start(database, {});
  }

  /** What this hub answers for is in the database. */
  async waiting(): Promise<number> {
    return 0;
  }

  async stop(): Promise<void> {
    await this.#hub.process.end('SIGKILL');
    await this.network.stop();
  }

  stopNow(): void {
    this.#hub.process.killNow();
  }
}

interface HubProcessOptions {
  readonly folder: string;
  /** Of its files. */
  readonly name: string;
  readonly port: number;
}

/** A hub as a person starts it, with a configuration file. */
export class HubProcess {
  readonly process: Supervised;
  readonly #configFile: string;
  readonly #port: number;

  constructor({ folder, name, port }: HubProcessOptions) {
    this.#configFile = path.join(folder, `${name}.yaml`);
    this.#port = port;
    this.process = new Supervised({
      name: `the ${name}`,
      args: () => [CLI, 'hub', '--config', this.#configFile],
      logFile: path.join(folder, `${name}.log`),
    });
  }

  /** @param sections of its configuration, besides the common ones */
  start(database: DatabaseSettings, sections: object): void {
    const { host, port, dbname, user, password } = database;
    const common = { server: { host: HOST, port: this.#port }, database: { host, port, dbname, user, password } };
    writeFileSync(this.#configFile, stringify({ ...common, log_level: 'warn', ...sections }));
    this.process.start();
  }
}

/** So many different ones. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await freePort());
  return [...ports];
}

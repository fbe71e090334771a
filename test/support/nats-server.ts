/**
 * Real NATS servers for tests and benchmarks, with the configurations of deploy/nats/ as they stand: ports come by the
 * command line and everything else by the environment. Each keeps its streams in a temporary folder, which goes with it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Certificates } from './certificates.ts';
import { endsWithUs, provided } from './processes.ts';
import { freePort, waitUntil } from './system.ts';

export const NATS_CONFIGURATIONS: string = fileURLToPath(new URL('../../deploy/nats', import.meta.url));

const HOST = '127.0.0.1';
const PASSWORDS = { hub: 'hub-secret', edge: 'edge-secret', leaf: 'leaf-secret', route: 'route-secret' } as const;

export interface NatsOptions {
  /**
   * A file of deploy/nats/ (default: single.conf), or the text of a configuration of its own, without ports and without
   * JetStream, which are added.
   */
  readonly config?: 'single.conf' | 'cluster.conf' | 'leaf.conf' | { readonly text: string };
  /** False: a configuration of its own stays without JetStream. */
  readonly jetStream?: boolean;
  /** Variables that the configuration asks for, besides those that are always given. */
  readonly variables?: Readonly<Record<string, string>>;
  /** Clients are not told of the other servers of the cluster, so that they stay on the ways that they were given. */
  readonly noAdvertise?: boolean;
  /** Clients must use TLS. */
  readonly tls?: Certificates;
  /** And must show a certificate of the same authority. */
  readonly verifyClients?: boolean;
}

/** One server process after another, on the same ports and with the same streams. */
export class NatsServer {
  /** Where a client reaches it, without user and password. */
  readonly address: string;
  /** With those of the users that the configurations of deploy/nats/ have. */
  readonly url: string;
  readonly edgeUrl: string;
  /** Where a leaf node reaches it. */
  readonly leafUrl: string;
  readonly monitoringUrl: string;
  readonly #command: readonly string[];
  readonly #variables: Readonly<Record<string, string>>;
  readonly #folder: string;
  #process: ChildProcess | undefined;
  #said = '';

  /** Only assigns; `restart` starts it. */
  constructor(parts: {
    readonly command: readonly string[];
    readonly variables: Readonly<Record<string, string>>;
    readonly folder: string;
    readonly scheme: 'nats' | 'tls';
    readonly port: number;
    readonly monitoringPort: number;
    readonly leafPort: number;
  }) {
    const { scheme, port } = parts;
    this.#command = parts.command;
    this.#variables = parts.variables;
    this.#folder = parts.folder;
    this.address = `${scheme}://${HOST}:${port}`;
    this.url = `${scheme}://hub:${PASSWORDS.hub}@${HOST}:${port}`;
    this.edgeUrl = `${scheme}://edge:${PASSWORDS.edge}@${HOST}:${port}`;
    this.leafUrl = `nats-leaf://leaf:${PASSWORDS.leaf}@${HOST}:${parts.leafPort}`;
    this.monitoringUrl = `http://${HOST}:${parts.monitoringPort}`;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** Everything that the servers have logged so far. */
  get said(): string {
    return this.#said;
  }

  get isRunning(): boolean {
    return this.#process !== undefined && this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Starts it (again); of one that runs, ends the process first. Resolves when it is ready. */
  async restart(): Promise<void> {
    await this.kill('SIGTERM');
    this.launch();
    await this.ready();
  }

  /** Starts the process without waiting: a server of a cluster is ready only when another one is there. */
  launch(): void {
    const [program = '', ...args] = endsWithUs(this.#command);
    // Nothing of our own environment, so that the configuration's variables are known to be all there.
    const started = spawn(program, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: this.#variables,
      cwd: this.#folder,
    });
    started.stderr.on('data', (chunk: Buffer) => {
      this.#said += chunk.toString();
    });
    started.once('error', (error) => {
      this.#said += error.message;
    });
    // Like our own commands, it does not keep a failed test from ending.
    started.unref();
    if (started.stderr instanceof Socket) started.stderr.unref();
    this.#process = started;
  }

  /** Resolves when clients are served and the streams of this server have been recovered. */
  async ready(): Promise<void> {
    const isReady = async (): Promise<true | undefined> =>
      !this.isRunning || (await fetch(`${this.monitoringUrl}/healthz`)).ok ? true : undefined;
    await waitUntil(`the NATS server ${this.address}`, isReady);
    if (!this.isRunning) throw new Error(`nats-server ended: ${this.#said}`);
  }

  /** Resolves when the process has ended. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    const ending = this.#process;
    if (ending === undefined || !this.isRunning) return;
    const ended = once(ending, 'exit');
    ending.ref();
    ending.kill(signal);
    await ended;
  }

  /** Ends it, and removes what it stored. */
  async stop(): Promise<void> {
    await this.kill('SIGKILL');
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Resolves when it is ready. @throws with what to do when there is no nats-server and none can be fetched */
export async function startNats(options: NatsOptions = {}): Promise<NatsServer> {
  const server = await makeServer(options);
  await server.restart();
  return server;
}

export interface NatsCluster {
  readonly nodes: readonly NatsServer[];
  /** All servers, for clients. */
  readonly url: string;
  readonly edgeUrl: string;
  stop(): Promise<void>;
}

/** Servers with cluster.conf, each with a name of its own; resolves when all are ready. */
export async function startNatsCluster(
  count: number = 3,
  options: Pick<NatsOptions, 'noAdvertise'> = {},
): Promise<NatsCluster> {
  const ports = await Promise.all(Array.from({ length: count }, freePort));
  const NATS_ROUTES = JSON.stringify(ports.map((port) => `nats://route:${PASSWORDS.route}@${HOST}:${port}`));
  const nodes = await Promise.all(
    ports.map((port, index) => {
      const own = { NATS_NAME: `nats-${index + 1}`, NATS_CLUSTER_LISTEN: `${HOST}:${port}` };
      const variables = { ...own, NATS_ROUTES, NATS_CLUSTER_PASSWORD: PASSWORDS.route };
      return makeServer({ ...options, config: 'cluster.conf', variables });
    }),
  );
  for (const node of nodes) node.launch();
  await Promise.all(nodes.map((node) => node.ready()));
  return {
    nodes,
    url: nodes.map((node) => node.url).join(','),
    edgeUrl: nodes.map((node) => node.edgeUrl).join(','),
    stop: async () => void (await Promise.all(nodes.map((node) => node.stop()))),
  };
}

/**
 * A site's server with leaf.conf. It is ready whether or not the centre can be reached.
 * @param centre where the centre's servers take leaf nodes in, as `leafUrl` tells it
 */
export async function startNatsLeaf({
  domain,
  centre,
}: {
  domain: string;
  centre: readonly string[];
}): Promise<NatsServer> {
  return startNats({ config: 'leaf.conf', variables: { NATS_DOMAIN: domain, NATS_CENTRE: JSON.stringify(centre) } });
}

/** Where the program is; it is fetched when it is nowhere. */
export function natsServerProgram(): Promise<string> {
  return provided({ variable: 'MILLWRIGHT_NATS_SERVER', script: 'nats-server.mjs' });
}

async function makeServer({
  config = 'single.conf',
  jetStream = true,
  variables = {},
  noAdvertise,
  tls,
  verifyClients,
}: NatsOptions): Promise<NatsServer> {
  const program = await natsServerProgram();
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-nats-'));
  const [port, monitoringPort, leafPort] = await Promise.all([freePort(), freePort(), freePort()]);
  const store = path.join(folder, 'store');
  const args = ['-a', HOST, '-p', String(port), '-m', String(monitoringPort)];
  if (typeof config === 'string') {
    args.push('-c', path.join(NATS_CONFIGURATIONS, config));
  } else {
    const file = path.join(folder, 'server.conf');
    await writeFile(file, config.text);
    args.push('-c', file, ...(jetStream ? ['-js', '-sd', store] : []));
  }
  if (noAdvertise === true) args.push('--no_advertise');
  if (tls !== undefined) {
    args.push('--tls', '--tlscert', tls.certFile, '--tlskey', tls.keyFile);
    if (verifyClients === true) args.push('--tlsverify', '--tlscacert', tls.caFile);
  }
  const given = {
    NATS_STORE_DIR: store,
    NATS_HUB_PASSWORD: PASSWORDS.hub,
    NATS_EDGE_PASSWORD: PASSWORDS.edge,
    NATS_LEAF_PASSWORD: PASSWORDS.leaf,
    NATS_LEAF_LISTEN: `${HOST}:${leafPort}`,
  };
  return new NatsServer({
    command: [program, ...args],
    variables: { ...given, ...variables },
    folder,
    scheme: tls === undefined ? 'nats' : 'tls',
    port,
    monitoringPort,
    leafPort,
  });
}

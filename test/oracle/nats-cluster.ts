/** Three NATS servers as `deploy/nats/cluster.conf` makes them, each a process of its own that can be killed. */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connectNats, type NatsConnection } from '../../src/base/nats.ts';
import { seededRandom } from '../../src/base/random.ts';
import { waitUntil } from '../support/system.ts';
import { HOST } from './receiver.ts';
import { Supervised } from './supervised.ts';

const CONFIG_FILE = fileURLToPath(new URL('../../deploy/nats/cluster.conf', import.meta.url));
export const NODES = 3;
/** Of the tests; the configuration takes them from the environment. */
const PASSWORDS = { hub: 'hub-password', edge: 'edge-password', cluster: 'cluster-password', leaf: 'leaf-password' };
/** How long an operator tries, while nodes are down and leaders are elected. */
const OPERATOR_MS_MAX = 30_000;
const OPERATOR_CHECK_MS = 200;

export interface NodePorts {
  readonly client: number;
  readonly cluster: number;
  readonly leaf: number;
}

export class NatsCluster {
  readonly nodes: readonly Supervised[];
  readonly #ports: readonly NodePorts[];
  #operator: Promise<NatsConnection> | undefined;

  constructor({ folder, program, ports }: { folder: string; program: string; ports: readonly NodePorts[] }) {
    this.#ports = ports;
    const routes = ports.map(({ cluster }) => `nats://${HOST}:${cluster}`);
    this.nodes = ports.map(({ client, cluster, leaf }, index) => {
      const store = path.join(folder, `nats-${index + 1}`);
      mkdirSync(store, { recursive: true });
      return new Supervised({
        name: `NATS node ${index + 1}`,
        program,
        // Its clients are told of no other node, so that they stay on the lines they were given.
        args: () => ['-c', CONFIG_FILE, '-a', HOST, '-p', String(client), '-m', '0', '--no_advertise'],
        env: {
          NATS_NAME: `oracle-${index + 1}`,
          NATS_STORE_DIR: store,
          NATS_CLUSTER_LISTEN: `${HOST}:${cluster}`,
          NATS_LEAF_LISTEN: `${HOST}:${leaf}`,
          NATS_ROUTES: JSON.stringify(routes),
          NATS_HUB_PASSWORD: PASSWORDS.hub,
          NATS_EDGE_PASSWORD: PASSWORDS.edge,
          NATS_CLUSTER_PASSWORD: PASSWORDS.cluster,
          NATS_LEAF_PASSWORD: PASSWORDS.leaf,
        },
        logFile: path.join(folder, `nats-${index + 1}.log`),
      });
    });
  }

  /** How hubs and edges log in. */
  static login(role: 'hub' | 'edge'): { readonly user: string; readonly password: string } {
    return { user: role, password: PASSWORDS[role] };
  }

  start(): void {
    for (const node of this.nodes) node.start();
  }

  /**
   * What an operator does, straight on the servers: tried until it succeeds, since a node may be down. Whatever it does must
   * be right to do twice.
   */
  operate<Result>(what: string, act: (manager: JetStreamManager) => Promise<Result>): Promise<Result> {
    const limits = { timeoutMs: OPERATOR_MS_MAX, pollMs: OPERATOR_CHECK_MS };
    return waitUntil(what, async () => ({ result: await act(await this.manager()) }), limits).then(({ result }) => result);
  }

  /** Rejects while no node answers. */
  async manager(): Promise<JetStreamManager> {
    return jetstreamManager(await this.#connection(), { checkAPI: false });
  }

  async stop(): Promise<void> {
    const operator = await this.#operator?.catch(() => undefined);
    await operator?.close();
    await Promise.all(this.nodes.map((node) => node.end('SIGKILL')));
  }

  /** For the last moment of this process. */
  stopNow(): void {
    for (const node of this.nodes) node.killNow();
  }

  #connection(): Promise<NatsConnection> {
    this.#operator ??= connectNats(
      {
        servers: this.#ports.map(({ client }) => `nats://${HOST}:${client}`),
        ...NatsCluster.login('hub'),
        token: null,
        nkeySeedFile: null,
        credsFile: null,
        tlsCaFile: null,
        tlsCertFile: null,
        tlsKeyFile: null,
      },
      { name: 'oracle', random: seededRandom(1) },
    ).catch((error: unknown) => {
      this.#operator = undefined;
      throw error;
    });
    return this.#operator;
  }
}

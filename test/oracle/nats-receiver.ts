/** A cluster of NATS and two hubs that share its consumer; every connection to it runs over a line of its own. */
import type { SinkSettings } from '../../src/edge/settings.ts';
import type { DatabaseSettings } from '../../src/hub/settings.ts';
import { DATA_STREAM } from '../../src/model/nats-wire.ts';
import { type NatsCluster, type NatsServer, startNatsCluster } from '../support/nats-server.ts';
import { Operator } from './operator.ts';
import { freePorts, HOST, HubProcess, type Receiver, SINK } from './receiver.ts';
import type { Supervised } from './supervised.ts';
import { bundle, type Line, TcpProxy } from './tcp-proxy.ts';

const HUBS = ['hub', 'second hub'] as const;

export class NatsReceiver implements Receiver {
  readonly sink: SinkSettings;
  readonly network: Line;
  readonly hubs: readonly Supervised[];
  /** Where the connections of each hub to NATS run. */
  readonly hubNetworks: readonly Line[];
  readonly nodes: readonly NatsServer[];
  readonly operator: Operator;
  readonly #cluster: NatsCluster;
  readonly #hubs: readonly HubProcess[];
  readonly #lines: { readonly edge: Lines; readonly hubs: readonly Lines[] };

  static async create(folder: string): Promise<NatsReceiver> {
    const cluster = await startNatsCluster();
    const { nodes } = cluster;
    const ports = await freePorts(HUBS.length + nodes.length * (1 + HUBS.length));
    const takePort = (): number => ports.pop()!;
    const hubs = HUBS.map((name) => new HubProcess({ folder, name, port: takePort() }));
    const lines = { edge: new Lines(nodes, takePort), hubs: HUBS.map(() => new Lines(nodes, takePort)) };
    return new NatsReceiver(cluster, hubs, lines);
  }

  constructor(cluster: NatsCluster, hubs: readonly HubProcess[], lines: { edge: Lines; hubs: readonly Lines[] }) {
    this.#cluster = cluster;
    this.#hubs = hubs;
    this.#lines = lines;
    this.nodes = cluster.nodes;
    this.operator = new Operator(cluster.url);
    this.hubs = hubs.map((hub) => hub.process);
    this.network = lines.edge.bundle;
    this.hubNetworks = lines.hubs.map((each) => each.bundle);
    this.sink = { name: SINK, type: 'nats', from: 'oldest', maxRate: null, options: {} };
  }

  get processes(): readonly Supervised[] {
    return this.hubs;
  }

  async start(database: DatabaseSettings): Promise<void> {
    await Promise.all([this.#lines.edge, ...this.#lines.hubs].map((lines) => lines.start()));
    for (const [index, hub] of this.#hubs.entries()) {
      hub.start(database, { nats: { url: this.#lines.hubs[index]?.url } });
    }
  }

  /** A message stays in the stream until a hub has stored it. */
  waiting(): Promise<number> {
    return this.operator.sees(async ({ streams }) => (await streams.info(DATA_STREAM)).state.messages);
  }

  async stop(): Promise<void> {
    await this.operator.stop();
    await Promise.all(this.hubs.map((hub) => hub.end('SIGKILL')));
    await this.#cluster.stop();
    await Promise.all([this.#lines.edge, ...this.#lines.hubs].map((lines) => lines.stop()));
  }

  stopNow(): void {
    for (const hub of this.hubs) hub.killNow();
  }
}

/** What one client reaches the nodes by. */
class Lines {
  readonly bundle: Line;
  readonly #proxies: readonly TcpProxy[];
  readonly #ports: readonly number[];

  constructor(nodes: readonly NatsServer[], takePort: () => number) {
    this.#ports = nodes.map(takePort);
    this.#proxies = nodes.map(({ address }, index) => {
      return new TcpProxy({ port: this.#ports[index]!, targetPort: Number(new URL(address).port) });
    });
    this.bundle = bundle(this.#proxies);
  }

  /** As users of the role log in. */
  url(login: string): string {
    return this.#ports.map((port) => `nats://${login}@${HOST}:${port}`).join(',');
  }

  async start(): Promise<void> {
    await Promise.all(this.#proxies.map((proxy) => proxy.start()));
  }

  async stop(): Promise<void> {
    await Promise.all(this.#proxies.map((proxy) => proxy.stop()));
  }
}

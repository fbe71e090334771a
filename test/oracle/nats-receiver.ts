/** A cluster of NATS and two hubs that share its consumer; every connection to it runs over a line of its own. */
import type { SinkSettings } from '../../src/edge/settings.ts';
import type { DatabaseSettings } from '../../src/hub/settings.ts';
import { DATA_STREAM, EDGE_SUBJECT_PREFIX } from '../../src/model/nats-wire.ts';
import { NatsCluster, type NodePorts, NODES } from './nats-cluster.ts';
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
  readonly cluster: NatsCluster;
  readonly #hubs: readonly HubProcess[];
  readonly #lines: { readonly edge: Lines; readonly hubs: readonly Lines[] };

  static async create(folder: string, program: string): Promise<NatsReceiver> {
    const ports = await freePorts(3 * NODES + HUBS.length + NODES * (1 + HUBS.length));
    const take = (): number => ports.pop()!;
    const nodes = Array.from({ length: NODES }, () => ({ client: take(), cluster: take(), leaf: take() }));
    const cluster = new NatsCluster({ folder, program, ports: nodes });
    const hubs = HUBS.map((name) => new HubProcess({ folder, name, port: take() }));
    const lines = { edge: new Lines(nodes, take), hubs: HUBS.map(() => new Lines(nodes, take)) };
    return new NatsReceiver(cluster, hubs, lines);
  }

  constructor(cluster: NatsCluster, hubs: readonly HubProcess[], lines: { edge: Lines; hubs: readonly Lines[] }) {
    this.cluster = cluster;
    this.#hubs = hubs;
    this.#lines = lines;
    this.hubs = hubs.map((hub) => hub.process);
    this.network = lines.edge.bundle;
    this.hubNetworks = lines.hubs.map((each) => each.bundle);
    const options = {};
    this.sink = { name: SINK, type: 'nats', from: 'oldest', maxRate: null, options };
  }

  get processes(): readonly Supervised[] {
    return [...this.hubs, ...this.cluster.nodes];
  }

  async start(database: DatabaseSettings): Promise<void> {
    this.cluster.start();
    await Promise.all([this.#lines.edge, ...this.#lines.hubs].map((lines) => lines.start()));
    await this.cluster.operate('a cluster with JetStream', (manager) => manager.getAccountInfo());
    for (const [index, hub] of this.#hubs.entries()) {
      hub.start(database, { nats: { url: this.#lines.hubs[index]?.url, ...NatsCluster.login('hub') } });
    }
  }

  /** A message stays in the stream until a hub has stored it. */
  async waiting(): Promise<number> {
    const manager = await this.cluster.manager();
    return (await manager.streams.info(DATA_STREAM)).state.messages;
  }

  async stop(): Promise<void> {
    await Promise.all(this.hubs.map((hub) => hub.end('SIGKILL')));
    await this.cluster.stop();
    await Promise.all([this.#lines.edge, ...this.#lines.hubs].map((lines) => lines.stop()));
  }

  stopNow(): void {
    for (const hub of this.hubs) hub.killNow();
    this.cluster.stopNow();
  }
}

/** What one client reaches the nodes by. */
class Lines {
  readonly url: string;
  readonly bundle: Line;
  readonly #proxies: readonly TcpProxy[];

  constructor(nodes: readonly NodePorts[], takePort: () => number) {
    const ports = nodes.map(takePort);
    this.#proxies = nodes.map(({ client }, index) => new TcpProxy({ port: ports[index]!, targetPort: client }));
    this.bundle = bundle(this.#proxies);
    this.url = ports.map((port) => `nats://${HOST}:${port}`).join(',');
  }

  async start(): Promise<void> {
    await Promise.all(this.#proxies.map((proxy) => proxy.start()));
  }

  async stop(): Promise<void> {
    await Promise.all(this.#proxies.map((proxy) => proxy.stop()));
  }
}

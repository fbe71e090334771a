/** A cluster of NATS and two hubs that share its consumer; every connection to it runs over a line of its own. */
import { natsConnectionOf } from '../../src/base/nats-config.ts';
import type { SinkSettings } from '../../src/edge/settings.ts';
import type { DatabaseSettings } from '../../src/hub/settings.ts';
import { DATA_STREAM, EDGE_SUBJECT_PREFIX } from '../../src/model/nats-wire.ts';
import type { NatsSinkOptions } from '../../src/sinks/nats/config.ts';
import { type NatsCluster, type NatsServer, startNatsCluster } from '../support/nats-server.ts';
import { Operator } from './operator.ts';
import { freePorts, HubProcess, type Receiver, SINK } from './receiver.ts';
import type { Supervised } from './supervised.ts';
import { bundle, type Line, TcpProxy } from './tcp-proxy.ts';

const NODES = 3;
const HUBS = ['hub', 'second hub'] as const;
/** Shorter than the longest silence of the network, so that batches are sent again which the stream has got. */
const ACK_TIMEOUT_MS = 4_000;
/** Never full by itself. */
const STREAM_BYTES_MAX = 64 * 1024 * 1024;

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
    const cluster = await startNatsCluster(NODES, { noAdvertise: true });
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
    const options: NatsSinkOptions = {
      connection: natsConnectionOf({ url: lines.edge.urlFor(({ edgeUrl }) => edgeUrl) }),
      stream: DATA_STREAM,
      subjectPrefix: EDGE_SUBJECT_PREFIX,
      ackTimeoutMs: ACK_TIMEOUT_MS,
      compression: 'zstd',
      confirm: 'stored',
      reconnectFirstMs: 250,
    };
    this.sink = { name: SINK, type: 'nats', from: 'oldest', maxRate: null, options };
  }

  get processes(): readonly Supervised[] {
    return this.hubs;
  }

  async start(database: DatabaseSettings): Promise<void> {
    await Promise.all([this.#lines.edge, ...this.#lines.hubs].map((lines) => lines.start()));
    for (const [index, hub] of this.#hubs.entries()) {
      const url = this.#lines.hubs[index]?.urlFor((node) => node.url);
      hub.start(database, { nats: { url, stream_replicas: this.nodes.length, stream_max_bytes: STREAM_BYTES_MAX } });
    }
  }

  /** A message stays in the stream until a hub has stored it. Also sees that it is the stream that the hubs are to make. */
  waiting(): Promise<number> {
    return this.operator.sees(async ({ streams }) => {
      const { config, state } = await streams.info(DATA_STREAM);
      if (config.num_replicas !== NODES || config.retention !== 'workqueue' || config.discard !== 'new') {
        throw new Error(`the stream is not as the hubs were told to make it: ${JSON.stringify(config)}`);
      }
      return state.messages;
    });
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
  readonly #nodes: readonly NatsServer[];
  readonly #proxies: readonly TcpProxy[];
  readonly #ports: readonly number[];

  constructor(nodes: readonly NatsServer[], takePort: () => number) {
    this.#nodes = nodes;
    this.#ports = nodes.map(takePort);
    this.#proxies = nodes.map(({ address }, index) => {
      return new TcpProxy({ port: this.#ports[index]!, targetPort: Number(new URL(address).port) });
    });
    this.bundle = bundle(this.#proxies);
  }

  /** @param urlOf what a client without a line of its own would reach the node by */
  urlFor(urlOf: (node: NatsServer) => string): string {
    const urls = this.#nodes.map((node, index) => {
      const url = new URL(urlOf(node));
      url.port = String(this.#ports[index]);
      return url.href;
    });
    return urls.join(',');
  }

  async start(): Promise<void> {
    await Promise.all(this.#proxies.map((proxy) => proxy.start()));
  }

  async stop(): Promise<void> {
    await Promise.all(this.#proxies.map((proxy) => proxy.stop()));
  }
}

/** What the faults happen to: an edge with simulated machines, a hub and a database, with proxies between them. */
import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { cp, rm } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { EDGE_NODE_FLAGS } from '../../src/edge/flags.ts';
import type { EdgeSettings } from '../../src/edge/settings.ts';
import type { EdgeStatus } from '../../src/model/status.ts';
import { CLI, freePort, makeFolder } from '../support/system.ts';
import { DatabaseServer } from './database-server.ts';
import { SmallDisk } from './small-disk.ts';
import { Supervised } from './supervised.ts';
import { TcpProxy } from './tcp-proxy.ts';

export const GATEWAY_ID = 'ORACLE';
export const SINK = 'hub';
const MACHINES = 16;
const SAMPLING_MS = 100;
/** Small, so that a backlog of seconds has closed segments and is no longer in memory. */
const SEGMENT_BYTES = 64 * 1024;
const HOT_BYTES = 64 * 1024;
/** Little, so that a few seconds of backlog are compressed. */
const WARM_BYTES = 96 * 1024;
/** Shorter than the longest silence of the network, so that requests are sent again which the hub has got. */
const SINK_TIMEOUT_MS = 4_000;
const STATUS_MS_MAX = 3_000;

export class Plant {
  readonly folder: string;
  readonly disk: SmallDisk;
  readonly network: TcpProxy;
  readonly databaseLine: TcpProxy;
  readonly database: DatabaseServer;
  readonly hub: Supervised;
  readonly edge: Supervised;
  readonly #ports: Ports;

  constructor(folder: string, ports: Ports) {
    this.folder = folder;
    this.#ports = ports;
    this.disk = new SmallDisk(path.join(folder, 'disk'));
    this.network = new TcpProxy({ port: ports.network, targetPort: ports.hub });
    this.databaseLine = new TcpProxy({ port: ports.databaseLine, targetPort: ports.database });
    this.database = new DatabaseServer({ folder: path.join(folder, 'database'), port: ports.database });
    this.hub = new Supervised({
      name: 'the hub',
      args: () => [CLI, 'hub', '--config', path.join(folder, 'hub.yaml')],
      logFile: path.join(folder, 'hub.log'),
    });
    const edgeProcess = fileURLToPath(new URL('./edge-process.ts', import.meta.url));
    this.edge = new Supervised({
      name: 'the edge',
      args: () => [...EDGE_NODE_FLAGS, edgeProcess, path.join(folder, 'edge.json'), this.#newWitness()],
      logFile: path.join(folder, 'edge.log'),
      orders: true,
    });
  }

  get logFolder(): string {
    return path.join(this.disk.folder, 'log');
  }

  async start(): Promise<void> {
    mkdirSync(this.#witnessFolder, { recursive: true });
    await this.disk.open();
    await this.database.start();
    const { host, port: _, ...database } = this.database.settings;
    const hubSettings = {
      server: { host, port: this.#ports.hub },
      database: {
        host,
        port: this.#ports.databaseLine,
        dbname: database.dbname,
        user: database.user,
        password: database.password,
      },
      log_level: 'warn',
    };
    writeFileSync(path.join(this.folder, 'hub.yaml'), stringify(hubSettings));
    writeFileSync(path.join(this.folder, 'edge.json'), JSON.stringify(this.#edgeSettings()));
    await this.databaseLine.start();
    await this.network.start();
    this.hub.start();
    this.edge.start();
  }

  /** Of the edge; rejects while it does not answer. */
  async edgeStatus(): Promise<EdgeStatus> {
    const signal = AbortSignal.timeout(STATUS_MS_MAX);
    const answer = await fetch(`http://127.0.0.1:${this.#ports.status}/status`, { signal });
    return (await answer.json()) as EdgeStatus;
  }

  /** One for each start of the edge, oldest first. */
  witnessFiles(): string[] {
    const names = readdirSync(this.#witnessFolder).sort();
    return names.map((name) => path.join(this.#witnessFolder, name));
  }

  /** Whatever still runs; the folder stays when it is to be looked at. */
  async stop({ keepFolder }: { keepFolder: boolean }): Promise<void> {
    await Promise.all([this.edge.end('SIGKILL'), this.hub.end('SIGKILL')]);
    await Promise.all([this.network.stop(), this.databaseLine.stop()]);
    await this.database.stop();
    if (keepFolder) await cp(this.logFolder, path.join(this.folder, 'log'), { recursive: true });
    this.disk.close();
    if (!keepFolder) await rm(this.folder, { recursive: true, force: true });
  }

  /** For the last moment of this process. */
  stopNow(): void {
    this.edge.killNow();
    this.hub.killNow();
    this.database.killNow();
    this.disk.close();
  }

  get #witnessFolder(): string {
    return path.join(this.folder, 'witness');
  }

  #newWitness(): string {
    const count = readdirSync(this.#witnessFolder).length;
    return path.join(this.#witnessFolder, `${String(count).padStart(6, '0')}-${randomUUID()}`);
  }

  #edgeSettings(): EdgeSettings {
    return {
      gatewayId: GATEWAY_ID,
      location: null,
      logLevel: 'warn',
      sensors: Array.from({ length: MACHINES }, (_, index) => ({
        name: `sim-${index}`,
        type: 'simulator',
        machineId: `M-${String(index).padStart(2, '0')}`,
        samplingIntervalMs: SAMPLING_MS,
        priority: 1,
        options: { phaseSeconds: index * 7.5 },
      })),
      sinks: [
        {
          name: SINK,
          type: 'hub',
          from: 'oldest',
          maxRate: null,
          options: {
            url: `http://127.0.0.1:${this.#ports.network}`,
            timeoutMs: SINK_TIMEOUT_MS,
            token: null,
            tlsCaFile: null,
          },
        },
      ],
      log: {
        folder: this.logFolder,
        segmentBytesMax: SEGMENT_BYTES,
        hotBytesMax: HOT_BYTES,
        sync: { kind: 'batch', intervalMs: 1_000 },
        limits: {
          warmBytesMax: WARM_BYTES,
          // Never reached: what a full log gives up is the matter of other tests, here all must arrive.
          bytesMax: 2 ** 30,
          ageMsMax: null,
          reserveBytes: 0,
          whenFull: { samples: 'thin', measurements: 'drop_oldest', events: 'drop_oldest' },
        },
      },
      cardEnduranceBytes: 1e13,
      // A sample that is thinned away would not be lost, but it would not be there either.
      control: {
        enabled: false,
        intervalMs: 5_000,
        horizonMs: 600_000,
        fidelityWeight: 1,
        cpuPercentMax: 100,
        memoryBytesMax: 2 ** 30,
      },
      batching: { readingsMax: 100, delayMs: 200 },
      status: { host: '127.0.0.1', port: this.#ports.status },
    };
  }
}

interface Ports {
  readonly hub: number;
  readonly network: number;
  readonly database: number;
  readonly databaseLine: number;
  readonly status: number;
}

export async function createPlant(): Promise<Plant> {
  const folder = await makeFolder();
  const [hub, network, database, databaseLine, status] = await freePorts(5);
  return new Plant(folder, {
    hub: hub!,
    network: network!,
    database: database!,
    databaseLine: databaseLine!,
    status: status!,
  });
}

async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await freePort());
  return [...ports];
}

/** What the faults happen to: an edge with simulated machines, what it delivers to, and a database; proxies between them. */
import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { cp, rm } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { EDGE_NODE_FLAGS } from '../../src/edge/flags.ts';
import type { EdgeSettings, LogSettings } from '../../src/edge/settings.ts';
import type { LogLimits } from '../../src/log/keeper.ts';
import type { EdgeStatus } from '../../src/model/status.ts';
import { makeFolder } from '../support/system.ts';
import { DatabaseServer } from './database-server.ts';
import { NatsReceiver } from './nats-receiver.ts';
import type { Transport } from './plan.ts';
import { freePorts, HOST, HttpReceiver, type Receiver } from './receiver.ts';
import { SmallDisk } from './small-disk.ts';
import { Supervised } from './supervised.ts';
import { TcpProxy } from './tcp-proxy.ts';

export const GATEWAY_ID = 'ORACLE';
const SAMPLING_MS = 100;
const STATUS_MS_MAX = 3_000;

export interface PlantOptions {
  readonly transport: Transport;
  /** Each says ten samples in a second. */
  readonly machines: number;
  readonly log: LogSizes;
}

type LogSizes = Pick<LogSettings, 'segmentBytesMax' | 'hotBytesMax'> & Pick<LogLimits, 'warmBytesMax'>;

/** Of a backlog of seconds there are closed segments, it is no longer in memory, and some of it is compressed. */
export const SMALL_LOG: LogSizes = { segmentBytesMax: 64 * 1024, hotBytesMax: 64 * 1024, warmBytesMax: 96 * 1024 };
/** As it is where nothing else is configured. */
export const USUAL_LOG: LogSizes = { segmentBytesMax: 4_000_000, hotBytesMax: 1_000_000, warmBytesMax: 10_000_000 };

export class Plant {
  readonly folder: string;
  readonly disk: SmallDisk;
  readonly databaseLine: TcpProxy;
  readonly database: DatabaseServer;
  readonly receiver: Receiver;
  readonly edge: Supervised;
  readonly #machines: number;
  readonly #log: LogSizes;
  readonly #statusPort: number;
  readonly #databaseLinePort: number;

  constructor({ folder, receiver, machines, log, ports }: PlantParts) {
    this.folder = folder;
    this.receiver = receiver;
    this.#machines = machines;
    this.#log = log;
    this.#statusPort = ports.status;
    this.#databaseLinePort = ports.databaseLine;
    this.disk = new SmallDisk(path.join(folder, 'disk'));
    this.databaseLine = new TcpProxy({ port: ports.databaseLine, targetPort: ports.database });
    this.database = new DatabaseServer({ folder: path.join(folder, 'database'), port: ports.database });
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
    writeFileSync(path.join(this.folder, 'edge.json'), JSON.stringify(this.#edgeSettings()));
    await this.databaseLine.start();
    await this.receiver.start({ ...this.database.settings, port: this.#databaseLinePort });
    this.edge.start();
  }

  /** All that can end by itself, and is then started again. */
  get processes(): readonly Supervised[] {
    return [this.edge, ...this.receiver.processes];
  }

  /** Of the edge; rejects while it does not answer. */
  async edgeStatus(): Promise<EdgeStatus> {
    const signal = AbortSignal.timeout(STATUS_MS_MAX);
    const answer = await fetch(`http://${HOST}:${this.#statusPort}/status`, { signal });
    return (await answer.json()) as EdgeStatus;
  }

  /** One for each start of the edge, oldest first. */
  witnessFiles(): string[] {
    const names = readdirSync(this.#witnessFolder).sort();
    return names.map((name) => path.join(this.#witnessFolder, name));
  }

  /** Whatever still runs; the folder stays when it is to be looked at. */
  async stop({ keepFolder }: { keepFolder: boolean }): Promise<void> {
    await Promise.all([this.edge.end('SIGKILL'), this.receiver.stop()]);
    await this.databaseLine.stop();
    await this.database.stop();
    if (keepFolder) await cp(this.logFolder, path.join(this.folder, 'log'), { recursive: true });
    this.disk.close();
    if (!keepFolder) await rm(this.folder, { recursive: true, force: true });
  }

  /** For the last moment of this process. */
  stopNow(): void {
    this.edge.killNow();
    this.receiver.stopNow();
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
      sensors: Array.from({ length: this.#machines }, (_, index) => ({
        name: `sim-${index}`,
        type: 'simulator',
        machineId: `M-${String(index).padStart(3, '0')}`,
        samplingIntervalMs: SAMPLING_MS,
        priority: 1,
        options: { phaseSeconds: index * 7.5 },
      })),
      processors: [],
      sinks: [this.receiver.sink],
      log: {
        folder: this.logFolder,
        segmentBytesMax: this.#log.segmentBytesMax,
        hotBytesMax: this.#log.hotBytesMax,
        sync: { kind: 'batch', intervalMs: 1_000 },
        limits: {
          warmBytesMax: this.#log.warmBytesMax,
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
      status: { host: HOST, port: this.#statusPort },
    };
  }
}

interface PlantParts extends Omit<PlantOptions, 'transport'> {
  readonly folder: string;
  readonly receiver: Receiver;
  readonly ports: { readonly database: number; readonly databaseLine: number; readonly status: number };
}

export async function createPlant({ transport, ...options }: PlantOptions): Promise<Plant> {
  const folder = await makeFolder();
  const receiver = transport === 'http' ? await HttpReceiver.create(folder) : await NatsReceiver.create(folder);
  const [database, databaseLine, status] = await freePorts(3);
  const ports = { database: database!, databaseLine: databaseLine!, status: status! };
  return new Plant({ ...options, folder, receiver, ports });
}

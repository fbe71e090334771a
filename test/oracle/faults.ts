/** The faults themselves: each is injected, lasts, and is over when its promise is settled. */
import { Client } from 'pg';
import { type Random, seededRandom } from '../../src/base/random.ts';
import { closedUnsettled, type Excused, flipBit, type SegmentFile, segmentsOf, tearTail } from './damage.ts';
import type { Failure } from './failing-files.ts';
import { type Act, CameToNothing, FaultTools } from './fault-tools.ts';
import { natsInjections } from './nats-faults.ts';
import { NatsReceiver } from './nats-receiver.ts';
import type { AnyTransportFaultKind, FaultKind, PlannedFault } from './plan.ts';
import type { Plant } from './plant.ts';
import { SINK } from './receiver.ts';

/** More than the edge keeps in memory. */
const BACKLOG_SEGMENTS = { min: 3, max: 6 } as const;
const REFILL_MS = 200;
const LOCKED_TABLES = ['settled_logs', 'sensor_data', 'events', 'machine_current'] as const;

export class Faults {
  readonly #plant: Plant;
  readonly #tools: FaultTools;
  readonly #injections: Partial<Record<FaultKind, Injection>>;
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #flipped = new Set<string>();
  /** What flipped bits may have destroyed. */
  readonly excused: Excused[] = [];

  /** The signal ends what is under way early. */
  constructor(plant: Plant, signal: AbortSignal) {
    this.#plant = plant;
    this.#tools = new FaultTools(signal);
    const { receiver } = plant;
    this.#injections = {
      ...this.#ofAnyTransport(),
      ...(receiver instanceof NatsReceiver && natsInjections(receiver, plant.databaseLine, this.#tools)),
    };
  }

  /** Resolves, when the fault is over, to what is worth telling of it. @throws CameToNothing */
  inject({ kind, durationMs, seed }: PlannedFault): Promise<string> {
    const injection = this.#injections[kind];
    if (injection === undefined) throw new Error(`${kind} cannot happen to this plant`);
    const act = (): Promise<string> => injection({ durationMs, random: seededRandom(seed) });
    const target = TARGETS[kind];
    if (target === undefined) return act();
    const result = (this.#turns.get(target) ?? Promise.resolve()).then(act);
    const turn = result.catch(() => {});
    this.#turns.set(target, turn);
    return result;
  }

  #ofAnyTransport(): Record<AnyTransportFaultKind, Injection> {
    const { edge, databaseLine } = this.#plant;
    const { network, hubs } = this.#plant.receiver;
    const tools = this.#tools;
    return {
      'kill edge': ({ durationMs }) => tools.killAndStart(edge, durationMs),
      'kill hub': ({ durationMs }) => tools.killAndStart(hubs[0]!, durationMs),
      'kill database': ({ durationMs }) => this.#killDatabase(durationMs),
      'torn write': (act) => this.#tearTail(act),
      'bit flip': (act) => this.#flipBit(act),
      'no space (port)': (act) => this.#failChanges(act, 'ENOSPC'),
      'write error (port)': (act) => this.#failChanges(act, 'EIO'),
      'read error (port)': (act) => this.#failReads(act),
      'disk full': ({ durationMs }) => this.#fillDisk(durationMs),
      'network cut': ({ durationMs }) => tools.disturb(network, { kind: 'cut' }, durationMs),
      'network silence': ({ durationMs }) => tools.disturb(network, { kind: 'hold' }, durationMs),
      'network delay': ({ durationMs, random }) =>
        tools.disturb(network, { kind: 'delay', delayMs: () => 50 + random() * 1_450 }, durationMs),
      'network reset': (act) => this.#resetConnections(act),
      'slow database': ({ durationMs, random }) =>
        tools.disturb(databaseLine, { kind: 'delay', delayMs: () => 50 + random() * 350 }, durationMs),
      'locked table': (act) => this.#lockTable(act),
      'clock forward': ({ random }) => this.#stepClock(stepMs(random)),
      'clock back': ({ random }) => this.#stepClock(-stepMs(random)),
    };
  }

  async #killDatabase(durationMs: number): Promise<string> {
    const { database } = this.#plant;
    await database.kill();
    await this.#tools.sleep(durationMs);
    await database.start();
    return `down for ${durationMs} ms and its recovery`;
  }

  async #tearTail({ durationMs, random }: Act): Promise<string> {
    const { edge, logFolder } = this.#plant;
    await edge.end('SIGKILL');
    try {
      const told = tearTail(logFolder, random);
      await this.#tools.sleep(durationMs);
      return told;
    } finally {
      edge.start();
    }
  }

  /** Cuts the network until there are closed segments that nobody has, and spoils one of them. */
  async #flipBit({ durationMs, random }: Act): Promise<string> {
    const { edge, receiver, logFolder } = this.#plant;
    const join = await receiver.network.add({ kind: 'cut' });
    let isDown = false;
    try {
      await this.#backlog(random);
      await edge.end('SIGKILL');
      isDown = true;
      const candidates = this.#unsettledSegments();
      const segment = candidates[Math.floor(random() * candidates.length)];
      const segments = segmentsOf(logFolder);
      const next = segments[segments.findIndex(({ file }) => file === segment?.file) + 1];
      if (segment === undefined || next === undefined) throw new CameToNothing('the backlog is gone');
      const excused = flipBit(segment, next, random);
      this.#flipped.add(segment.file);
      if (excused !== undefined) this.excused.push(excused);
      await this.#tools.sleep(durationMs);
      return excused === undefined ? 'in the header of a segment' : `sequences ${excused.first} to ${excused.last}`;
    } finally {
      if (isDown) edge.start();
      await join();
    }
  }

  #failChanges({ durationMs, random }: Act, code: Failure['code']): Promise<string> {
    const times = random() < 0.5 ? null : 1 + Math.floor(random() * 5);
    return this.#failUntilHealed({ calls: 'change', code, times }, durationMs);
  }

  /** What is not in memory any more is read from the disk: so there must be a backlog first. */
  async #failReads({ durationMs, random }: Act): Promise<string> {
    const join = await this.#plant.receiver.network.add({ kind: 'cut' });
    try {
      await this.#backlog(random);
    } finally {
      await join();
    }
    const times = 1 + Math.floor(random() * 4);
    return this.#failUntilHealed({ calls: 'read', code: 'EIO', times }, durationMs);
  }

  /** The time counts from the first call that fails. An edge that is just starting may end by it. */
  async #failUntilHealed(failure: Failure, durationMs: number): Promise<string> {
    const { edge } = this.#plant;
    const endingsBefore = edge.endingsTotal;
    try {
      await edge.order({ kind: 'fail', failure });
      await this.#tools.occasion('a call that fails', async () => (await edge.order({ kind: 'ask' })) > 0);
      await this.#tools.sleep(durationMs);
      return `${await edge.order({ kind: 'heal' })} calls`;
    } catch (error) {
      if (edge.endingsTotal > endingsBefore) return 'the edge ended by it';
      await edge.order({ kind: 'heal' });
      throw error;
    }
  }

  async #fillDisk(durationMs: number): Promise<string> {
    const { disk } = this.#plant;
    if (!disk.canBeFilled) throw new CameToNothing('not possible here: no file system may be mounted');
    const endMs = performance.now() + durationMs;
    try {
      // The edge gives space back as it deletes what is settled.
      do {
        disk.fill();
        await this.#tools.sleep(REFILL_MS);
      } while (performance.now() < endMs && !this.#tools.signal.aborted);
    } finally {
      disk.empty();
    }
    return `${durationMs} ms`;
  }

  async #resetConnections({ durationMs, random }: Act): Promise<string> {
    let count = 0;
    await this.#tools.sleep(random() * durationMs);
    await this.#tools.occasion('a connection to reset', () => (count = this.#plant.receiver.network.reset()) > 0);
    return `${count} connections`;
  }

  async #lockTable({ durationMs, random }: Act): Promise<string> {
    const table = LOCKED_TABLES[Math.floor(random() * LOCKED_TABLES.length)] ?? LOCKED_TABLES[0];
    const { dbname, ...settings } = this.#plant.database.settings;
    const client = new Client({ ...settings, database: dbname });
    client.on('error', () => {});
    try {
      await client.connect();
      await client.query(`begin; lock table ${table} in access exclusive mode`);
      await this.#tools.sleep(durationMs);
      await client.query('rollback');
    } finally {
      await client.end().catch(() => undefined);
    }
    return `${table}, ${durationMs} ms`;
  }

  async #stepClock(ms: number): Promise<string> {
    await this.#plant.edge.order({ kind: 'step clock', ms });
    return `${ms} ms`;
  }

  /** Closed, not settled, and not spoilt before. */
  #unsettledSegments(): SegmentFile[] {
    return closedUnsettled(this.#plant.logFolder, SINK).filter(({ file }) => !this.#flipped.has(file));
  }

  #backlog(random: Random): Promise<void> {
    const { min, max } = BACKLOG_SEGMENTS;
    const count = min + Math.floor(random() * (max - min + 1));
    return this.#tools.occasion('a backlog', () => this.#unsettledSegments().length >= count);
  }
}

type Injection = (act: Act) => Promise<string>;

/** Faults that change the same process, disk or stream have their turn one after the other; all else overlaps. */
const TARGETS: Partial<Record<FaultKind, string>> = {
  'kill edge': 'edge',
  'torn write': 'edge',
  'bit flip': 'edge',
  'no space (port)': 'edge',
  'write error (port)': 'edge',
  'read error (port)': 'edge',
  'clock forward': 'edge',
  'clock back': 'edge',
  'kill hub': 'hub',
  'kill database': 'database',
  'locked table': 'database',
  'disk full': 'disk',
  'kill second hub': 'second hub',
  'kill NATS node 1': 'nodes',
  'kill NATS node 2': 'nodes',
  'kill NATS node 3': 'nodes',
  'kill all of NATS': 'nodes',
  'full stream': 'stream',
  'stream deleted': 'stream',
  'consumer deleted': 'stream',
  'redelivery storm': 'stream',
};

/** From a second to a day, small steps as likely as large ones. */
function stepMs(random: Random): number {
  return Math.round(1_000 * 86_400 ** random());
}

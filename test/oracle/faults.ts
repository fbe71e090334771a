/** The faults themselves: each is injected, lasts, and is over when its promise is settled. */
import { Client } from 'pg';
import { systemClock } from '../../src/base/clock.ts';
import { type Random, seededRandom } from '../../src/base/random.ts';
import { closedUnsettled, type Excused, flipBit, type SegmentFile, segmentsOf, tearTail } from './damage.ts';
import type { Failure } from './failing-files.ts';
import type { FaultKind, PlannedFault } from './plan.ts';
import { type Plant, SINK } from './plant.ts';
import type { Supervised } from './supervised.ts';
import type { Effect, TcpProxy } from './tcp-proxy.ts';

/** How long a fault waits until it can happen: for a backlog, for a connection, for a read. */
const OCCASION_MS_MAX = 25_000;
const OCCASION_CHECK_MS = 50;
/** More than the edge keeps in memory. */
const BACKLOG_SEGMENTS = { min: 3, max: 6 } as const;
const REFILL_MS = 200;
const LOCKED_TABLES = ['settled_logs', 'sensor_data', 'events', 'machine_current'] as const;

/** The fault could not happen; it does not count. */
export class CameToNothing extends Error {}

/** One fault that is under way. */
interface Act {
  readonly durationMs: number;
  readonly random: Random;
}

export class Faults {
  readonly #plant: Plant;
  readonly #signal: AbortSignal;
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #flipped = new Set<string>();
  /** What flipped bits may have destroyed. */
  readonly excused: Excused[] = [];

  /** The signal ends what is under way early. */
  constructor(plant: Plant, signal: AbortSignal) {
    this.#plant = plant;
    this.#signal = signal;
  }

  /** Resolves, when the fault is over, to what is worth telling of it. @throws CameToNothing */
  inject({ kind, durationMs, seed }: PlannedFault): Promise<string> {
    const act = (): Promise<string> => this.#injections[kind]({ durationMs, random: seededRandom(seed) });
    const target = TARGETS[kind];
    if (target === undefined) return act();
    const result = (this.#turns.get(target) ?? Promise.resolve()).then(act);
    const turn = result.catch(() => {});
    this.#turns.set(target, turn);
    return result;
  }

  readonly #injections: Record<FaultKind, (act: Act) => Promise<string>> = {
    'kill edge': ({ durationMs }) => this.#killAndStart(this.#plant.edge, durationMs),
    'kill hub': ({ durationMs }) => this.#killAndStart(this.#plant.hub, durationMs),
    'kill database': ({ durationMs }) => this.#killDatabase(durationMs),
    'torn write': (act) => this.#tearTail(act),
    'bit flip': (act) => this.#flipBit(act),
    'no space (port)': (act) => this.#failChanges(act, 'ENOSPC'),
    'write error (port)': (act) => this.#failChanges(act, 'EIO'),
    'read error (port)': (act) => this.#failReads(act),
    'disk full': ({ durationMs }) => this.#fillDisk(durationMs),
    'network cut': ({ durationMs }) => this.#disturb(this.#plant.network, { kind: 'cut' }, durationMs),
    'network silence': ({ durationMs }) => this.#disturb(this.#plant.network, { kind: 'hold' }, durationMs),
    'network delay': ({ durationMs, random }) =>
      this.#disturb(this.#plant.network, { kind: 'delay', delayMs: () => 50 + random() * 1_450 }, durationMs),
    'network reset': (act) => this.#resetConnections(act),
    'slow database': ({ durationMs, random }) =>
      this.#disturb(this.#plant.databaseLine, { kind: 'delay', delayMs: () => 50 + random() * 350 }, durationMs),
    'locked table': (act) => this.#lockTable(act),
    'clock forward': ({ random }) => this.#stepClock(stepMs(random)),
    'clock back': ({ random }) => this.#stepClock(-stepMs(random)),
  };

  async #killAndStart(killed: Supervised, durationMs: number): Promise<string> {
    await killed.end('SIGKILL');
    await this.#sleep(durationMs);
    killed.start();
    return `down for ${durationMs} ms`;
  }

  async #killDatabase(durationMs: number): Promise<string> {
    const { database } = this.#plant;
    await database.kill();
    await this.#sleep(durationMs);
    await database.start();
    return `down for ${durationMs} ms and its recovery`;
  }

  async #tearTail({ durationMs, random }: Act): Promise<string> {
    const { edge, logFolder } = this.#plant;
    await edge.end('SIGKILL');
    try {
      const told = tearTail(logFolder, random);
      await this.#sleep(durationMs);
      return told;
    } finally {
      edge.start();
    }
  }

  /** Cuts the network until there are closed segments that nobody has, and spoils one of them. */
  async #flipBit({ durationMs, random }: Act): Promise<string> {
    const { edge, network, logFolder } = this.#plant;
    const join = await network.add({ kind: 'cut' });
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
      await this.#sleep(durationMs);
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
    const join = await this.#plant.network.add({ kind: 'cut' });
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
      await this.#occasion('a call that fails', async () => (await edge.order({ kind: 'ask' })) > 0);
      await this.#sleep(durationMs);
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
        await this.#sleep(REFILL_MS);
      } while (performance.now() < endMs && !this.#signal.aborted);
    } finally {
      disk.empty();
    }
    return `${durationMs} ms`;
  }

  async #disturb(line: TcpProxy, effect: Effect, durationMs: number): Promise<string> {
    const end = await line.add(effect);
    await this.#sleep(durationMs);
    await end();
    return `${durationMs} ms`;
  }

  async #resetConnections({ durationMs, random }: Act): Promise<string> {
    let count = 0;
    await this.#sleep(random() * durationMs);
    await this.#occasion('a connection to reset', () => (count = this.#plant.network.reset()) > 0);
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
      await this.#sleep(durationMs);
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
    return this.#occasion('a backlog', () => this.#unsettledSegments().length >= count);
  }

  /** Waits until the fault can happen. */
  async #occasion(what: string, look: () => Promise<boolean> | boolean): Promise<void> {
    const endMs = performance.now() + OCCASION_MS_MAX;
    while (!(await look())) {
      if (performance.now() > endMs || this.#signal.aborted) throw new CameToNothing(`waited in vain for ${what}`);
      await this.#sleep(OCCASION_CHECK_MS);
    }
  }

  #sleep(ms: number): Promise<void> {
    return systemClock.sleep(ms, this.#signal);
  }
}

/** Faults that change the same process or disk have their turn one after the other; all else overlaps. */
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
};

/** From a second to a day, small steps as likely as large ones. */
function stepMs(random: Random): number {
  return Math.round(1_000 * 86_400 ** random());
}

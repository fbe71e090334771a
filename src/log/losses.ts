/**
 * What the log had to give up because it was full, and nobody has been told yet.
 *
 * It is written down before it is done and struck out when a `gap` event that tells of it is in the log: whatever
 * crash comes between, each loss is told at least once.
 */
import type { Files } from '../base/files.ts';
import { readSmallFile, saveSmallFile } from '../base/small-files.ts';
import { isAtLeast, type Timestamp } from '../model/time.ts';

/** `thinned`: samples were merged into wider intervals. `dropped`: readings are gone. `destroyed`: by damage. */
export type LossReason = 'thinned' | 'dropped' | 'destroyed';

export interface Loss {
  readonly reason: LossReason;
  /** null: of any machine of the gateway; the readings of all of them are counted. */
  readonly machineId: string | null;
  /** Of the first and the last reading lost; of destroyed ones, when the batches around them were appended. */
  readonly startTime: Timestamp;
  readonly endTime: Timestamp;
  readonly readings: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
  /** Those that had not settled all of it. */
  readonly sinks: readonly string[];
}

const NAME = 'losses';
/** Machines told one by one, as long as the file stays within these; the losses of more are told as those of any machine. */
const ENTRIES_MAX = 150;
const BYTES_MAX: number = 48 * 1024;

export class Losses {
  readonly #files: Files;
  readonly #folder: string;
  #untold: readonly Loss[] = [];
  #telling: readonly Loss[] = [];
  #saving: Promise<void> = Promise.resolve();

  constructor(files: Files, folder: string) {
    this.#files = files;
    this.#folder = folder;
  }

  async load(): Promise<void> {
    const found = await readSmallFile(this.#files, `${this.#folder}/${NAME}`);
    const losses = typeof found === 'object' && Array.isArray(found['losses']) ? found['losses'] : [];
    // The checksum was right, so these are what was saved below.
    this.#untold = losses as Loss[];
  }

  get isEmpty(): boolean {
    return this.#untold.length === 0 && this.#telling.length === 0;
  }

  /** Resolves when they are on the disk. Rejects when they cannot be saved: then nothing may be given up. */
  async add(losses: readonly Loss[]): Promise<void> {
    if (losses.length === 0) return;
    this.#untold = bounded([...this.#untold, ...losses]);
    await this.#save();
  }

  /** What is to be told now; until {@link told}, it is not forgotten. */
  take(): readonly Loss[] {
    this.#telling = bounded([...this.#telling, ...this.#untold]);
    this.#untold = [];
    return this.#telling;
  }

  /** What was taken has been told. */
  async told(): Promise<void> {
    if (this.#telling.length === 0) return;
    this.#telling = [];
    await this.#save();
  }

  /** One save at a time: they share a temporary file. */
  #save(): Promise<void> {
    const saved = this.#saving.then(async () => {
      const value = { format: 'millwright-losses', version: 1, losses: bounded([...this.#telling, ...this.#untold]) };
      await saveSmallFile(this.#files, { folder: this.#folder, name: NAME, value });
    });
    this.#saving = saved.catch(() => {});
    return saved;
  }
}

/** One loss for each machine and reason, or where that is too much, one for each reason. */
function bounded(losses: readonly Loss[]): readonly Loss[] {
  const byMachine = losses.reduce(joined, []);
  const isBounded = byMachine.length <= ENTRIES_MAX && JSON.stringify(byMachine).length <= BYTES_MAX;
  return isBounded ? byMachine : byMachine.map((loss) => ({ ...loss, machineId: null })).reduce(joined, []);
}

/** The losses with one more; those of one machine for one reason become one. */
function joined(losses: readonly Loss[], own: Loss): Loss[] {
  const same = losses.findIndex(({ reason, machineId }) => reason === own.reason && machineId === own.machineId);
  const other = losses[same];
  if (other === undefined) return [...losses, own];
  return losses.with(same, {
    ...own,
    startTime: isAtLeast(own.startTime, other.startTime) ? other.startTime : own.startTime,
    endTime: isAtLeast(other.endTime, own.endTime) ? other.endTime : own.endTime,
    readings: own.readings + other.readings,
    firstSequence: Math.min(own.firstSequence, other.firstSequence),
    lastSequence: Math.max(own.lastSequence, other.lastSequence),
    sinks: [...new Set([...other.sinks, ...own.sinks])],
  });
}

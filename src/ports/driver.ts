/**
 * The contract of a driver: it reads one source and says what it read. Nothing else.
 *
 * The runner constructs it, calls `run`, and when that resolves or rejects waits (exponential backoff with jitter) and
 * calls `run` again, for ever: a driver never retries, never buffers, keeps no statistics. One `run` at a time; state
 * that must outlive a connection is kept by the driver between runs. `run` must end soon after the signal is aborted.
 */
import type { Clock } from '../base/clock.ts';
import type { Files } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';
import type { Random } from '../base/random.ts';
import type { Reading } from '../model/reading.ts';

export interface DriverContext {
  /** From `agent.machine_id`, or the sensor's own `machine_id`. */
  readonly machineId: string;
  /**
   * Takes a reading; never blocks, never throws. A driver that reports `machine_state` also emits a `state` event, with
   * the raw signal in `text`, at each change of it.
   */
  emit(reading: Reading): void;
  /** The connection stands: the runner forgets the failures before it. Call it once in each `run`. */
  connected(): void;
  /**
   * The source gave a sign of life that is no reading (a heartbeat). A driver that knows when the next one is due, in
   * milliseconds, says so: then the runner knows silence when it hears it. Without that, and without being polled, a
   * source may be quiet for as long as it likes.
   */
  alive(nextWithinMs?: number): void;
  /**
   * A request was answered after so long; null: it was not, or wrongly, and the driver goes on. A driver whose source
   * speaks by itself never calls it.
   */
  answered(latencyMs: number | null): void;
  /**
   * A part of the source cannot be read (a register, a node, a topic, a line), and why, in words for who is to mend it;
   * null: it can again. The rest goes on being read. The runner logs each change, shows what stands in the status, and
   * forgets it when `run` ends. Nothing of the source can be read: reject instead.
   */
  problem(item: string, reason: string | null): void;
  /**
   * For a source that can be made to wait, as TCP makes its sender wait: undefined while there is room for readings,
   * else what to await before reading on. It resolves in the end even if there is none, so that a source is not given
   * up for a log that has failed.
   */
  room(): Promise<void> | undefined;
  /**
   * How long to wait between two samples now, in milliseconds. Ask before each: it changes under pressure. A driver that
   * never asks is one whose source reports on change; its samples are merged instead.
   */
  samplingIntervalMs(): number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export interface Driver {
  /**
   * Reads until disconnected or aborted. Rejects with a coded error that says what and where: `config_invalid` when only
   * a person can mend it (the source is then shown as misconfigured, and tried again all the same).
   */
  run(context: DriverContext, signal: AbortSignal): Promise<void>;
}

/**
 * An optional ability: the source stays where it is, as files do, and the driver reads each thing in it once, also across
 * crashes. Its readings carry a mark (`model/read-from.ts`), by which the log tells what is read already (decision 019).
 */
export interface ReadsOnce {
  /** Called once, before the first `run`. */
  useMemory(memory: ReadMemory): void;
}

export function readsOnce(driver: Driver): driver is Driver & ReadsOnce {
  return 'useMemory' in driver;
}

/** An optional ability: the driver keeps files that are of no single source, such as the certificate of this gateway. */
export interface KeepsFiles {
  /** Called once, before the first `run`. The folder is that of all drivers of its type, beside the log; they make it. */
  useFolder(folder: string): void;
}

export function keepsFiles(driver: Driver): driver is Driver & KeepsFiles {
  return 'useFolder' in driver;
}

/** What a driver that reads once has to know of the log, and where it may keep what it remembers. */
export interface ReadMemory {
  /** Name of the source, as it stands in each mark. */
  readonly source: string;
  /** A folder of this source alone, beside the log; the driver makes it. */
  readonly folder: string;
  readonly files: Files;
  /** The newest batch in the log. */
  lastSequence(): number;
  /** Resolves when all that was emitted before the call is in the log, or was lost and is told by a `gap` event. */
  kept(): Promise<void>;
  /**
   * Batches after this one are not deleted, though every sink has them: their marks are not remembered yet. null: any
   * may go. From the start until the first call all are held.
   */
  hold(afterSequence: number | null): void;
  /** The marks of this source's readings in the batches after that one. @throws storage_failed: try again */
  marksAfter(sequence: number): AsyncIterable<string>;
}

/**
 * Something that one sensor has to itself, as a chip on a bus: a driver's `config.ts` may export `claims(options)`, and a
 * second sensor with the same claim is refused.
 */
export interface Claim {
  /** The sensor's key that says so. */
  readonly path: readonly PropertyKey[];
  /** The same words for the same thing: `address 0x48 of I2C bus 1`. */
  readonly what: string;
}

/** What a driver's folder exports as `create`; `options` is its slice of the configuration, already checked. */
export type CreateDriver<Options> = (options: Options) => Driver;

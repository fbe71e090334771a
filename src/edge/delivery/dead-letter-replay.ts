/**
 * Delivers dead letters again, beside an edge that runs: `millwright dead-letters replay`.
 *
 * Each file is taken away from the edge by a rename to `NAME.replay.ndjson`. What is refused again, and what could not be
 * delivered now, goes to `NAME.refused.ndjson`, which only a replay writes. A replay that dies leaves its file as it was:
 * what it had delivered is delivered again, and the far end knows it by its identity.
 */
import { type Clock, now } from '../../base/clock.ts';
import { MillwrightError } from '../../base/errors.ts';
import type { Files } from '../../base/files.ts';
import { takeLock } from '../../base/lock-file.ts';
import type { Logger } from '../../base/logger.ts';
import type { Random } from '../../base/random.ts';
import { writeNewFile } from '../../base/small-files.ts';
import type { Batch } from '../../model/batch.ts';
import type { Sink } from '../../ports/sink.ts';
import type { EdgeSettings } from '../settings.ts';
import { createSinkNamed } from './configured-sink.ts';
import { linesOf } from './dead-letter-files.ts';
import {
  DEAD_LETTERS_BYTES_MAX,
  type DeadLetterLine,
  deadLetterLine,
  deadLetterNames,
  deadLettersFolder,
  encodeLine,
  refusedOf,
  withLock,
} from './dead-letters.ts';

export interface ReplayOptions {
  readonly logFolder: string;
  readonly settings: Pick<EdgeSettings, 'gatewayId' | 'sinks'>;
  readonly sink: string;
  readonly files: Files;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

export interface Replayed {
  readonly delivered: number;
  readonly refusedAgain: number;
}

/**
 * @throws not_found when the sink is not configured
 * @throws log_locked when another replay runs
 * @throws limit_exceeded when too many have been refused again
 * @throws connection_failed when the sink takes nothing now: all that it has not taken stays
 */
export async function replayDeadLetters(options: ReplayOptions): Promise<Replayed> {
  const { files, logFolder, settings, sink: name, clock, random, logger } = options;
  const sink = await createSinkNamed(name, settings, { clock, random, log: logger, backlogReadings: () => undefined });
  const folder = deadLettersFolder(logFolder);
  const lock = `${folder}/${deadLetterNames(name).replaying}`;
  try {
    await takeLock(files, { path: lock, what: 'the replay of these dead letters' });
    try {
      return await new Replay(options, sink, folder).run();
    } finally {
      await files.remove(lock);
    }
  } finally {
    await sink.close();
  }
}

class Replay {
  readonly #options: ReplayOptions;
  readonly #sink: Sink;
  readonly #folder: string;
  #delivered = 0;
  #refusedAgain = 0;

  constructor(options: ReplayOptions, sink: Sink, folder: string) {
    this.#options = options;
    this.#sink = sink;
    this.#folder = folder;
  }

  async run(): Promise<Replayed> {
    const { files, clock, sink } = this.#options;
    const { replay, refused, old, current, lock } = deadLetterNames(sink);
    // What a replay has left that died comes first: a rename would replace it.
    for (const name of [replay, refused, old, current]) {
      if (name === old || name === current) await this.#refuseTooMany(refused);
      // Looked for under the lock: the edge may just be putting the file aside.
      let isThere = false;
      await withLock({ files, clock, path: this.#path(lock) }, async () => {
        isThere = (await files.list(this.#folder)).includes(name);
        if (isThere && name !== replay) await files.rename(this.#path(name), this.#path(replay));
      });
      if (isThere) await this.#replayFile(replay);
    }
    return { delivered: this.#delivered, refusedAgain: this.#refusedAgain };
  }

  /** The edge's own files are bounded; this one is, by taking no more of them. */
  async #refuseTooMany(name: string): Promise<void> {
    let bytes = 0;
    for await (const line of linesOf(this.#options.files, this.#path(name))) bytes += encodeLine(line).length;
    if (bytes < DEAD_LETTERS_BYTES_MAX) return;
    const what = `${bytes} bytes of dead letters were refused again and again`;
    throw new MillwrightError('limit_exceeded', `${what}; export them, and delete ${this.#path(name)}`);
  }

  /** Delivers what is in the file, keeps what is left of it, and removes it. */
  async #replayFile(name: string): Promise<void> {
    const left: DeadLetterLine[] = [];
    let failure: unknown;
    for await (const lot of this.#lots(name)) {
      if (failure !== undefined) {
        left.push(...lot);
        continue;
      }
      try {
        left.push(...(await this.#deliver(lot)));
      } catch (error) {
        failure = error;
        left.push(...lot);
      }
    }
    await this.#keep(left);
    await this.#options.files.remove(this.#path(name));
    await this.#options.files.syncFolder(this.#folder);
    if (failure === undefined) return;
    const what = `${this.#options.sink} takes nothing now; what it has not taken stays`;
    throw new MillwrightError('connection_failed', what, { cause: failure });
  }

  /** As many letters of one epoch as the sink takes at once. */
  async *#lots(name: string): AsyncGenerator<DeadLetterLine[]> {
    const { batchesMax, bytesMax } = this.#sink.limits;
    let lot: DeadLetterLine[] = [];
    let bytes = 0;
    for await (const line of linesOf(this.#options.files, this.#path(name))) {
      const isFull = lot.length >= batchesMax || bytes + line.payload_base64.length > bytesMax;
      if (lot.length > 0 && (isFull || line.epoch !== lot[0]?.epoch)) {
        yield lot;
        lot = [];
        bytes = 0;
      }
      lot.push(line);
      bytes += line.payload_base64.length;
    }
    if (lot.length > 0) yield lot;
  }

  /** @returns the letters that were refused again, with the new reason */
  async #deliver(lot: readonly DeadLetterLine[]): Promise<DeadLetterLine[]> {
    const batches = lot.map(batchOf);
    const { refused } = await this.#sink.deliver(batches, this.#options.signal);
    const time = now(this.#options.clock);
    const left = refusedOf(batches, refused).map((one) => deadLetterLine(one, time));
    this.#delivered += Math.max(0, lot.length - left.length);
    this.#refusedAgain += left.length;
    return left;
  }

  /** Adds the letters to those of the earlier files, in one step. */
  async #keep(left: readonly DeadLetterLine[]): Promise<void> {
    if (left.length === 0) return;
    const { files, sink } = this.#options;
    const path = this.#path(deadLetterNames(sink).refused);
    const content: Buffer[] = [];
    for await (const line of linesOf(files, path)) content.push(encodeLine(line));
    content.push(...left.map(encodeLine));
    await files.remove(`${path}.tmp`);
    await writeNewFile(files, `${path}.tmp`, content);
    await files.rename(`${path}.tmp`, path);
    await files.syncFolder(this.#folder);
  }

  #path(name: string): string {
    return `${this.#folder}/${name}`;
  }
}

function batchOf({ gateway_id, epoch, sequence, index, readings, payload_base64 }: DeadLetterLine): Batch {
  const payload = Buffer.from(payload_base64, 'base64');
  return { gatewayId: gateway_id, epoch, sequence, readings, payload, ...(index !== undefined && { index }) };
}

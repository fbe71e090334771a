/**
 * Delivers batches of the log again to a sink, with their identity: `millwright log replay`. The far end stores what it
 * does not have, so a database that was restored from a backup gets back what it lost, as far as the log still has it.
 *
 * Reads only: neither the log nor the cursor changes, and an edge may run beside it. Of a log that is open it delivers what
 * the sink had settled: the edge itself delivers the rest, and an append that failed may have left a batch at the end of
 * the newest segment whose identity is given to another one.
 */
import { Backoff } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import { MillwrightError } from '../../base/errors.ts';
import type { Files } from '../../base/files.ts';
import { livingHolder } from '../../base/lock-file.ts';
import type { Logger } from '../../base/logger.ts';
import type { Random } from '../../base/random.ts';
import { cursorsFolder, loadCursors, settledMaxOf } from '../../log/cursor.ts';
import type { StoredBatch } from '../../log/hot.ts';
import { logIdentity, readAll } from '../../log/inspect.ts';
import { includesBatch, type LogRange } from '../../log/range.ts';
import { LOCK_NAME } from '../../log/recovery.ts';
import type { Settlement, Sink } from '../../ports/sink.ts';
import type { EdgeSettings } from '../settings.ts';
import { createSinkNamed } from './configured-sink.ts';
import { RETRY_AFTER_MS_MAX, RETRY_LIMITS } from './delivery.ts';

/** Refused batches that are named one by one. */
const REFUSED_TOLD_MAX = 20;

export interface LogReplayOptions {
  readonly folder: string;
  readonly settings: Pick<EdgeSettings, 'gatewayId' | 'sinks'>;
  readonly sink: string;
  readonly range: LogRange;
  readonly files: Files;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** After each delivery. */
  readonly onProgress: (progress: LogReplayed) => void;
  readonly signal: AbortSignal;
}

export interface LogReplayed {
  /** The newest batch that was handed over; 0 when there was none. */
  readonly lastSequence: number;
  /** Handed over and settled, those among them that were refused. */
  readonly batches: number;
  readonly readings: number;
  readonly refused: number;
  /** The far end had them already; null when it does not tell. */
  readonly known: number | null;
  /** The signal came before the end. */
  readonly isStopped: boolean;
}

/**
 * What may pass is tried again until it has, or the signal is aborted.
 * @throws not_found when there is no such sink, or no log in the folder
 */
export async function replayLog(options: LogReplayOptions): Promise<LogReplayed> {
  const { clock, random, logger, settings, sink: name } = options;
  const { gatewayId } = await logIdentity(options.files, options.folder);
  if (gatewayId !== undefined && gatewayId !== settings.gatewayId) {
    const names = `the log is of gateway ${gatewayId}, the settings beside it are of ${settings.gatewayId}`;
    throw new MillwrightError('config_invalid', `${names}: under another name the hub would store all of it twice`);
  }
  const sink = await createSinkNamed(name, settings, { clock, random, log: logger, backlogReadings: () => undefined });
  try {
    return await new LogReplay(options, sink).run();
  } finally {
    await sink.close();
  }
}

class LogReplay {
  readonly #options: LogReplayOptions;
  readonly #sink: Sink;
  readonly #backoff: Backoff;
  #progress: LogReplayed = { lastSequence: 0, batches: 0, readings: 0, refused: 0, known: 0, isStopped: false };

  constructor(options: LogReplayOptions, sink: Sink) {
    this.#options = options;
    this.#sink = sink;
    this.#backoff = new Backoff(RETRY_LIMITS, options.random);
  }

  async run(): Promise<LogReplayed> {
    const { signal, onProgress } = this.#options;
    for await (const lot of this.#lots()) {
      const settlement = await this.#deliver(lot);
      if (settlement === undefined) return { ...this.#progress, isStopped: true };
      this.#count(lot, settlement);
      onProgress(this.#progress);
    }
    return { ...this.#progress, isStopped: signal.aborted };
  }

  /** As many neighbouring batches of one epoch as the sink takes at once. */
  async *#lots(): AsyncGenerator<StoredBatch[]> {
    const { files, folder, range } = this.#options;
    const { batchesMax, bytesMax } = this.#sink.limits;
    const last = Math.min(range.sequences.last, await this.#lastCertain());
    let lot: StoredBatch[] = [];
    let bytes = 0;
    for await (const batch of readAll(files, folder, { first: range.sequences.first, last })) {
      if (!includesBatch(range, batch)) continue;
      const isFull = lot.length >= batchesMax || bytes + batch.payload.length > bytesMax;
      if (lot.length > 0 && (isFull || batch.epoch !== lot[0]?.epoch)) {
        yield lot;
        lot = [];
        bytes = 0;
      }
      lot.push(batch);
      bytes += batch.payload.length;
    }
    if (lot.length > 0) yield lot;
  }

  /** The newest batch that is the one its identity will always mean. */
  async #lastCertain(): Promise<number> {
    const { files, folder, sink, logger } = this.#options;
    const pid = await livingHolder(files, `${folder}/${LOCK_NAME}`);
    if (pid === undefined) return Number.MAX_SAFE_INTEGER;
    const { id } = await logIdentity(files, folder);
    const cursors = await loadCursors(files, cursorsFolder(folder), id);
    const own = cursors.find((cursor) => cursor.sink === sink);
    const last = own === undefined ? 0 : settledMaxOf(own);
    logger.info('an edge has the log open: what it has delivered is delivered again, the rest it delivers itself', {
      pid,
      through: last,
    });
    return last;
  }

  /** Undefined when the signal came first. */
  async #deliver(lot: readonly StoredBatch[]): Promise<Settlement | undefined> {
    const { clock, logger, settings, sink, signal } = this.#options;
    const batches = lot.map(({ epoch, sequence, readings, payload }) => {
      return { gatewayId: settings.gatewayId, epoch, sequence, readings, payload };
    });
    while (!signal.aborted) {
      try {
        const settlement = await this.#sink.deliver(batches, signal);
        if (this.#backoff.attempts > 0) logger.info(`${sink} takes batches again`);
        this.#backoff.reset();
        return settlement;
      } catch (error) {
        if (signal.aborted) return undefined;
        const retryAfterMs = error instanceof MillwrightError ? (error.retryAfterMs ?? 0) : 0;
        const waitMs = this.#backoff.nextMs(Math.min(retryAfterMs, RETRY_AFTER_MS_MAX));
        if (this.#backoff.attempts === 1)
          logger.warn(`${sink} takes nothing now; trying again until it does`, { error });
        await clock.sleep(waitMs, signal);
      }
    }
    return undefined;
  }

  #count(lot: readonly StoredBatch[], { refused, known }: Settlement): void {
    const before = this.#progress;
    for (const refusal of refused.slice(0, Math.max(0, REFUSED_TOLD_MAX - before.refused))) {
      this.#options.logger.error('a batch or a reading of it is refused', { ...refusal });
    }
    this.#progress = {
      lastSequence: lot.at(-1)?.sequence ?? before.lastSequence,
      batches: before.batches + lot.length,
      readings: before.readings + lot.reduce((sum, { readings }) => sum + readings, 0),
      refused: before.refused + refused.length,
      known: known === undefined || before.known === null ? null : before.known + known,
      isStopped: false,
    };
  }
}

/**
 * The contract of a sink: it delivers batches to one place. The delivery runner owns order, retry, backoff, cursor and
 * metrics; a sink is thin.
 *
 * `deliver` resolves when every item is settled: stored durably at the far end, or refused for good and named in the
 * settlement (the runner keeps those in the dead letters). It rejects for whatever may pass (network, 5xx, 408, 425,
 * 429): nothing of that call is then taken as settled, and those batches come again; waits do not grow while the errors
 * say `hasProgressed`. Several calls may be under way at once, up to `window`, each with a range of its own; newer batches
 * may come before older ones, unless the sink is `ordered`.
 */
import type { Clock } from '../base/clock.ts';
import type { Files } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';
import type { Random } from '../base/random.ts';
import type { Batch } from '../model/batch.ts';
import type { EdgeStatus } from '../model/status.ts';

/** What the far end will never take, and why. */
export interface Refusal {
  readonly sequence: number;
  /** Only this reading of the batch, by its place in it from 0; absent: the batch as a whole. */
  readonly index?: number;
  readonly reason: string;
}

export interface Settlement {
  /** Empty when all is stored. All else of the batches is stored. */
  readonly refused: readonly Refusal[];
  /** How many of the batches the far end had already; absent when it does not tell. */
  readonly known?: number;
}

export interface Sink {
  /** How much one `deliver` may be handed. */
  readonly limits: { readonly batchesMax: number; readonly bytesMax: number };
  /** How many calls of `deliver` may be under way at once. From 2 on, one of them is kept for the newest batches. */
  readonly window: number;
  /** True: the far end wants readings in the order of the log. One call at a time, oldest first, however far behind. */
  readonly ordered?: boolean;
  deliver(batches: readonly Batch[], signal: AbortSignal): Promise<Settlement>;
  close(): Promise<void>;
}

/** An optional ability: the far end also wants to know how the edge fares. Called every 2 s; a failure is not retried. */
export interface StatusReporter {
  report(status: EdgeStatus, signal: AbortSignal): Promise<void>;
}

export function isStatusReporter(sink: Sink): sink is Sink & StatusReporter {
  return 'report' in sink;
}

/** What keeps a serving sink from its work, or soon will. */
export interface Trouble {
  readonly message: string;
  /** Clients are served all the same. */
  readonly isServing: boolean;
}

export interface ServingPlace {
  /** Of this sink alone, beside the log; the sink makes it. */
  readonly folder: string;
  /**
   * Time between two samples of each source that is polled, by its name, now. Others report on change: a long silence is
   * none of theirs, and their drivers tell when they are lost.
   */
  pollIntervalsMs(): ReadonlyMap<string, number>;
}

/**
 * An optional ability: the far end comes to the sink, which serves it what is newest. Such a sink takes every batch at
 * once, also while it cannot serve, and begins near the end of the log at each start of the edge, since what is old is
 * nothing to it. It tries for itself to serve again: there is no delivery that could fail.
 */
export interface ServingSink {
  /** Called once, before all else; goes on until `close`. Never throws. */
  serve(place: ServingPlace): void;
  readonly trouble: Trouble | null;
}

export function isServing(sink: Sink): sink is Sink & ServingSink {
  return 'serve' in sink;
}

export interface SinkContext {
  readonly gatewayId: string;
  /**
   * Where the sink may keep what must outlive a restart: a folder of its own beside the log, which it makes itself.
   * Undefined where it delivers beside an edge, for a replay.
   */
  readonly place?: { readonly folder: string; readonly files: Files };
  /** Readings of the log that this sink has not settled yet; undefined where it delivers beside an edge, for a replay. */
  backlogReadings(): number | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export type CreateSink<Options> = (options: Options, context: SinkContext) => Sink;

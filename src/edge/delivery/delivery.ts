/**
 * Delivers the log to one sink. A sink that keeps up is sent one call after the other. One that has fallen behind is sent
 * two lanes at once: the newest batches first, and the backlog beside them, in what the sink's window leaves (decision
 * 008); a sink that is `ordered` stays with one lane, oldest first. What may pass is tried again for ever, with growing
 * waits; what the far end refuses for good goes to the dead letters first. A sink that is down delays nobody else.
 */
import { Backoff } from '../../base/backoff.ts';
import { aborted, type Clock, unlessAborted } from '../../base/clock.ts';
import { MillwrightError, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { Random } from '../../base/random.ts';
import { Rate } from '../../base/rate.ts';
import { ISLANDS_MAX } from '../../log/cursor.ts';
import type { Cursor, DurableLog, ReadLimits, StoredBatch } from '../../log/log.ts';
import type { Batch } from '../../model/batch.ts';
import type { EdgeStatus, SinkStatus } from '../../model/status.ts';
import { timestampOf } from '../../model/time.ts';
import { isServing, isStatusReporter, type Settlement, type Sink } from '../../ports/sink.ts';
import { type DeadLetters, refusedOf } from './dead-letters.ts';
import { type Claim, type Lane, Lanes } from './lanes.ts';
import { Pace } from './pace.ts';

export const RETRY_LIMITS = { firstMs: 500, maxMs: 30_000 } as const;
/** A far end that asks for a longer wait is asked again after this: whoever said so may be a proxy that knows nothing of it. */
export const RETRY_AFTER_MS_MAX: number = 5 * 60_000;
/** How often a sink that wants it is told the edge's status. */
export const REPORT_INTERVAL_MS = 2_000;

/** A sink whose oldest batch has waited longer than this is behind: the newest batches then go first. */
export const BEHIND_MS = 1_000;
/** While the oldest live batch has waited longer than {@link BEHIND_MS}, the backlog starts no call, but for so long only. */
export const BACKLOG_PAUSE_MS_MAX = 5_000;
/** A live lane that is later than this begins again near the end, and leaves the rest to the backlog. */
export const LIVE_LATE_MS = 3_000;

/** What delivery needs of the log. */
export type ReadableLog = Pick<DurableLog, 'lastSequence' | 'read' | 'waitFor' | 'cursor' | 'backlog'>;

export interface DeliveryOptions {
  readonly name: string;
  readonly type: string;
  /** Of the backlog, in a second; null: as fast as it goes. */
  readonly maxRate: number | null;
  readonly gatewayId: string;
  readonly sink: Sink;
  readonly log: ReadableLog;
  readonly deadLetters: Pick<DeadLetters, 'keep'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** Neighbouring batches that are handed over in one call, and settled together. */
interface Lot {
  readonly claim: Claim;
  readonly batches: readonly StoredBatch[];
}

interface Call extends Lot {
  readonly readings: number;
  readonly startedMs: number;
  /** How many failures had been counted when it started. */
  readonly round: number;
  /** What the pace allowed when it started; null for a call that it does not rule. */
  readonly paceBytes: number | null;
}

/** What is to be done next: start a call in the lane, or wait for the first of what is named, or the end of a call. */
interface Step {
  readonly lane?: Lane;
  /** Until this batch is there. */
  readonly sequence?: number;
  readonly ms?: number;
}

export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #logger: Logger;
  readonly #backoff: Backoff;
  /** Of the backlog lane alone: calls that succeed in the live lane do not let it hurry. */
  readonly #backlogBackoff: Backoff;
  readonly #cursor: Cursor;
  readonly #lanes: Lanes;
  readonly #pace: Pace;
  readonly #rate = new Rate();
  readonly #drainRate = new Rate();
  readonly #calls: Map<Call, Promise<void>> = new Map();
  /** Aborted when something has happened that may change the next step. */
  #nap = new AbortController();
  #lastLane: Lane = 'backlog';
  #backlogStartedMs = Number.NEGATIVE_INFINITY;
  #backlogEndedMs = Number.NEGATIVE_INFINITY;
  /** A live call that had no call of the backlog beside it, and has taken too long all the same. */
  #slowAlone: Call | undefined;
  /** No call is started any more. */
  #isFinishing = false;
  #resumeAtMs = Number.NEGATIVE_INFINITY;
  #backlogResumeAtMs = Number.NEGATIVE_INFINITY;
  #round = 0;
  /** The log's last sequence when a read in the lane found nothing: damage left nothing there. */
  readonly #emptyThrough: { live: number; backlog: number } = { live: 0, backlog: 0 };

  #state: SinkStatus['state'] = 'connecting';
  #lastError: string | null = null;
  #lastDeliveryMicros: number | null = null;
  #retries = 0;
  #deadLetters = 0;
  #delivered = 0;
  #reportError: string | null = null;

  constructor(options: DeliveryOptions) {
    const { name, log, random, sink, maxRate } = options;
    this.#options = options;
    this.#logger = options.logger.with({ sink: name });
    this.#backoff = new Backoff(RETRY_LIMITS, random);
    this.#backlogBackoff = new Backoff(RETRY_LIMITS, random);
    this.#cursor = log.cursor(name);
    this.#lanes = new Lanes(this.#cursor);
    this.#pace = new Pace(sink.limits.bytesMax, maxRate);
  }

  /** Until aborted. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const wake = (): void => this.#nap.abort();
    signal.addEventListener('abort', wake);
    while (!signal.aborted) {
      const step = this.#nextStep();
      if (step.lane === undefined) await this.#rest(step);
      else await this.#start(step.lane, signal);
    }
    signal.removeEventListener('abort', wake);
    await Promise.all(this.#calls.values());
    this.#state = 'stopped';
  }

  /** Tells the sink the edge's status every two seconds, if it wants to know. Until aborted. Never rejects. */
  async runReports(status: () => EdgeStatus, signal: AbortSignal): Promise<void> {
    const { sink, clock } = this.#options;
    if (!isStatusReporter(sink)) return;
    while (!signal.aborted) {
      try {
        await sink.report(status(), signal);
        this.#reported(null);
      } catch (error) {
        if (!signal.aborted) this.#reported(messageOf(error));
      }
      await clock.sleep(REPORT_INTERVAL_MS, signal);
    }
  }

  /** Resolves when the sink has everything that is in the log now, or the signal is aborted. */
  async caughtUp(signal: AbortSignal): Promise<void> {
    const { log, clock } = this.#options;
    const goal = log.lastSequence;
    while (!signal.aborted && this.#cursor.position < goal) await clock.sleep(20, signal);
  }

  /** Starts no more calls. Resolves when those under way have ended, or the signal is aborted. */
  async finish(signal: AbortSignal): Promise<void> {
    this.#isFinishing = true;
    const calls = Promise.all(this.#calls.values()).then(() => {});
    await unlessAborted(calls, signal);
  }

  get name(): string {
    return this.#options.name;
  }

  /** Readings settled since the start, dead letters among them. */
  get delivered(): number {
    return this.#delivered;
  }

  status(): SinkStatus {
    const { name, type, log, clock, sink } = this.#options;
    const trouble = isServing(sink) ? sink.trouble : null;
    const { batches, readings, oldestAppendedAtMicros } = log.backlog(name);
    const ageMicros = oldestAppendedAtMicros === null ? null : clock.nowMicros() - oldestAppendedAtMicros;
    return {
      name,
      type,
      state: trouble?.isServing === false && this.#state !== 'stopped' ? 'failing' : this.#state,
      last_error: this.#lastError ?? trouble?.message ?? null,
      cursor: this.#cursor.position,
      lag_batches: batches,
      lag_readings: readings,
      oldest_unsent_age_seconds: ageMicros === null ? null : Math.max(0, Math.round(ageMicros / 1000) / 1000),
      drained_in_seconds: this.#drainedInSeconds(readings),
      readings_per_second: this.#rate.perSecond(clock.monotonicMs()),
      retries: this.#retries,
      dead_letters: this.#deadLetters,
      last_delivery: this.#lastDeliveryMicros === null ? null : timestampOf(this.#lastDeliveryMicros),
    };
  }

  #nextStep(): Step {
    const { log, clock, sink } = this.#options;
    const nowMs = clock.monotonicMs();
    if (this.#isFinishing) return {};
    if (nowMs < this.#resumeAtMs) return { ms: this.#resumeAtMs - nowMs };
    // After a failure one call finds out whether the far end takes batches again.
    if (this.#calls.size >= (this.#lastError === null ? sink.window : 1)) return {};
    this.#chooseLanes();
    const newest = log.lastSequence;
    const { liveFirst } = this.#lanes;
    if (liveFirst === undefined) {
      if (this.#calls.size > 0) return { sequence: newest + 1 };
      const first = Math.max(this.#lanes.backlog().first, this.#emptyThrough.backlog + 1);
      const waitMs = this.#isDraining() ? this.#pace.waitMs(nowMs) : 0;
      if (waitMs > 0) return { ms: waitMs };
      return first <= newest ? { lane: 'backlog' } : { sequence: first };
    }
    const isLiveUnderWay = this.#liveCall() !== undefined;
    const hasLive = !isLiveUnderWay && Math.max(liveFirst, this.#emptyThrough.live + 1) <= newest;
    const backlogMs = this.#backlogWaitMs(liveFirst, nowMs);
    // Where there is but one call at a time, the lanes take turns.
    const isBacklogsTurn = sink.window === 1 && this.#lastLane === 'live' && backlogMs === 0;
    if (hasLive && !isBacklogsTurn) return { lane: 'live' };
    if (backlogMs === 0) return { lane: 'backlog' };
    return {
      ...(isLiveUnderWay ? {} : { sequence: newest + 1 }),
      ...(backlogMs === undefined ? {} : { ms: backlogMs }),
    };
  }

  /** Two lanes from when the sink is behind until the backlog has reached the live lane. */
  #chooseLanes(): void {
    const { log, sink } = this.#options;
    if (sink.ordered === true) return;
    const { liveFirst } = this.#lanes;
    const { first } = this.#lanes.backlog();
    const backlogCalls = this.#backlogCalls();
    if (liveFirst === undefined) {
      const hasTwo = first < log.lastSequence || backlogCalls > 0;
      if (hasTwo && this.#isBehind()) this.#lanes.startLive(log.lastSequence);
    } else if (first >= liveFirst && backlogCalls === 0) this.#lanes.join();
  }

  #isBehind(): boolean {
    const { oldestAppendedAtMicros } = this.#options.log.backlog(this.name);
    return oldestAppendedAtMicros !== null && this.#ageMs(oldestAppendedAtMicros) > BEHIND_MS;
  }

  /** A backlog is delivered, at its pace. */
  #isDraining(): boolean {
    return this.#lanes.liveFirst !== undefined || (this.#options.sink.ordered === true && this.#isBehind());
  }

  /** How long until the backlog lane may start a call, beside the live one; undefined: until something else has happened. */
  #backlogWaitMs(liveFirst: number, nowMs: number): number | undefined {
    const { sink, log } = this.#options;
    const isEmpty = this.#lanes.backlog().first >= liveFirst || log.lastSequence <= this.#emptyThrough.backlog;
    if (isEmpty || this.#backlogCalls() >= Math.max(1, sink.window - 1)) return undefined;
    const pauseMs = this.#pauseUntilMs(nowMs) - nowMs;
    return Math.max(0, pauseMs, this.#backlogResumeAtMs - nowMs, this.#pace.waitMs(nowMs));
  }

  /** While fresh batches are late the backlog makes room for them, unless it is not what makes them late. */
  #pauseUntilMs(nowMs: number): number {
    const live = this.#liveCall();
    const oldest = live?.batches[0];
    if (live === undefined || oldest === undefined || this.#ageMs(oldest.appendedAtMicros) <= BEHIND_MS) return nowMs;
    // On a line that is slow to answer the live lane is always late: without an end to its pause, the backlog would stay.
    const endMs = this.#backlogStartedMs + BACKLOG_PAUSE_MS_MAX;
    if (live === this.#slowAlone) return nowMs;
    if (this.#backlogCalls() > 0 || this.#backlogEndedMs > live.startedMs) return endMs;
    const foundOutMs = live.startedMs + BEHIND_MS;
    if (nowMs >= foundOutMs) this.#slowAlone = live;
    return Math.min(endMs, foundOutMs);
  }

  /** Until what the step names has happened, or a call has ended, or all is stopped. */
  async #rest({ sequence, ms }: Step): Promise<void> {
    const { log, clock } = this.#options;
    const nap = new AbortController();
    this.#nap = nap;
    if (ms !== undefined) void clock.sleep(ms, nap.signal).then(() => nap.abort());
    await (sequence === undefined ? aborted(nap.signal) : log.waitFor(sequence, nap.signal));
    nap.abort();
  }

  async #start(lane: Lane, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const isPaced = lane === 'backlog' && this.#isDraining();
    let lot: Lot | undefined;
    try {
      lot = lane === 'live' ? await this.#liveLot() : await this.#backlogLot(isPaced);
    } catch (error) {
      if (signal.aborted) return;
      this.#cannotRead(error, lane);
      return;
    }
    const startedMs = clock.monotonicMs();
    if (lot === undefined || signal.aborted || this.#isFinishing || startedMs < this.#resumeAtMs) return;
    const call = {
      ...lot,
      readings: readingsOf(lot.batches),
      startedMs,
      round: this.#round,
      paceBytes: isPaced ? this.#pace.bytes : null,
    };
    this.#lastLane = lane;
    this.#lanes.claim(lot.claim);
    if (lane === 'backlog') this.#backlogStartedMs = startedMs;
    if (call.paceBytes !== null) this.#pace.started(call.readings, startedMs);
    this.#calls.set(call, this.#deliver(call, signal));
  }

  /** The newest batches; undefined when damage left nothing there. */
  async #liveLot(): Promise<Lot | undefined> {
    const { log, sink } = this.#options;
    const newest = log.lastSequence;
    const stored = await this.#readLive(sink.limits);
    const oldest = stored[0];
    const isLate = oldest !== undefined && this.#ageMs(oldest.appendedAtMicros) > LIVE_LATE_MS;
    // Each new beginning leaves an island behind, and the cursor remembers but so many: then the lane stays late.
    const startsAnew = isLate && oldest.sequence < newest && this.#cursor.islands.length < ISLANDS_MAX / 2;
    if (startsAnew) this.#lanes.startLive(newest);
    const batches = startsAnew ? await this.#readLive(sink.limits) : stored;
    const first = this.#lanes.liveFirst;
    const last = batches.at(-1)?.sequence;
    if (first === undefined || last === undefined) {
      this.#emptyThrough.live = newest;
      return undefined;
    }
    return { claim: { lane: 'live', first, last }, batches };
  }

  #readLive(limits: ReadLimits): Promise<StoredBatch[]> {
    return this.#options.log.read(this.#lanes.liveFirst ?? Number.MAX_SAFE_INTEGER, limits);
  }

  /** The oldest batches not settled; undefined when there is none before those that are settled or under way. */
  async #backlogLot(isPaced: boolean): Promise<Lot | undefined> {
    const { log, sink, clock } = this.#options;
    const { batchesMax, bytesMax } = sink.limits;
    const newest = log.lastSequence;
    const { first, before } = this.#lanes.backlog();
    const stored = await log.read(first, { batchesMax, bytesMax: isPaced ? this.#pace.bytes : bytesMax });
    if (stored.length === 0) {
      this.#emptyThrough.backlog = newest;
      return undefined;
    }
    const inReach = stored.filter(({ sequence }) => sequence < before);
    if (inReach.length === 0) {
      // Nothing is left of these numbers: damage or thinning took it.
      await this.#cursor.settle({ first, last: before - 1, readings: 0 });
      return undefined;
    }
    const allowed = isPaced ? this.#pace.allowance(clock.monotonicMs()) : Number.POSITIVE_INFINITY;
    const batches = withinAllowance(inReach, allowed);
    const isAll = stored.length > inReach.length && batches.length === inReach.length;
    const last = isAll ? before - 1 : (batches.at(-1)?.sequence ?? first);
    return { claim: { lane: 'backlog', first, last }, batches };
  }

  /** Never rejects. */
  async #deliver(call: Call, signal: AbortSignal): Promise<void> {
    const { sink, gatewayId } = this.#options;
    const { claim, readings } = call;
    try {
      const batches = call.batches.map(({ epoch, sequence, readings, payload }) => {
        return { gatewayId, epoch, sequence, readings, payload };
      });
      const settlement = await sink.deliver(batches, signal);
      await this.#keepRefused(batches, settlement);
      const known = this.#cursor.settle({ first: claim.first, last: claim.last, readings });
      this.#lanes.settled(claim);
      this.#settled(call);
      await known;
    } catch (error) {
      this.#lanes.failed(claim);
      if (!signal.aborted) this.#failed(error, call);
    }
    this.#calls.delete(call);
    if (claim.lane === 'backlog') this.#backlogEndedMs = this.#options.clock.monotonicMs();
    this.#nap.abort();
  }

  async #keepRefused(batches: readonly Batch[], settlement: Settlement): Promise<void> {
    if (settlement.refused.length === 0) return;
    const refused = refusedOf(batches, settlement.refused);
    await this.#options.deadLetters.keep(refused);
    this.#deadLetters += refused.length;
    for (const { batch, reason } of refused) {
      const { sequence, index } = batch;
      const what = index === undefined ? 'a batch' : 'a reading';
      this.#logger.error(`${what} was refused and is in the dead letters`, { sequence, index, reason });
    }
  }

  #settled({ claim, readings, round, startedMs, paceBytes }: Call): void {
    const { clock } = this.#options;
    const nowMs = clock.monotonicMs();
    this.#delivered += readings;
    this.#rate.add(readings, nowMs);
    this.#lastDeliveryMicros = clock.nowMicros();
    if (claim.lane === 'backlog') {
      // What comes after a batch that fails again and again does not let that one hurry.
      if (this.#cursor.position >= claim.last) this.#backlogBackoff.reset();
      this.#drainRate.add(paceBytes === null ? 0 : readings, nowMs);
      if (paceBytes !== null) this.#pace.ended(paceBytes, nowMs - startedMs, nowMs);
    }
    // A call from before a failure says nothing of what came after.
    if (round !== this.#round) return;
    this.#backoff.reset();
    if (this.#lastError !== null) this.#logger.info('the sink takes batches again', { sequence: claim.last });
    this.#lastError = null;
    this.#state = 'ok';
  }

  /** The log cannot be read there: a lane beside another waits alone, with growing waits. */
  #cannotRead(error: unknown, lane: Lane): void {
    const nowMs = this.#options.clock.monotonicMs();
    const reason = messageOf(error);
    if (this.#lastError !== reason)
      this.#logger.warn('the log cannot be read for the sink; it is tried again', { reason });
    this.#lastError = reason;
    this.#state = 'failing';
    this.#retries += 1;
    if (lane === 'backlog' && this.#lanes.liveFirst !== undefined) {
      this.#backlogResumeAtMs = nowMs + this.#backlogBackoff.nextMs();
      return;
    }
    this.#round += 1;
    this.#resumeAtMs = nowMs + this.#backoff.nextMs();
  }

  #failed(error: unknown, call: Call): void {
    const nowMs = this.#options.clock.monotonicMs();
    const reason = messageOf(error);
    if (this.#lastError !== reason) this.#logger.warn('the sink takes nothing now; it is tried again', { reason });
    this.#lastError = reason;
    this.#state = 'failing';
    this.#retries += 1;
    const { retryAfterMs = 0, hasProgressed } = error instanceof MillwrightError ? error : { hasProgressed: false };
    const askedMs = Math.min(retryAfterMs, RETRY_AFTER_MS_MAX);
    if (hasProgressed) this.#backoff.reset();
    if (call.paceBytes !== null) this.#pace.ended(call.paceBytes, nowMs - call.startedMs, nowMs);
    // One wait, however many calls fail together.
    if (call.round !== this.#round) {
      this.#resumeAtMs = Math.max(this.#resumeAtMs, nowMs + askedMs);
      return;
    }
    if (call.paceBytes !== null) this.#backlogResumeAtMs = nowMs + this.#backlogBackoff.nextMs(askedMs);
    this.#round += 1;
    this.#resumeAtMs = nowMs + this.#backoff.nextMs(askedMs);
  }

  #liveCall(): Call | undefined {
    for (const call of this.#calls.keys()) if (call.claim.lane === 'live') return call;
    return undefined;
  }

  #backlogCalls(): number {
    return this.#calls.size - (this.#liveCall() === undefined ? 0 : 1);
  }

  #ageMs(appendedAtMicros: number): number {
    return (this.#options.clock.nowMicros() - appendedAtMicros) / 1000;
  }

  /** At the rate of the last seconds; null when nothing is drained. */
  #drainedInSeconds(lagReadings: number): number | null {
    const perSecond = this.#drainRate.perSecond(this.#options.clock.monotonicMs());
    if (!this.#isDraining() || perSecond === 0) return null;
    return Math.round(lagReadings / perSecond);
  }

  #reported(error: string | null): void {
    if (error === null && this.#state === 'connecting') this.#state = 'ok';
    if ((error === null) === (this.#reportError === null)) return;
    this.#reportError = error;
    if (error === null) this.#logger.info('the sink takes status reports again');
    else this.#logger.warn('the sink takes no status reports now', { reason: error });
  }
}

function readingsOf(batches: readonly StoredBatch[]): number {
  return batches.reduce((readings, batch) => readings + batch.readings, 0);
}

/** The first ones that hold no more readings than allowed; at least one. */
function withinAllowance(batches: readonly StoredBatch[], readingsMax: number): readonly StoredBatch[] {
  let readings = 0;
  const tooMany = batches.findIndex((batch, index) => {
    readings += batch.readings;
    return index > 0 && readings > readingsMax;
  });
  return tooMany < 0 ? batches : batches.slice(0, tooMany);
}

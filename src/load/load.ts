/**
 * `millwright load`: publishes to a running system and then counts, by the hub's API, whether every reading is there
 * exactly once and every malformed message is a dead letter.
 *
 * It waits as long as something moves: it gives up when for `patienceMs` nothing more was acknowledged, became visible or
 * was found.
 */
import { type Clock, now } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import type { Timestamp } from '../model/time.ts';
import { Checker, type DeadLetterCount, isExact, type MachineCount, type SentMalformed } from './checker.ts';
import { type OpenedGateway, openGateways } from './gateways.ts';
import { type HubAddress, HubClient } from './http-client.ts';
import { Latencies, type LatencySummary } from './latencies.ts';
import { LiveWatch } from './live-watch.ts';
import { type LoadPlan, type LoadSettings, planOf } from './plan.ts';
import type { PublisherFigures } from './publisher.ts';
import { publishGateway } from './publishing.ts';
import type { Target } from './target.ts';

export interface LoadOrder {
  readonly settings: LoadSettings;
  readonly target: Target;
  /** Whom to ask what is stored; null: nobody. */
  readonly hub: HubAddress | null;
  readonly patienceMs: number;
}

export interface LoadParts {
  readonly clock: Clock;
  readonly random: Random;
  /** Called several times a second. */
  readonly onProgress: (progress: LoadProgress) => void;
}

export interface LoadProgress {
  readonly phase: 'publishing' | 'awaiting acknowledgments' | 'awaiting the hub' | 'counting';
  readonly elapsedMs: number;
  /** Readings of the whole run; null while only time will tell. */
  readonly readingsPlanned: number | null;
  readonly readingsSent: number;
  readonly messagesSent: number;
  readonly messagesAcknowledged: number;
  /** By the newest reading of each machine; null where no hub is asked. */
  readonly readingsVisible: number | null;
  readonly readingsCounted: number;
  /** Why nothing gets through, or the hub cannot be asked. */
  readonly trouble: string | null;
}

/** As `--json` prints it. */
export interface LoadReport {
  readonly settings: LoadSettings;
  readonly started_at: Timestamp;
  /** True: everything that was sent is stored exactly once. Null: it was not checked. */
  readonly exact: boolean | null;
  /** Why it ended early; null when it did not. */
  readonly ended_early: string | null;
  readonly readings: {
    readonly sent: number;
    readonly stored: number;
    readonly missing: number;
    readonly doubled: number;
    readonly foreign: number;
    /** Of machines whose rows could not be counted, or were not asked for. */
    readonly uncounted: number;
  };
  readonly messages: {
    readonly sent: number;
    readonly malformed: number;
    readonly acknowledged: number;
    readonly duplicates: number;
    readonly repeated: number;
  };
  readonly dead_letters: DeadLetterCount | null;
  readonly malformed_machine: { readonly machine_id: string; readonly rows: number | null };
  readonly machines: readonly MachineCount[];
  readonly seconds: { readonly published: number; readonly end_to_end: number | null };
  readonly readings_per_second: { readonly published: number; readonly end_to_end: number | null };
  readonly latency: { readonly acknowledged: LatencySummary | null; readonly visible: LatencySummary | null };
  /** What was last in the way, if something still is. */
  readonly trouble: string | null;
}

const PROGRESS_INTERVAL_MS = 100;
/** While publishing, the hub is asked for what is visible so much less often than its answer takes: asking is no load. */
const ASK_FACTOR = 20;
const ASK_INTERVAL_MS = { least: 100, most: 1_000 };
/** Before what was not there is counted again. */
const COUNT_AGAIN_MS = 500;
/** Machines counted at once: a hub sends four long answers at a time, and somebody else may want one. */
const COUNTED_AT_ONCE = 2;

/**
 * @param stop aborted: publishing ends, and what was sent is checked
 * @throws connection_failed when it cannot begin; config_invalid for a run whose name was used before; limit_exceeded
 * or bad_request when messages are refused for good
 */
export async function runLoad(order: LoadOrder, parts: LoadParts, stop: AbortSignal): Promise<LoadReport> {
  const run = new LoadRun(order, parts);
  try {
    await run.open();
    await run.publish(stop);
    await run.check();
    return run.report();
  } finally {
    await run.close();
  }
}

class LoadRun {
  readonly #order: LoadOrder;
  readonly #parts: LoadParts;
  readonly #plan: LoadPlan;
  readonly #epoch: string;
  readonly #client: HubClient | null;
  readonly #checker: Checker | null;
  readonly #live: LiveWatch | null;
  readonly #acknowledgments = new Latencies();
  readonly #malformed: SentMalformed[] = [];
  readonly #counts = new Map<string, MachineCount>();
  /** Most rows that a count of each machine has met. */
  readonly #rowsMet = new Map<string, number>();
  readonly #gaveUp = new AbortController();
  readonly #ended = new AbortController();
  readonly #startMicros: number;
  readonly #startedAt: Timestamp;
  #gateways: readonly OpenedGateway[] = [];
  #background: Promise<unknown> = Promise.resolve();
  #phase: LoadProgress['phase'] = 'publishing';
  #startMs = 0;
  #acknowledgedMs = 0;
  #storedMs: number | null = null;
  #readingsSent = 0;
  #visible = new Map<string, number>();
  #deadLetters: DeadLetterCount | null = null;
  #malformedRows: number | null = null;
  #hubTrouble: string | null = null;
  #isStopped = false;

  constructor(order: LoadOrder, parts: LoadParts) {
    const { clock, random } = parts;
    this.#order = order;
    this.#parts = parts;
    this.#startMicros = clock.nowMicros();
    this.#startedAt = now(clock);
    this.#plan = planOf(order.settings, this.#startMicros, random);
    this.#epoch = `load-${Math.floor(random() * 2 ** 40).toString(36)}-${this.#startMicros.toString(36)}`;
    this.#client = order.hub === null ? null : new HubClient(order.hub, 2 + COUNTED_AT_ONCE);
    this.#checker = this.#client === null ? null : new Checker(this.#client, this.#plan);
    this.#live = this.#client === null ? null : new LiveWatch(clock);
  }

  async open(): Promise<void> {
    const { clock, random } = this.#parts;
    await this.#checker?.requireNewMachines(this.#order.settings.run);
    const onAcknowledged = (latencyMs: number): void => {
      this.#acknowledgedMs = clock.monotonicMs();
      this.#acknowledgments.add(latencyMs);
    };
    this.#gateways = await openGateways(this.#plan.gateways, this.#order.target, { clock, random, onAcknowledged });
    const watched = this.#plan.machines[0];
    if (this.#client !== null && watched !== undefined) await this.#live?.start(this.#client, watched.id);
    this.#startMs = clock.monotonicMs();
    this.#background = Promise.all([this.#tellProgress(), this.#watchHub()]);
  }

  async publish(stop: AbortSignal): Promise<void> {
    const { settings } = this.#order;
    const watched = this.#plan.machines[0];
    const publishing = {
      settings,
      plan: this.#plan,
      epoch: this.#epoch,
      clock: this.#parts.clock,
      malformed: this.#malformed,
      onPublish: (readings: number, machine: object | null) => {
        if (machine === null) return;
        this.#readingsSent += readings;
        if (machine === watched) this.#live?.published(readings);
      },
    };
    const signal = AbortSignal.any([stop, this.#gaveUp.signal]);
    await Promise.all(this.#gateways.map((gateway) => publishGateway(publishing, gateway, signal)));
    this.#isStopped = stop.aborted;
    this.#phase = 'awaiting acknowledgments';
    await Promise.all(this.#gateways.map(({ publisher }) => publisher.settled(this.#gaveUp.signal)));
  }

  /** Counts, and counts again what is not all there, until all is exact or nothing moves any more. */
  async check(): Promise<void> {
    if (this.#checker === null) return;
    const { clock } = this.#parts;
    const { signal } = this.#gaveUp;
    for (;;) {
      this.#phase = 'awaiting the hub';
      while (!this.#isAllVisible() && !signal.aborted) await clock.sleep(PROGRESS_INTERVAL_MS / 2, signal);
      const visibleMs = clock.monotonicMs();
      this.#phase = 'counting';
      await this.#countAll(this.#checker);
      if (this.#isSettled()) this.#storedMs = visibleMs;
      if (this.#isSettled() || signal.aborted) return;
      await clock.sleep(COUNT_AGAIN_MS, signal);
    }
  }

  report(): LoadReport {
    const { settings } = this.#order;
    const counts = this.#plan.machines.map(({ id }) => this.#counts.get(id)).filter((count) => count !== undefined);
    const sum = (pick: (count: MachineCount) => number): number => counts.reduce((all, one) => all + pick(one), 0);
    const figures = this.#figures();
    const publishedSeconds = Math.max(0, this.#acknowledgedMs - this.#startMs) / 1000;
    const endToEndSeconds = this.#storedMs === null ? null : (this.#storedMs - this.#startMs) / 1000;
    const isAcknowledged = figures.acknowledged === figures.published;
    return {
      settings,
      started_at: this.#startedAt,
      exact: this.#checker === null ? null : isAcknowledged && this.#isExact(),
      ended_early: this.#endedEarly(),
      readings: {
        sent: this.#readingsSent,
        stored: sum(({ stored }) => stored),
        missing: sum(({ missing }) => missing),
        doubled: sum(({ doubled }) => doubled),
        foreign: sum(({ foreign }) => foreign),
        uncounted: this.#plan.machines.reduce((all, { id, sent }) => all + (this.#counts.has(id) ? 0 : sent), 0),
      },
      messages: {
        sent: figures.published,
        malformed: this.#malformed.length,
        acknowledged: figures.acknowledged,
        duplicates: figures.duplicates,
        repeated: figures.repeated,
      },
      dead_letters: this.#deadLetters,
      malformed_machine: { machine_id: this.#plan.malformedMachine, rows: this.#malformedRows },
      machines: counts,
      seconds: { published: publishedSeconds, end_to_end: endToEndSeconds },
      readings_per_second: {
        published: perSecond(this.#readingsSent, publishedSeconds) ?? 0,
        end_to_end: perSecond(this.#readingsSent, endToEndSeconds),
      },
      latency: { acknowledged: this.#acknowledgments.summary(), visible: this.#live?.latencies.summary() ?? null },
      trouble: figures.trouble ?? this.#hubTrouble,
    };
  }

  async close(): Promise<void> {
    this.#ended.abort();
    this.#gaveUp.abort();
    await Promise.all(this.#gateways.map(({ publisher }) => publisher.close()));
    await this.#live?.close();
    await this.#background;
    this.#client?.close();
  }

  #endedEarly(): string | null {
    if (this.#gaveUp.signal.aborted) return `nothing moved for ${this.#order.patienceMs / 1000} s`;
    return this.#isStopped ? 'publishing was stopped; what was sent until then is checked' : null;
  }

  #isAllVisible(): boolean {
    return this.#plan.machines.every(({ id, sent }) => (this.#visible.get(id) ?? 0) >= sent);
  }

  /** Whether counting again would change nothing: a row too many does not go away. */
  #isSettled(): boolean {
    const isCounted = this.#plan.machines.every(({ id }) => {
      const count = this.#counts.get(id);
      return count !== undefined && count.missing === 0;
    });
    const letters = this.#deadLetters;
    return isCounted && letters !== null && letters.found === letters.expected && this.#malformedRows !== null;
  }

  #isExact(): boolean {
    const isEach = this.#plan.machines.every(({ id }) => {
      const count = this.#counts.get(id);
      return count !== undefined && isExact(count);
    });
    return this.#isSettled() && isEach && this.#deadLetters?.problems.length === 0 && this.#malformedRows === 0;
  }

  /** What fails is counted again later. */
  async #countAll(checker: Checker): Promise<void> {
    const { signal } = this.#ended;
    const left = this.#plan.machines.filter(({ id }) => (this.#counts.get(id)?.missing ?? 1) > 0);
    const countLeft = async (): Promise<void> => {
      for (let machine = left.shift(); machine !== undefined; machine = left.shift()) {
        const { id } = machine;
        const onRow = (rows: number): void => {
          if (rows > (this.#rowsMet.get(id) ?? 0)) this.#rowsMet.set(id, rows);
        };
        this.#counts.set(id, await checker.count(machine, onRow, signal));
      }
    };
    try {
      await Promise.all(Array.from({ length: COUNTED_AT_ONCE }, countLeft));
      this.#deadLetters = await checker.deadLetters(this.#malformed, this.#epoch, signal);
      this.#malformedRows = await checker.malformedRows(signal);
      this.#hubTrouble = null;
    } catch (error) {
      this.#hubTrouble = messageOf(error);
    }
  }

  async #watchHub(): Promise<void> {
    const { clock } = this.#parts;
    const { signal } = this.#ended;
    while (this.#checker !== null && !signal.aborted) {
      const askedMs = clock.monotonicMs();
      try {
        this.#visible = await this.#checker.visible(signal);
        this.#hubTrouble = null;
      } catch (error) {
        this.#hubTrouble = messageOf(error);
      }
      const tookMs = clock.monotonicMs() - askedMs;
      const factor = this.#phase === 'publishing' ? ASK_FACTOR : 1;
      const { least, most } = ASK_INTERVAL_MS;
      await clock.sleep(Math.min(most, Math.max(least, factor * tookMs)), signal);
    }
  }

  async #tellProgress(): Promise<void> {
    const { clock, onProgress } = this.#parts;
    const { signal } = this.#ended;
    let figureBefore = -1;
    let movedMs = clock.monotonicMs();
    for (; !signal.aborted; await clock.sleep(PROGRESS_INTERVAL_MS, signal)) {
      const progress = this.#progress();
      onProgress(progress);
      const { messagesSent, messagesAcknowledged, readingsVisible, readingsCounted } = progress;
      const figure = messagesAcknowledged + (readingsVisible ?? 0) + readingsCounted + (this.#deadLetters?.found ?? 0);
      // At a slow rate nothing moves, and nothing is awaited either.
      const isAwaiting = this.#phase !== 'publishing' || messagesAcknowledged < messagesSent;
      if (figure !== figureBefore || !isAwaiting) movedMs = clock.monotonicMs();
      figureBefore = figure;
      if (clock.monotonicMs() - movedMs > this.#order.patienceMs) this.#gaveUp.abort();
    }
  }

  #progress(): LoadProgress {
    const { settings } = this.#order;
    const { published, acknowledged, trouble } = this.#figures();
    const visible = this.#plan.machines.reduce((all, { id }) => all + (this.#visible.get(id) ?? 0), 0);
    return {
      phase: this.#phase,
      elapsedMs: this.#parts.clock.monotonicMs() - this.#startMs,
      readingsPlanned: 'count' in settings.extent ? settings.extent.count * settings.machines : null,
      readingsSent: this.#readingsSent,
      messagesSent: published,
      messagesAcknowledged: acknowledged,
      readingsVisible: this.#checker === null ? null : visible,
      readingsCounted: [...this.#rowsMet.values()].reduce((all, rows) => all + rows, 0),
      trouble: trouble ?? this.#hubTrouble,
    };
  }

  #figures(): PublisherFigures {
    const all = { published: 0, acknowledged: 0, duplicates: 0, repeated: 0, trouble: null as string | null };
    for (const { publisher } of this.#gateways) {
      const { published, acknowledged, duplicates, repeated, trouble } = publisher.figures;
      all.published += published;
      all.acknowledged += acknowledged;
      all.duplicates += duplicates;
      all.repeated += repeated;
      all.trouble ??= trouble;
    }
    return all;
  }
}

function perSecond(readings: number, seconds: number | null): number | null {
  return seconds === null || seconds === 0 ? null : Math.round(readings / seconds);
}

/**
 * The oracle: lets faults happen to a running plant for a time, and then judges whether everything arrived once.
 *
 * Every few rounds, and at the end, all faults are over for as long as the edge needs to catch up.
 */
import { systemClock } from '../../src/base/clock.ts';
import { messageOf } from '../../src/base/errors.ts';
import { waitUntil } from '../support/system.ts';
import { type Comparison, compare, violationsOf } from './compare.ts';
import { drain, lookAtLog, type LogNow, stopWithoutBacklog } from './drain.ts';
import { CameToNothing } from './fault-tools.ts';
import { Faults } from './faults.ts';
import { type FaultKind, faultKinds, planRounds, type PlannedFault, type Round, type Transport } from './plan.ts';
import { createPlant, GATEWAY_ID, type Plant, SMALL_LOG } from './plant.ts';

const MACHINES = 16;
const ROUNDS_BETWEEN_DRAINS = 3;
/** Faults under way at once. */
const OVERLAP_MAX = 4;
const PROGRESS_MS = 10_000;

export interface OracleOptions {
  readonly transport: Transport;
  readonly seed: number;
  readonly minutes: number;
  /** Takes a line of progress. */
  readonly say: (line: string) => void;
  /** Ends the run early; it then rejects. */
  readonly signal: AbortSignal;
}

export interface OracleResult {
  readonly transport: Transport;
  readonly seed: number;
  readonly minutes: number;
  readonly tookMs: number;
  readonly injected: ReadonlyMap<FaultKind, number>;
  /** Faults that could not happen, and why. */
  readonly cameToNothing: readonly string[];
  readonly drainsMs: readonly number[];
  readonly backlogMax: number;
  /** How often a process ended by itself, and was started again. */
  readonly endings: ReadonlyMap<string, number>;
  readonly comparison: Comparison;
  /** What breaks the rule, a sentence each; none: it held. */
  readonly violations: readonly string[];
  /** Kept when the rule was broken. */
  readonly folder: string | null;
}

export async function runOracle(options: OracleOptions): Promise<OracleResult> {
  const plant = await createPlant({ transport: options.transport, machines: MACHINES, log: SMALL_LOG });
  const stopNow = (): void => plant.stopNow();
  process.once('exit', stopNow);
  let keepFolder = false;
  try {
    const result = await new Run(options, plant).run();
    keepFolder = result.folder !== null;
    return result;
  } finally {
    await plant.stop({ keepFolder });
    process.removeListener('exit', stopNow);
  }
}

class Run {
  readonly #options: OracleOptions;
  readonly #plant: Plant;
  readonly #faults: Faults;
  readonly #startedMs: number = performance.now();
  readonly #underWay = new Set<Promise<void>>();
  readonly #injected: Map<FaultKind, number>;
  readonly #cameToNothing: string[] = [];
  readonly #drainsMs: number[] = [];
  readonly #violations: string[] = [];
  #backlogMax = 0;

  constructor(options: OracleOptions, plant: Plant) {
    this.#options = options;
    this.#plant = plant;
    this.#faults = new Faults(plant, options.signal);
    this.#injected = new Map(faultKinds(options.transport).map((kind) => [kind, 0]));
  }

  async run(): Promise<OracleResult> {
    const { transport, seed, minutes, signal } = this.#options;
    const plant = this.#plant;
    await plant.start();
    await waitUntil('the first readings to be stored', async () =>
      (await this.#look()).cursor > 0 ? true : undefined,
    );
    const over = new AbortController();
    const progress = this.#tellProgress(over.signal);
    try {
      await this.#injectAll(planRounds({ seed, totalMs: minutes * 60_000, kinds: faultKinds(transport) }));
    } finally {
      await Promise.all(this.#underWay);
      over.abort();
      await progress;
    }
    signal.throwIfAborted();
    this.#violations.push(...(await stopWithoutBacklog(plant, signal)));
    this.#say('comparing');
    const comparison = await compare({
      database: plant.database.settings,
      gatewayId: GATEWAY_ID,
      witnessFiles: plant.witnessFiles(),
      excused: this.#faults.excused,
    });
    this.#violations.push(...violationsOf(comparison));
    return {
      transport,
      seed,
      minutes,
      tookMs: performance.now() - this.#startedMs,
      injected: this.#injected,
      cameToNothing: this.#cameToNothing,
      drainsMs: this.#drainsMs,
      backlogMax: this.#backlogMax,
      endings: new Map(plant.processes.flatMap(({ endings }) => [...endings])),
      comparison,
      violations: this.#violations,
      folder: this.#violations.length === 0 ? null : plant.folder,
    };
  }

  async #injectAll(rounds: readonly Round[]): Promise<void> {
    const { signal } = this.#options;
    for (const [index, round] of rounds.entries()) {
      const beganMs = performance.now();
      for (const fault of round) {
        await systemClock.sleep(beganMs + fault.atMs - performance.now(), signal);
        while (this.#underWay.size >= OVERLAP_MAX) await Promise.race(this.#underWay);
        if (signal.aborted) return;
        const injecting = this.#inject(fault).finally(() => this.#underWay.delete(injecting));
        this.#underWay.add(injecting);
      }
      const isLast = index === rounds.length - 1;
      if (isLast || index % ROUNDS_BETWEEN_DRAINS === ROUNDS_BETWEEN_DRAINS - 1) await this.#drain();
    }
  }

  async #inject(fault: PlannedFault): Promise<void> {
    const { kind } = fault;
    try {
      this.#say(`${kind}: ${await this.#faults.inject(fault)}`);
      this.#injected.set(kind, (this.#injected.get(kind) ?? 0) + 1);
    } catch (error) {
      const why = error instanceof CameToNothing ? error.message : messageOf(error);
      this.#cameToNothing.push(`${kind}: ${why}`);
      this.#say(`${kind}: came to nothing: ${why}`);
    }
  }

  /** All faults over, the edge must deliver what it has. */
  async #drain(): Promise<void> {
    await Promise.all(this.#underWay);
    const { tookMs, violations } = await drain(this.#plant, this.#options.signal);
    this.#violations.push(...violations);
    this.#drainsMs.push(tookMs);
    this.#say(`drained in ${tookMs} ms`);
  }

  async #tellProgress(over: AbortSignal): Promise<void> {
    for (;;) {
      await systemClock.sleep(PROGRESS_MS, over);
      if (over.aborted) return;
      const faults = [...this.#injected.values()].reduce((sum, count) => sum + count, 0);
      const now = await this.#look().catch(() => undefined);
      const log =
        now === undefined ? 'the edge is down' : `${now.lastSequence} batches in the log, ${now.lag} to deliver`;
      this.#say(`— ${faults} faults, ${log}`);
    }
  }

  async #look(): Promise<LogNow> {
    const now = await lookAtLog(this.#plant);
    this.#backlogMax = Math.max(this.#backlogMax, now.lag);
    return now;
  }

  #say(line: string): void {
    const seconds = (performance.now() - this.#startedMs) / 1000;
    this.#options.say(`${seconds.toFixed(1).padStart(7)} s  ${line}`);
  }
}

/** A delivery from a real log (its disk in memory) to a sink that does as it is told, by a clock that is stepped by hand. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { createLogger } from '../../base/logger.ts';
import { ManualClock } from '../../base/manual-clock.test-support.ts';
import { seededRandom } from '../../base/random.ts';
import { FaultyFiles } from '../../log/faulty-files.test-support.ts';
import { DurableLog } from '../../log/log.ts';
import { ROOMY } from '../../log/options.test-support.ts';
import type { Batch } from '../../model/batch.ts';
import type { EdgeStatus } from '../../model/status.ts';
import type { Settlement, Sink, StatusReporter } from '../../ports/sink.ts';
import { DeadLetters } from './dead-letters.ts';
import { Delivery, type DeliveryOptions, type ReadableLog } from './delivery.ts';

export const STORED: Settlement = { refused: [] };
const STEP_MS = 10;
/** Turns of the event loop at each step: enough for a read of the disk in memory. */
const TURNS = 5;
/** Longest run, by the clock that is stepped. */
const RUN_MS_MAX = 10 * 60_000;

export interface Call {
  readonly sequences: readonly number[];
  readonly startedMs: number;
  /** Undefined while it is under way, and when it failed. */
  endedMs: number | undefined;
}

export class Rig {
  readonly clock: ManualClock = new ManualClock('2026-01-01T08:00:00.000000Z');
  readonly disk: FaultyFiles = new FaultyFiles(seededRandom(1));
  readonly calls: Call[] = [];
  readonly lines: { level: string; message: string }[] = [];
  readonly kept: { sequence: number; index?: number; reason: string }[] = [];
  readonly appendedMs: Map<number, number> = new Map();
  readonly settledMs: Map<number, number> = new Map();
  callsMax = 0;
  /** What the far end does with a call. */
  deliver: (batches: readonly Batch[]) => Settlement | Promise<Settlement> = () => STORED;
  /** Called at each step of the clock while the delivery runs. */
  onStep: () => void = () => {};
  report: StatusReporter['report'] | undefined;
  window = 3;
  ordered = false;
  limits: Sink['limits'] = { batchesMax: 4, bytesMax: 10_000 };
  /** Numbers that the log gives no more. */
  gone: (sequence: number) => boolean = () => false;
  log!: DurableLog;
  delivery!: Delivery;
  #underWay = 0;

  /** Opens the log as a new process does. */
  async open(options: Partial<DeliveryOptions> = {}): Promise<void> {
    const { clock } = this;
    const write = (line: string): void => void this.lines.push(JSON.parse(line));
    const logger = createLogger({ level: 'debug', pretty: false, write, now: () => '' });
    const files = this.disk.mount();
    this.log = await DurableLog.open({
      folder: 'log',
      files,
      clock,
      log: logger,
      gatewayId: 'gw',
      sinks: ['hub'],
      segmentBytesMax: 1_000_000,
      hotBytesMax: 100_000,
      ...ROOMY,
      newId: () => 'epoch-1',
    });
    const letters = new DeadLetters({ logFolder: 'log', sink: 'hub', files, clock, logger });
    const deadLetters: DeliveryOptions['deadLetters'] = {
      keep: async (refused) => {
        const first = refused[0]?.batch.sequence ?? 0;
        assert.ok(this.log.cursor('hub').position < first, 'kept before the cursor moves');
        for (const { batch, reason } of refused) {
          const { sequence, index } = batch;
          this.kept.push({ sequence, ...(index !== undefined && { index }), reason });
        }
        await letters.keep(refused);
      },
    };
    const common = { name: 'hub', type: 'hub', maxRate: null, gatewayId: 'gw', deadLetters, clock, logger };
    const parts = { sink: this.#sink(), log: this.#readable(), random: () => 1 };
    this.delivery = new Delivery({ ...common, ...parts, ...options });
  }

  async append(count: number, bytes = 50): Promise<void> {
    await Promise.all(Array.from({ length: count }, () => this.appendOne(bytes)));
  }

  async appendOne(bytes = 50): Promise<void> {
    const atMs = this.clock.monotonicMs();
    this.appendedMs.set(await this.log.append(Buffer.alloc(bytes, 1), 2), atMs);
  }

  /** Lets the time pass until the condition holds, and then stops the delivery. */
  async run(condition: () => boolean): Promise<void> {
    const stop = new AbortController();
    const running = [this.delivery.run(stop.signal), this.delivery.runReports(() => ({}) as EdgeStatus, stop.signal)];
    const endMs = this.clock.monotonicMs() + RUN_MS_MAX;
    while (!condition() && this.clock.monotonicMs() < endMs) {
      await this.step();
      this.onStep();
    }
    const inTime = condition();
    stop.abort();
    await this.whileTimePasses(Promise.all(running));
    assert.ok(inTime, 'in time');
  }

  async step(): Promise<void> {
    await this.clock.step(STEP_MS);
    for (let turn = 0; turn < TURNS; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }

  async whileTimePasses(work: Promise<unknown>): Promise<void> {
    let isDone = false;
    const done = work.finally(() => {
      isDone = true;
    });
    while (!isDone) await this.step();
    await done;
  }

  get position(): number {
    return this.log.cursor('hub').position;
  }

  /** From being appended to being settled, of a batch that was. */
  latencyMs(sequence: number): number {
    return (this.settledMs.get(sequence) ?? Number.NaN) - (this.appendedMs.get(sequence) ?? Number.NaN);
  }

  #sink(): Sink {
    const sink: Sink = {
      limits: this.limits,
      window: this.window,
      ordered: this.ordered,
      deliver: async (batches) => {
        const { clock } = this;
        const sequences = batches.map((batch) => batch.sequence);
        const call: Call = { sequences, startedMs: clock.monotonicMs(), endedMs: undefined };
        this.calls.push(call);
        this.#underWay += 1;
        this.callsMax = Math.max(this.callsMax, this.#underWay);
        try {
          const settlement = await this.deliver(batches);
          call.endedMs = clock.monotonicMs();
          for (const sequence of sequences) this.settledMs.set(sequence, call.endedMs);
          return settlement;
        } finally {
          this.#underWay -= 1;
        }
      },
      close: async () => {},
    };
    return this.report === undefined ? sink : Object.assign(sink, { report: this.report });
  }

  #readable(): ReadableLog {
    const { log } = this;
    return {
      get lastSequence() {
        return log.lastSequence;
      },
      read: async (from, limits) => {
        let first = from;
        while (first <= log.lastSequence && this.gone(first)) first += 1;
        return (await log.read(first, limits)).filter(({ sequence }) => !this.gone(sequence));
      },
      waitFor: (sequence, signal) => log.waitFor(sequence, signal),
      cursor: (sink) => log.cursor(sink),
      backlog: (sink) => log.backlog(sink),
    };
  }
}

export async function newRig(context: TestContext, changes: Partial<Rig> = {}): Promise<Rig> {
  const rig = Object.assign(new Rig(), changes);
  await rig.open();
  context.after(() => rig.log.close());
  return rig;
}

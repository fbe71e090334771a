/**
 * The sources that the edge reads now. Which they are changes while it runs: what is configured anew is started, what is
 * not configured any more is stopped, what is configured otherwise is put in the place of what was. The others are not
 * touched: their connections stand, and no sample of theirs is late.
 */
import { type Clock, now, unlessAborted } from '../../base/clock.ts';
import { MillwrightError } from '../../base/errors.ts';
import type { Files } from '../../base/files.ts';
import type { Logger } from '../../base/logger.ts';
import type { Random } from '../../base/random.ts';
import { within } from '../../base/within.ts';
import { DRIVERS } from '../../drivers/registry.ts';
import type { DurableLog } from '../../log/log.ts';
import type { Reading } from '../../model/reading.ts';
import type { SourceStatus } from '../../model/status.ts';
import { type Driver, keepsFiles, readsOnce } from '../../ports/driver.ts';
import type { Batcher } from '../pipeline/batcher.ts';
import { isSame } from '../reload/changes.ts';
import type { SensorSettings } from '../settings.ts';
import { KnownValues } from './known-values.ts';
import { type Holds, readMemory } from './read-memory.ts';
import { SourceRunner } from './runner.ts';

/** A source that has not ended by then is left to itself, and what is to come in its place begins. */
export const RETIRE_MS_MAX = 5_000;
/**
 * A source that was put in the place of another has so long to say what the other had said; what it has not said by then is
 * told to be unknown.
 */
export const TAKE_OVER_MS = 10_000;

export interface SourcesOptions {
  readonly logFolder: string;
  readonly accept: (reading: Reading) => void;
  readonly batcher: Pick<Batcher, 'room' | 'kept'>;
  readonly log: DurableLog;
  readonly holds: Holds;
  readonly clock: Clock;
  readonly random: Random;
  readonly files: Files;
  readonly logger: Logger;
}

interface Source {
  readonly sensor: SensorSettings;
  readonly runner: SourceRunner;
  readonly known: KnownValues;
  /** Of the one before it, until its time to say it all is over. */
  inherited: KnownValues | undefined;
  readonly stop: AbortController;
  ended: Promise<void>;
  /** It has not ended though it was told to: what it says is not heard any more. */
  isLeft: boolean;
}

/** What is to become of the sources: drivers for those that are new or changed, opened and not yet run. */
export interface SourcesPlan {
  readonly sensors: readonly SensorSettings[];
  readonly drivers: ReadonlyMap<string, Driver>;
}

export class Sources {
  readonly #options: SourcesOptions;
  /** By name, in the order of the configuration. */
  #sources: ReadonlyMap<string, Source> = new Map();
  /** Those that were stopped and have something to hand on. */
  readonly #retired = new Map<string, Source>();

  constructor(options: SourcesOptions) {
    this.#options = options;
  }

  get runners(): readonly SourceRunner[] {
    return [...this.#sources.values()].map(({ runner }) => runner);
  }

  get machineIds(): readonly string[] {
    return [...new Set([...this.#sources.values()].map(({ sensor }) => sensor.machineId))];
  }

  /** Time between two samples of each source that is polled, by its name. */
  pollIntervalsMs(): ReadonlyMap<string, number> {
    return new Map(this.runners.flatMap(({ name, pollIntervalMs: ms }) => (ms === undefined ? [] : [[name, ms]])));
  }

  statuses(): readonly SourceStatus[] {
    return this.runners.map((runner) => runner.status());
  }

  /** Changes nothing yet. @throws config_invalid for a type that there is not */
  async plan(sensors: readonly SensorSettings[]): Promise<SourcesPlan> {
    const drivers = new Map<string, Driver>();
    for (const sensor of sensors) {
      if (!isSame(this.#sources.get(sensor.name)?.sensor, sensor)) drivers.set(sensor.name, await createDriver(sensor));
    }
    return { sensors, drivers };
  }

  /**
   * Ends what goes or is to be replaced; waits for none when the signal is aborted.
   * @returns names of those that go for good
   */
  async retire({ sensors, drivers }: SourcesPlan, hurry: AbortSignal): Promise<readonly string[]> {
    const names = new Set(sensors.map(({ name }) => name));
    const retired = [...this.#sources.values()].filter(
      ({ sensor }) => !names.has(sensor.name) || drivers.has(sensor.name),
    );
    for (const { stop } of retired) stop.abort();
    await Promise.all(retired.map((source) => this.#ended(source, hurry)));
    const gone = retired.filter(({ sensor }) => !names.has(sensor.name));
    for (const source of retired) this.#retired.set(source.sensor.name, source);
    this.#sources = new Map([...this.#sources].filter(([, source]) => !retired.includes(source)));
    for (const source of gone) {
      const { name } = source.sensor;
      this.#retired.delete(name);
      this.#options.holds.set(name, null);
      this.#tellDisconnected(source);
      this.#tellUnknown(source, KnownValues.joined(source.inherited, source.known));
    }
    return gone.map(({ sensor }) => sensor.name);
  }

  /** Starts what is new or changed. */
  admit({ sensors, drivers }: SourcesPlan): void {
    const admitted = sensors.map((sensor) => {
      const { name } = sensor;
      return this.#sources.get(name) ?? this.#open(sensor, drivers.get(name)!);
    });
    this.#sources = new Map(admitted.map((source) => [source.sensor.name, source]));
    for (const name of drivers.keys()) this.#start(this.#sources.get(name)!, drivers.get(name)!);
    this.#retired.clear();
  }

  /** Ends all. Resolves when they have ended. */
  async stop(): Promise<void> {
    const all = [...this.#sources.values(), ...this.#retired.values()];
    for (const { stop } of all) stop.abort();
    await Promise.all(all.map(({ ended }) => ended));
  }

  #open(sensor: SensorSettings, driver: Driver): Source {
    const { accept, batcher, clock, random, logger } = this.#options;
    const known = new KnownValues();
    const runner = new SourceRunner({
      sensor,
      driver,
      accept: (reading) => {
        if (source.isLeft) return;
        known.note(reading);
        accept(reading);
      },
      room: () => batcher.room(),
      clock,
      random,
      logger,
    });
    const stop = new AbortController();
    const source: Source = {
      sensor,
      runner,
      known,
      inherited: undefined,
      stop,
      ended: Promise.resolve(),
      isLeft: false,
    };
    return source;
  }

  #start(source: Source, driver: Driver): void {
    const before = this.#retired.get(source.sensor.name);
    if (readsOnce(driver)) this.#options.holds.set(source.sensor.name, 0);
    source.ended = this.#run(source, driver);
    if (before !== undefined) void this.#takeOver(source, before);
  }

  async #run({ sensor, runner, stop }: Source, driver: Driver): Promise<void> {
    const { batcher, files, log, logFolder, holds } = this.#options;
    if (keepsFiles(driver)) driver.useFolder(`${logFolder}/drivers/${sensor.type}`);
    if (readsOnce(driver)) {
      const kept = (): Promise<void> => {
        runner.flush();
        return batcher.kept();
      };
      // What one of the same name has read before must be in the log, where it is found again.
      if (!(await unlessAborted(batcher.kept(), stop.signal))) return;
      driver.useMemory(readMemory({ source: sensor.name, logFolder, files, log, holds, kept }));
    }
    await runner.run(stop.signal);
  }

  /** What the source before had said is unknown in the end, unless this one says it too, or another that reads its machine. */
  async #takeOver(source: Source, before: Source): Promise<void> {
    const inherited = KnownValues.joined(before.inherited, before.known);
    source.inherited = inherited;
    const { machineId } = before.sensor;
    const isRead = [...this.#sources.values()].some(({ sensor }) => sensor.machineId === machineId);
    if (isRead) await this.#options.clock.sleep(TAKE_OVER_MS, source.stop.signal);
    if (source.stop.signal.aborted) return;
    source.inherited = undefined;
    this.#tellUnknown(before, inherited);
  }

  #tellDisconnected({ sensor: { name, machineId }, runner }: Source): void {
    if (runner.lastContactMs === null) return;
    const { clock, accept } = this.#options;
    accept({
      machine_id: machineId,
      timestamp: now(clock),
      kind: 'event',
      event_type: 'connection',
      item: name,
      text: 'the sensor was taken out of the configuration',
      details: { connected: false },
    });
  }

  #tellUnknown(source: Source, known: KnownValues): void {
    const { clock, accept } = this.#options;
    const text = `the sensor ${source.sensor.name} was taken out of the configuration, or changed there`;
    const others = [...this.#sources.values(), ...this.#retired.values()]
      .filter((other) => other !== source)
      .map((other) => other.known);
    for (const reading of known.farewell(others, { text, timestamp: now(clock) })) accept(reading);
  }

  async #ended(source: Source, hurry: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    const { sensor, ended } = source;
    if (await within(clock, RETIRE_MS_MAX, () => ended, hurry)) return;
    source.isLeft = !hurry.aborted;
    logger.warn('a source did not end in time', { source: sensor.name });
  }
}

async function createDriver({ type, options }: SensorSettings): Promise<Driver> {
  const entry = DRIVERS[type];
  if (entry === undefined) throw new MillwrightError('config_invalid', `there is no driver of type ${type}`);
  return (await entry.create()).create(options);
}

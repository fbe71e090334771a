/**
 * The running edge: puts its parts together, and takes them apart in the right order.
 *
 *     driver ─▶ source runner ─▶ pipeline ─▶ batcher ─▶ log ─▶ one delivery per sink
 */
import { aborted, type Clock, now } from '../base/clock.ts';
import { MillwrightError } from '../base/errors.ts';
import type { Files } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';
import type { Metric } from '../base/prometheus.ts';
import type { Random } from '../base/random.ts';
import { Rate } from '../base/rate.ts';
import { VERSION } from '../base/version.ts';
import { DRIVERS } from '../drivers/registry.ts';
import { DurableLog } from '../log/log.ts';
import type { Reading } from '../model/reading.ts';
import type { EdgeStatus } from '../model/status.ts';
import { readsOnce } from '../ports/driver.ts';
import { isServing, type Sink } from '../ports/sink.ts';
import { SINKS } from '../sinks/registry.ts';
import { Batcher, WAITING_READINGS_MAX } from './batcher.ts';
import { createSink } from './configured-sink.ts';
import { DeadLetters } from './dead-letters.ts';
import { Delivery } from './delivery.ts';
import { tellGaps } from './gap-teller.ts';
import { edgeMetrics, wearMetrics } from './metrics.ts';
import { createStage, Pipeline } from './pipeline.ts';
import { Holds, readMemory } from './read-memory.ts';
import { SamplingControl } from './sampling/control.ts';
import type { PressureSource, Usage } from './sampling/pressure.ts';
import type { EdgeSettings, SensorSettings, SinkSettings } from './settings.ts';
import { SourceRunner } from './source-runner.ts';
import { edgeState, unhealthyReason } from './state.ts';
import { StatusServer, type StatusSource } from './status-server.ts';

/** How long each step of a graceful stop may take; together less than ten seconds. */
export const STOP_LIMITS = { sourcesMs: 1_500, logMs: 2_500, sinksMs: 3_000, closeMs: 1_000 } as const;
/** Silence of all sources after which the edge is not healthy; more where sampling is slow. */
const SILENT_MS_MAX = 10_000;
const SILENT_INTERVALS_MAX = 5;

export interface EdgeParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly files: Files;
  readonly log: Logger;
  /** Told the port of the status page once it answers; for who asked for port 0. */
  readonly onListening?: (port: number) => void;
}

/**
 * Runs the edge until the signal is aborted and all is put away.
 * @throws MillwrightError when it cannot start: `config_invalid`, `port_unavailable`, `log_locked`, `storage_failed`
 */
export async function runEdge(settings: EdgeSettings, parts: EdgeParts, signal: AbortSignal): Promise<void> {
  const holds = new Holds();
  const log = await openLog(settings, parts, holds);
  try {
    const edge = new Edge(settings, parts, { log, holds });
    try {
      await edge.start();
    } catch (error) {
      await edge.close();
      throw error;
    }
    await aborted(signal);
    await edge.stop();
  } finally {
    await log.close();
  }
}

/** The parts between the log and the outside, while they run. */
class Edge implements StatusSource, PressureSource {
  readonly #settings: EdgeSettings;
  readonly #parts: EdgeParts;
  readonly #log: DurableLog;
  readonly #holds: Holds;
  readonly #batcher: Batcher;
  readonly #rate = new Rate();
  readonly #statusServer: StatusServer = new StatusServer(this);
  readonly #startedAt: string;
  readonly #startedMs: number;
  readonly #stopSources = new AbortController();
  readonly #stopDeliveries = new AbortController();
  #sources: readonly SourceRunner[] = [];
  #control: SamplingControl | undefined;
  #sinks: readonly Sink[] = [];
  #deliveries: readonly Delivery[] = [];
  #runningSources: Promise<unknown> = Promise.resolve();
  #runningDeliveries: Promise<unknown> = Promise.resolve();
  #tellingGaps: Promise<unknown> = Promise.resolve();

  constructor(settings: EdgeSettings, parts: EdgeParts, { log, holds }: { log: DurableLog; holds: Holds }) {
    const { clock, random } = parts;
    this.#settings = settings;
    this.#parts = parts;
    this.#log = log;
    this.#holds = holds;
    this.#startedAt = now(clock);
    this.#startedMs = clock.monotonicMs();
    this.#batcher = new Batcher({ ...settings.batching, log, clock, random, logger: parts.log });
  }

  async start(): Promise<void> {
    const { gatewayId, sensors, processors, sinks, status } = this.#settings;
    const { clock, random, log: logger } = this.#parts;
    const pipeline = new Pipeline(await Promise.all(processors.map(createStage)), this.#batcher);
    const accept = (reading: Reading): void => {
      this.#rate.add(1, this.#parts.clock.monotonicMs());
      pipeline.accept(reading);
    };
    this.#sources = await Promise.all(sensors.map((sensor) => this.#openSource(sensor, accept)));
    this.#holds.sourcesAreKnown();
    this.#control = this.#openControl();
    this.#sinks = await Promise.all(
      sinks.map((sink) => {
        const backlogReadings = (): number => this.#log.backlog(sink.name).readings;
        const place = { folder: this.#sinkFolder(sink.name), files: this.#parts.files };
        return createSink(sink, { gatewayId, place, clock, random, log: logger, backlogReadings });
      }),
    );
    this.#deliveries = this.#sinks.map((sink, index) => this.#openDelivery(sinks[index]!, sink));
    const port = await this.#statusServer.listen(status.host, status.port);
    const page = `http://${status.host}:${port}/status`;
    this.#parts.log.info('the edge runs', {
      gateway_id: gatewayId,
      status: page,
      sources: sensors.length,
      sinks: sinks.length,
    });
    this.#parts.onListening?.(port);
    this.#serve();
    const deliveriesEnd = this.#stopDeliveries.signal;
    this.#runningDeliveries = Promise.all(
      this.#deliveries.flatMap((delivery) => [
        delivery.run(deliveriesEnd),
        delivery.runReports(() => this.status(), deliveriesEnd),
      ]),
    );
    const machineIds = [...new Set(sensors.map(({ machineId }) => machineId))];
    const sourcesEnd = this.#stopSources.signal;
    this.#runningSources = Promise.all([
      ...this.#sources.map((source) => source.run(sourcesEnd)),
      this.#control.run(sourcesEnd),
    ]);
    this.#tellingGaps = tellGaps({ log: this.#log, machineIds, clock, logger }, sourcesEnd);
  }

  /** From the machines' end to the far end, each step within its limit, so that all that was read is kept. */
  async stop(): Promise<void> {
    const { log } = this.#parts;
    this.#stopSources.abort();
    if (!(await this.#within(STOP_LIMITS.sourcesMs, () => this.#runningSources)))
      log.warn('a source did not end in time');
    let lost = 0;
    await this.#within(STOP_LIMITS.logMs, async (limit) => {
      await Promise.race([this.#tellingGaps, aborted(limit)]);
      lost = await this.#batcher.drain(limit);
    });
    if (lost > 0) log.error('the log did not take the last readings: they are lost', { readings: lost });
    await this.#within(STOP_LIMITS.sinksMs, (limit) => Promise.all(this.#deliveries.map((one) => one.caughtUp(limit))));
    this.#stopDeliveries.abort();
    await this.#within(STOP_LIMITS.closeMs, () => this.#runningDeliveries);
    await this.close();
    log.info('the edge has stopped', { last_sequence: this.#log.lastSequence });
  }

  /** Gives back what `start` has opened. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#sinks.map((sink) => sink.close()));
    await this.#statusServer.close();
  }

  status(): EdgeStatus {
    const { gatewayId, location } = this.#settings;
    const { clock } = this.#parts;
    const sources = this.#sources.map((source) => source.status());
    const sinks = this.#deliveries.map((delivery) => delivery.status());
    const logError = this.#logError();
    return {
      gateway_id: gatewayId,
      location,
      version: VERSION,
      state: edgeState({ stopping: this.#stopSources.signal.aborted, sources, sinks, logWritable: logError === null }),
      started_at: this.#startedAt,
      sent_at: now(clock),
      memory_bytes: process.memoryUsage.rss(),
      readings_per_second: this.#rate.perSecond(clock.monotonicMs()),
      losses: this.#batcher.losses + this.#log.status().readings_dropped,
      sources,
      log: { ...this.#log.status(), last_error: logError },
      sinks,
    };
  }

  unhealthyReason(): string | undefined {
    const nowMs = this.#parts.clock.monotonicMs();
    const newestMs = Math.max(this.#startedMs, ...this.#sources.map((source) => source.lastContactMs ?? 0));
    const intervalMsMax = Math.max(0, ...this.#settings.sensors.map((sensor) => sensor.samplingIntervalMs));
    return unhealthyReason({
      stopping: this.#stopSources.signal.aborted,
      logError: this.#logError(),
      sources: this.#sources.length,
      silentMs: nowMs - newestMs,
      silentMsMax: Math.max(SILENT_MS_MAX, SILENT_INTERVALS_MAX * intervalMsMax),
    });
  }

  metrics(): readonly Metric[] {
    const delivered = new Map(this.#deliveries.map((delivery) => [delivery.name, delivery.delivered]));
    const uptimeSeconds = (this.#parts.clock.monotonicMs() - this.#startedMs) / 1000;
    const { cardEnduranceBytes } = this.#settings;
    return [
      ...edgeMetrics(this.status(), delivered),
      ...wearMetrics(this.#log.status(), { uptimeSeconds, cardEnduranceBytes }),
      ...(this.#control?.metrics() ?? []),
      ...this.#batcher.metrics(),
    ];
  }

  usage(): Usage {
    const { warmBytesMax } = this.#settings.log.limits;
    const { bytes, bytes_appended, bytes_max, bytes_possible } = this.#log.status();
    // A log whose sinks keep up stays within its warm size, and moves in it by whole segments: that is no backlog.
    const backlog = Math.max(0, bytes - warmBytesMax);
    const room = bytes_possible === null ? null : bytes_possible - warmBytesMax;
    const bytesPossible = room === null || room > 0 ? room : backlog > 0 ? backlog : null;
    const { user, system } = process.cpuUsage();
    return {
      log: { bytes: backlog, bytesAppended: bytes_appended, bytesMax: bytes_max - warmBytesMax, bytesPossible },
      waiting: { readings: this.#batcher.waitingReadings, readingsMax: WAITING_READINGS_MAX },
      cpuMs: (user + system) / 1000,
      memoryBytes: process.memoryUsage.rss(),
    };
  }

  #logError(): string | null {
    return this.#batcher.lastError ?? this.#log.status().last_error;
  }

  async #openSource(sensor: SensorSettings, accept: (reading: Reading) => void): Promise<SourceRunner> {
    const { clock, random, log } = this.#parts;
    const entry = DRIVERS[sensor.type];
    if (entry === undefined) throw new MillwrightError('config_invalid', `there is no driver of type ${sensor.type}`);
    const driver = (await entry.create()).create(sensor.options);
    const room = (): Promise<void> | undefined => this.#batcher.room();
    const runner = new SourceRunner({ sensor, driver, accept, room, clock, random, logger: log });
    if (readsOnce(driver)) {
      const { files } = this.#parts;
      const kept = (): Promise<void> => {
        runner.flush();
        return this.#batcher.kept();
      };
      const logFolder = this.#settings.log.folder;
      const source = sensor.name;
      driver.useMemory(readMemory({ source, logFolder, files, log: this.#log, holds: this.#holds, kept }));
    }
    return runner;
  }

  #serve(): void {
    const { sinks } = this.#settings;
    const pollIntervalsMs = (): ReadonlyMap<string, number> => {
      return new Map(this.#sources.flatMap(({ name, pollIntervalMs: ms }) => (ms === undefined ? [] : [[name, ms]])));
    };
    for (const [index, sink] of this.#sinks.entries()) {
      const folder = this.#sinkFolder(sinks[index]!.name);
      if (isServing(sink)) sink.serve({ folder, pollIntervalsMs });
    }
  }

  #sinkFolder(name: string): string {
    return `${this.#settings.log.folder}/sinks/${encodeURIComponent(name)}`;
  }

  #openControl(): SamplingControl {
    const { clock, log: logger } = this.#parts;
    const { control: settings } = this.#settings;
    return new SamplingControl({ settings, sources: this.#sources, pressures: this, clock, logger });
  }

  #openDelivery({ name, type, maxRate }: SinkSettings, sink: Sink): Delivery {
    const { clock, random, files, log: logger } = this.#parts;
    const { gatewayId, log } = this.#settings;
    const deadLetters = new DeadLetters({ logFolder: log.folder, sink: name, files, clock, logger });
    return new Delivery({ name, type, maxRate, gatewayId, sink, log: this.#log, deadLetters, clock, random, logger });
  }

  /** Whether the work ended within the limit; it is handed a signal that is aborted when it did not. */
  async #within(limitMs: number, work: (limit: AbortSignal) => Promise<unknown>): Promise<boolean> {
    const limit = new AbortController();
    const ended = new AbortController();
    const timer = this.#parts.clock.sleep(limitMs, ended.signal).then(() => limit.abort());
    const inTime = await Promise.race([work(limit.signal).then(() => true), timer.then(() => false)]);
    ended.abort();
    return inTime;
  }
}

function openLog(settings: EdgeSettings, { clock, random, files, log }: EdgeParts, holds: Holds): Promise<DurableLog> {
  return DurableLog.open({
    ...settings.log,
    heldAfter: () => holds.after,
    files,
    clock,
    log,
    gatewayId: settings.gatewayId,
    sinks: settings.sinks.map((sink) => sink.name),
    startFrom: Object.fromEntries(
      settings.sinks.map(({ name, type, from }) => [name, SINKS[type]?.isServing === true ? 'recent' : from]),
    ),
    newId: () => newId(random),
  });
}

/** 52 random bits, as text. */
function newId(random: Random): string {
  return Math.floor(random() * 2 ** 52).toString(36);
}

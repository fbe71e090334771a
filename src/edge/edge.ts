/**
 * The running edge: puts its parts together, and takes them apart in the right order.
 *
 *     driver ─▶ source runner ─▶ pipeline ─▶ batcher ─▶ log ─▶ one delivery per sink
 *
 * While it runs it takes other settings, and changes only the parts that they change (decision 028).
 */
import { aborted, type Clock, now } from '../base/clock.ts';
import { MillwrightError, messageOf } from '../base/errors.ts';
import type { Files } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';
import type { Metric } from '../base/prometheus.ts';
import type { Random } from '../base/random.ts';
import { Rate } from '../base/rate.ts';
import { VERSION } from '../base/version.ts';
import { within } from '../base/within.ts';
import { DurableLog } from '../log/log.ts';
import type { Reading } from '../model/reading.ts';
import type { ConfigurationStatus, EdgeStatus } from '../model/status.ts';
import { Deliveries, startFromOf } from './delivery/deliveries.ts';
import { Batcher, WAITING_READINGS_MAX } from './pipeline/batcher.ts';
import { tellGaps } from './pipeline/gap-teller.ts';
import { type ConfiguredStage, Pipeline, stagesFor } from './pipeline/pipeline.ts';
import { isSame, reloaded } from './reload/changes.ts';
import { SamplingControl } from './sampling/control.ts';
import type { PressureSource, Usage } from './sampling/pressure.ts';
import type { Configuration, EdgeSettings, SinkSettings } from './settings.ts';
import { Holds } from './sources/read-memory.ts';
import { type SourceRunner, watchSources } from './sources/runner.ts';
import { Sources } from './sources/sources.ts';
import { edgeMetrics, wearMetrics } from './status/metrics.ts';
import { StatusServer, type StatusSource } from './status/server.ts';
import { edgeState, unhealthyReason } from './status/state.ts';

/** How long each step of a graceful stop may take; together less than ten seconds. */
export const STOP_LIMITS = { sourcesMs: 1_500, logMs: 2_500, sinksMs: 3_000, closeMs: 1_000 } as const;
/** The edge is not healthy when no source works for longer than this. */
const SILENT_MS_MAX = 10_000;

export interface EdgeParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly files: Files;
  readonly log: Logger;
  /** Told the port of the status page once it answers; for who asked for port 0. */
  readonly onListening?: (port: number) => void;
  /** Absent: the settings stay as they are for as long as the edge runs. */
  readonly configuration?: Configuration;
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
    await edge.follow(signal);
    await edge.stop();
  } finally {
    await log.close();
  }
}

/** The parts between the log and the outside, while they run. */
class Edge implements StatusSource, PressureSource {
  readonly #atStart: EdgeSettings;
  readonly #parts: EdgeParts;
  readonly #log: DurableLog;
  readonly #holds: Holds;
  readonly #batcher: Batcher;
  readonly #pipeline: Pipeline;
  readonly #sources: Sources;
  readonly #deliveries: Deliveries;
  readonly #rate = new Rate();
  readonly #statusServer: StatusServer = new StatusServer(this);
  readonly #startedAt: string;
  readonly #startedMs: number;
  readonly #stopping = new AbortController();
  /** What is in force. */
  #settings: EdgeSettings;
  #configuration: ConfigurationStatus;
  /** When there were other sources last: new ones need a while until their first reading. */
  #changedMs: number;
  #stages: readonly ConfiguredStage[] = [];
  #control: SamplingControl;
  #stopControl = new AbortController();
  #tellingGaps: Promise<unknown> = Promise.resolve();

  constructor(settings: EdgeSettings, parts: EdgeParts, { log, holds }: { log: DurableLog; holds: Holds }) {
    const { clock, random, files, log: logger } = parts;
    const logFolder = settings.log.folder;
    this.#atStart = settings;
    this.#settings = settings;
    this.#parts = parts;
    this.#log = log;
    this.#holds = holds;
    this.#startedAt = now(clock);
    this.#startedMs = clock.monotonicMs();
    this.#changedMs = this.#startedMs;
    this.#configuration = { loaded_at: this.#startedAt, refused: null, needs_restart: [] };
    this.#batcher = new Batcher({ ...settings.batching, log, clock, random, logger });
    this.#pipeline = new Pipeline([], this.#batcher);
    const outside = { logFolder, log, clock, random, files, logger };
    const accept = (reading: Reading): void => this.#accept(reading);
    this.#sources = new Sources({ ...outside, accept, batcher: this.#batcher, holds });
    const status = (): EdgeStatus => this.status();
    const pollIntervalsMs = (): ReadonlyMap<string, number> => this.#sources.pollIntervalsMs();
    this.#deliveries = new Deliveries({ ...outside, gatewayId: settings.gatewayId, status, pollIntervalsMs });
    this.#control = this.#openControl();
  }

  async start(): Promise<void> {
    const { gatewayId, sensors, processors, sinks, status } = this.#settings;
    const { clock, log: logger } = this.#parts;
    this.#stages = await stagesFor(processors, []);
    this.#pipeline.use(this.#stages);
    const sources = await this.#sources.plan(sensors);
    const deliveries = await this.#deliveries.plan(sinks);
    let port: number;
    try {
      port = await this.#statusServer.listen(status.host, status.port);
    } catch (error) {
      await this.#deliveries.drop(deliveries);
      throw error;
    }
    const page = `http://${status.host}:${port}/status`;
    logger.info('the edge runs', {
      gateway_id: gatewayId,
      status: page,
      sources: sensors.length,
      sinks: sinks.length,
    });
    this.#parts.onListening?.(port);
    this.#deliveries.admit(deliveries);
    this.#sources.admit(sources);
    this.#holds.sourcesAreKnown();
    void this.#control.run(this.#stopControl.signal);
    void watchSources(() => this.#sources.runners, clock, this.#stopping.signal);
    const machineIds = (): readonly string[] => this.#sources.machineIds;
    this.#tellingGaps = tellGaps({ log: this.#log, machineIds, clock, logger }, this.#stopping.signal);
  }

  /** Until the signal is aborted: takes other settings as they come, one after the other. */
  async follow(signal: AbortSignal): Promise<void> {
    const { configuration } = this.#parts;
    const stop = (): void => this.#stopping.abort();
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    while (configuration !== undefined && !signal.aborted) {
      const isNew = await configuration.changed(signal);
      if (!signal.aborted) await this.#reload(configuration, isNew, signal);
    }
    await aborted(signal);
  }

  /** From the machines' end to the far end, each step within its limit, so that all that was read is kept. */
  async stop(): Promise<void> {
    const { clock, log } = this.#parts;
    this.#stopping.abort();
    this.#stopControl.abort();
    if (!(await within(clock, STOP_LIMITS.sourcesMs, () => this.#sources.stop())))
      log.warn('a source did not end in time');
    let lost = 0;
    await within(clock, STOP_LIMITS.logMs, async (limit) => {
      await Promise.race([this.#tellingGaps, aborted(limit)]);
      lost = await this.#batcher.drain(limit);
    });
    if (lost > 0) log.error('the log did not take the last readings: they are lost', { readings: lost });
    await within(clock, STOP_LIMITS.sinksMs, (limit) => this.#deliveries.caughtUp(limit));
    await within(clock, STOP_LIMITS.closeMs, () => this.#deliveries.stop());
    await this.close();
    log.info('the edge has stopped', { last_sequence: this.#log.lastSequence });
  }

  /** Gives back what `start` has opened. */
  async close(): Promise<void> {
    await this.#deliveries.close();
    await this.#statusServer.close();
  }

  status(): EdgeStatus {
    const { gatewayId, location } = this.#settings;
    const { clock } = this.#parts;
    const sources = this.#sources.statuses();
    const sinks = this.#deliveries.statuses();
    const logError = this.#logError();
    return {
      gateway_id: gatewayId,
      location,
      version: VERSION,
      state: edgeState({ stopping: this.#stopping.signal.aborted, sources, sinks, logWritable: logError === null }),
      started_at: this.#startedAt,
      sent_at: now(clock),
      memory_bytes: process.memoryUsage.rss(),
      readings_per_second: this.#rate.perSecond(clock.monotonicMs()),
      losses: this.#batcher.losses + this.#log.status().readings_dropped,
      configuration: this.#configuration,
      sources,
      log: { ...this.#log.status(), last_error: logError },
      sinks,
    };
  }

  unhealthyReason(): string | undefined {
    const nowMs = this.#parts.clock.monotonicMs();
    const { runners } = this.#sources;
    const newestMs = Math.max(this.#changedMs, ...runners.map((source) => source.lastContactMs ?? 0));
    return unhealthyReason({
      stopping: this.#stopping.signal.aborted,
      logError: this.#logError(),
      sources: runners.map((source) => source.status()),
      silentMs: nowMs - newestMs,
      silentMsMax: SILENT_MS_MAX,
    });
  }

  metrics(): readonly Metric[] {
    const delivered = new Map(this.#deliveries.all.map((delivery) => [delivery.name, delivery.delivered]));
    const uptimeSeconds = (this.#parts.clock.monotonicMs() - this.#startedMs) / 1000;
    const { cardEnduranceBytes } = this.#settings;
    return [
      ...edgeMetrics(this.status(), delivered),
      ...wearMetrics(this.#log.status(), { uptimeSeconds, cardEnduranceBytes }),
      ...this.#control.metrics(),
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

  #accept(reading: Reading): void {
    this.#rate.add(1, this.#parts.clock.monotonicMs());
    this.#pipeline.accept(reading);
  }

  #openControl(factors: ReadonlyMap<string, number> = new Map()): SamplingControl {
    const { clock, log: logger } = this.#parts;
    const { control: settings } = this.#settings;
    const sources = (): readonly SourceRunner[] => this.#sources.runners;
    return new SamplingControl({ settings, sources, factors, pressures: this, clock, logger });
  }

  async #reload(configuration: Configuration, isNew: boolean, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts;
    try {
      const read = await configuration.read(signal);
      if (signal.aborted) return;
      const { settings, needsRestart } = reloaded(this.#atStart, read);
      const isDone = await this.#apply(settings, signal);
      if (!isDone) return;
      if (needsRestart.length > 0) log.warn('a part of the configuration needs a restart', { keys: needsRestart });
      this.#configuration = { loaded_at: now(clock), refused: null, needs_restart: needsRestart };
      configuration.applied(settings);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof MillwrightError)) throw error;
      const errors = messageOf(error).split('\n');
      if (!isNew && isSame(errors, this.#configuration.refused?.errors)) return;
      log.error('the configuration is refused; the one before stays in force', { errors });
      this.#configuration = { ...this.#configuration, refused: { at: now(clock), errors } };
    }
  }

  /**
   * Only what has changed is stopped and started. What is new is opened first: if that fails, nothing has happened.
   * @returns false when the edge is stopped meanwhile
   */
  async #apply(settings: EdgeSettings, signal: AbortSignal): Promise<boolean> {
    const before = this.#settings;
    const stages = await stagesFor(settings.processors, this.#stages);
    const sources = await this.#sources.plan(settings.sensors);
    const deliveries = await this.#deliveries.plan(settings.sinks);
    try {
      await this.#addCursors(before.sinks, settings.sinks);
    } catch (error) {
      await this.#deliveries.drop(deliveries);
      throw error;
    }
    const [sourcesGone, sinksGone] = await Promise.all([
      this.#sources.retire(sources, signal),
      this.#deliveries.retire(deliveries, signal),
    ]);
    for (const sink of sinksGone) await this.#log.removeSink(sink);
    for (const sink of settings.sinks) {
      const isReplaced = deliveries.sinks.has(sink.name) && before.sinks.some(({ name }) => name === sink.name);
      if (isReplaced && startFromOf(sink) === 'recent') await this.#showRecent(sink.name);
    }
    if (signal.aborted) {
      await this.#deliveries.drop(deliveries);
      return false;
    }
    this.#settings = settings;
    this.#stages = stages;
    this.#pipeline.use(stages);
    this.#batcher.setLimits(settings.batching);
    this.#log.setLimits(settings.log.limits, settings.log.segmentBytesMax);
    this.#deliveries.admit(deliveries);
    this.#sources.admit(sources);
    if (sources.drivers.size > 0) this.#changedMs = this.#parts.clock.monotonicMs();
    this.#renewControl(before);
    this.#parts.log.info('the configuration was read again', {
      sources_started: [...sources.drivers.keys()],
      sources_gone: sourcesGone,
      sinks_started: [...deliveries.sinks.keys()],
      sinks_gone: sinksGone,
    });
    return true;
  }

  /** @throws storage_failed, and the log is as before */
  async #addCursors(before: readonly SinkSettings[], after: readonly SinkSettings[]): Promise<void> {
    const added: string[] = [];
    try {
      for (const sink of after) {
        if (before.some(({ name }) => name === sink.name)) continue;
        await this.#log.addSink(sink.name, startFromOf(sink));
        added.push(sink.name);
      }
    } catch (error) {
      for (const name of added) await this.#log.removeSink(name);
      throw error;
    }
  }

  /** What a server shows is in its memory alone: a new one is told the newest values again. */
  async #showRecent(sink: string): Promise<void> {
    await this.#log.removeSink(sink);
    await this.#log.addSink(sink, 'recent');
  }

  #renewControl({ control }: EdgeSettings): void {
    if (!isSame(control, this.#settings.control)) {
      const { factors } = this.#control;
      this.#stopControl.abort();
      this.#stopControl = new AbortController();
      this.#control = this.#openControl(this.#settings.control.enabled ? factors : new Map());
      void this.#control.run(this.#stopControl.signal);
    }
    this.#control.applyFactors();
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
    startFrom: Object.fromEntries(settings.sinks.map((sink) => [sink.name, startFromOf(sink)])),
    newId: () => newId(random),
  });
}

/** 52 random bits, as text. */
function newId(random: Random): string {
  return Math.floor(random() * 2 ** 52).toString(36);
}

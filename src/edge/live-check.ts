/**
 * Whether every source and every sink of a configuration works, now and from here: reads once, writes nothing, takes no
 * lock, opens no log. For `millwright check --live`, also while the edge runs beside it.
 *
 * What is `Checkable` is asked itself. A driver that is not is run until its first reading, with a gateway that keeps
 * nothing.
 */
import { aborted, type Clock, unlessAborted } from '../base/clock.ts';
import { hasCode, MillwrightError, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Random } from '../base/random.ts';
import { DRIVERS } from '../drivers/registry.ts';
import { isSignalKey, type Reading } from '../model/reading.ts';
import type { EdgeStatus } from '../model/status.ts';
import { isCheckable } from '../ports/checkable.ts';
import type { Driver, DriverContext } from '../ports/driver.ts';
import { SINKS } from '../sinks/registry.ts';
import { createSink } from './delivery/configured-sink.ts';
import type { EdgeSettings, SensorSettings, SinkSettings } from './settings.ts';

const fs: typeof import('node:fs/promises') = process.getBuiltinModule('node:fs/promises');
const { tmpdir } = process.getBuiltinModule('node:os');

/** What is checked at the same time. */
const PARALLEL_MAX = 8;
/** A driver that has been told to end may take so long; then it is left alone. */
const END_MS_MAX = 2_000;
/** Of the edge that may run here. */
const STATUS_TIMEOUT_MS = 2_000;
/** Values of a reading that are shown. */
const SHOWN_MAX = 4;
/** Parts that cannot be read that are shown. */
const PROBLEMS_MAX = 5;

export interface Checked {
  readonly kind: 'source' | 'sink';
  readonly name: string;
  readonly type: string;
  /** null: of a sink. */
  readonly machine_id: string | null;
  readonly ok: boolean;
  /** What was read or found; or what does not work, and what to do. */
  readonly message: string;
  /** Until that was known. */
  readonly latency_ms: number;
}

export interface LiveCheckParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** For each. */
  readonly timeoutMs: number;
}

/** In the order of the configuration, sources first. What the signal cuts off is told as such. Never rejects for what is checked. */
export async function checkLive(
  settings: EdgeSettings,
  parts: LiveCheckParts,
  signal: AbortSignal,
): Promise<readonly Checked[]> {
  const running = await runningEdge(settings);
  const { sensors, sinks } = settings;
  const works = [
    ...sensors.map(
      (sensor) => () =>
        checkOne(
          { kind: 'source', name: sensor.name, type: sensor.type, machine_id: sensor.machineId },
          (limit) => checkSource(sensor, settings.log.folder, { ...parts, running }, limit),
          { ...parts, signal },
        ),
    ),
    ...sinks.map(
      (sink) => () =>
        checkOne(
          { kind: 'sink', name: sink.name, type: sink.type, machine_id: null },
          (limit) => checkSink(sink, settings, { ...parts, running }, limit),
          { ...parts, signal },
        ),
    ),
  ];
  const found: Checked[] = [];
  const waiting = [...works.entries()];
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) found[next[0]] = await next[1]();
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL_MAX, works.length) }, work));
  return found;
}

interface Limits extends LiveCheckParts {
  readonly signal: AbortSignal;
}

async function checkOne(
  about: Pick<Checked, 'kind' | 'name' | 'type' | 'machine_id'>,
  check: (limit: AbortSignal) => Promise<string>,
  { clock, timeoutMs, signal }: Limits,
): Promise<Checked> {
  const startedMs = clock.monotonicMs();
  const limit = new AbortController();
  const stop = (): void => limit.abort();
  signal.addEventListener('abort', stop);
  if (signal.aborted) stop();
  const timer = new AbortController();
  void clock.sleep(timeoutMs, timer.signal).then(stop);
  let outcome: { readonly ok: boolean; readonly message: string };
  let latencyMs: number | undefined;
  const work = check(limit.signal).finally(() => {
    latencyMs = clock.monotonicMs() - startedMs;
  });
  try {
    // One that does not end though it is told to is not waited for.
    const message = await Promise.race([work, aborted(limit.signal).then(() => ended(clock))]);
    outcome = { ok: true, message };
  } catch (error) {
    const isOwn = error instanceof MillwrightError || (error instanceof Error && 'syscall' in error);
    const reason = isOwn
      ? `${messageOf(error)}${adviceFor(error)}`
      : String(error instanceof Error ? error.stack : error);
    const noAnswer = `no answer within ${timeoutMs / 1000} s (${reason}); look whether it is on, and at firewalls between`;
    outcome = { ok: false, message: signal.aborted ? 'was stopped' : limit.signal.aborted ? noAnswer : reason };
  }
  timer.abort();
  signal.removeEventListener('abort', stop);
  const latency_ms = Math.round((latencyMs ?? clock.monotonicMs() - startedMs) * 10) / 10;
  return { ...about, ...outcome, latency_ms };
}

async function ended(clock: Clock): Promise<never> {
  await clock.sleep(END_MS_MAX);
  throw new MillwrightError('connection_failed', 'it does not say why');
}

interface Parts extends LiveCheckParts {
  readonly running: EdgeStatus | undefined;
}

async function checkSource(
  sensor: SensorSettings,
  logFolder: string,
  parts: Parts,
  signal: AbortSignal,
): Promise<string> {
  const { name, type } = sensor;
  const own = parts.running?.sources.find((source) => source.name === name && source.type === type);
  const held = heldPart(sensor);
  if (own !== undefined && held !== undefined) {
    if (own.state === 'ok') return `the edge that runs here has the ${held}, and reads it: ${own.readings} readings`;
    throw new MillwrightError('connection_failed', own.last_error ?? `the edge that runs here is ${own.state}`);
  }
  const entry = DRIVERS[type];
  if (entry === undefined) throw new MillwrightError('config_invalid', `there is no driver of type ${type}`);
  const module = await entry.create();
  return await withCopiedCertificates(sensor, logFolder, async (options) => {
    const driver = module.create(options);
    if (isCheckable(driver)) return await driver.check(signal);
    return await readOnce(driver, sensor, parts, signal);
  });
}

/**
 * A driver with a folder of certificates is given a copy of it. In the folder itself it would make what is missing, as the
 * user of this command, and keep what it refuses.
 */
async function withCopiedCertificates(
  { type, options }: SensorSettings,
  logFolder: string,
  work: (options: unknown) => Promise<string>,
): Promise<string> {
  const { pkiFolder } = options as { readonly pkiFolder?: string | null };
  if (pkiFolder === undefined) return await work(options);
  const own = pkiFolder ?? `${logFolder}/drivers/${type}/pki`;
  const copy = await fs.mkdtemp(`${tmpdir()}/millwright-check-`);
  const isThere = await fs.stat(own).then(
    () => true,
    () => false,
  );
  try {
    if (isThere) await fs.cp(own, copy, { recursive: true });
    return await work({ ...(options as object), pkiFolder: copy });
  } catch (error) {
    if (!(error instanceof MillwrightError)) throw error;
    // What a person must mend, such as trust, needs the folder; a server that is away does not.
    const needsFolder = !isThere && error.code === 'config_invalid';
    const missing = needsFolder ? `; ${own} is made when the edge starts: start it first` : '';
    throw new MillwrightError(error.code, `${messageOf(error).replaceAll(copy, own)}${missing}`);
  } finally {
    await fs.rm(copy, { recursive: true, force: true });
  }
}

/** Runs the driver until its first sample or measurement. */
async function readOnce(
  driver: Driver,
  sensor: SensorSettings,
  { clock, random, log }: LiveCheckParts,
  signal: AbortSignal,
): Promise<string> {
  const first = Promise.withResolvers<Reading>();
  const problems = new Map<string, string>();
  let isConnected = false;
  let event: Reading | undefined;
  const context: DriverContext = {
    machineId: sensor.machineId,
    emit: (reading) => {
      if (reading.kind === 'event') event ??= reading;
      else first.resolve(reading);
    },
    connected: () => {
      isConnected = true;
    },
    alive: () => {},
    answered: () => {},
    problem: (item, reason) => void (reason === null ? problems.delete(item) : problems.set(item, reason)),
    room: () => undefined,
    samplingIntervalMs: () => sensor.samplingIntervalMs,
    clock,
    random,
    log,
  };
  const stop = new AbortController();
  const passOn = (): void => stop.abort();
  signal.addEventListener('abort', passOn);
  if (signal.aborted) passOn();
  const run = driver.run(context, stop.signal).then(() => {
    if (!isConnected) throw new MillwrightError('connection_failed', 'it cannot be told whether it is there');
    const text = 'connected, but it gave no reading; with a longer --timeout it may';
    if (event === undefined) throw new MillwrightError('connection_failed', text);
    return event;
  });
  run.catch(() => {});
  try {
    const reading = await Promise.race([first.promise, run]);
    if (problems.size === 0) return shown(reading);
    const some = [...problems].slice(0, PROBLEMS_MAX).map(([item, reason]) => `${item}: ${reason}`);
    const more = problems.size > PROBLEMS_MAX ? `; and ${problems.size - PROBLEMS_MAX} more` : '';
    throw new MillwrightError('config_invalid', `a part cannot be read: ${some.join('; ')}${more}`);
  } finally {
    stop.abort();
    signal.removeEventListener('abort', passOn);
    const limit = new AbortController();
    const done = new AbortController();
    void clock.sleep(END_MS_MAX, done.signal).then(() => limit.abort());
    await unlessAborted(
      run.then(
        () => {},
        () => {},
      ),
      limit.signal,
    );
    done.abort();
  }
}

async function checkSink(
  sink: SinkSettings,
  { gatewayId, log: { folder } }: EdgeSettings,
  { clock, random, log, running }: Parts,
  signal: AbortSignal,
): Promise<string> {
  const context = { gatewayId, clock, random, log, backlogReadings: () => undefined };
  const made = await createSink(withFolder(sink, folder), context);
  try {
    if (!isCheckable(made)) return 'cannot be checked without a delivery';
    return await made.check(signal);
  } catch (error) {
    const own = running?.sinks.find(({ name, type }) => name === sink.name && type === sink.type);
    if (!hasCode(error, 'port_unavailable') || own === undefined) throw error;
    if (own.state === 'ok') return 'the edge that runs here has the port, and serves';
    throw new MillwrightError('port_unavailable', own.last_error ?? messageOf(error), { cause: error });
  } finally {
    await made.close();
  }
}

/** A serving sink is told its folder when it serves, which it must not do here. */
function withFolder(sink: SinkSettings, logFolder: string): SinkSettings {
  if (SINKS[sink.type]?.isServing !== true) return sink;
  const options = sink.options as { readonly pkiFolder?: string | null };
  const pkiFolder = options.pkiFolder ?? `${logFolder}/sinks/${encodeURIComponent(sink.name)}/pki`;
  return { ...sink, options: { ...options, pkiFolder } };
}

/** What the edge of this configuration says of itself, if it runs here. */
async function runningEdge({ gatewayId, status }: EdgeSettings): Promise<EdgeStatus | undefined> {
  const host = status.host === '0.0.0.0' ? '127.0.0.1' : status.host === '::' ? '[::1]' : status.host;
  if (status.port === 0) return undefined;
  try {
    const answer = await fetch(`http://${host}:${status.port}/status`, {
      signal: AbortSignal.timeout(STATUS_TIMEOUT_MS),
    });
    const found = (await answer.json()) as EdgeStatus;
    return found.gateway_id === gatewayId && Array.isArray(found.sources) && Array.isArray(found.sinks)
      ? found
      : undefined;
  } catch {
    // Nobody there, or somebody else.
    return undefined;
  }
}

const ADVICE: { readonly [code: string]: string } = {
  ECONNREFUSED: 'nothing listens there: start it, or mend host and port',
  ENOTFOUND: 'there is no such host: mend the name, or use its address',
  EAI_AGAIN: 'names cannot be looked up now: look at the DNS of this machine, or use an address',
  EHOSTUNREACH: 'no way leads there: look at cable, address and router',
  ENETUNREACH: 'no way leads there: look at cable, address and router',
  ETIMEDOUT: 'nobody answers: look whether it is on, and at firewalls between',
  ECONNRESET: 'it closed the connection: look whether it takes one more client',
  EACCES: 'this user may not: give it the right, such as a group of the device or folder',
};

/** By the system's code, wherever it stands among the causes. */
function adviceFor(error: unknown): string {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const advice = 'code' in cause ? ADVICE[String(cause.code)] : undefined;
    if (advice !== undefined) return `; ${advice}`;
  }
  return '';
}

/** What only one program can have: while the edge reads it, it cannot be opened here, or would disturb the edge. */
function heldPart({ type, options }: SensorSettings): string | undefined {
  const { bus } = options as { readonly bus?: { readonly kind?: unknown } };
  if (type === 'gpio') return 'GPIO lines';
  return bus?.kind === 'serial' ? 'serial line' : undefined;
}

/** `temperature 21.5, spindle_speed 8000, and 3 more` */
function shown(reading: Reading): string {
  if (reading.kind === 'measurement') return `${reading.characteristic} ${reading.measured_value} ${reading.unit}`;
  if (reading.kind === 'event') return `an event: ${[reading.event_type, reading.text].filter(Boolean).join(', ')}`;
  const values = Object.entries(reading).filter(([key, value]) => isSignalKey(key) && value !== undefined);
  const some = values.slice(0, SHOWN_MAX).map(([key, value]) => `${key} ${value === null ? 'unknown' : textOf(value)}`);
  const more = values.length > SHOWN_MAX ? `, and ${values.length - SHOWN_MAX} more` : '';
  return `${some.join(', ')}${more}`;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

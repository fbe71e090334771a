/**
 * `millwright up`: everything on one machine, for a first look and for a small shop.
 *
 *     DATA/database/      the embedded PostgreSQL
 *     DATA/log/           the edge's log
 *     DATA/hub.yaml       what the hub runs with, written at each start
 *     DATA/edge.yaml      what the edge runs with, written at each start, and when the person's own file changes
 *     DATA/hub.log, edge.log
 *
 * and with the simulated shop, beside the machining centres, a measuring machine, its edge and a stand-in MES:
 *
 *     DATA/cmm/           the newest result files of the measuring machine
 *     DATA/log-cmm/       its edge's log
 *     DATA/cmm-edge.yaml  what its edge runs with, written at each start
 *     DATA/mes.ndjson     what the MES has got
 *     DATA/cmm-edge.log
 *
 * The hub and the edges are the commands a person would run, each in a process of its own, so that what is seen here is
 * what is installed there. What stands in for the outside, the measuring machine and the MES, runs in this one.
 */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { parseDocument, stringify } from 'yaml';
import { Backoff } from '../base/backoff.ts';
import { aborted, systemClock } from '../base/clock.ts';
import { MillwrightError, messageOf } from '../base/errors.ts';
import { FileWatch } from '../base/file-watch.ts';
import { takeLock } from '../base/lock-file.ts';
import { nodeFiles } from '../base/node-files.ts';
import type { Logger } from '../base/logger.ts';
import { Child } from './children.ts';
import { startMetrology } from './metrology.ts';
import { type EmbeddedPostgres, type PostgresOptions, startPostgres } from './postgres.ts';
import { SIMULATED_MACHINES, simulatedEdge, simulatedMetrology } from './simulated-shop.ts';

export interface UpOptions {
  readonly dataFolder: string;
  /** Of the pages and the API. */
  readonly port: number;
  /** An edge configuration to run instead of the simulated machines. */
  readonly configFile: string | undefined;
  readonly configText: string | undefined;
  readonly simulate: boolean;
  /** The file of the command line, for the children. */
  readonly cli: string;
  readonly log: Logger;
  /** One line for the person who waits or reads. */
  readonly say: (line: string) => void;
}

const HOST = '127.0.0.1';
const HUB_READY_MS_MAX = 60_000;
const HUB_POLL_MS = 50;
const DATABASE_WAITS = { firstMs: 500, maxMs: 30_000 };

/** Runs until the signal is aborted; then stops edge, hub and database, in that order. */
export async function runUp(options: UpOptions, signal: AbortSignal): Promise<void> {
  await checkPort(options.port);
  await makeDataFolder(options.dataFolder);
  const lock = path.join(options.dataFolder, 'up.lock');
  await takeLock(nodeFiles, { path: lock, what: `the data folder ${options.dataFolder}` });
  const stops: (() => Promise<void>)[] = [];
  try {
    await start(options, signal, stops);
  } finally {
    for (const stop of stops.reverse()) await stop();
    await nodeFiles.remove(lock);
  }
}

async function start(options: UpOptions, signal: AbortSignal, stops: (() => Promise<void>)[]): Promise<void> {
  const { dataFolder, log, say } = options;
  const startedMs = systemClock.monotonicMs();
  const step = (text: string): void => {
    say(`  ${((systemClock.monotonicMs() - startedMs) / 1000).toFixed(1).padStart(5)} s  ${text}`);
  };
  const database = await KeptDatabase.start({ folder: path.join(dataFolder, 'database'), log, progress: step });
  stops.push(() => database.stop());
  if (signal.aborted) return;

  step('starting the hub');
  const hubFile = path.join(dataFolder, 'hub.yaml');
  await writeConfig(hubFile, hubConfig(options, database.server));
  const hub = child(options, 'hub', ['hub', '--config', hubFile]);
  stops.push(() => hub.stop());
  const hubRuns = hub.run(signal);
  const url = `http://${HOST}:${options.port}`;
  await Promise.race([waitForHub(url, signal), hubRuns]);
  if (signal.aborted) return;

  const work: Promise<unknown>[] = [hubRuns, database.keep(signal)];
  const runEdge = async (name: string, config: string): Promise<void> => {
    const file = path.join(dataFolder, `${name}.yaml`);
    await writeConfig(file, config);
    const edge = child(options, name, ['edge', '--config', file]);
    stops.push(() => edge.stop());
    work.push(edge.run(signal));
  };
  const isSimulated = options.configText === undefined && options.simulate;
  const edgeYaml = edgeConfig(options, url);
  let mesUrl: string | undefined;
  if (edgeYaml !== undefined) {
    step(isSimulated ? 'starting the edges with simulated machines' : 'starting the edge');
    if (isSimulated) await nameMachines(url, log);
    await runEdge('edge', edgeYaml);
    work.push(followConfig(options, url, signal));
  }
  if (isSimulated) {
    const metrology = await startMetrology(dataFolder, log, signal);
    stops.push(() => metrology.stop());
    ({ mesUrl } = metrology);
    const logFolder = path.join(dataFolder, 'log-cmm');
    await runEdge('cmm-edge', stringify(simulatedMetrology({ ...metrology, hubUrl: url, logFolder })));
  }
  step('ready');
  say('');
  say(`Millwright is running:  ${url}`);
  if (mesUrl !== undefined) {
    say(`Measuring machine       ${url}/cmm/CMM-001`);
    say(`What the MES has got    ${mesUrl}/received`);
  }
  say(`Data and logs are in    ${dataFolder}`);
  say(`Stop it with            Ctrl-C`);
  say('');
  const stopped = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  await Promise.race([stopped, ...work]);
  say('stopping: the edges write what they hold, then the hub, then the database');
}

/** The database server, started again on the same port when it ends without having been asked to. */
class KeptDatabase {
  readonly #options: PostgresOptions;
  #server: EmbeddedPostgres;
  #starting: Promise<unknown> = Promise.resolve();

  constructor(options: PostgresOptions, server: EmbeddedPostgres) {
    this.#options = options;
    this.#server = server;
  }

  static async start(options: PostgresOptions): Promise<KeptDatabase> {
    return new KeptDatabase(options, await startPostgres(options));
  }

  get server(): EmbeddedPostgres {
    return this.#server;
  }

  /** Until aborted; rejects when the server cannot be started again. */
  async keep(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(DATABASE_WAITS, Math.random);
    while (!signal.aborted) {
      const startedMs = systemClock.monotonicMs();
      const sentence = await this.#server.died;
      if (systemClock.monotonicMs() - startedMs > DATABASE_WAITS.maxMs) backoff.reset();
      this.#options.log.warn(`${sentence}; it is started again`);
      await systemClock.sleep(backoff.nextMs(), signal);
      if (signal.aborted) return;
      const { log, folder } = this.#options;
      this.#starting = startPostgres({ log, folder, port: this.#server.port }).then((server) => {
        this.#server = server;
      });
      await this.#starting;
    }
  }

  async stop(): Promise<void> {
    await this.#starting.catch(() => undefined); // keep() has told it.
    await this.#server.stop();
  }
}

/** Before anything is made: a port in use is the likeliest mistake, and is told at once. */
async function checkPort(port: number): Promise<void> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once('error', (cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'EADDRINUSE' ? 'is in use by another program' : `cannot be used (${cause.code})`;
      reject(new MillwrightError('port_unavailable', `port ${port} ${why}; choose another with --port`));
    });
    probe.listen(port, HOST, () => probe.close(() => resolve()));
  });
}

async function makeDataFolder(folder: string): Promise<void> {
  const trial = path.join(folder, `.${randomUUID()}`);
  try {
    await mkdir(folder, { recursive: true });
    await writeFile(trial, '');
    await rm(trial);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    throw new MillwrightError(
      'storage_failed',
      `the data folder ${folder} cannot be written (${code}); choose another with --data`,
    );
  }
}

function child(options: UpOptions, name: string, args: readonly string[]): Child {
  return new Child({
    name,
    args,
    cli: options.cli,
    logFile: path.join(options.dataFolder, `${name}.log`),
    log: options.log,
    clock: systemClock,
    random: Math.random,
  });
}

function hubConfig(options: UpOptions, database: EmbeddedPostgres): string {
  const { host, port, user, password, database: dbname } = database;
  return stringify({ server: { host: HOST, port: options.port }, database: { host, port, dbname, user, password } });
}

/** The simulated shop, or the person's own file with a sink to this hub added where it has none. */
function edgeConfig(options: UpOptions, url: string): string | undefined {
  const folder = path.join(options.dataFolder, 'log');
  if (options.configText === undefined) return options.simulate ? stringify(simulatedEdge(url, folder)) : undefined;
  const document = parseDocument(options.configText);
  const sinks = (document.toJS() as { sinks?: { type?: string }[] } | null)?.sinks;
  const hub = { type: 'hub', url };
  if (sinks === undefined) document.set('sinks', document.createNode([hub]));
  else if (!sinks.some((sink) => sink.type === 'hub')) document.addIn(['sinks'], hub);
  if (document.getIn(['buffering', 'folder']) === undefined) document.setIn(['buffering', 'folder'], folder);
  return document.toString();
}

/**
 * Until aborted: what changes in the person's own file is written for the edge, which takes it from there (decision 028) and
 * tells in its log what is wrong with it. Never rejects.
 */
async function followConfig(options: UpOptions, url: string, signal: AbortSignal): Promise<void> {
  const { configFile, dataFolder, log } = options;
  if (configFile === undefined) return aborted(signal);
  // It was read before the database was started, so the first look is one more.
  const watch = new FileWatch(configFile, '', systemClock);
  let { configText } = options;
  let told: string | null = null;
  while (!signal.aborted) {
    const isNew = await watch.changed(signal);
    if (signal.aborted) return;
    await watch.notice();
    try {
      const text = await readFile(configFile, 'utf8');
      const yaml = text === configText ? undefined : edgeConfig({ ...options, configText: text }, url);
      if (yaml !== undefined) await writeConfig(path.join(dataFolder, 'edge.yaml'), yaml);
      configText = text;
      told = null;
    } catch (error) {
      const reason = messageOf(error);
      if (isNew || reason !== told) log.error(`${configFile} cannot be used; the edge goes on as it is`, { reason });
      told = reason;
    }
    watch.used(told === null);
  }
}

async function writeConfig(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, `# Written by "millwright up" at each start; changes here are lost.\n${text}`, {
    mode: 0o600,
  });
  await rename(`${file}.new`, file);
}

async function waitForHub(url: string, signal: AbortSignal): Promise<void> {
  const deadline = systemClock.monotonicMs() + HUB_READY_MS_MAX;
  while (!signal.aborted) {
    const answer = await fetch(`${url}/healthz`).catch(() => undefined);
    if (answer?.ok === true) return;
    if (systemClock.monotonicMs() > deadline) {
      const said = answer === undefined ? 'it does not answer' : await answer.text();
      throw new MillwrightError('database_unavailable', `the hub did not become ready in a minute: ${said}`);
    }
    await systemClock.sleep(HUB_POLL_MS, signal);
  }
}

/** Gives the simulated machines their names and places; the hub knows each from then on. */
async function nameMachines(url: string, log: Logger): Promise<void> {
  for (const machine of SIMULATED_MACHINES) {
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(`${url}/api/v1/machines`, { method: 'POST', headers, body: JSON.stringify(machine) });
    if (!answer.ok)
      log.warn('a simulated machine could not be named', { machine: machine.id, answer: await answer.text() });
  }
}

/** `.millwright` here; as root, in a folder only root may enter, a place where the database can run. */
export function defaultDataFolder(workingFolder: string, canBeEntered: boolean): string {
  const here = path.join(workingFolder, '.millwright');
  return canBeEntered || existsSync(here) ? here : '/var/lib/millwright';
}

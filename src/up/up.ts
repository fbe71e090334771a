/**
 * `millwright up`: everything on one machine, for a first look and for a small shop.
 *
 *     DATA/database/      the embedded PostgreSQL
 *     DATA/log/           the edge's log
 *     DATA/hub.yaml       what the hub runs with, written at each start
 *     DATA/edge.yaml      what the edge runs with, written at each start
 *     DATA/hub.log, edge.log
 *
 * The hub and the edge are the commands a person would run, each in a process of its own, so that what is seen here is
 * what is installed there.
 */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { parseDocument, stringify } from 'yaml';
import { systemClock } from '../base/clock.ts';
import { MillwrightError } from '../base/errors.ts';
import { takeLock } from '../base/lock-file.ts';
import { nodeFiles } from '../base/node-files.ts';
import type { Logger } from '../base/logger.ts';
import { Child } from './children.ts';
import { type EmbeddedPostgres, startPostgres } from './postgres.ts';
import { SIMULATED_MACHINES, simulatedEdge } from './simulated-shop.ts';

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
  const database = await startPostgres({ folder: path.join(dataFolder, 'database'), log, progress: step });
  stops.push(() => database.stop());
  if (signal.aborted) return;

  step('starting the hub');
  const hubFile = path.join(dataFolder, 'hub.yaml');
  await writeConfig(hubFile, hubConfig(options, database));
  const hub = child(options, 'hub', hubFile);
  stops.push(() => hub.stop());
  const hubRuns = hub.run(signal);
  const url = `http://${HOST}:${options.port}`;
  await Promise.race([waitForHub(url, signal), hubRuns]);
  if (signal.aborted) return;

  const work: Promise<unknown>[] = [hubRuns, database.died.then(raise)];
  const edgeYaml = edgeConfig(options, url);
  if (edgeYaml !== undefined) {
    step(options.configText === undefined ? 'starting the edge with simulated machines' : 'starting the edge');
    if (options.configText === undefined) await nameMachines(url, log);
    const edgeFile = path.join(dataFolder, 'edge.yaml');
    await writeConfig(edgeFile, edgeYaml);
    const edge = child(options, 'edge', edgeFile);
    stops.push(() => edge.stop());
    work.push(edge.run(signal));
  }
  step('ready');
  say('');
  say(`Millwright is running:  ${url}`);
  say(`Data and logs are in    ${dataFolder}`);
  say(`Stop it with            Ctrl-C`);
  say('');
  const stopped = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  await Promise.race([stopped, ...work]);
  say('stopping: the edge writes what it holds, then the hub, then the database');
}

function raise(sentence: string): never {
  throw new MillwrightError('database_unavailable', sentence);
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

function child(options: UpOptions, name: 'hub' | 'edge', configFile: string): Child {
  return new Child({
    name,
    args: [name, '--config', configFile],
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
  if (sinks?.some((sink) => sink.type === 'hub') !== true) document.addIn(['sinks'], { type: 'hub', url });
  if (document.getIn(['buffering', 'folder']) === undefined) document.setIn(['buffering', 'folder'], folder);
  return document.toString();
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

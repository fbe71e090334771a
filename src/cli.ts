#!/usr/bin/env node
/** The command line: reads arguments and configuration, and calls a main. The tools are in `commands/`. */
import { createReadStream, statSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { systemClock } from './base/clock.ts';
import { MillwrightError, messageOf } from './base/errors.ts';
import { processLogger } from './base/logger.ts';
import { EXIT_CANNOT_START, EXIT_FAILED, isDiskTrouble, runProcess } from './base/process.ts';
import { VERSION } from './base/version.ts';
import { durationMs, portNumber } from './commands/arguments.ts';
import { addDeadLetters } from './commands/dead-letters.ts';
import { addPublishAndLoad } from './commands/load.ts';
import { addLog } from './commands/log.ts';
import { say } from './commands/output.ts';
import { addProbe } from './commands/probe.ts';
import { addSimulate } from './commands/simulate.ts';
import { addTrust } from './commands/trust.ts';

const program = new Command('millwright');

program
  .description('Carries every reading of a machine shop from the machine to the database, once, and shows it live.')
  .version(VERSION)
  .showHelpAfterError('(add --help for what is allowed)')
  // A wrong option stays wrong: whoever supervises need not start it again.
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : EXIT_CANNOT_START))
  .configureHelp({ showGlobalOptions: true });

program
  .command('up')
  .description('everything on this machine: database, hub, page, and an edge with simulated machines')
  .option('--data <dir>', 'folder that keeps the data (default: .millwright here)')
  .option('--port <number>', 'port of the page and the API', portNumber, 8081)
  .option('--config <file>', 'edge configuration to run instead of the simulated machines')
  .option('--no-simulate', 'no simulated machines: database, hub and page only')
  .action(up);

program
  .command('edge')
  .description('the gateway beside the machines')
  .requiredOption('--config <file>', 'edge configuration (YAML)')
  .action(edge);

program
  .command('hub')
  .description('ingestion, storage, API and page')
  .requiredOption('--config <file>', 'hub configuration (YAML)')
  .action(hub);

program
  .command('check')
  .description('validate a configuration of an edge or a hub; starts nothing')
  .argument('<file>', 'configuration (YAML)')
  .option('--live', 'of an edge: reach every source and sink, read once, write nothing (exit code 1: not all work)')
  .option('--timeout <duration>', 'with --live: longest wait for each', durationMs, 10_000)
  .option('--json', 'with --live: for programs', false)
  .action(check);

// For a running edge that reads its configuration again (decision 028).
program.command('settings', { hidden: true }).argument('<file>').action(printSettings);

program
  .command('hash-password')
  .description('reads a password from the standard input; prints what stands for it as password_hash')
  .action(hashPassword);

addSimulate(program);
addProbe(program);
addTrust(program);
addLog(program);
addDeadLetters(program);
addPublishAndLoad(program);

async function up(options: { data?: string; port: number; config?: string; simulate: boolean }): Promise<void> {
  const { defaultDataFolder, runUp } = await import('./up/up.ts');
  const root = process.getuid?.() === 0;
  const folder = options.data ?? defaultDataFolder(process.cwd(), !root || canBeEntered(process.cwd()));
  const logger = processLogger('info', true);
  const configText = options.config === undefined ? undefined : await readText(options.config);
  if (options.config !== undefined) await readEdge(options.config);
  await runProcess(logger, (signal) =>
    runUp(
      {
        dataFolder: path.resolve(folder),
        port: options.port,
        configFile: options.config,
        configText,
        simulate: options.simulate,
        cli: fileURLToPath(import.meta.url),
        log: logger,
        say: (line) => process.stdout.write(`${line}\n`),
      },
      signal,
    ),
  );
}

/**
 * The configuration is read here, with all that takes, and the process then becomes the lean edge, under the same
 * process id: what parsed YAML would otherwise stay in memory for years (decision 003).
 */
async function edge(options: { config: string }): Promise<void> {
  const { stateOfFile } = await import('./base/file-watch.ts');
  const state = await stateOfFile(options.config);
  const { settings, warnings, unusableFiles } = await readEdge(options.config);
  const logger = processLogger(settings.logLevel);
  for (const warning of warnings) logger.warn(`${options.config}: ${warning}`);
  for (const unusable of unusableFiles) logger.warn(unusable);
  const file = path.join(settings.log.folder, 'settings.json');
  try {
    await mkdir(settings.log.folder, { recursive: true });
    await writeFile(file, JSON.stringify(settings), { mode: 0o600 });
  } catch (cause) {
    const why = messageOf(cause);
    throw new MillwrightError(
      'storage_failed',
      `the log's folder ${settings.log.folder} cannot be written (${why}); set buffering.folder`,
      { cause },
    );
  }
  const { edgeNodeFlags } = await import('./edge/flags.ts');
  const main = siblingFile('./edge/main');
  const args = [...edgeNodeFlags(settings), main, file, options.config, state];
  const { DIGEST_KEY, DIGEST_KEY_VARIABLE } = await import('./base/keyed-digest.ts');
  const environment = { ...process.env, [DIGEST_KEY_VARIABLE]: DIGEST_KEY };
  process.execve?.(process.execPath, [process.execPath, ...args], environment);
}

async function printSettings(file: string): Promise<void> {
  let read: import('./edge/reload/configuration-file.ts').ReadConfiguration;
  try {
    const { settings, warnings, unusableFiles } = await readEdge(file);
    read = unusableFiles.length > 0 ? { errors: unusableFiles } : { settings, warnings };
  } catch (error) {
    if (!(error instanceof MillwrightError)) throw error;
    read = { errors: messageOf(error).split('\n') };
  }
  await say(JSON.stringify(read));
}

async function hub(options: { config: string }): Promise<void> {
  const { readHubConfig } = await import('./hub/config.ts');
  const { settings, warnings } = readHubConfig(await source(options.config));
  const logger = processLogger(settings.logLevel);
  for (const warning of warnings) logger.warn(`${options.config}: ${warning}`);
  const { runHub } = await import('./hub/hub.ts');
  const pagesFolder = pagesFolderHere();
  if (pagesFolder === null) logger.warn('the pages are not built, so only the API is served; run "npm run build"');
  const serving = ({ host, port }: { host: string; port: number }): void => {
    logger.info('the hub serves', { url: `http://${host}:${port}` });
  };
  const parts = { version: VERSION, clock: systemClock, random: Math.random, log: logger, serving };
  await runProcess(logger, (signal) => runHub({ ...settings, pagesFolder }, parts, signal));
}

async function hashPassword(): Promise<void> {
  const { text } = await import('node:stream/consumers');
  const passwords = await import('./sinks/opcua-server/passwords.ts');
  const [password = ''] = (await text(process.stdin)).split(/\r?\n/, 1);
  if (password === '') throw new MillwrightError('bad_request', 'no password came on the standard input');
  process.stdout.write(`${passwords.hashPassword(password)}\n`);
}

async function check(file: string, options: { live?: true; timeout: number; json: boolean }): Promise<void> {
  const { parseConfig } = await import('./base/config.ts');
  const { value } = parseConfig(await source(file));
  const keys = Object.keys(value as object);
  const isEdge = keys.some((key) => ['agent', 'sensors', 'buffering', 'sinks'].includes(key));
  if (options.live === true) {
    if (!isEdge) throw new MillwrightError('bad_request', `${file} is of a hub; --live is for an edge`);
    const { live } = await import('./commands/check-actions.ts');
    return await live((await readEdge(file)).settings, options);
  }
  const { warnings, unusableFiles } = isEdge ? await readEdge(file) : { ...(await readHub(file)), unusableFiles: [] };
  for (const warning of warnings) process.stdout.write(`warning  ${file}: ${warning}\n`);
  for (const unusable of unusableFiles) process.stdout.write(`warning  ${unusable}\n`);
  process.stdout.write(`ok       ${file} is a valid configuration of ${isEdge ? 'an edge' : 'a hub'}\n`);
}

async function readEdge(file: string): Promise<import('./edge/config.ts').EdgeConfig> {
  const { readEdgeConfig } = await import('./edge/config.ts');
  return readEdgeConfig(await source(file));
}

async function readHub(file: string): Promise<import('./hub/config.ts').HubConfig> {
  const { readHubConfig } = await import('./hub/config.ts');
  return readHubConfig(await source(file));
}

async function source(file: string): Promise<{ file: string; text: string; environment: NodeJS.ProcessEnv }> {
  return { file, text: await readText(file), environment: process.env };
}

/** Of a configuration with thousands of sensors; a running edge does not let its machine run out of memory for more. */
const CONFIG_BYTES_MAX = 16 * 1024 * 1024;

/** @throws config_invalid */
async function readText(file: string): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of createReadStream(file)) {
      chunks.push(chunk as Buffer);
      bytes += (chunk as Buffer).length;
      if (bytes > CONFIG_BYTES_MAX) throw new Error(`it is larger than ${CONFIG_BYTES_MAX} bytes`);
    }
  } catch (cause) {
    throw new MillwrightError('config_invalid', `cannot read ${file}: ${messageOf(cause)}`);
  }
  return Buffer.concat(chunks).toString();
}

/** Another entry of the program, as source or as built, whichever this is. */
function siblingFile(name: string): string {
  return fileURLToPath(new URL(`${name}${path.extname(import.meta.url)}`, import.meta.url));
}

/** Built pages stand in `dist/web`, seen from the sources and from the built program alike. */
function pagesFolderHere(): string | null {
  const here = path.dirname(fileURLToPath(import.meta.url));
  const folder = path.join(here, path.basename(here) === 'dist' ? 'web' : '../dist/web');
  return statSync(path.join(folder, 'index.html'), { throwIfNoEntry: false }) === undefined ? null : folder;
}

function canBeEntered(folder: string): boolean {
  for (let inner = folder; ; inner = path.dirname(inner)) {
    if ((statSync(inner).mode & 0o001) === 0) return false;
    if (inner === path.dirname(inner)) return true;
  }
}

try {
  await program.parseAsync();
} catch (error) {
  // The system's own words (no such folder, no right to read it) name the file; a stack would only hide them.
  const isPlain = error instanceof MillwrightError || (error instanceof Error && 'syscall' in error);
  const message = isPlain ? error.message : String(error instanceof Error ? error.stack : error);
  process.stderr.write(`${message}\n`);
  process.exitCode = isDiskTrouble(error) ? EXIT_FAILED : EXIT_CANNOT_START;
}

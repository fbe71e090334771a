#!/usr/bin/env node
/** The command line: reads arguments and configuration, and calls a main. Nothing else happens here. */
import { once } from 'node:events';
import { createReadStream, statSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError, Option } from 'commander';
import { systemClock } from './base/clock.ts';
import { MillwrightError, messageOf } from './base/errors.ts';
import { processLogger } from './base/logger.ts';
import { POLICIES } from './base/opcua-policies.ts';
import { EXIT_CANNOT_START, EXIT_FAILED, isDiskTrouble, runProcess } from './base/process.ts';
import { VERSION } from './base/version.ts';
import { EDGE_SUBJECT_PREFIX } from './model/nats-wire.ts';
import { SIGNALS } from './model/signals.ts';

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

const simulate = program.command('simulate').description('stand-ins for machines, to try things without hardware');

simulate
  .command('shdr')
  .description('play a recorded MTConnect adapter log as a real adapter would')
  .requiredOption('--file <file>', 'recorded log, one SHDR line each')
  .option('--host <address>', 'address to listen on', '127.0.0.1')
  .option('--port <number>', 'port to listen on', portNumber, 7878)
  .option('--speed <factor>', 'times the original pace, or "max"', speed, 1)
  .option('--loop', 'begin anew at the end', false)
  .option('--rebase', 'shift the timestamps so that the recording begins now', false)
  .option('--max-gap <duration>', 'longest pause to play, such as 10s; default: as recorded', durationMs)
  .option('--close', 'close the connections at the end (a real adapter stays connected)', false)
  .action(async (...given: SimulateArguments<'shdr'>) => (await simulateCommands()).shdr(...given));

simulate
  .command('mes')
  .description(
    'stand in for a MES that takes inspected values over HTTP, and fails as told (also while it runs: POST /control)',
  )
  .option('--host <address>', 'address to listen on', '127.0.0.1')
  .option('--port <number>', 'port to listen on', portNumber, 8090)
  .option('--state <file>', 'keeps what it has got, also over a restart; default: it forgets it when it ends')
  .option('--delay <duration>', 'time before each answer, such as 200ms', durationMs, 0)
  .option('--fail <share>', 'share of requests answered 500, from 0 to 1', share, 0)
  .option('--busy <share>', 'share of requests answered 429, with Retry-After', share, 0)
  .option('--retry-after <seconds>', 'what Retry-After then says', countOrNone, 1)
  .option('--drop <share>', 'share of requests whose connection is closed without an answer', share, 0)
  .option('--refuse-every <number>', 'every so manyth value is answered 400', countOrNone, 0)
  .option('--refuse-where <field=value>', 'values of which this field is this text are answered 400', fieldAndValue)
  .option('--seed <number>', 'repeats which requests fail', countOrNone)
  .action(async (...given: SimulateArguments<'mes'>) => (await simulateCommands()).mes(...given));

simulate
  .command('mes-check')
  .description(
    'count what such a MES has got against the measurements of a hub (exit code 1: something is missing or doubled)',
  )
  .option('--mes <url>', 'the stand-in MES', 'http://127.0.0.1:8090')
  .option('--hub <url>', 'the hub', 'http://127.0.0.1:8081')
  .action(async (...given: SimulateArguments<'mesCheck'>) => (await simulateCommands()).mesCheck(...given));

simulate
  .command('cmm')
  .description('a measuring machine that leaves a CSV file for each part it inspects')
  .requiredOption('--out <dir>', 'folder for the files; made if it is not there')
  .option('--interval <duration>', 'time between two files', durationMs, 5_000)
  .option('--count <number>', 'stop after so many files; default: go on until Ctrl-C', countOf)
  .option('--keep <number>', 'newest files kept; 0 keeps all', countOrNone, 20)
  .option('--material <name>', 'what the parts are of; an unknown one tells which there are', 'aluminium-6061')
  .option('--nominal <mm>', 'length of the part at 20 °C', aNumber, 100)
  .option('--feature <name=mm>', 'a feature and its nominal length, instead of --nominal; may be repeated', feature, [])
  .option('--tolerance <mm>', 'half-width; adds columns of limits, and parts that vary within it', aNumber)
  .option('--drift <kelvin>', 'what the room gets warmer in an hour', aNumber, 0)
  .option('--tool-wear <mm>', 'what each part is longer than the one before', aNumber, 0)
  .option('--noise <mm>', 'standard deviation of a measurement', aNumber, 0.001)
  .option('--serial-numbers', 'adds a column with the serial number of the part', false)
  .option('--seed <number>', 'repeats the noise; default: a new one each time, which is told', countOrNone)
  .option('--faults', 'half-written files, late renames, duplicate rows, decimal commas', false)
  .action(async (...given: SimulateArguments<'cmm'>) => (await simulateCommands()).cmm(...given));

simulate
  .command('modbus')
  .description('machines that are read over Modbus TCP, with the registers of the profile CNC; one unit each')
  .option('--host <address>', 'address to listen on', '127.0.0.1')
  .option('--port <number>', 'port to listen on', portNumber, 1502)
  .option('--machines <number>', 'how many: units 1, 2 and so on', numberWithin(1, 247), 1)
  .action(async (...given: SimulateArguments<'modbus'>) => (await simulateCommands()).modbus(...given));

const probeTool = program.command('probe').description('look into a machine before there is a configuration for it');

probeTool
  .command('modbus')
  .description('registers of a device, read as every type in every order; or which units there are')
  .argument('[host]', 'device or gateway; not with --serial')
  .option('--port <number>', 'TCP port', portNumber, 502)
  .addOption(
    new Option('--framing <kind>', 'rtu: frames of the serial line within TCP').choices(['tcp', 'rtu']).default('tcp'),
  )
  .option('--serial <device>', 'RTU on this serial line, such as /dev/ttyUSB0')
  .option('--baud-rate <number>', 'of the serial line', countOf, 19_200)
  .addOption(new Option('--parity <kind>', 'of the serial line').choices(['none', 'even', 'odd']).default('even'))
  .option('--stop-bits <number>', 'of the serial line: 1 or 2', numberWithin(1, 2), 1)
  .option('--unit <number>', 'unit id (slave address)', numberWithin(0, 255), 1)
  .option('--function <number>', '1 coils, 2 discrete inputs, 3 holding, 4 input registers', numberWithin(1, 4), 3)
  .option('--register <number>', 'the first', numberWithin(0, 65_536), 0)
  .option('--count <number>', 'how many', numberWithin(1, 2_000), 8)
  .option('--base <number>', 'registers are numbered from 0, or from 1 as in many manuals', numberWithin(0, 1), 0)
  .option('--timeout <duration>', 'longest wait for an answer (default: 1s; with --scan 300ms)', durationMs)
  .option('--scan', 'ask all units for that register, and say which answer', false)
  .option('--units <range>', 'for --scan (default: 1-247)', unitRange)
  .action(async (...given: ProbeArguments<'modbus'>) => (await probeCommands()).modbus(...given));

simulate
  .command('mtconnect')
  .description(
    'simulated machines, or a recorded adapter log, as an MTConnect agent tells them: probe, current, sample',
  )
  .option('--machines <number>', 'simulated machines, a device each: M1, M2 and so on', numberWithin(1, 100), 1)
  .option('--file <file>', 'instead: a recorded log, one SHDR line each')
  .option('--device <name>', 'name of its device (default: that of the file)')
  .option('--host <address>', 'address to listen on', '127.0.0.1')
  .option('--port <number>', 'port to listen on', portNumber, 5000)
  .option('--speed <factor>', 'times the original pace, or "max"', speed, 1)
  .option('--loop', 'begin anew at the end', false)
  .option('--buffer <number>', 'observations that it keeps', countOf, 131_072)
  .action(async (...given: SimulateArguments<'mtconnect'>) => (await simulateCommands()).mtconnect(...given));

probeTool
  .command('mtconnect')
  .description('devices and data items of an agent, what they say now, and a configuration to be pasted')
  .argument('<url>', 'the agent, such as http://192.168.10.5:5000')
  .option('--device <name>', 'only this device, by name or uuid')
  .option('--token <token>', 'sent as Authorization: Bearer, for a proxy before the agent')
  .option('--timeout <duration>', 'longest wait for an answer', durationMs, 10_000)
  .action(async (...given: ProbeArguments<'mtconnect'>) => (await probeCommands()).mtconnect(...given));

simulate
  .command('opcua')
  .description('machines behind an OPC UA server, or a recorded MTConnect adapter log as one')
  .option('--host <address>', 'address to listen on', '127.0.0.1')
  .option('--port <number>', 'port to listen on', portNumber, 4840)
  .option('--machines <number>', 'how many: CNC-001, CNC-002 and so on', numberWithin(1, 100), 1)
  .option('--pki <dir>', 'folder of certificates; made if it is not there', '.millwright/simulate-opcua/pki')
  .option('--file <file>', 'instead of them: recorded log, one SHDR line each')
  .option('--speed <factor>', 'of the recording: times the original pace, or "max"', speed, 1)
  .option('--loop', 'begin the recording anew at the end', false)
  .action(async (...given: SimulateArguments<'opcua'>) => (await simulateCommands()).opcua(...given));

probeTool
  .command('opcua')
  .description('endpoints of an OPC UA server, its nodes with their values now, and a configuration to be pasted')
  .argument('<url>', 'the server, such as opc.tcp://192.168.10.9:4840')
  .option('--browse <path>', 'where to look: a path or a node id', 'Objects')
  .option('--user <name>', 'log in as this user; default: as nobody')
  .option('--password-file <file>', 'whose first line is the password')
  .addOption(
    new Option('--policy <name>', 'default: None where it is offered and nobody logs in, else the strongest').choices([
      ...POLICIES,
      'None',
    ]),
  )
  .addOption(new Option('--mode <name>', 'of the policy').choices(['SignAndEncrypt', 'Sign']).default('SignAndEncrypt'))
  .option('--pki <dir>', 'folder of certificates; that of an edge is in its log folder', '.millwright/opcua/pki')
  .option('--timeout <duration>', 'longest wait for an answer', durationMs, 10_000)
  .action(async (...given: Parameters<OpcuaCommands['probe']>) => (await opcuaCommands()).probe(...given));

program
  .command('trust')
  .description('decide whom to trust')
  .command('opcua')
  .description('list the certificates that were refused; with a thumbprint, trust that one')
  .argument('<dir>', 'folder of certificates, as the message says')
  .argument('[thumbprint]', 'of the certificate')
  .option('--yes', 'without being asked', false)
  .action(async (...given: Parameters<OpcuaCommands['trustOpcua']>) => (await opcuaCommands()).trustOpcua(...given));

simulate
  .command('mqtt')
  .description(
    'machines that publish at an MQTT broker: JSON on plain topics, or as devices of a Sparkplug B edge node',
  )
  .argument('[url]', 'the broker', 'mqtt://127.0.0.1:1883')
  .option('--machines <number>', 'how many: mill-1, mill-2 and so on', numberWithin(1, 1_000), 1)
  .option('--interval <duration>', 'time between two messages of a machine', durationMs, 1_000)
  .option('--place <text>', 'first levels of the topics; with --sparkplug the group', 'shop')
  .option('--sparkplug', 'as an edge node', false)
  .option('--user <name>', 'user at the broker')
  .option('--password <text>', 'its password')
  .action(async (...given: SimulateArguments<'mqtt'>) => (await simulateCommands()).mqtt(...given));

probeTool
  .command('mqtt')
  .description(
    'what is published at a broker: topics, payloads, births of Sparkplug B, and a configuration to be pasted',
  )
  .argument('<url>', 'the broker, such as mqtt://192.168.10.5:1883')
  .option('--topic <filter>', 'what to listen to', '#')
  .option('--time <duration>', 'how long to listen', durationMs, 5_000)
  .option('--rebirth', 'ask nodes of Sparkplug B for their births', false)
  .option('--user <name>', 'user at the broker')
  .option('--password <text>', 'its password')
  .action(async (...given: ProbeArguments<'mqtt'>) => (await probeCommands()).mqtt(...given));

const logTool = program.command('log').description("look into an edge's log, deliver it again, and mend it");

logTool
  .command('inspect')
  .description('segments, sizes, how far behind each sink is, and for how long there is room')
  .argument('<dir>', 'folder of the log')
  .option('--json', 'for programs')
  .action(async (...given: LogArguments<'inspect'>) => (await logCommands()).inspect(...given));

logTool
  .command('verify')
  .description('check every batch of a log; exit code 1 when something is damaged')
  .argument('<dir>', 'folder of the log')
  .option('--json', 'for programs')
  .action(async (...given: LogArguments<'verify'>) => (await logCommands()).verify(...given));

const END = "a sequence number, or a time (RFC 3339, by the readings' own timestamps)";

logTool
  .command('export')
  .description('every reading, to the standard output; also while the edge runs')
  .argument('<dir>', 'folder of the log')
  .addOption(
    new Option('--format <format>', 'one JSON object in a line, or a table')
      .choices(['ndjson', 'csv'])
      .default('ndjson'),
  )
  .option('--from <begin>', `${END}; that one included`)
  .option('--to <end>', `${END}; that one included`)
  .option('--output <file>', 'write to this file instead')
  .option('--identity', 'with gateway, epoch and sequence of its batch before each reading', false)
  .action(async (...given: LogArguments<'exportReadings'>) => (await logCommands()).exportReadings(...given));

logTool
  .command('replay')
  .description('deliver batches again; a hub stores only what it does not have; also while the edge runs')
  .argument('<dir>', 'folder of the log')
  .requiredOption('--sink <name>', "one of the edge's sinks")
  .option('--from <begin>', `${END}: batches with readings from then on`)
  .option('--to <end>', `${END}: batches with readings up to then`)
  .action(async (...given: LogArguments<'replay'>) => (await logCommands()).replay(...given));

logTool
  .command('repair')
  .description('mend a damaged log while its edge is stopped; what can be read is kept')
  .argument('<dir>', 'folder of the log')
  .action(async (...given: LogArguments<'repair'>) => (await logCommands()).repair(...given));

const deadLettersTool = program.command('dead-letters').description('what a sink has refused for good');

for (const [name, description] of [
  ['list', 'one line for each batch: time, sink, sequence, readings, reason'],
  ['export', 'every reading as a line of JSON, with the reason, to the standard output'],
  ['replay', 'deliver them again; what is stored is removed, what is refused again stays'],
] as const) {
  deadLettersTool
    .command(name)
    .description(description)
    .argument('<dir>', "folder of the edge's log")
    .option('--sink <name>', 'only those of this sink')
    .action((folder: string, { sink }: { sink?: string }) => deadLettersCommand(name, folder, sink));
}

program
  .command('hash-password')
  .description('reads a password from the standard input; prints what stands for it as password_hash')
  .action(hashPassword);

const publishTool = program
  .command('publish')
  .description('one reading to a running system, and what became of it (exit code 3: refused, a dead letter)')
  .option('--json <text>', 'the reading as JSON; without it and without values, it is read from the standard input')
  .option('--machine <name>', 'machine_id, where the JSON has none')
  .option('--timestamp <time>', 'RFC 3339; default: now')
  .option('--id <text>', 'what it is known by again: a reading with the same id is stored once')
  .option('--subject <subject>', 'over NATS: where to', `${EDGE_SUBJECT_PREFIX}.publish`);
for (const { name, label } of SIGNALS) publishTool.option(`--${name.replaceAll('_', '-')} <value>`, label);
addConnectionOptions(publishTool).action(async (options: Parameters<LoadCommands['publish']>[0]) => {
  await (await loadCommands()).publish(options);
});

const loadTool = program
  .command('load')
  .description('publish many readings to a running system, and check that each is stored exactly once')
  .addOption(
    new Option('--hub <url>', 'hub to ask what is stored; default: that of --url, or of this machine').env(
      'MILLWRIGHT_HUB',
    ),
  )
  .addOption(new Option('--hub-token <token>', 'sent to it as Authorization: Bearer').env('MILLWRIGHT_HUB_TOKEN'))
  .option('--publishers <number>', 'gateways, each with a connection of its own', countOf, 10)
  .option('--machines <number>', 'machines (default: one for each publisher)', countOf)
  .option('--count <number>', 'readings of each machine (default: 1000)', countOf)
  .option('--duration <duration>', 'publish for so long, such as 30s, instead of a count', durationMs)
  .option('--rate <number>', 'readings a second in all, or "max"', rate, 'max')
  .option('--batch <number>', 'readings in a message', countOf, 1)
  .option('--malformed <number>', 'malformed messages among them', countOrNone, 0)
  .option('--run <name>', 'begins the names of the machines (default: a new one each time)')
  .option('--seed <number>', 'repeats where the malformed messages stand', countOrNone)
  .option('--no-check', 'only publish; ask no hub')
  .option('--patience <duration>', 'give up when nothing moves for so long', durationMs, 60_000)
  .option('--report <file>', 'write a page of Markdown too')
  .option('--json', 'the report for programs', false);
addConnectionOptions(loadTool).action(async (options: Parameters<LoadCommands['load']>[0]) => {
  await (await loadCommands()).load(options);
});

/** Where to publish and how to log in there. What is secret is better given by the environment. */
function addConnectionOptions(command: Command): Command {
  const option = (flags: string, variable: string, description: string): Option => {
    return new Option(flags, description).env(`MILLWRIGHT_${variable}`);
  };
  const url = option('--url <url>', 'URL', 'nats://… or tls://… (several divided by commas), or a hub: http://…');
  return command
    .addOption(url.default('http://127.0.0.1:8081'))
    .addOption(option('--user <name>', 'USER', 'user'))
    .addOption(option('--password <text>', 'PASSWORD', 'password'))
    .addOption(option('--token <token>', 'TOKEN', 'token, instead of user and password'))
    .addOption(option('--nkey-seed-file <file>', 'NKEY_SEED_FILE', 'NATS: file with the seed of an nkey'))
    .addOption(option('--creds-file <file>', 'CREDS_FILE', 'NATS: credentials file of a user with a JWT'))
    .addOption(option('--tls-ca-file <file>', 'TLS_CA_FILE', "PEM file of the authority of the servers' certificates"))
    .addOption(option('--tls-cert-file <file>', 'TLS_CERT_FILE', 'PEM file of our own certificate'))
    .addOption(option('--tls-key-file <file>', 'TLS_KEY_FILE', 'PEM file of its key'));
}

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
  const { settings, warnings } = await readEdge(options.config);
  const logger = processLogger(settings.logLevel);
  for (const warning of warnings) logger.warn(`${options.config}: ${warning}`);
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
  process.execve?.(process.execPath, [process.execPath, ...args], process.env);
}

async function printSettings(file: string): Promise<void> {
  let read: import('./edge/reload/configuration-file.ts').ReadConfiguration;
  try {
    read = await readEdge(file);
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
    const { live } = await import('./check-commands.ts');
    return await live((await readEdge(file)).settings, options);
  }
  const { warnings } = isEdge ? await readEdge(file) : await readHub(file);
  for (const warning of warnings) process.stdout.write(`warning  ${file}: ${warning}\n`);
  process.stdout.write(`ok       ${file} is a valid configuration of ${isEdge ? 'an edge' : 'a hub'}\n`);
}

type LogCommands = typeof import('./log-commands.ts');
type LogArguments<Name extends 'inspect' | 'verify' | 'exportReadings' | 'replay' | 'repair'> = Parameters<
  LogCommands[Name]
>;

function logCommands(): Promise<LogCommands> {
  return import('./log-commands.ts');
}

type ProbeCommands = typeof import('./probe-commands.ts');
type ProbeArguments<Name extends keyof ProbeCommands> = Parameters<ProbeCommands[Name]>;

function probeCommands(): Promise<ProbeCommands> {
  return import('./probe-commands.ts');
}

type OpcuaCommands = typeof import('./opcua-commands.ts');

function opcuaCommands(): Promise<OpcuaCommands> {
  return import('./opcua-commands.ts');
}

type SimulateCommands = typeof import('./simulate-commands.ts');
type SimulateArguments<Name extends keyof SimulateCommands> = Parameters<SimulateCommands[Name]>;

function simulateCommands(): Promise<SimulateCommands> {
  return import('./simulate-commands.ts');
}

type LoadCommands = typeof import('./load-commands.ts');

function loadCommands(): Promise<LoadCommands> {
  return import('./load-commands.ts');
}

async function deadLettersCommand(name: 'list' | 'export' | 'replay', folder: string, only?: string): Promise<void> {
  const letters = await import('./edge/dead-letter-files.ts');
  const { nodeFiles } = await import('./base/node-files.ts');
  const sinks = await letters.sinksWithDeadLetters(nodeFiles, folder, only);
  if (name === 'replay') return replay(folder, sinks);
  if (name === 'list') await say(letters.DEAD_LETTERS_TITLE);
  for (const sink of sinks) {
    for await (const letter of letters.deadLetters(nodeFiles, folder, sink)) {
      if (name === 'list') await say(letters.describeDeadLetter(letter));
      else for (const line of letters.exportedLines(letter)) await say(line);
    }
  }
}

async function replay(folder: string, sinks: readonly string[]): Promise<void> {
  const { replayDeadLetters } = await import('./edge/dead-letter-replay.ts');
  const { nodeFiles } = await import('./base/node-files.ts');
  const settings = await (await logCommands()).readSettings(folder);
  const logger = processLogger('info');
  await runProcess(logger, async (signal) => {
    const outside = { files: nodeFiles, clock: systemClock, random: Math.random, logger };
    const parts = { ...outside, logFolder: folder, settings, signal };
    for (const sink of sinks) {
      const { delivered, refusedAgain } = await replayDeadLetters({ ...parts, sink });
      await say(`${sink}: ${delivered} delivered, ${refusedAgain} refused again\n`);
    }
  });
}

/** Resolves when there is room for more. */
async function say(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
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

function portNumber(value: string): number {
  const port = Number(value);
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  throw new InvalidArgumentError('a port is a whole number from 0 to 65535.');
}

function speed(value: string): number | 'max' {
  if (value === 'max') return 'max';
  const factor = Number(value.replace(/[x×]$/, ''));
  if (factor > 0 && Number.isFinite(factor)) return factor;
  throw new InvalidArgumentError('a speed is a factor above 0, or "max".');
}

function rate(value: string): number | 'max' {
  if (value === 'max') return 'max';
  const readings = Number(value);
  if (readings > 0 && Number.isFinite(readings)) return readings;
  throw new InvalidArgumentError('a rate is a number of readings a second, or "max".');
}

function share(value: string): number {
  const part = Number(value);
  if (value.trim() !== '' && part >= 0 && part <= 1) return part;
  throw new InvalidArgumentError('a share is a number from 0 to 1.');
}

function fieldAndValue(text: string): { field: string; value: string } {
  const [, field = '', value = ''] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (field !== '') return { field, value };
  throw new InvalidArgumentError('it is a field and its value: serial_number=SN-0007.');
}

function countOf(value: string): number {
  if (/^[1-9]\d{0,9}$/.test(value)) return Number(value);
  throw new InvalidArgumentError('it is a whole number from 1.');
}

function countOrNone(value: string): number {
  return value === '0' ? 0 : countOf(value);
}

function aNumber(value: string): number {
  const number = Number(value);
  if (value.trim() !== '' && Number.isFinite(number)) return number;
  throw new InvalidArgumentError('it is a number, with a point for decimals.');
}

function feature(
  value: string,
  before: readonly { name: string; nominalMm: number }[],
): { name: string; nominalMm: number }[] {
  const match = /^([^=,"\s][^=,"\r\n]*)=(\d+(?:\.\d+)?)$/.exec(value);
  if (match === null) throw new InvalidArgumentError('a feature is a name and its length in mm: bore=25.4.');
  return [...before, { name: match[1] ?? '', nominalMm: Number(match[2]) }];
}

function numberWithin(min: number, max: number): (value: string) => number {
  return (value) => {
    const number = /^\d+$/.test(value) ? Number(value) : Number.NaN;
    if (number >= min && number <= max) return number;
    throw new InvalidArgumentError(`it is a whole number from ${min} to ${max}.`);
  };
}

function unitRange(value: string): { first: number; last: number } {
  const [first = Number.NaN, last = first] = value.split('-').map(numberWithin(0, 255));
  if (last < first) throw new InvalidArgumentError('it is two unit ids, such as 1-32.');
  return { first, last };
}

function durationMs(value: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(value);
  if (match === null) throw new InvalidArgumentError('a duration is a number with its unit: 500ms, 10s, 5m, 1h.');
  return Number(match[1]) * { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match[2] as 'ms' | 's' | 'm' | 'h'];
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

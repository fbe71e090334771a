/** `millwright simulate`: stand-ins for machines and for what stands beside them. */
import type { Command } from 'commander';
import {
  aNumber,
  countOf,
  countOrNone,
  durationMs,
  feature,
  fieldAndValue,
  numberWithin,
  portNumber,
  share,
  speed,
} from './arguments.ts';

export function addSimulate(program: Command): void {
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
    .option(
      '--feature <name=mm>',
      'a feature and its nominal length, instead of --nominal; may be repeated',
      feature,
      [],
    )
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

  simulate
    .command('mqtt')
    .description(
      'machines, or a recorded MTConnect adapter log as one, that publish at an MQTT broker: JSON on plain topics, or as ' +
        'devices of a Sparkplug B edge node',
    )
    .argument('[url]', 'the broker', 'mqtt://127.0.0.1:1883')
    .option('--machines <number>', 'how many: mill-1, mill-2 and so on', numberWithin(1, 1_000), 1)
    .option('--interval <duration>', 'time between two messages of a machine', durationMs, 1_000)
    .option('--place <text>', 'first levels of the topics; with --sparkplug the group', 'shop')
    .option('--sparkplug', 'as an edge node', false)
    .option('--user <name>', 'user at the broker')
    .option('--password <text>', 'its password')
    .option('--file <file>', 'instead of the machines: recorded log, one SHDR line each')
    .option('--speed <factor>', 'of the recording: times the original pace, or "max"', speed, 1)
    .option('--loop', 'begin the recording anew at the end', false)
    .action(async (...given: SimulateArguments<'mqtt'>) => (await simulateCommands()).mqtt(...given));
}

type SimulateCommands = typeof import('./simulate-actions.ts');
type SimulateArguments<Name extends keyof SimulateCommands> = Parameters<SimulateCommands[Name]>;

function simulateCommands(): Promise<SimulateCommands> {
  return import('./simulate-actions.ts');
}

/** `millwright probe`: a look into a machine before there is a configuration for it. */
import { type Command, Option } from 'commander';
import { POLICIES } from '../base/opcua-policies.ts';
import { countOf, durationMs, numberWithin, portNumber, unitRange } from './arguments.ts';

export function addProbe(program: Command): void {
  const probeTool = program.command('probe').description('look into a machine before there is a configuration for it');

  probeTool
    .command('modbus')
    .description('registers of a device, read as every type in every order; or which units there are')
    .argument('[host]', 'device or gateway; not with --serial')
    .option('--port <number>', 'TCP port', portNumber, 502)
    .addOption(
      new Option('--framing <kind>', 'rtu: frames of the serial line within TCP')
        .choices(['tcp', 'rtu'])
        .default('tcp'),
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

  probeTool
    .command('mtconnect')
    .description('devices and data items of an agent, what they say now, and a configuration to be pasted')
    .argument('<url>', 'the agent, such as http://192.168.10.5:5000')
    .option('--device <name>', 'only this device, by name or uuid')
    .option('--token <token>', 'sent as Authorization: Bearer, for a proxy before the agent')
    .option('--timeout <duration>', 'longest wait for an answer', durationMs, 10_000)
    .action(async (...given: ProbeArguments<'mtconnect'>) => (await probeCommands()).mtconnect(...given));

  probeTool
    .command('opcua')
    .description('endpoints of an OPC UA server, its nodes with their values now, and a configuration to be pasted')
    .argument('<url>', 'the server, such as opc.tcp://192.168.10.9:4840')
    .option('--browse <path>', 'where to look: a path or a node id', 'Objects')
    .option('--user <name>', 'log in as this user; default: as nobody')
    .option('--password-file <file>', 'whose first line is the password')
    .addOption(
      new Option('--policy <name>', 'default: None where it is offered and nobody logs in, else the strongest').choices(
        [...POLICIES, 'None'],
      ),
    )
    .addOption(
      new Option('--mode <name>', 'of the policy').choices(['SignAndEncrypt', 'Sign']).default('SignAndEncrypt'),
    )
    .option('--pki <dir>', 'folder of certificates; that of an edge is in its log folder', '.millwright/opcua/pki')
    .option('--timeout <duration>', 'longest wait for an answer', durationMs, 10_000)
    .action(async (...given: Parameters<OpcuaCommands['probe']>) => (await opcuaCommands()).probe(...given));

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
}

type ProbeCommands = typeof import('./probe-actions.ts');
type ProbeArguments<Name extends keyof ProbeCommands> = Parameters<ProbeCommands[Name]>;

function probeCommands(): Promise<ProbeCommands> {
  return import('./probe-actions.ts');
}

type OpcuaCommands = typeof import('./opcua-actions.ts');

function opcuaCommands(): Promise<OpcuaCommands> {
  return import('./opcua-actions.ts');
}

/** `millwright log`: tools for an edge's log. */
import { type Command, Option } from 'commander';

const END = "a sequence number, or a time (RFC 3339, by the readings' own timestamps)";

export function addLog(program: Command): void {
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
}

type LogCommands = typeof import('./log-actions.ts');
type LogArguments<Name extends 'inspect' | 'verify' | 'exportReadings' | 'replay' | 'repair'> = Parameters<
  LogCommands[Name]
>;

function logCommands(): Promise<LogCommands> {
  return import('./log-actions.ts');
}

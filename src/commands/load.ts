/** `millwright publish` and `millwright load`: readings to a running system, and what became of them. */
import { type Command, Option } from 'commander';
import { EDGE_SUBJECT_PREFIX } from '../model/nats-wire.ts';
import { SIGNALS } from '../model/signals.ts';
import { countOf, countOrNone, durationMs, rate } from './arguments.ts';

export function addPublishAndLoad(program: Command): void {
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
}

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

type LoadCommands = typeof import('./load-actions.ts');

function loadCommands(): Promise<LoadCommands> {
  return import('./load-actions.ts');
}

/** `millwright trust`: whom the edge lets in, or connects to. */
import type { Command } from 'commander';

export function addTrust(program: Command): void {
  program
    .command('trust')
    .description('decide whom to trust')
    .command('opcua')
    .description('list the certificates that were refused; with a thumbprint, trust that one')
    .argument('<dir>', 'folder of certificates, as the message says')
    .argument('[thumbprint]', 'of the certificate')
    .option('--yes', 'without being asked', false)
    .action(async (...given: Parameters<OpcuaCommands['trustOpcua']>) => (await opcuaCommands()).trustOpcua(...given));
}

type OpcuaCommands = typeof import('./opcua-actions.ts');

function opcuaCommands(): Promise<OpcuaCommands> {
  return import('./opcua-actions.ts');
}

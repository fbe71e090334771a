/** `millwright dead-letters`: what a sink has refused for good. */
import type { Command } from 'commander';
import { systemClock } from '../base/clock.ts';
import { processLogger } from '../base/logger.ts';
import { runProcess } from '../base/process.ts';
import { say } from './output.ts';

export function addDeadLetters(program: Command): void {
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
}

async function deadLettersCommand(name: 'list' | 'export' | 'replay', folder: string, only?: string): Promise<void> {
  const letters = await import('../edge/delivery/dead-letter-files.ts');
  const { nodeFiles } = await import('../base/node-files.ts');
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
  const { replayDeadLetters } = await import('../edge/delivery/dead-letter-replay.ts');
  const { nodeFiles } = await import('../base/node-files.ts');
  const settings = await (await import('./log-actions.ts')).readSettings(folder);
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

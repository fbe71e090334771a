/**
 * The edge as a process: `node main.js RESOLVED.json`, where the file holds the EdgeSettings that the command line has
 * read, checked and completed, so that nothing of that work stays in this process's memory.
 *
 * SIGTERM and SIGINT stop it gracefully, a second one at once. Exit codes: 0 stopped as asked; 1 could not start or
 * failed, with one sentence on standard error; 130 stopped at once.
 */
import { systemClock } from '../base/clock.ts';
import { MillwrightError, messageOf } from '../base/errors.ts';
import { processLogger } from '../base/logger.ts';
import { nodeFiles } from '../base/node-files.ts';
import { runEdge } from './edge.ts';
import type { EdgeSettings } from './settings.ts';

/** A graceful stop that takes longer than this is ended. */
const STOP_MS_MAX = 9_500;

const stop = new AbortController();
for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => requestStop(name));

try {
  const settings = readSettings(process.argv[2]);
  const log = processLogger(settings.logLevel);
  await runEdge(settings, { clock: systemClock, random: Math.random, files: nodeFiles, log }, stop.signal);
  process.exit(0);
} catch (error) {
  process.stderr.write(`millwright edge: ${messageOf(error)}\n`);
  process.exit(1);
}

function requestStop(name: string): void {
  if (stop.signal.aborted) process.exit(130);
  stop.abort(name);
  setTimeout(() => {
    process.stderr.write('millwright edge: did not stop in time\n');
    process.exit(1);
  }, STOP_MS_MAX).unref();
}

function readSettings(path: string | undefined): EdgeSettings {
  if (path === undefined) throw new MillwrightError('config_invalid', 'usage: main.js RESOLVED.json');
  try {
    const settings: EdgeSettings = JSON.parse(process.getBuiltinModule('node:fs').readFileSync(path, 'utf8'));
    return settings;
  } catch (cause) {
    throw new MillwrightError('config_invalid', `the settings in ${path} cannot be read`, { cause });
  }
}

/**
 * The edge as a process: `node main.js RESOLVED.json`, where the file holds the EdgeSettings that the command line has
 * read, checked and completed, so that nothing of that work stays in this process's memory.
 */
import { systemClock } from '../base/clock.ts';
import { MillwrightError } from '../base/errors.ts';
import { processLogger } from '../base/logger.ts';
import { nodeFiles } from '../base/node-files.ts';
import { EXIT_FAILED, runProcess } from '../base/process.ts';
import { runEdge } from './edge.ts';
import type { EdgeSettings } from './settings.ts';

/** A graceful stop that takes longer than this is ended; its steps have limits of their own that add up to less. */
const STOP_MS_MAX = 9_500;
/**
 * How often all garbage is collected. Left alone, V8 waits until there are 8 MB more of it than it found the last time,
 * and the process has its peak just before; a collection takes some 10 ms, a thousandth of this.
 */
const COLLECT_INTERVAL_MS = 10_000;

await runProcess(processLogger('info'), async (signal) => {
  const settings = readSettings(process.argv[2]);
  const log = processLogger(settings.logLevel);
  signal.addEventListener('abort', () => {
    setTimeout(() => {
      log.error('the edge did not stop in time');
      process.exit(EXIT_FAILED);
    }, STOP_MS_MAX).unref();
  });
  const collector = setInterval(() => globalThis.gc?.(), COLLECT_INTERVAL_MS);
  collector.unref();
  await runEdge(settings, { clock: systemClock, random: Math.random, files: nodeFiles, log }, signal);
});
// Whatever a driver may have left open does not keep a process that has put all its data away.
process.exit();

function readSettings(path: string | undefined): EdgeSettings {
  if (path === undefined) throw new MillwrightError('config_invalid', 'usage: main.js RESOLVED.json');
  try {
    const settings: EdgeSettings = JSON.parse(process.getBuiltinModule('node:fs').readFileSync(path, 'utf8'));
    return settings;
  } catch (cause) {
    throw new MillwrightError('config_invalid', `the settings in ${path} cannot be read`, { cause });
  }
}

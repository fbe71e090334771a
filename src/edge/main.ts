/**
 * The edge as a process: `node main.js RESOLVED.json [CONFIG STATE]`, where the first file holds the EdgeSettings that the
 * command line has read, checked and completed, so that nothing of that work stays in this process's memory. CONFIG is the
 * file of which they come, and STATE how it was then: when it changes, or at a SIGHUP, it is read again.
 */
import { systemClock } from '../base/clock.ts';
import { MillwrightError } from '../base/errors.ts';
import { type Logger, processLogger } from '../base/logger.ts';
import { nodeFiles } from '../base/node-files.ts';
import { EXIT_FAILED, runProcess } from '../base/process.ts';
import { runEdge } from './edge.ts';
import { ConfigurationFile } from './reload/configuration-file.ts';
import type { EdgeSettings } from './settings.ts';

/** A graceful stop that takes longer than this is ended; its steps have limits of their own that add up to less. */
const STOP_MS_MAX = 9_500;
/**
 * How often all garbage is collected. Left alone, V8 waits until there are 8 MB more of it than it found the last time,
 * and the process has its peak just before; a collection takes some 10 ms, a thousandth of this.
 */
const COLLECT_INTERVAL_MS = 10_000;

const fs: typeof import('node:fs') = process.getBuiltinModule('node:fs');

await runProcess(processLogger('info'), async (signal) => {
  const [, , settingsFile, configFile, configState] = process.argv;
  const settings = readSettings(settingsFile);
  let level = settings.logLevel;
  const log = processLogger(() => level);
  signal.addEventListener('abort', () => {
    setTimeout(() => {
      log.error('the edge did not stop in time');
      process.exit(EXIT_FAILED);
    }, STOP_MS_MAX).unref();
  });
  const collector = setInterval(() => globalThis.gc?.(), COLLECT_INTERVAL_MS);
  collector.unref();
  const parts = { clock: systemClock, random: Math.random, files: nodeFiles, log };
  if (configFile === undefined || configState === undefined) return await runEdge(settings, parts, signal);
  const applied = (settings: EdgeSettings): void => {
    level = settings.logLevel;
    saveSettings(settings, log);
  };
  // Of the sources and of the built program alike.
  const url = new URL(`../cli${import.meta.url.slice(import.meta.url.lastIndexOf('.'))}`, import.meta.url);
  const cli = process.getBuiltinModule('node:url').fileURLToPath(url);
  const configuration = new ConfigurationFile({ ...parts, file: configFile, state: configState, cli, applied });
  await configuration.follow(settings);
  const hasTerminal = process.stderr.isTTY;
  process.on('SIGHUP', () => {
    // The terminal's own word for its end: nobody is left to stop this edge.
    if (!hasTerminal || process.getBuiltinModule('node:tty').isatty(2)) return configuration.ask();
    process.stderr.on('error', () => {});
    process.kill(process.pid, 'SIGTERM');
  });
  await runEdge(settings, { ...parts, configuration }, signal);
});
// Whatever a driver may have left open does not keep a process that has put all its data away.
process.exit();

function readSettings(path: string | undefined): EdgeSettings {
  if (path === undefined) throw new MillwrightError('config_invalid', 'usage: main.js RESOLVED.json');
  try {
    const settings: EdgeSettings = JSON.parse(fs.readFileSync(path, 'utf8'));
    return settings;
  } catch (cause) {
    throw new MillwrightError('config_invalid', `the settings in ${path} cannot be read`, { cause });
  }
}

/** For commands that deliver again: they take from here how to reach the sinks. */
function saveSettings(settings: EdgeSettings, log: Logger): void {
  const file = `${settings.log.folder}/settings.json`;
  try {
    fs.writeFileSync(`${file}.new`, JSON.stringify(settings), { mode: 0o600 });
    fs.renameSync(`${file}.new`, file);
  } catch (error) {
    log.warn('the settings could not be saved for commands that deliver again', { error });
  }
}

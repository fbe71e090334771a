/** Entry of the hub's process: `node main.js RESOLVED.json`, the file being {@link HubSettings} as JSON. */
import { readFile } from 'node:fs/promises';
import { systemClock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import { processLogger } from '../base/logger.ts';
import { VERSION } from '../base/version.ts';
import { runHub } from './hub.ts';
import type { HubSettings } from './settings.ts';

const [, , file] = process.argv;
if (file === undefined) {
  process.stderr.write('usage: main RESOLVED.json\n');
  process.exit(2);
}
const settings = JSON.parse(await readFile(file, 'utf8')) as HubSettings;
const log = processLogger(settings.logLevel);
const stop = new AbortController();
for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort());
try {
  const serving = ({ host, port }: { host: string; port: number }): void => {
    log.info('hub serves', { url: `http://${host}:${port}` });
  };
  await runHub(settings, { version: VERSION, clock: systemClock, random: Math.random, log, serving }, stop.signal);
} catch (error) {
  log.error(messageOf(error));
  process.exitCode = 1;
}

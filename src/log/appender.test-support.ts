/** A process to be killed: appends to the log in the folder given, and writes down each sequence that was promised. */
import { systemClock } from '../base/clock.ts';
import { silentLogger } from '../base/logger.ts';
import { nodeFiles } from '../base/node-files.ts';
import { DurableLog } from './log.ts';
import { ROOMY } from './options.test-support.ts';

const APPENDERS = 8;

const log = await DurableLog.open({
  folder: process.argv[2] ?? '',
  files: nodeFiles,
  clock: systemClock,
  log: silentLogger,
  gatewayId: 'gateway',
  sinks: ['hub'],
  segmentBytesMax: 200_000,
  hotBytesMax: 50_000,
  ...ROOMY,
  newId: () => 'epoch-1',
});
let made = 0;

/** Payloads tell the process and their number in it, so that none can be taken for another. */
async function appendForEver(): Promise<never> {
  for (;;) {
    made += 1;
    const text = `${process.pid}/${made} `;
    const sequence = await log.append(Buffer.alloc(100 + (made % 7) * 1000, text), 1);
    process.stdout.write(`${sequence} ${text}\n`);
  }
}

await Promise.all(Array.from({ length: APPENDERS }, appendForEver));

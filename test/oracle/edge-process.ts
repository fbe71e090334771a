/**
 * `node edge-process.ts SETTINGS.json WITNESS-FILE`: the real edge in a process of its own, with a witness, and with a
 * disk and a clock that take orders from the process that started it.
 */
import { readFileSync } from 'node:fs';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { processLogger } from '../../src/base/logger.ts';
import { nodeFiles } from '../../src/base/node-files.ts';
import { runProcess } from '../../src/base/process.ts';
import { runEdge } from '../../src/edge/edge.ts';
import type { EdgeSettings } from '../../src/edge/settings.ts';
import type { Order, OrderDone } from './edge-orders.ts';
import { FailingFiles } from './failing-files.ts';
import { openWitness, watchAppends, witnessing } from './witness.ts';

const [, , settingsFile = '', witnessFile = ''] = process.argv;
let stepMicros = 0;
const clock: Clock = { ...systemClock, nowMicros: () => systemClock.nowMicros() + stepMicros };
const failing = new FailingFiles(Math.random);
const witness = openWitness(witnessFile);
watchAppends(witness);
const files = failing.wrap(witnessing(nodeFiles, witness));

process.on('message', (order: Order) => {
  if (order.kind === 'fail') failing.fail(order.failure);
  else if (order.kind === 'heal') failing.heal();
  else if (order.kind === 'step clock') stepMicros += order.ms * 1000;
  const done: OrderDone = { id: order.id, failed: failing.failed };
  process.send?.(done);
});
// Without the process that compares, there is nobody to run for.
process.on('disconnect', () => process.exit());

const settings: EdgeSettings = JSON.parse(readFileSync(settingsFile, 'utf8'));
const log = processLogger(settings.logLevel);
await runProcess(log, (signal) => runEdge(settings, { clock, random: Math.random, files, log }, signal));
process.exit();

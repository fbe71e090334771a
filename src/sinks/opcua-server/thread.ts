/** The thread of the server: takes batches and the edge's status, and shows what is newest of it. See `messages.ts`. */
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { LogFields, LogLevel } from '../../base/logger.ts';
import { readingsOfBatch } from '../../model/batch.ts';
import { Links } from './links.ts';
import type { FromThread, SentBatch, ThreadData, ToThread } from './messages.ts';
import { OpcuaServer } from './server.ts';
import { NewestValues, type Variable, VARIABLES_MAX } from './values.ts';

/** Values wait for a client's next answer, so what they leave behind is in the old generation: 10 MB a second at most. */
const COLLECT_INTERVAL_MS = 4_000;

type Batches = Extract<ToThread, { kind: 'batches' }>;

const { options, gatewayId, folder }: ThreadData = workerData;
const stop = new AbortController();
const links = new Links(options);
/** While a backlog is looked at: what will have to be shown at its end. */
let later: Map<string, Variable> | undefined;
const values = new NewestValues({ machines: options.machines, onChange: show });
const server = new OpcuaServer({
  options,
  gatewayId,
  folder,
  clock: systemClock,
  random: Math.random,
  variables: () => values.variables(),
  log,
  onTrouble: (trouble) => say({ kind: 'trouble', trouble }),
});
/** Of the log since the edge was started; unknown until its first status. */
let epoch: string | undefined;
const waiting: Batches[] = [];
let isLimitTold = false;

parentPort?.on('message', (message: ToThread) => {
  switch (message.kind) {
    case 'batches':
      if (epoch === undefined) waiting.push(message);
      else takeBatches(message);
      return;
    case 'status':
      takeStatus(message);
      return;
    case 'stop':
      stop.abort();
      return;
    default:
      message satisfies never;
  }
});

// As the edge does for itself (`edge/main.ts`).
setInterval(() => globalThis.gc?.(), COLLECT_INTERVAL_MS).unref();
await server.run(stop.signal);
parentPort?.close();

function takeStatus({ number, status, pollIntervalsMs }: Extract<ToThread, { kind: 'status' }>): void {
  epoch = status.log.epoch;
  links.takeStatus(status, pollIntervalsMs);
  setLinks();
  for (const message of waiting.splice(0)) takeBatches(message);
  say({ kind: 'taken', number });
}

function takeBatches({ number, batches, isBacklog }: Batches): void {
  later = isBacklog ? new Map() : undefined;
  for (const batch of batches) takeBatch(batch);
  const shown = later?.values() ?? [];
  later = undefined;
  for (const variable of shown) show(variable);
  say({ kind: 'taken', number });
  if (values.notShown === 0 || isLimitTold) return;
  isLimitTold = true;
  log('warn', 'there are too many variables; those beyond the limit are not shown', { limit: VARIABLES_MAX });
}

function takeBatch(batch: SentBatch): void {
  const isFresh = batch.epoch === epoch;
  const nowMicros = systemClock.nowMicros();
  for (const placed of readingsOfBatch({ ...batch, gatewayId })) {
    // What is no reading is for other sinks to tell.
    if ('fault' in placed) continue;
    const { reading } = placed;
    if (isFresh && reading.kind === 'event' && reading.event_type === 'connection') {
      links.takeEvent(reading);
      setLinks();
    } else values.take(reading, { sequence: batch.sequence, isFresh, nowMicros });
  }
}

function setLinks(): void {
  const nowMicros = systemClock.nowMicros();
  const lost = links.takeLost();
  for (const [machine, link] of links.byMachine()) {
    values.addMachine(machine);
    values.setLink(machine, link, nowMicros, { isLost: lost.has(machine) });
  }
}

function show(variable: Variable): void {
  if (later === undefined) server.show(variable);
  else later.set(`${variable.machine}\0${variable.feature ?? ''}\0${variable.name}`, variable);
}

function log(level: LogLevel, message: string, fields: LogFields = {}): void {
  // An error does not travel whole from thread to thread.
  const entries = Object.entries(fields).map(([key, value]) => [
    key,
    value instanceof Error ? messageOf(value) : value,
  ]);
  say({ kind: 'log', level, message, fields: Object.fromEntries(entries) });
}

function say(message: FromThread): void {
  parentPort?.postMessage(message, []);
}

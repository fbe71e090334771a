/** The thread that speaks OPC UA for all sensors of the edge (decision 024). See `messages.ts`. */
import { resolve } from 'node:path';
import { parentPort } from 'node:worker_threads';
import { systemClock } from '../../base/clock.ts';
import { type ErrorCode, MillwrightError, messageOf } from '../../base/errors.ts';
import type { LogFields, Logger, LogLevel } from '../../base/logger.ts';
import { CertificateFolder } from './certificates.ts';
import type { SessionMemory } from './connection.ts';
import { lineOf } from './faults.ts';
import type { FromThread, ToThread } from './messages.ts';
import type { SessionContext } from './run.ts';
import { readServer } from './session.ts';

/** As the edge does for itself (`edge/main.ts`). */
const COLLECT_INTERVAL_MS = 10_000;
/** Far less than after which the main thread takes this one to hang. */
const AWAKE_MS = 5_000;

const stops = new Map<number, AbortController>();
const memories = new Map<number, SessionMemory>();
const folders = new Map<string, CertificateFolder>();

parentPort?.on('message', (message: ToThread) => {
  switch (message.kind) {
    case 'run':
      void run(message);
      return;
    case 'stop':
      stops.get(message.id)?.abort();
      return;
    case 'forget':
      memories.delete(message.id);
      return;
    default:
      message satisfies never;
  }
});

setInterval(() => globalThis.gc?.(), COLLECT_INTERVAL_MS).unref();
setInterval(() => say({ kind: 'awake', id: 0 }), AWAKE_MS).unref();

async function run({ id, machineId, options, pkiFolder }: Extract<ToThread, { kind: 'run' }>): Promise<void> {
  const stop = new AbortController();
  stops.set(id, stop);
  const memory = memories.get(id) ?? { leftover: undefined };
  memories.set(id, memory);
  // However it is written: two that make one certificate at the same time would each end up with half of it.
  const folder = resolve(pkiFolder);
  const certificates = folders.get(folder) ?? new CertificateFolder(folder);
  folders.set(folder, certificates);
  let error: { code: ErrorCode; message: string } | null = null;
  try {
    await readServer({ options, certificates, memory, context: contextOf(id, machineId) }, stop.signal);
  } catch (caught) {
    // What is no error of ours is a fault of the program or of the library: the run has failed all the same.
    error =
      caught instanceof MillwrightError
        ? { code: caught.code, message: messageOf(caught) }
        : { code: 'internal', message: lineOf(caught) };
  }
  stops.delete(id);
  say({ kind: 'ended', id, error });
}

function contextOf(id: number, machineId: string): SessionContext {
  return {
    machineId,
    emit: (reading) => say({ kind: 'reading', id, reading }),
    connected: () => say({ kind: 'connected', id }),
    alive: (nextWithinMs) => say({ kind: 'alive', id, nextWithinMs }),
    problem: (item, reason) => say({ kind: 'problem', id, item, reason }),
    clock: systemClock,
    log: loggerOf(id, {}),
  };
}

function loggerOf(id: number, bound: LogFields): Logger {
  const log =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      // An error does not travel whole from thread to thread.
      const entries = Object.entries({ ...bound, ...fields }).map(([key, value]) => {
        return [key, value instanceof Error ? messageOf(value) : value];
      });
      say({ kind: 'log', id, level, message, fields: Object.fromEntries(entries) });
    };
  return {
    debug: log('debug'),
    info: log('info'),
    warn: log('warn'),
    error: log('error'),
    with: (fields) => loggerOf(id, { ...bound, ...fields }),
  };
}

function say(message: FromThread): void {
  parentPort?.postMessage(message, []);
}

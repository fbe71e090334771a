/**
 * What stands in for the outside of the measuring room, in this process: a simulated measuring machine that leaves its
 * files, and a stand-in MES. They are small and no part of an installation, so they need no processes of their own.
 */
import path from 'node:path';
import { Backoff } from '../base/backoff.ts';
import { systemClock } from '../base/clock.ts';
import { hasCode } from '../base/errors.ts';
import { type Logger, silentLogger } from '../base/logger.ts';
import { nodeFiles } from '../base/node-files.ts';
import { CMM_DEFAULTS, runCmm } from '../sim/cmm.ts';
import { type Mes, NO_FAULTS, startMes } from '../sim/mes.ts';

export interface Metrology {
  readonly mesUrl: string;
  /** Where the measuring machine leaves its files. */
  readonly resultsFolder: string;
  stop(): Promise<void>;
}

const HOST = '127.0.0.1';
/** Of the MES; where it is in use, one that is free. */
const MES_PORT = 8090;
const INTERVAL_MS = 5_000;
const FILES_KEPT = 20;
const RESTART_WAITS = { firstMs: 500, maxMs: 30_000 };

/** The machine measures until the signal is aborted, the MES serves until it is stopped. */
export async function startMetrology(dataFolder: string, log: Logger, signal: AbortSignal): Promise<Metrology> {
  const resultsFolder = path.join(dataFolder, 'cmm');
  await nodeFiles.makeFolder(resultsFolder);
  const mes = await serve(path.join(dataFolder, 'mes.ndjson'));
  const stopped = new AbortController();
  const measuring = measure(resultsFolder, log, AbortSignal.any([signal, stopped.signal]));
  return {
    mesUrl: mes.url,
    resultsFolder,
    stop: async () => {
      stopped.abort();
      await measuring;
      await mes.close();
    },
  };
}

async function serve(stateFile: string): Promise<Mes> {
  const parts = { stateFile, faults: NO_FAULTS, clock: systemClock, random: Math.random, log: silentLogger };
  try {
    return await startMes({ ...parts, host: HOST, port: MES_PORT });
  } catch (error) {
    if (!hasCode(error, 'port_unavailable')) throw error;
    return startMes({ ...parts, host: HOST, port: 0 });
  }
}

/** What fails is tried again: a full disk ends no measuring machine. */
async function measure(folder: string, log: Logger, signal: AbortSignal): Promise<void> {
  const backoff = new Backoff(RESTART_WAITS, Math.random);
  const run = { ...CMM_DEFAULTS, folder, intervalMs: INTERVAL_MS, count: null, keep: FILES_KEPT, faults: false };
  const parts = { files: nodeFiles, clock: systemClock, log: silentLogger };
  while (!signal.aborted) {
    try {
      const seed = Math.floor(Math.random() * 2 ** 31);
      await runCmm({ ...run, ...parts, serialNumbers: true, seed }, signal);
    } catch (error) {
      log.warn('the simulated measuring machine ended and is started again', { error });
      await systemClock.sleep(backoff.nextMs(), signal);
    }
  }
}

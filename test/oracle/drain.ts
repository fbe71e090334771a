/** The end of all faults: the edge delivers what it has, and what it has delivered is stored. */
import { systemClock } from '../../src/base/clock.ts';
import { messageOf } from '../../src/base/errors.ts';
import { nodeFiles } from '../../src/base/node-files.ts';
import { inspectLog } from '../../src/log/inspect.ts';
import { waitUntil } from '../support/system.ts';
import type { Plant } from './plant.ts';
import { SINK } from './receiver.ts';

/** Longer than the longest wait of the edge between two tries, and then some. */
export const DRAIN_MS_MAX = 120_000;
const DRAIN_CHECK_MS = 200;
const STOPS_MAX = 3;

export interface LogNow {
  readonly lastSequence: number;
  readonly cursor: number;
  /** Batches that are not settled. */
  readonly lag: number;
  /** Why the sink delivers nothing; null when it does. */
  readonly reason: string | null;
}

/** As the edge tells; rejects while it does not answer. */
export async function lookAtLog(plant: Plant): Promise<LogNow> {
  const { log, sinks } = await plant.edgeStatus();
  const sink = sinks.find(({ name }) => name === SINK);
  return {
    lastSequence: log.last_sequence,
    cursor: sink?.cursor ?? 0,
    lag: sink?.lag_batches ?? 0,
    reason: sink?.last_error ?? null,
  };
}

export interface Drained {
  readonly tookMs: number;
  readonly violations: readonly string[];
}

/** Until the edge has settled all that is in its log at the beginning, and nothing of it waits on the way. */
export async function drain(plant: Plant, signal: AbortSignal, limitMs: number = DRAIN_MS_MAX): Promise<Drained> {
  const beganMs = performance.now();
  const violations: string[] = [];
  let goal: number | undefined;
  let last = 'it does not answer';
  while (!signal.aborted) {
    const now = await lookAtLog(plant).catch(() => undefined);
    goal ??= now?.lastSequence;
    if (now !== undefined && goal !== undefined) {
      if (now.cursor >= goal) break;
      last = `${goal - now.cursor} batches are left`;
    }
    if (performance.now() - beganMs > limitMs) {
      violations.push(`the edge did not deliver everything in ${limitMs / 1000} s: ${last}`);
      break;
    }
    await systemClock.sleep(DRAIN_CHECK_MS, signal);
  }
  return { tookMs: Math.round(performance.now() - beganMs), violations };
}

/**
 * Stops the edge, and the hubs when all is stored. A stop has its limits: on a busy machine it may leave a few batches for
 * the next start. @returns what breaks the rule
 */
export async function stopWithoutBacklog(plant: Plant, signal: AbortSignal): Promise<string[]> {
  const violations = await stopEdge(plant, signal);
  const look = async (): Promise<true | undefined> => ((await plant.receiver.waiting()) === 0 ? true : undefined);
  await waitUntil('all to be stored', look, { timeoutMs: DRAIN_MS_MAX }).catch((error: unknown) => {
    violations.push(`what the edge had delivered was not stored: ${messageOf(error)}`);
  });
  await Promise.all(plant.receiver.hubs.map((hub) => hub.end('SIGTERM')));
  return violations;
}

async function stopEdge(plant: Plant, signal: AbortSignal): Promise<string[]> {
  const { edge, logFolder } = plant;
  const violations: string[] = [];
  for (let stop = 1; stop <= STOPS_MAX; stop += 1) {
    if ((await edge.end('SIGTERM')) !== 0) violations.push('the edge did not end well when it was told to');
    const { cursors } = await inspectLog(nodeFiles, logFolder);
    if (cursors.every(({ lagBatches }) => lagBatches === 0)) return violations;
    edge.start();
    violations.push(...(await drain(plant, signal)).violations);
  }
  violations.push(`the edge had a backlog after ${STOPS_MAX} stops without a fault`);
  return violations;
}

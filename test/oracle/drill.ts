/**
 * `--drill database-down`: the database is away for so many minutes under load. What waits must wait in the edge's log, the
 * hubs' memory must be bounded, and in the end everything must be stored once.
 */
import { readFileSync } from 'node:fs';
import { systemClock } from '../../src/base/clock.ts';
import { waitUntil } from '../support/system.ts';
import { compare, type Comparison, violationsOf } from './compare.ts';
import { drain, DRAIN_MS_MAX, lookAtLog, stopWithoutBacklog } from './drain.ts';
import type { Transport } from './plan.ts';
import { createPlant, GATEWAY_ID, type Plant, USUAL_LOG } from './plant.ts';
import type { Supervised } from './supervised.ts';

/** A thousand readings in a second. */
const MACHINES = 100;
/** Before the outage, so that the hubs' memory is that of hubs at work. */
const WARM_UP_MS = 10_000;
const LOOK_INTERVAL_MS = 1_000;
const PROGRESS_LOOKS = 10;
const HUB_MEMORY_MB_MAX = 300;
const MB = 1024 * 1024;

export interface DrillOptions {
  readonly transport: Transport;
  readonly minutes: number;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

/** The largest that was seen. */
interface Peaks {
  edgeBacklogBatches: number;
  /** In the stream, or none. */
  waitingBatches: number;
}

/** @returns what breaks the rule, a sentence each */
export async function drillDatabaseDown(options: DrillOptions): Promise<string[]> {
  const plant = await createPlant({ transport: options.transport, machines: MACHINES, log: USUAL_LOG });
  const stopNow = (): void => plant.stopNow();
  process.once('exit', stopNow);
  try {
    return await drill(plant, options);
  } finally {
    await plant.stop({ keepFolder: false });
    process.removeListener('exit', stopNow);
  }
}

async function drill(plant: Plant, { minutes, say, signal }: DrillOptions): Promise<string[]> {
  const { hubs } = plant.receiver;
  await plant.start();
  await waitUntil('the first readings to be stored', async () => {
    return (await lookAtLog(plant)).cursor > 0 ? true : undefined;
  });
  await systemClock.sleep(WARM_UP_MS, signal);
  const before = hubs.map(memoryPeakMb);
  say(`the database goes away for ${minutes} minutes; hubs ${megabytes(before)} until now`);
  const watching = new AbortController();
  const watched = watch(plant, say, watching.signal);
  await plant.database.kill();
  const outageMs = minutes * 60_000;
  await systemClock.sleep(outageMs, signal);
  signal.throwIfAborted();
  await plant.database.start();
  say('the database is there again');
  const { tookMs, violations: late } = await drain(plant, signal, DRAIN_MS_MAX + outageMs);
  watching.abort();
  const peaks = await watched;
  const peakMb = hubs.map(memoryPeakMb);
  const edgeMb = memoryPeakMb(plant.edge);
  const violations = [...late, ...(await stopWithoutBacklog(plant, signal))];
  const comparison = await compare({
    database: plant.database.settings,
    gatewayId: GATEWAY_ID,
    witnessFiles: plant.witnessFiles(),
    excused: [],
  });
  violations.push(...violationsOf(comparison));
  if (peakMb.some((mb) => mb > HUB_MEMORY_MB_MAX)) violations.push(`a hub took more than ${HUB_MEMORY_MB_MAX} MB`);
  for (const { endings } of plant.processes)
    for (const [how, count] of endings) violations.push(`${how}, ${count} times`);
  for (const line of report({ peaks, peakMb, edgeMb, tookMs, comparison })) say(line);
  return violations;
}

/** Until the signal is aborted. */
async function watch(plant: Plant, say: (line: string) => void, signal: AbortSignal): Promise<Peaks> {
  const peaks: Peaks = { edgeBacklogBatches: 0, waitingBatches: 0 };
  for (let looks = 1; !signal.aborted; looks += 1) {
    await systemClock.sleep(LOOK_INTERVAL_MS, signal);
    const { lag, reason } = await lookAtLog(plant);
    const waiting = await plant.receiver.waiting();
    peaks.edgeBacklogBatches = Math.max(peaks.edgeBacklogBatches, lag);
    peaks.waitingBatches = Math.max(peaks.waitingBatches, waiting);
    if (looks % PROGRESS_LOOKS !== 0) continue;
    const memory = megabytes(plant.receiver.hubs.map(memoryPeakMb));
    say(
      `${looks} s: the edge holds ${lag} batches, ${waiting} are on the way, hubs ${memory}; ${reason ?? 'it delivers'}`,
    );
  }
  return peaks;
}

interface Outcome {
  readonly peaks: Peaks;
  readonly peakMb: readonly number[];
  readonly edgeMb: number;
  readonly tookMs: number;
  readonly comparison: Comparison;
}

function report({ peaks, peakMb, edgeMb, tookMs, comparison }: Outcome): string[] {
  return [
    `peak memory: hubs ${megabytes(peakMb)} (at most ${HUB_MEMORY_MB_MAX} MB each), edge ${megabytes([edgeMb])}`,
    `largest backlog: ${peaks.edgeBacklogBatches} batches at the edge, ${peaks.waitingBatches} of them on the way`,
    `drained in ${(tookMs / 1000).toFixed(1)} s after the database was there again`,
    `compared: ${comparison.batches} batches with ${comparison.readings} readings; lost ${comparison.readingsLost}, ` +
      `doubled ${comparison.readingsDoubled}, altered ${comparison.readingsCorrupted}`,
    ...comparison.offenders,
  ];
}

/** Since its start. */
function memoryPeakMb({ pid }: Supervised): number {
  const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return (Number(kilobytes) * 1024) / MB;
}

function megabytes(values: readonly number[]): string {
  return values.map((mb) => `${mb.toFixed(0)} MB`).join(' and ');
}

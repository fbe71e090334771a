/**
 * Tells by `gap` events what the log has lost: readings that it had to give up because it was full, and batches that
 * damage has destroyed. An event goes into the log as a batch of its own, and only then counts the loss as told.
 */
import { type Clock, now } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { DurableLog } from '../../log/log.ts';
import type { Loss, LossReason } from '../../log/losses.ts';
import { encodeFrame } from '../../model/frame.ts';
import type { MachineEvent } from '../../model/reading.ts';
import { isAtLeast } from '../../model/time.ts';

/** How often it is looked whether there is something to tell: a log that stays full loses something each time. */
export const TELL_INTERVAL_MS = 60_000;

/** Events in one batch: about 200 KiB of them. */
const EVENTS_MAX = 250;
/** Ranges that damage has destroyed, told one by one. */
const DESTROYED_MAX = 50;

export interface GapTellerOptions {
  readonly log: Pick<DurableLog, 'hasLosses' | 'takeLosses' | 'lossesTold' | 'append'>;
  /** Whose readings may be in a batch that nobody can read any more. */
  readonly machineIds: () => readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Until aborted; the first time at once, for what was lost before the last stop, and a last time at the end. Never rejects. */
export async function tellGaps(options: GapTellerOptions, signal: AbortSignal): Promise<void> {
  const { clock, log, logger } = options;
  for (;;) {
    const isLast = signal.aborted;
    try {
      if (log.hasLosses) await tellAll(options);
    } catch (error) {
      // It stays untold and is tried again.
      logger.warn('the losses of the log could not be told yet', { error });
    }
    if (isLast) return;
    await clock.sleep(TELL_INTERVAL_MS, signal);
  }
}

async function tellAll({ log, machineIds, clock, logger }: GapTellerOptions): Promise<void> {
  const losses = joinedBeyondMax(await log.takeLosses());
  const timestamp = now(clock);
  const events = losses.flatMap((loss) => {
    const machines = loss.machineId === null ? machineIds() : [loss.machineId];
    return machines.map((machineId) => encodeFrame(gapEvent(loss, machineId, timestamp)));
  });
  for (let start = 0; start < events.length; start += EVENTS_MAX) {
    const some = events.slice(start, start + EVENTS_MAX);
    await log.append(new Uint8Array(Buffer.concat(some)), some.length);
  }
  await log.lossesTold();
  logger.info('losses were told', { losses: losses.length, events: events.length });
}

/** Of many ranges that damage has destroyed, the later ones are told as one. */
function joinedBeyondMax(losses: readonly Loss[]): readonly Loss[] {
  const destroyed = losses.filter(({ reason }) => reason === 'destroyed');
  const [first, ...more] = destroyed.slice(DESTROYED_MAX);
  if (first === undefined) return losses;
  const all = more.reduce(
    (sum, { startTime, endTime, readings, firstSequence, lastSequence }): Loss => ({
      ...sum,
      startTime: isAtLeast(startTime, sum.startTime) ? sum.startTime : startTime,
      endTime: isAtLeast(endTime, sum.endTime) ? endTime : sum.endTime,
      readings: sum.readings + readings,
      firstSequence: Math.min(firstSequence, sum.firstSequence),
      lastSequence: Math.max(lastSequence, sum.lastSequence),
    }),
    first,
  );
  return [...losses.filter(({ reason }) => reason !== 'destroyed'), ...destroyed.slice(0, DESTROYED_MAX), all];
}

const WORDS: Readonly<Record<LossReason, string>> = {
  thinned: 'samples were merged into wider intervals at the gateway: its log was full',
  dropped: 'readings were dropped at the gateway: its log was full',
  destroyed: "readings of this gateway's machines were destroyed in its log by damage to the disk",
};

/** Where the neighbours of a destroyed range do not tell how many it held. */
const UNKNOWN_NUMBER = "an unknown number of readings of this gateway's machines was destroyed in its log by damage";

function gapEvent(loss: Loss, machineId: string, timestamp: string): MachineEvent {
  return {
    machine_id: machineId,
    timestamp,
    kind: 'event',
    event_type: 'gap',
    text: loss.readings === 0 ? UNKNOWN_NUMBER : `${loss.readings} ${WORDS[loss.reason]}`,
    details: {
      reason: loss.reason,
      start_time: loss.startTime,
      end_time: loss.endTime,
      readings: loss.readings,
      first_sequence: loss.firstSequence,
      last_sequence: loss.lastSequence,
      sinks: [...loss.sinks],
    },
  };
}

/**
 * Tells by `gap` events what the log has lost: readings that it had to give up because it was full, and batches that
 * damage has destroyed. An event goes into the log as a batch of its own, and only then counts the loss as told.
 */
import { type Clock, now } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { DurableLog } from '../log/log.ts';
import type { Loss, LossReason } from '../log/losses.ts';
import { encodeFrame } from '../model/frame.ts';
import type { MachineEvent } from '../model/reading.ts';

/** How often it is looked whether there is something to tell: a log that stays full loses something each time. */
export const TELL_INTERVAL_MS = 60_000;

export interface GapTellerOptions {
  readonly log: Pick<DurableLog, 'hasLosses' | 'takeLosses' | 'lossesTold' | 'append'>;
  /** Whose readings may be in a batch that nobody can read any more. */
  readonly machineIds: readonly string[];
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
      // It stays untold and is tried again; the log itself says why it cannot be written.
      logger.debug('the losses of the log could not be told', { error });
    }
    if (isLast) return;
    await clock.sleep(TELL_INTERVAL_MS, signal);
  }
}

async function tellAll({ log, machineIds, clock }: GapTellerOptions): Promise<void> {
  const losses = await log.takeLosses();
  const timestamp = now(clock);
  const events = losses.flatMap((loss) => {
    const machines = loss.machineId === null ? machineIds : [loss.machineId];
    return machines.map((machineId) => encodeFrame(gapEvent(loss, machineId, timestamp)));
  });
  if (events.length > 0) await log.append(new Uint8Array(Buffer.concat(events)), events.length);
  await log.lossesTold();
}

const WORDS: Readonly<Record<LossReason, string>> = {
  thinned: 'samples were merged into wider intervals at the gateway: its log was full',
  dropped: 'readings were dropped at the gateway: its log was full',
  destroyed: "readings of this gateway's machines were destroyed in its log by damage to the disk",
};

/** What stood at the damaged end of a log is not known. */
const END_DESTROYED = "damage to the end of the gateway's log: readings may be lost";

function gapEvent(loss: Loss, machineId: string, timestamp: string): MachineEvent {
  return {
    machine_id: machineId,
    timestamp,
    kind: 'event',
    event_type: 'gap',
    text: loss.readings === 0 ? END_DESTROYED : `${loss.readings} ${WORDS[loss.reason]}`,
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

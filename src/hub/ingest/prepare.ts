/** From the bytes of messages to rows and changes, before the database is asked. Pure but for the encoder's memory. */
import { batchKey } from '../../model/batch.ts';
import { decodeMessage, type FrameFault } from '../../model/frame.ts';
import { kindOf, type MachineEvent, type Reading, type Sample } from '../../model/reading.ts';
import { MachineChange } from '../store/current.ts';
import type { Consignment, Identity, Parcel } from '../store/parcel.ts';
import type { DeadLetterRow, EncodedRows, RowEncoder } from '../store/rows.ts';

/** A message as it came, from whatever transport. */
export interface Message {
  readonly identity: Identity;
  readonly payload: Uint8Array;
  /** Set when the payload cannot be understood at all: why. It becomes one dead letter. */
  readonly fault?: string;
}

/** Of one message, at most this many refused parts are kept one by one; the rest are kept as one. */
export const DEAD_LETTERS_PER_MESSAGE_MAX = 1_000;
/** How many reasons an answer tells. */
export const REASONS_TOLD_MAX = 5;

/** Whether somebody watches that machine's every reading. */
export type IsWatched = (machineId: string) => boolean;

export function prepare(messages: readonly Message[], encoder: RowEncoder, isWatched: IsWatched): Consignment {
  const changes = new Map<string, MachineChange>();
  return { parcels: messages.map((message) => prepareMessage(message, encoder, isWatched, changes)), changes };
}

function prepareMessage(
  message: Message,
  encoder: RowEncoder,
  isWatched: IsWatched,
  changes: Map<string, MachineChange>,
): Parcel {
  if (message.fault !== undefined) return refuseWhole(message, message.fault, encoder);
  const { readings, faults } = decodeMessage(message.payload);
  return prepareReadings(message, { readings, faults }, encoder, isWatched, changes);
}

/** As {@link prepare}, for a message whose readings are at hand. */
export function prepareReadings(
  { identity, payload }: Message,
  { readings, faults }: { readings: readonly Reading[]; faults: readonly FrameFault[] },
  encoder: RowEncoder,
  isWatched: IsWatched,
  changes: Map<string, MachineChange>,
): Parcel {
  const samples: Sample[] = [];
  const events: MachineEvent[] = [];
  for (const reading of readings) {
    encoder.add(reading);
    addChange(changes, reading);
    const kind = kindOf(reading);
    if (kind === 'event') events.push(reading as MachineEvent);
    else if (kind === 'sample' && isWatched(reading.machine_id)) samples.push(reading as Sample);
  }
  for (const letter of deadLetters(identity, payload, faults)) encoder.addDeadLetter(letter);
  const refused = faults.slice(0, REASONS_TOLD_MAX).map(({ offset, reason }) => {
    return { place: placeOf(identity, offset), reason };
  });
  const { rows, rowsBytes } = takeRows(encoder);
  return {
    identity,
    payload,
    readings: readings.length,
    deadLetters: faults.length,
    refused,
    rows,
    rowsBytes,
    samples,
    events,
  };
}

/** A parcel that keeps the whole message as one dead letter. */
export function refuseWhole({ identity, payload }: Message, reason: string, encoder: RowEncoder): Parcel {
  const faults = [{ offset: 0, reason, bytes: payload }];
  return prepareReadings({ identity, payload }, { readings: [], faults }, encoder, () => false, new Map());
}

/** What parcels say of each machine, worked out again from their messages. */
export function changesOf(parcels: readonly Parcel[]): Map<string, MachineChange> {
  const changes = new Map<string, MachineChange>();
  for (const { payload, readings } of parcels) {
    if (readings > 0) for (const reading of decodeMessage(payload).readings) addChange(changes, reading);
  }
  return changes;
}

function addChange(changes: Map<string, MachineChange>, reading: Reading): void {
  let change = changes.get(reading.machine_id);
  if (change === undefined) {
    change = new MachineChange();
    changes.set(reading.machine_id, change);
  }
  change.add(reading);
}

function takeRows(encoder: RowEncoder): { rows: EncodedRows; rowsBytes: number } {
  const rows = encoder.take();
  let rowsBytes = 0;
  for (const pieces of Object.values(rows)) for (const piece of pieces) rowsBytes += piece.length;
  return { rows, rowsBytes };
}

function deadLetters(identity: Identity, payload: Uint8Array, faults: readonly FrameFault[]): DeadLetterRow[] {
  const origin =
    identity.kind === 'batch'
      ? { gatewayId: identity.gatewayId, epoch: identity.epoch, sequence: identity.sequence }
      : { gatewayId: null, epoch: null, sequence: null };
  const letters = faults
    .slice(0, DEAD_LETTERS_PER_MESSAGE_MAX)
    .map(({ reason, bytes }) => ({ ...origin, reason, bytes }));
  const next = faults[DEAD_LETTERS_PER_MESSAGE_MAX];
  if (next !== undefined) {
    const reason = `${faults.length - DEAD_LETTERS_PER_MESSAGE_MAX} more parts of the message, the first: ${next.reason}`;
    letters.push({ ...origin, reason, bytes: payload.subarray(next.offset) });
  }
  return letters;
}

function placeOf(identity: Identity, offset: number): string {
  const message = identity.kind === 'batch' ? `batch ${batchKey(identity)}` : 'message';
  return `${message}, byte ${offset}`;
}

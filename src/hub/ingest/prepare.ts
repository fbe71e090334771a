/** From the bytes of messages to rows and changes, before the database is asked. Pure but for the encoder's memory. */
import { messageOf } from '../../base/errors.ts';
import { batchKey } from '../../model/batch.ts';
import { decodeMessage, type FrameFault } from '../../model/frame.ts';
import type { MachineEvent, Reading, Sample } from '../../model/reading.ts';
import { MachineChange } from '../store/current.ts';
import type { Consignment, Contents, Identity, Parcel } from '../store/parcel.ts';
import type { DeadLetterRow, RowEncoder } from '../store/rows.ts';

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

/** What a message holds, decoded. */
interface Opened {
  readonly readings: readonly Reading[];
  readonly faults: readonly FrameFault[];
}

/**
 * Never throws for what is in a message: one that we fail at, by a defect of ours, becomes a message with a fault. It would be
 * tried again for ever otherwise, and hold up all that comes after it.
 */
export function prepare(messages: readonly Message[], encoder: RowEncoder, isWatched: IsWatched): Consignment {
  try {
    return prepareSound(messages, encoder, isWatched);
  } catch {
    encoder.take();
    const sound = messages.map((message) => soundOrRefused(message, encoder));
    return prepareSound(sound, encoder, isWatched);
  }
}

function prepareSound(messages: readonly Message[], encoder: RowEncoder, isWatched: IsWatched): Consignment {
  const gathering = new Gathering(encoder, isWatched);
  const parcels = messages.map((message) => gathering.add(message, open(message)));
  return { parcels, ...gathering.end() };
}

/** Leaves nothing in the encoder, not even the part of a row at which it failed. */
function soundOrRefused(message: Message, encoder: RowEncoder): Message {
  try {
    prepareSound([message], encoder, () => false);
    return message;
  } catch (error) {
    encoder.take();
    return { ...message, fault: ownFault(error) };
  }
}

/** For the dead letters: what is no fault of the message. */
export function ownFault(error: unknown): string {
  return `the hub fails at it, by a defect of its own: ${messageOf(error)}`;
}

/** As {@link prepare}, for one message whose readings are at hand. */
export function prepareOpened(message: Message, opened: Opened, encoder: RowEncoder): Consignment {
  const gathering = new Gathering(encoder, () => false);
  const parcel = gathering.add(message, opened);
  return { parcels: [parcel], ...gathering.end() };
}

/** Keeps the whole message as one dead letter. */
export function refuseWhole({ identity, payload }: Message, fault: string, encoder: RowEncoder): Consignment {
  const message = { identity, payload, fault };
  return prepareOpened(message, open(message), encoder);
}

function open({ payload, fault }: Message): Opened {
  return fault === undefined
    ? decodeMessage(payload)
    : { readings: [], faults: [{ offset: 0, reason: fault, bytes: payload }] };
}

/** Rows and changes of messages, one after the other. */
class Gathering {
  readonly #encoder: RowEncoder;
  readonly #isWatched: IsWatched;
  readonly #changes = new Map<string, MachineChange>();
  readonly #samples: Sample[] = [];
  readonly #events: MachineEvent[] = [];

  constructor(encoder: RowEncoder, isWatched: IsWatched) {
    this.#encoder = encoder;
    this.#isWatched = isWatched;
  }

  add({ identity, payload, fault }: Message, { readings, faults }: Opened): Parcel {
    for (const reading of readings) this.#addReading(reading);
    const common = { identity, payload, ...(fault !== undefined && { fault }), readings: readings.length };
    if (faults.length === 0) return { ...common, deadLetters: 0, refused: NONE };
    for (const letter of deadLetters(identity, payload, faults)) this.#encoder.addDeadLetter(letter);
    const refused = faults.slice(0, REASONS_TOLD_MAX).map(({ offset, reason }) => {
      return { place: placeOf(identity, offset), reason };
    });
    return { ...common, deadLetters: faults.length, refused };
  }

  end(): Contents {
    const rows = this.#encoder.take();
    let rowsBytes = 0;
    for (const pieces of Object.values(rows)) for (const piece of pieces) rowsBytes += piece.length;
    return { rows, rowsBytes, changes: this.#changes, samples: this.#samples, events: this.#events };
  }

  #addReading(reading: Reading): void {
    this.#encoder.add(reading);
    const machineId = reading.machine_id;
    let change = this.#changes.get(machineId);
    if (change === undefined) this.#changes.set(machineId, (change = new MachineChange()));
    change.add(reading);
    if (reading.kind === 'event') this.#events.push(reading);
    else if (reading.kind !== 'measurement' && this.#isWatched(machineId)) this.#samples.push(reading);
  }
}

const NONE: Parcel['refused'] = [];

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
  const message = identity.kind === 'batch' ? `batch ${batchKey(identity)}` : messageName(identity);
  return `${message}, byte ${offset}`;
}

function messageName(identity: Identity): string {
  return identity.kind === 'stream' ? `message ${identity.sequence} of stream ${identity.stream}` : 'message';
}

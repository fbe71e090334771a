/** What is handed to the database at once: messages with their identities, decoded, checked and encoded as rows. */
import type { BatchId } from '../../model/batch.ts';
import type { MachineEvent, Sample } from '../../model/reading.ts';
import type { MachineChange } from './current.ts';
import type { EncodedRows } from './rows.ts';

/** By what a message is recognized when it comes again. */
export type Identity =
  | ({ readonly kind: 'batch' } & BatchId)
  /** Its place in a JetStream stream. `epoch` is of the stream's life: the time of its creation. */
  | { readonly kind: 'stream'; readonly stream: string; readonly epoch: string; readonly sequence: number }
  /** Any other text, remembered for `rememberSeconds`. */
  | { readonly kind: 'key'; readonly key: string; readonly rememberSeconds: number };

export interface Parcel {
  readonly identity: Identity;
  /** The message itself, to be decoded again in the rare cases that need its readings. */
  readonly payload: Uint8Array;
  /** Set when the payload cannot be understood at all: why. It is kept as one dead letter. */
  readonly fault?: string;
  /** Readings that can be stored. */
  readonly readings: number;
  readonly deadLetters: number;
  /** The first few reasons. */
  readonly refused: readonly { readonly place: string; readonly reason: string }[];
}

/** What parcels hold, as it goes to the database and to the live stream. */
export interface Contents {
  readonly rows: EncodedRows;
  readonly rowsBytes: number;
  /** What they say of each machine. */
  readonly changes: ReadonlyMap<string, MachineChange>;
  /** For the live stream: samples of machines that somebody watches, and all events. */
  readonly samples: readonly Sample[];
  readonly events: readonly MachineEvent[];
}

/** Messages that came together, and what all of them hold. */
export interface Consignment extends Contents {
  readonly parcels: readonly Parcel[];
}

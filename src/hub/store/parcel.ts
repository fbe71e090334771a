/** What is handed to the database at once: a message with its identity, decoded, checked and encoded as rows. */
import type { BatchId } from '../../model/batch.ts';
import type { MachineEvent, Sample } from '../../model/reading.ts';
import type { MachineChange } from './current.ts';
import type { EncodedRows } from './rows.ts';

/** By what a message is recognized when it comes again. */
export type Identity =
  | ({ readonly kind: 'batch' } & BatchId)
  /** Any other text, remembered for `rememberSeconds`. */
  | { readonly kind: 'key'; readonly key: string; readonly rememberSeconds: number };

export interface Parcel {
  readonly identity: Identity;
  /** The message itself, to be decoded again in the rare cases that need its readings. */
  readonly payload: Uint8Array;
  /** Readings in `rows`. */
  readonly readings: number;
  readonly deadLetters: number;
  /** The first few reasons. */
  readonly refused: readonly { readonly place: string; readonly reason: string }[];
  readonly rows: EncodedRows;
  readonly rowsBytes: number;
  /** For the live stream: samples of machines that somebody watches, and all events. */
  readonly samples: readonly Sample[];
  readonly events: readonly MachineEvent[];
}

/** Messages that came together, and what all of them say of each machine. */
export interface Consignment {
  readonly parcels: readonly Parcel[];
  readonly changes: ReadonlyMap<string, MachineChange>;
}

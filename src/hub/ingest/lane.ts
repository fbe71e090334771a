/**
 * One connection to the database, and the transactions on it, one at a time.
 *
 * What the database refuses as data is searched by halves until the guilty reading is found, and that becomes a dead
 * letter; so does a message at which the hub itself fails. What is too much for the database at once is stored by halves as
 * well: the same again would be too much again. All other trouble is the caller's, who tries again.
 */
import type { Client } from 'pg';
import { type Clock, now } from '../../base/clock.ts';
import { isDefect, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import { decodeMessage, encodeFrame, FRAME_HEADER_BYTES, type FrameFault } from '../../model/frame.ts';
import type { MachineEvent, Reading, Sample } from '../../model/reading.ts';
import { faultKind, isTooMuch } from '../store/connection.ts';
import type { Consignment, Parcel } from '../store/parcel.ts';
import type { RowEncoder } from '../store/rows.ts';
import { probeRows, writeConsignments, type Written } from '../store/writer.ts';
import { type IsWatched, ownFault, prepare, prepareOpened, refuseWhole } from './prepare.ts';

/** What was committed, for those who want to see it live. */
export interface Committed {
  readonly machines: readonly string[];
  readonly samples: readonly Sample[];
  readonly events: readonly MachineEvent[];
}

export interface LaneParts {
  /** A new connection, not yet connected. */
  readonly connection: (onLost: (error: Error) => void) => Client;
  readonly isWatched: IsWatched;
  readonly encoder: RowEncoder;
  /** Called after each commit. */
  readonly committed: (written: Written, parcels: number, seconds: number) => void;
  readonly clock: Clock;
  readonly log: Logger;
  /** A transaction that takes longer is given up with its connection. */
  readonly transactionMsMax: number;
}

/** A parcel and what was kept of it; nothing when it was there before. */
export interface Outcome {
  readonly parcel: Parcel;
  readonly kept: Parcel | undefined;
}

/** Of one message, the database may refuse this many readings before the whole message is put aside. */
const REFUSED_READINGS_MAX = 100;

export class Lane {
  readonly #parts: LaneParts;
  #client: Client | undefined;

  constructor(parts: LaneParts) {
    this.#parts = parts;
  }

  /** One transaction, or as many as it takes to find what the database refuses. */
  async store(consignments: readonly Consignment[]): Promise<ReadonlyMap<Parcel, Outcome>> {
    const outcomes = new Map<Parcel, Outcome>();
    for (const outcome of await this.#storeOrDivide(consignments)) outcomes.set(outcome.parcel, outcome);
    return outcomes;
  }

  async #storeOrDivide(consignments: readonly Consignment[]): Promise<Outcome[]> {
    try {
      return await this.#transact(consignments);
    } catch (error) {
      const isRefused = isLasting(error);
      if (!isRefused && !isTooMuch(error)) throw error;
      const parcels = consignments.flatMap((consignment) => consignment.parcels);
      const middle = Math.floor(parcels.length / 2);
      if (middle > 0) {
        return [
          ...(await this.#storeOrDivide([this.#prepareAgain(parcels.slice(0, middle))])),
          ...(await this.#storeOrDivide([this.#prepareAgain(parcels.slice(middle))])),
        ];
      }
      if (!isRefused) throw error;
      const [only] = parcels;
      return only === undefined ? [] : [await this.#repair(only, error)];
    }
  }

  /** Parcels without those that came with them. */
  #prepareAgain(parcels: readonly Parcel[]): Consignment {
    return { ...prepare(parcels, this.#parts.encoder, this.#parts.isWatched), parcels };
  }

  async #transact(consignments: readonly Consignment[]): Promise<Outcome[]> {
    const started = this.#parts.clock.monotonicMs();
    const written = await this.#withClient((client) => {
      const again = (parcels: readonly Parcel[]): Consignment => this.#prepareAgain(parcels);
      return writeConsignments(client, consignments, { prepareAgain: again, now: now(this.#parts.clock) });
    });
    const parcels = consignments.flatMap((consignment) => consignment.parcels);
    this.#parts.committed(written, parcels.length, (this.#parts.clock.monotonicMs() - started) / 1000);
    return parcels.map((parcel) => ({ parcel, kept: written.stored.has(parcel) ? parcel : undefined }));
  }

  /** Stores what the database takes of a message, and the rest as dead letters with the database's reason. */
  async #repair(parcel: Parcel, error: unknown): Promise<Outcome> {
    const { readings, faults } = decodeMessage(parcel.payload);
    const refused = new Map<Reading, string>();
    await this.#findRefused(readings, refused);
    this.#parts.log.warn('readings are refused as data; they are in the dead letters', {
      error,
      readings: refused.size,
    });
    // Where none is refused alone, the same once more: what was wrong may have passed.
    if (refused.size <= REFUSED_READINGS_MAX) {
      const taken = readings.filter((reading) => !refused.has(reading));
      const allFaults: FrameFault[] = [...faults];
      for (const [reading, reason] of refused) {
        const bytes = encodeFrame(reading).subarray(FRAME_HEADER_BYTES);
        allFaults.push({ offset: 0, reason, bytes });
      }
      try {
        const repaired = prepareOpened(parcel, { readings: taken, faults: allFaults }, this.#parts.encoder);
        return await this.#transactOne(parcel, repaired);
      } catch (again) {
        if (!isLasting(again)) throw again;
      }
    }
    const whole = refuseWhole(parcel, reasonOf(error), this.#parts.encoder);
    return await this.#transactOne(parcel, whole);
  }

  /** The outcome is told of the parcel as it came. */
  async #transactOne(parcel: Parcel, instead: Consignment): Promise<Outcome> {
    const [outcome] = await this.#transact([instead]);
    return { parcel, kept: outcome?.kept };
  }

  /** By halves; stops when more are found than are worth it. */
  async #findRefused(readings: readonly Reading[], refused: Map<Reading, string>): Promise<void> {
    if (readings.length === 0 || refused.size > REFUSED_READINGS_MAX) return;
    for (const reading of readings) this.#parts.encoder.add(reading);
    const rows = this.#parts.encoder.take();
    try {
      await this.#withClient((client) => probeRows(client, rows));
    } catch (error) {
      if (!isLasting(error)) throw error;
      const [first] = readings;
      if (readings.length === 1 && first !== undefined) {
        refused.set(first, reasonOf(error));
        return;
      }
      const middle = Math.floor(readings.length / 2);
      await this.#findRefused(readings.slice(0, middle), refused);
      await this.#findRefused(readings.slice(middle), refused);
    }
  }

  /** With a connection, made where there is none; a server that does not answer at all loses it. */
  async #withClient<Result>(work: (client: Client) => Promise<Result>): Promise<Result> {
    const client = this.#client ?? (await this.#connect());
    const impatience = setTimeout(() => client.end(() => {}), this.#parts.transactionMsMax);
    try {
      return await work(client);
    } finally {
      clearTimeout(impatience);
    }
  }

  async #connect(): Promise<Client> {
    const client = this.#parts.connection((error) => {
      this.#parts.log.debug('the connection for writing was lost', { error });
      if (this.#client === client) this.#client = undefined;
    });
    await client.connect();
    this.#client = client;
    return client;
  }

  /** The next transaction makes a new connection. What is under way fails. */
  disconnect(): void {
    const client = this.#client;
    this.#client = undefined;
    client?.end(() => {});
  }

  async close(): Promise<void> {
    await this.#client?.end().catch(() => undefined);
  }
}

/** The same again would fail again, whether the database refuses the data or we fail at it ourselves. */
function isLasting(error: unknown): boolean {
  return faultKind(error) === 'data' || isDefect(error);
}

function reasonOf(error: unknown): string {
  return isDefect(error) ? ownFault(error) : `the database refuses it: ${messageOf(error)}`;
}

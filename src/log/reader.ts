/**
 * Reads batches back from the segments, from any sequence on, and passes over what is damaged.
 *
 * One read of the disk at a time: they share one window of memory, and a segment is never deleted under a reader.
 */
import type { Clock } from '../base/clock.ts';
import type { FileHandle, Files } from '../base/files.ts';
import { isSystemError } from '../base/node-files.ts';
import { RECORD_HEADER_BYTES, type SegmentHeader } from './format.ts';
import type { ReadLimits, StoredBatch } from './hot.ts';
import type { Quarantine } from './quarantine.ts';
import { IDENTITY_NAME } from './recovery.ts';
import { BlockCache, type ScannedDamage, type ScannedRecord, SegmentScanner, WINDOW_BYTES } from './scanner.ts';
import type { Place, Segment, Segments } from './segments.ts';

/** Places where reads have stopped, so that the next one goes on there: one or two for each sink. */
const STOPS_MAX = 16;

/** Where a batch stands in the log, without its payload. */
export interface BatchPlace {
  readonly sequence: number;
  readonly appendedAtMicros: number;
  /** Readings appended to the log before this batch, and up to and with it. */
  readonly readingsBefore: number;
  readonly readingsThrough: number;
}

export interface ReaderOptions {
  readonly files: Files;
  readonly folder: string;
  readonly segments: Segments;
  readonly quarantine: Quarantine;
  readonly clock: Clock;
  /** The newest batch that may be read. */
  readonly lastSequence: () => number;
}

type Visit = (record: ScannedRecord, header: SegmentHeader) => 'go on' | 'stop' | 'stop after';

export class Reader {
  readonly #options: ReaderOptions;
  #window: Buffer | undefined;
  readonly #blocks = new BlockCache();
  #stops: { segment: Segment; place: Place }[] = [];
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  /** Rejects only when a file cannot be read. */
  read(from: number, limits: ReadLimits): Promise<StoredBatch[]> {
    return this.exclusively(() => this.#read(from, limits));
  }

  /** The first batch at or after `sequence`; undefined when there is none. Looks at headers only. */
  placeOf(sequence: number): Promise<BatchPlace | undefined> {
    return this.exclusively(async () => {
      let place: BatchPlace | undefined;
      await this.#walk(sequence, { payloads: false }, ({ header }) => {
        const { readings, readingsTotal, appendedAtMicros } = header;
        const counts = { readingsBefore: readingsTotal - readings, readingsThrough: readingsTotal };
        place = { sequence: header.sequence, appendedAtMicros, ...counts };
        return 'stop';
      });
      return place;
    });
  }

  /** Runs while no read is under way. */
  exclusively<Value>(action: () => Promise<Value>): Promise<Value> {
    const result = this.#turn.then(action);
    this.#turn = result.catch(() => {});
    return result;
  }

  async #read(from: number, { batchesMax, bytesMax }: ReadLimits): Promise<StoredBatch[]> {
    const batches: StoredBatch[] = [];
    let bytes = 0;
    await this.#walk(from, { payloads: true }, ({ header, payload }, { epoch }) => {
      bytes += payload.length;
      if (batches.length > 0 && bytes > bytesMax) return 'stop';
      const { sequence, readings, appendedAtMicros } = header;
      batches.push({ epoch, sequence, readings, appendedAtMicros, payload: new Uint8Array(payload) });
      return batches.length < batchesMax ? 'go on' : 'stop after';
    });
    return batches;
  }

  /** Shows the records from `from` on, in order, until told to stop. */
  async #walk(from: number, { payloads }: { payloads: boolean }, visit: Visit): Promise<void> {
    const { segments, lastSequence, quarantine } = this.#options;
    const wanted = quarantine.passOver(from);
    for (const segment of segments.from(wanted)) {
      const last = segments.lastSequenceOf(segment, lastSequence());
      if (last >= wanted && (await this.#walkSegment(segment, { from: wanted, last, payloads, visit }))) return;
    }
  }

  /** @returns whether the visitor has stopped */
  async #walkSegment(
    segment: Segment,
    {
      from,
      last,
      payloads,
      visit,
    }: {
      from: number;
      last: number;
      payloads: boolean;
      visit: Visit;
    },
  ): Promise<boolean> {
    const { files, folder, quarantine, clock } = this.#options;
    if (payloads) segment.readAtMs = clock.monotonicMs();
    const place = this.#nearest(segment, from);
    const end = segment.bytes;
    this.#window ??= Buffer.allocUnsafeSlow(WINDOW_BYTES);
    const handle = await openIfThere(files, folder, segment.name);
    const destroyed = async (first: number, through: number, pieces: readonly ScannedDamage[]): Promise<void> => {
      const reason = pieces[0]?.reason ?? 'they are missing';
      const about = { first, last: through, batches: through - first + 1, segment: segment.name, reason, pieces };
      await quarantine.add(about, handle);
    };
    if (handle === undefined) {
      await destroyed(Math.max(from, segment.firstSequence), last, []);
      return false;
    }
    try {
      const scanner = new SegmentScanner({
        handle,
        start: place.offset,
        end,
        seed: segment.seed,
        sequenceAfter: place.after,
        sequenceMax: last,
        from,
        payloads,
        window: this.#window,
        blocks: this.#blocks,
      });
      let expected = place.after + 1;
      let damage: ScannedDamage[] = [];
      for (let item = await scanner.next(); item !== undefined; item = await scanner.next()) {
        if (item.kind === 'damage') {
          damage.push(item);
          continue;
        }
        const first = item.kind === 'block' ? item.header.firstSequence : item.header.sequence;
        if (first >= expected) segment.note(first - 1, item.offset);
        // What the visitor wants is settled first: telling of damage may fail.
        const todo = item.kind === 'block' || item.header.sequence < from ? 'go on' : visit(item, segment.header);
        if (first > expected) await destroyed(expected, first - 1, damage);
        damage = [];
        // All numbers of a block are accounted for by it, whether or not they have a record.
        expected = Math.max(expected, item.kind === 'block' ? item.header.lastSequence + 1 : first + 1);
        if (todo === 'go on' || item.kind === 'block') continue;
        this.#stopAt(segment, placeToGoOn(item, todo));
        return true;
      }
      if (expected <= last) await destroyed(expected, last, damage);
      return false;
    } finally {
      await handle.close();
    }
  }

  #nearest(segment: Segment, from: number): Place {
    let nearest = segment.placeOf(from);
    for (const { segment: other, place } of this.#stops) {
      if (other === segment && place.after < from && place.after > nearest.after) nearest = place;
    }
    return nearest;
  }

  #stopAt(segment: Segment, place: Place): void {
    this.#stops.push({ segment, place });
    if (this.#stops.length > STOPS_MAX) this.#stops.shift();
  }
}

/** Where the next read finds what follows; within a block, it begins at the block again. */
function placeToGoOn({ header, offset, block }: ScannedRecord, todo: 'stop' | 'stop after'): Place {
  if (block !== undefined) return { after: block.firstSequence - 1, offset };
  const { sequence, payloadBytes } = header;
  return todo === 'stop'
    ? { after: sequence - 1, offset }
    : { after: sequence, offset: offset + RECORD_HEADER_BYTES + payloadBytes };
}

/**
 * Somebody may have deleted a segment: then its batches are lost, but those after it are not. Where the log's identity
 * is not there either, the whole folder is away (a disk that was pulled, a mount that dropped) and may come back: nothing
 * is known to be lost, and the read fails.
 */
async function openIfThere(files: Files, folder: string, name: string): Promise<FileHandle | undefined> {
  try {
    return await files.open(`${folder}/${name}`, 'read');
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error;
    await (await files.open(`${folder}/${IDENTITY_NAME}`, 'read')).close();
    return undefined;
  }
}

/**
 * What damage has destroyed: which sequences, how many batches, and their bytes, kept for a person to look at.
 *
 * The names of the files are the memory: after a restart the same damage is not counted again.
 */
import type { Clock } from '../base/clock.ts';
import { now } from '../base/clock.ts';
import type { FileHandle, Files } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';

/** Beyond the first, damage is written down without its bytes; beyond the second, the oldest that was told is deleted. */
export const QUARANTINE_BYTES_MAX: number = 64 * 1024 * 1024;
export const QUARANTINE_FILES_MAX = 1000;
/** Bytes copied of one piece of damage: more than the longest record. */
const PIECE_BYTES_MAX: number = 8 * 1024 * 1024;
const COPY_BYTES: number = 256 * 1024;

export interface SequenceRange {
  readonly first: number;
  readonly last: number;
}

export interface Destroyed extends SequenceRange {
  /** How many batches are known to be gone; fewer than the numbers when numbers were abandoned. */
  readonly batches: number;
  readonly reason: string;
  readonly segment: string;
  /** Where the bytes are; none when the file has lost them. */
  readonly pieces: readonly { readonly offset: number; readonly bytes: number }[];
}

export interface QuarantineOptions {
  readonly files: Files;
  /** The log's folder. */
  readonly folder: string;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Quarantine {
  readonly #options: QuarantineOptions;
  readonly #folder: string;
  #ranges: SequenceRange[] = [];
  /** Found, and not told by a `gap` event yet. */
  #untold: (SequenceRange & { batches: number })[] = [];
  /** Known, but not written down yet, because the disk would not. */
  #unkept: Destroyed[] = [];
  #batches = 0;
  #bytes = 0;
  #filesKept = 0;

  constructor(options: QuarantineOptions) {
    this.#options = options;
    this.#folder = quarantineFolder(options.folder);
  }

  /** Batches destroyed, as far as they have been found. */
  get batches(): number {
    return this.#batches;
  }

  /** Reads what was found before. */
  async load(): Promise<void> {
    const { files } = this.#options;
    for (const name of await files.list(this.#folder)) {
      const handle = await files.open(`${this.#folder}/${name}`, 'read');
      const bytes = await handle.size();
      await handle.close();
      this.#bytes += bytes;
      this.#filesKept += 1;
      const known = parseQuarantineName(name);
      if (known === undefined) continue;
      this.#batches += known.batches;
      this.#insert(known);
      if (!known.isTold && known.batches > 0) this.#untold.push(known);
    }
  }

  /** The first sequence at or after this one that is not known to be destroyed. */
  passOver(sequence: number): number {
    const range = this.#ranges.find(({ first, last }) => first <= sequence && sequence <= last);
    return range === undefined ? sequence : range.last + 1;
  }

  /**
   * Counts, logs and keeps what of the range was not known before. Never rejects: damage must not stop a reader.
   * @returns whether all that is known will still be known after a restart
   */
  async add(destroyed: Destroyed, handle: FileHandle | undefined): Promise<boolean> {
    for (const range of unknownParts(destroyed, this.#ranges)) {
      const numbers = range.last - range.first + 1;
      const part = { ...destroyed, ...range, batches: Math.min(destroyed.batches, numbers) };
      this.#insert(range);
      this.#batches += part.batches;
      const { segment, reason } = part;
      const { log } = this.#options;
      if (part.batches === 0) {
        log.info('numbers of batches are passed over', { first: part.first, last: part.last, reason });
        await this.#keepOrLater(part, undefined);
        continue;
      }
      this.#untold.push(part);
      log.error(`${part.batches} batch(es) of the log are destroyed: sequences ${part.first} to ${part.last}`, {
        segment,
        reason,
      });
      await this.#keepOrLater(part, handle);
    }
    for (const part of this.#unkept.splice(0)) await this.#keepOrLater(part, undefined);
    return this.#unkept.length === 0;
  }

  async #keepOrLater(part: Destroyed, handle: FileHandle | undefined): Promise<void> {
    try {
      await this.#keep(part, handle);
    } catch (error) {
      const { segment } = part;
      if (handle !== undefined) {
        this.#options.log.warn('the bytes of destroyed batches could not be kept', { segment, error });
      }
      this.#unkept.push(part);
    }
  }

  get untold(): readonly (SequenceRange & { readonly batches: number })[] {
    return this.#untold;
  }

  /** A `gap` event tells of them. The files' names remember it. */
  async told(ranges: readonly (SequenceRange & { readonly batches: number })[]): Promise<void> {
    const { files } = this.#options;
    const names = await files.list(this.#folder);
    for (const range of ranges) {
      const name = quarantineName(range);
      if (names.includes(name)) await files.rename(`${this.#folder}/${name}`, `${this.#folder}/${toldName(name)}`);
    }
    this.#untold = this.#untold.filter((one) => !ranges.includes(one));
    await files.syncFolder(this.#folder);
  }

  /** Moves a segment away whole; its numbers are the caller's to abandon. */
  async takeFile(name: string, reason: string): Promise<void> {
    const { files, folder, log } = this.#options;
    log.error('a segment of the log cannot be used and is moved to its quarantine', { segment: name, reason });
    await files.rename(`${folder}/${name}`, `${this.#folder}/${name}`);
    await files.syncFolder(this.#folder);
    await files.syncFolder(folder);
  }

  async #keep(part: Destroyed, handle: FileHandle | undefined): Promise<void> {
    const { files, clock } = this.#options;
    if (this.#filesKept >= QUARANTINE_FILES_MAX) await this.#removeOldestTold();
    // Without room the range is still written down, only its bytes are not kept.
    const wanted = part.pieces.reduce((sum, { bytes }) => sum + Math.min(bytes, PIECE_BYTES_MAX), 0);
    const pieces = handle === undefined || this.#bytes + wanted > QUARANTINE_BYTES_MAX ? [] : part.pieces;
    const about = { ...part, found_at: now(clock) };
    const path = `${this.#folder}/${quarantineName(part)}`;
    await files.remove(path);
    const copy = await files.open(path, 'create');
    try {
      const line = Buffer.from(`${JSON.stringify(about)}\n`);
      await copy.write([line], 0);
      let position = line.length;
      for (const piece of pieces) {
        if (handle !== undefined) position += await copyBytes(handle, copy, { ...piece, position });
      }
      await copy.datasync();
      this.#bytes += position;
      this.#filesKept += 1;
    } finally {
      await copy.close();
    }
    await files.syncFolder(this.#folder);
  }

  async #removeOldestTold(): Promise<void> {
    const { files } = this.#options;
    const told = (await files.list(this.#folder)).filter((name) => name.endsWith(TOLD_SUFFIX)).sort();
    if (told[0] === undefined) return;
    await files.remove(`${this.#folder}/${told[0]}`);
    this.#filesKept -= 1;
  }

  /** Keeps the ranges sorted, and joined where they touch. */
  #insert(range: SequenceRange): void {
    const sorted = [...this.#ranges, range].sort((a, b) => a.first - b.first);
    const joined: SequenceRange[] = [];
    for (const next of sorted) {
      const before = joined.at(-1);
      if (before !== undefined && next.first <= before.last + 1) {
        joined[joined.length - 1] = { first: before.first, last: Math.max(before.last, next.last) };
      } else {
        joined.push({ first: next.first, last: next.last });
      }
    }
    this.#ranges = joined;
  }

  /** Ranges below the oldest batch kept need not be passed over any more. */
  forget(belowSequence: number): void {
    this.#ranges = this.#ranges.filter(({ last }) => last >= belowSequence);
  }
}

/** What of the range is in none of the known ones, which are in the order of their first numbers. */
export function unknownParts({ first, last }: SequenceRange, knownRanges: readonly SequenceRange[]): SequenceRange[] {
  const parts: SequenceRange[] = [];
  let from = first;
  for (const known of knownRanges) {
    if (known.last < from || known.first > last) continue;
    if (known.first > from) parts.push({ first: from, last: known.first - 1 });
    from = known.last + 1;
  }
  if (from <= last) parts.push({ first: from, last });
  return parts;
}

export function quarantineFolder(folder: string): string {
  return `${folder}/quarantine`;
}

function quarantineName({ first, last, batches }: SequenceRange & { batches: number }): string {
  return `${String(first).padStart(16, '0')}-${String(last).padStart(16, '0')}-${batches}.bad`;
}

const TOLD_SUFFIX = '.told.bad';

function toldName(name: string): string {
  return name.replace(/\.bad$/, TOLD_SUFFIX);
}

/** The range and count in a file's name; undefined for any other name. */
export function parseQuarantineName(name: string): (SequenceRange & { batches: number; isTold: boolean }) | undefined {
  const match = /^(\d{16})-(\d{16})-(\d{1,16})(\.told)?\.bad$/.exec(name);
  if (match === null) return undefined;
  const [, first, last, batches, told] = match;
  return { first: Number(first), last: Number(last), batches: Number(batches), isTold: told !== undefined };
}

async function copyBytes(
  from: FileHandle,
  to: FileHandle,
  { offset, bytes, position }: { offset: number; bytes: number; position: number },
): Promise<number> {
  const buffer = Buffer.allocUnsafeSlow(Math.min(COPY_BYTES, bytes));
  const wanted = Math.min(bytes, PIECE_BYTES_MAX);
  let copied = 0;
  while (copied < wanted) {
    const got = await from.read(buffer.subarray(0, Math.min(buffer.length, wanted - copied)), offset + copied);
    if (got === 0) break;
    await to.write([buffer.subarray(0, got)], position + copied);
    copied += got;
  }
  return copied;
}

/**
 * Looks into a log without changing anything, whether or not a process has it open.
 *
 * A log that is open moves on meanwhile: segments that are deleted under way are left out, a record that is just being
 * written counts as unfinished, not as damaged, and the newest batches may be ones whose append has not resolved.
 */
import { hasCode, MillwrightError } from '../base/errors.ts';
import type { FileHandle, Files } from '../base/files.ts';
import { isSystemError } from '../base/node-files.ts';
import { type LoadedCursor, cursorsFolder, loadCursors } from './cursor.ts';
import { epochSeed, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES } from './format.ts';
import type { StoredBatch } from './hot.ts';
import { parseQuarantineName, quarantineFolder } from './quarantine.ts';
import { epochOf, type FoundSegment, findIdentity, findSegments, type LogIdentity, LOCK_NAME } from './recovery.ts';
import { type Scanned, type ScannedDamage, type ScannedRecord, SegmentScanner, WINDOW_BYTES } from './scanner.ts';
import { readSmallFile } from '../base/small-files.ts';

/** Bytes of a segment that hold no readable record of the log. */
export interface CorruptRange {
  readonly offset: number;
  readonly bytes: number;
  readonly reason: string;
}

export interface SegmentReport {
  readonly name: string;
  readonly bytes: number;
  readonly form: 'plain' | 'compressed';
  /** How often its samples were merged into wider intervals. */
  readonly thinning: number;
  /** What its batches would take uncompressed. */
  readonly plainBytes: number;
  readonly headerDamaged: boolean;
  readonly createdAtMicros: number | null;
  /** Of the records that can be read; null when there is none. */
  readonly firstSequence: number | null;
  readonly lastSequence: number | null;
  readonly oldestAppendedAtMicros: number | null;
  readonly newestAppendedAtMicros: number | null;
  readonly batches: number;
  readonly readings: number;
  readonly corruptRanges: readonly CorruptRange[];
  /** A record at the end of the newest segment that is not complete: being written, or torn by a crash. */
  readonly unfinishedBytes: number;
  /** Numbers without a batch between this segment's first and the next one's, beyond those in the quarantine. */
  readonly missingBatches: number;
}

export interface CursorReport {
  readonly sink: string;
  /** null: the cursor's file is damaged. */
  readonly position: number | null;
  /** Batches and readings after it, by what is saved: up to a second older than what a running gateway knows. */
  readonly lagBatches: number;
  readonly lagReadings: number;
}

export interface LogReport {
  /** The log's id, with which its epochs begin. */
  readonly id: string;
  readonly gatewayId: string | null;
  /** The process that has, or had, the log open; null when it was closed. */
  readonly lockedByPid: number | null;
  readonly segments: readonly SegmentReport[];
  readonly cursors: readonly CursorReport[];
  readonly batches: number;
  readonly readings: number;
  readonly bytes: number;
  /** Ranges that were found destroyed before, and how many batches that were. */
  readonly quarantined: readonly { readonly first: number; readonly last: number; readonly batches: number }[];
  /** No corrupt range, no missing batch, no damaged header or cursor that is not in the quarantine already. */
  readonly sound: boolean;
}

/**
 * Reads the whole log and checks every byte of it.
 * @throws not_found when there is no log in the folder
 * @throws log_format when it is of a newer version
 */
export async function inspectLog(files: Files, folder: string): Promise<LogReport> {
  const { found, identity } = await findLog(files, folder);
  const cursors = (await loadCursors(files, cursorsFolder(folder), identity.id)).map(
    (loaded) => new CursorTally(loaded),
  );
  const quarantined = (await files.list(quarantineFolder(folder)))
    .map(parseQuarantineName)
    .filter((range) => range !== undefined);
  const segments: SegmentReport[] = [];
  const window = Buffer.allocUnsafeSlow(WINDOW_BYTES);
  for (const [index, segment] of found.entries()) {
    const tally = new SegmentTally(segment, found[index + 1]?.firstSequence, quarantined);
    for await (const item of scan(files, { folder, found, index, identity, window })) {
      tally.take(item);
      if (item.kind === 'record') for (const cursor of cursors) cursor.take(item);
    }
    segments.push(tally.report());
  }
  const lock = await readSmallFile(files, `${folder}/${LOCK_NAME}`);
  const pid = typeof lock === 'object' ? lock['pid'] : undefined;
  const cursorReports = cursors.map((cursor) => cursor.report());
  const segmentsSound = segments.every(({ headerDamaged, missingBatches }) => !headerDamaged && missingBatches === 0);
  return {
    id: identity.id,
    gatewayId: identity.gatewayId ?? null,
    lockedByPid: typeof pid === 'number' ? pid : null,
    segments,
    cursors: cursorReports,
    batches: segments.reduce((sum, { batches }) => sum + batches, 0),
    readings: segments.reduce((sum, { readings }) => sum + readings, 0),
    bytes: segments.reduce((sum, { bytes }) => sum + bytes, 0),
    quarantined,
    sound: segmentsSound && cursorReports.every(({ position }) => position !== null),
  };
}

/** Every batch that the log holds, oldest first. @throws as {@link inspectLog} */
export async function* readAll(files: Files, folder: string): AsyncGenerator<StoredBatch> {
  const { found, identity } = await findLog(files, folder);
  const window = Buffer.allocUnsafeSlow(WINDOW_BYTES);
  for (const [index, segment] of found.entries()) {
    const epoch = epochOf(segment, identity);
    for await (const item of scan(files, { folder, found, index, identity, window })) {
      if (item.kind !== 'record') continue;
      const { sequence, readings, appendedAtMicros } = item.header;
      yield { epoch, sequence, readings, appendedAtMicros, payload: new Uint8Array(item.payload) };
    }
  }
}

interface FoundLog {
  readonly found: readonly FoundSegment[];
  readonly identity: LogIdentity;
}

async function findLog(files: Files, folder: string): Promise<FoundLog> {
  // A segment may be deleted between being listed and being opened: then the list is simply made again.
  for (let attempt = 0; ; attempt += 1) {
    try {
      const found = await findSegments(files, folder);
      const identity = await findIdentity(files, folder, found);
      if (identity === undefined) throw new MillwrightError('not_found', `there is no log in ${folder}`);
      return { found, identity };
    } catch (error) {
      if (hasCode(error, 'not_found') || attempt >= 3 || !isSystemError(error, 'ENOENT')) throw error;
    }
  }
}

interface ScanPlace {
  readonly folder: string;
  readonly found: readonly FoundSegment[];
  /** Which of them. */
  readonly index: number;
  readonly identity: LogIdentity;
  readonly window: Buffer;
}

async function* scan(files: Files, { folder, found, index, identity, window }: ScanPlace): AsyncGenerator<Scanned> {
  const segment = found[index];
  if (segment === undefined) return;
  let handle: FileHandle;
  try {
    handle = await files.open(`${folder}/${segment.name}`, 'read');
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return;
    throw error;
  }
  try {
    const scanner = new SegmentScanner({
      handle,
      start: SEGMENT_HEADER_BYTES,
      // Not as it was found: it may have been replaced by its compressed form since.
      end: await handle.size(),
      seed: epochSeed(epochOf(segment, identity)),
      sequenceAfter: segment.firstSequence - 1,
      sequenceMax: (found[index + 1]?.firstSequence ?? Number.MAX_SAFE_INTEGER) - 1,
      from: 0,
      payloads: true,
      window,
    });
    for (let item = await scanner.next(); item !== undefined; item = await scanner.next()) yield item;
  } finally {
    await handle.close();
  }
}

/** Adds up one segment. */
class SegmentTally {
  readonly #segment: FoundSegment;
  readonly #nextFirst: number | undefined;
  readonly #quarantined: readonly { first: number; last: number }[];
  readonly #corrupt: CorruptRange[] = [];
  #first: ScannedRecord['header'] | undefined;
  #last: ScannedRecord['header'] | undefined;
  #expected: number;
  #batches = 0;
  #readings = 0;
  #plainBytes = 0;
  #missing = 0;
  #unfinished: ScannedDamage | undefined;

  constructor(
    segment: FoundSegment,
    nextFirst: number | undefined,
    quarantined: readonly { first: number; last: number }[],
  ) {
    this.#segment = segment;
    this.#nextFirst = nextFirst;
    this.#quarantined = quarantined;
    this.#expected = segment.firstSequence;
  }

  take(item: Scanned): void {
    if (item.kind === 'damage') {
      const { offset, bytes, reason } = item;
      if (item.cutShort && this.#nextFirst === undefined) this.#unfinished = item;
      else this.#corrupt.push({ offset, bytes, reason });
      return;
    }
    if (item.kind === 'block') {
      this.#miss(item.header.firstSequence);
      // All its numbers are accounted for, whether or not they have a record.
      this.#expected = item.header.lastSequence + 1;
      return;
    }
    if (item.block === undefined) {
      this.#miss(item.header.sequence);
      this.#expected = item.header.sequence + 1;
    }
    this.#plainBytes += RECORD_HEADER_BYTES + item.header.payloadBytes;
    this.#first ??= item.header;
    this.#last = item.header;
    this.#batches += 1;
    this.#readings += item.header.readings;
  }

  report(): SegmentReport {
    const { name, bytes, header } = this.#segment;
    if (this.#nextFirst !== undefined) this.#miss(this.#nextFirst);
    // In the newest segment nothing tells how many batches stood in the corrupt end; that is at least one.
    else if (this.#corrupt.some(({ offset, bytes: length }) => offset + length >= bytes)) this.#missing += 1;
    return {
      name,
      bytes,
      form: header.kind === 'good' ? header.header.form : 'plain',
      thinning: header.kind === 'good' ? header.header.thinning : 0,
      plainBytes: this.#plainBytes,
      headerDamaged: header.kind === 'damaged',
      createdAtMicros: header.kind === 'good' ? header.header.createdAtMicros : null,
      firstSequence: this.#first?.sequence ?? null,
      lastSequence: this.#last?.sequence ?? null,
      oldestAppendedAtMicros: this.#first?.appendedAtMicros ?? null,
      newestAppendedAtMicros: this.#last?.appendedAtMicros ?? null,
      batches: this.#batches,
      readings: this.#readings,
      corruptRanges: this.#corrupt,
      unfinishedBytes: this.#unfinished?.bytes ?? 0,
      missingBatches: this.#missing,
    };
  }

  #miss(nextSequence: number): void {
    for (let sequence = this.#expected; sequence < nextSequence; sequence += 1) {
      if (!this.#quarantined.some(({ first, last }) => first <= sequence && sequence <= last)) this.#missing += 1;
    }
  }
}

/** Adds up what is after one cursor. */
class CursorTally {
  readonly #loaded: LoadedCursor;
  #batches = 0;
  #readings = 0;

  constructor(loaded: LoadedCursor) {
    this.#loaded = loaded;
  }

  take({ header }: ScannedRecord): void {
    const { position, islands } = this.#loaded;
    const { sequence } = header;
    if (position !== 'damaged' && sequence <= position) return;
    if (islands.some(({ first, last }) => first <= sequence && sequence <= last)) return;
    this.#batches += 1;
    this.#readings += header.readings;
  }

  report(): CursorReport {
    const { sink, position } = this.#loaded;
    return {
      sink,
      position: position === 'damaged' ? null : position,
      lagBatches: this.#batches,
      lagReadings: this.#readings,
    };
  }
}

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
import { type Loss, Losses } from './losses.ts';
import { parseQuarantineName, quarantineFolder, type SequenceRange, unknownParts } from './quarantine.ts';
import {
  epochOf,
  type FoundSegment,
  findIdentity,
  findSegments,
  isBarelyBegun,
  isOfLog,
  type LogIdentity,
  LOCK_NAME,
} from './recovery.ts';
import { type Scanned, type ScannedDamage, type ScannedRecord, SegmentScanner, WINDOW_BYTES } from './scanner.ts';
import { readSmallFile } from '../base/small-files.ts';

/** Bytes of a segment that hold no readable record of the log. */
export interface CorruptRange {
  readonly offset: number;
  readonly bytes: number;
  readonly reason: string;
}

/** Batches that are gone, and not in the quarantine yet. */
export interface MissingRange {
  readonly segment: string;
  readonly firstSequence: number;
  /** null: at the end of the log, where nothing tells how many there were; at least one. */
  readonly lastSequence: number | null;
  /** When the batches before and after them were appended; null where there is none that can be read. */
  readonly afterMicros: number | null;
  readonly beforeMicros: number | null;
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
  /** Readings appended to the log before the first of them. */
  readonly readingsBefore: number | null;
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
  /** null: the cursor's file is damaged. 0: it has settled nothing yet. */
  readonly position: number | null;
  /** Settled ahead of the position. */
  readonly islands: readonly SequenceRange[];
  /** Batches and readings after it, by what is saved: up to a second older than what a running gateway knows. */
  readonly lagBatches: number;
  readonly lagReadings: number;
  readonly oldestUnsentMicros: number | null;
}

export interface LogReport {
  /** The log's id, with which its epochs begin. */
  readonly id: string;
  readonly gatewayId: string | null;
  readonly identityDamaged: boolean;
  /** The process that has, or had, the log open; null when it was closed. */
  readonly lockedByPid: number | null;
  readonly segments: readonly SegmentReport[];
  /** Segments of another log. */
  readonly foreignSegments: readonly string[];
  readonly cursors: readonly CursorReport[];
  readonly batches: number;
  readonly readings: number;
  readonly bytes: number;
  /** Uncompressed bytes appended in the newest hour, and how long ago the first of them was; null when there are none. */
  readonly newestHour: { readonly bytes: number; readonly spanMicros: number } | null;
  readonly missing: readonly MissingRange[];
  /** Ranges that were found destroyed before, how many batches that were, and whether a `gap` event tells of them. */
  readonly quarantined: readonly (SequenceRange & { readonly batches: number; readonly isTold: boolean })[];
  /** What was given up because the log was full, and no `gap` event tells of yet. */
  readonly untoldLosses: readonly Loss[];
  /** Nothing is damaged or missing that is not in the quarantine already. */
  readonly sound: boolean;
}

/**
 * Reads the whole log and checks every byte of it.
 * @param sinks those that are configured: of one without a cursor all that is there is unsent
 * @throws not_found when there is no log in the folder
 * @throws log_format when it is of a newer version
 */
export async function inspectLog(files: Files, folder: string, sinks: readonly string[] = []): Promise<LogReport> {
  const { found, identity, foreign } = await findLog(files, folder);
  const loaded = await loadCursors(files, cursorsFolder(folder), identity.id);
  const without = sinks.filter((sink) => !loaded.some((cursor) => cursor.sink === sink));
  const begun = without.map((sink): LoadedCursor => ({ sink, position: 0, islands: [] }));
  const cursors = [...loaded, ...begun].map((cursor) => new CursorTally(cursor));
  const quarantined = (await files.list(quarantineFolder(folder)))
    .map(parseQuarantineName)
    .filter((range) => range !== undefined)
    .sort((a, b) => a.first - b.first);
  const segments: SegmentReport[] = [];
  const missing = new MissingTally(quarantined);
  const hour = new HourTally();
  const window = Buffer.allocUnsafeSlow(WINDOW_BYTES);
  for (const [index, segment] of found.entries()) {
    const tally = new SegmentTally(segment, found[index + 1]?.firstSequence, missing);
    for await (const item of scan(files, { folder, found, index, identity, window, from: 0 })) {
      tally.take(item);
      if (item.kind !== 'record') continue;
      missing.pass(item);
      hour.take(item);
      for (const cursor of cursors) cursor.take(item);
    }
    if (tally.batches === 0 && !(await files.list(folder)).includes(segment.name)) continue;
    segments.push(tally.report());
  }
  const lock = await readSmallFile(files, `${folder}/${LOCK_NAME}`);
  const pid = typeof lock === 'object' ? lock['pid'] : undefined;
  const losses = new Losses(files, folder);
  await losses.load();
  const cursorReports = cursors.map((cursor) => cursor.report());
  const isSound =
    !identity.isDamaged &&
    foreign.length === 0 &&
    segments.every(({ headerDamaged, missingBatches }) => !headerDamaged && missingBatches === 0) &&
    cursorReports.every(({ position }) => position !== null);
  return {
    id: identity.id,
    gatewayId: identity.gatewayId ?? null,
    identityDamaged: identity.isDamaged,
    lockedByPid: typeof pid === 'number' ? pid : null,
    segments,
    foreignSegments: foreign.map(({ name }) => name),
    cursors: cursorReports,
    batches: segments.reduce((sum, { batches }) => sum + batches, 0),
    readings: segments.reduce((sum, { readings }) => sum + readings, 0),
    bytes: segments.reduce((sum, { bytes }) => sum + bytes, 0),
    newestHour: hour.report(),
    missing: missing.ranges,
    quarantined,
    untoldLosses: losses.take(),
    sound: isSound,
  };
}

/** Every batch that the log holds with a sequence from `first` to `last`, oldest first. @throws as {@link inspectLog} */
export async function* readAll(
  files: Files,
  folder: string,
  { first, last }: SequenceRange = { first: 1, last: Number.MAX_SAFE_INTEGER },
): AsyncGenerator<StoredBatch> {
  const { found, identity } = await findLog(files, folder);
  const window = Buffer.allocUnsafeSlow(WINDOW_BYTES);
  for (const [index, segment] of found.entries()) {
    if ((found[index + 1]?.firstSequence ?? Number.MAX_SAFE_INTEGER) <= first) continue;
    if (segment.firstSequence > last) return;
    const epoch = epochOf(segment, identity);
    for await (const item of scan(files, { folder, found, index, identity, window, from: first })) {
      if (item.kind !== 'record' || item.header.sequence < first) continue;
      const { sequence, readings, appendedAtMicros } = item.header;
      if (sequence > last) return;
      yield { epoch, sequence, readings, appendedAtMicros, payload: new Uint8Array(item.payload) };
    }
  }
}

/** Which log it is. @throws as {@link inspectLog} */
export async function logIdentity(files: Files, folder: string): Promise<LogIdentity> {
  return (await findLog(files, folder)).identity;
}

interface FoundLog {
  readonly found: readonly FoundSegment[];
  readonly foreign: readonly FoundSegment[];
  readonly identity: LogIdentity;
}

async function findLog(files: Files, folder: string): Promise<FoundLog> {
  // A segment may be deleted between being listed and being opened: then the list is simply made again.
  for (let attempt = 0; ; attempt += 1) {
    try {
      const all = await findSegments(files, folder);
      const identity = await findIdentity(files, folder, all);
      if (identity === undefined) throw new MillwrightError('not_found', `there is no log in ${folder}`);
      const found = all.filter((segment) => isOfLog(segment, identity));
      return { found, foreign: all.filter((segment) => !found.includes(segment)), identity };
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
  /** Payloads before this sequence are not wanted. */
  readonly from: number;
}

async function* scan(files: Files, place: ScanPlace): AsyncGenerator<Scanned> {
  const { folder, found, index, identity, window, from } = place;
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
      from,
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
  readonly #missing: MissingTally;
  readonly #corrupt: CorruptRange[] = [];
  #first: ScannedRecord['header'] | undefined;
  #last: ScannedRecord['header'] | undefined;
  #expected: number;
  #batches = 0;
  #readings = 0;
  #plainBytes = 0;
  #missingBatches = 0;
  #unfinished: ScannedDamage | undefined;

  constructor(segment: FoundSegment, nextFirst: number | undefined, missing: MissingTally) {
    this.#segment = segment;
    this.#nextFirst = nextFirst;
    this.#missing = missing;
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

  get batches(): number {
    return this.#batches;
  }

  report(): SegmentReport {
    const { name, bytes, header } = this.#segment;
    const isBegun = this.#nextFirst === undefined && isBarelyBegun(this.#segment);
    if (this.#nextFirst !== undefined) this.#miss(this.#nextFirst);
    else if (this.#corrupt.some(({ offset, bytes: length }) => offset + length >= bytes)) {
      this.#missingBatches += this.#missing.addEnd(name, this.#expected);
    }
    return {
      name,
      bytes,
      form: header.kind === 'good' ? header.header.form : 'plain',
      thinning: header.kind === 'good' ? header.header.thinning : 0,
      plainBytes: this.#plainBytes,
      headerDamaged: header.kind === 'damaged' && !isBegun,
      createdAtMicros: header.kind === 'good' ? header.header.createdAtMicros : null,
      firstSequence: this.#first?.sequence ?? null,
      lastSequence: this.#last?.sequence ?? null,
      oldestAppendedAtMicros: this.#first?.appendedAtMicros ?? null,
      newestAppendedAtMicros: this.#last?.appendedAtMicros ?? null,
      readingsBefore: this.#first === undefined ? null : this.#first.readingsTotal - this.#first.readings,
      batches: this.#batches,
      readings: this.#readings,
      corruptRanges: this.#corrupt,
      unfinishedBytes: isBegun ? bytes : (this.#unfinished?.bytes ?? 0),
      missingBatches: this.#missingBatches,
    };
  }

  #miss(nextSequence: number): void {
    const range = { first: this.#expected, last: nextSequence - 1 };
    this.#missingBatches += this.#missing.add(this.#segment.name, range);
  }
}

/** Which batches are gone, with the times of those around them: in the next segment, where they end one. */
class MissingTally {
  readonly #quarantined: readonly SequenceRange[];
  readonly ranges: MissingRange[] = [];
  #afterMicros: number | null = null;
  /** Ranges from this one on have no batch after them yet. */
  #open = 0;

  constructor(quarantined: readonly SequenceRange[]) {
    this.#quarantined = quarantined;
  }

  /** @returns how many of them are not in the quarantine */
  add(segment: string, range: SequenceRange): number {
    let batches = 0;
    for (const { first, last } of unknownParts(range, this.#quarantined)) {
      this.#push(segment, { firstSequence: first, lastSequence: last });
      batches += last - first + 1;
    }
    return batches;
  }

  /** In the newest segment nothing tells how many batches stood in the corrupt end. */
  addEnd(segment: string, first: number): number {
    if (unknownParts({ first, last: first }, this.#quarantined).length === 0) return 0;
    this.#push(segment, { firstSequence: first, lastSequence: null });
    return 1;
  }

  pass({ header: { appendedAtMicros } }: ScannedRecord): void {
    for (; this.#open < this.ranges.length; this.#open += 1) {
      const range = this.ranges[this.#open];
      if (range !== undefined) this.ranges[this.#open] = { ...range, beforeMicros: appendedAtMicros };
    }
    this.#afterMicros = appendedAtMicros;
  }

  #push(segment: string, range: Pick<MissingRange, 'firstSequence' | 'lastSequence'>): void {
    this.ranges.push({ segment, ...range, afterMicros: this.#afterMicros, beforeMicros: null });
  }
}

const MINUTE_MICROS = 60_000_000;
const MINUTES_MAX = 60;

/** Adds up what was appended in the newest hour, by the minute. */
class HourTally {
  #minutes: { startMicros: number; bytes: number }[] = [];
  #newestMicros = 0;

  take({ header: { appendedAtMicros, payloadBytes } }: ScannedRecord): void {
    this.#newestMicros = appendedAtMicros;
    const bytes = RECORD_HEADER_BYTES + payloadBytes;
    const newest = this.#minutes.at(-1);
    const ageMicros = appendedAtMicros - (newest?.startMicros ?? 0);
    if (newest !== undefined && ageMicros >= 0 && ageMicros < MINUTE_MICROS) newest.bytes += bytes;
    // A clock that was set back makes what it said before worthless.
    else this.#minutes = [...(ageMicros < 0 ? [] : this.#minutes), { startMicros: appendedAtMicros, bytes }];
    const oldestMicros = appendedAtMicros - MINUTES_MAX * MINUTE_MICROS;
    while ((this.#minutes[0]?.startMicros ?? oldestMicros) < oldestMicros) this.#minutes.shift();
  }

  report(): LogReport['newestHour'] {
    const [oldest] = this.#minutes;
    if (oldest === undefined) return null;
    const bytes = this.#minutes.reduce((sum, minute) => sum + minute.bytes, 0);
    return { bytes, spanMicros: this.#newestMicros - oldest.startMicros };
  }
}

/** Adds up what is after one cursor. */
class CursorTally {
  readonly #loaded: LoadedCursor;
  #batches = 0;
  #readings = 0;
  #oldestUnsentMicros: number | null = null;

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
    this.#oldestUnsentMicros ??= header.appendedAtMicros;
  }

  report(): CursorReport {
    const { sink, position, islands } = this.#loaded;
    return {
      sink,
      position: position === 'damaged' ? null : position,
      islands: islands.map(({ first, last }) => ({ first, last })),
      lagBatches: this.#batches,
      lagReadings: this.#readings,
      oldestUnsentMicros: this.#oldestUnsentMicros,
    };
  }
}

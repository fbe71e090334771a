/**
 * Opening a folder that a crash, a power cut or damage may have left in any state.
 *
 * The rules, and why they lose nothing, are in `docs/log-format.md`, "Opening". Only the last segment is read through,
 * so the time depends on the size of one segment and not on that of the log.
 */
import { type Clock, now } from '../base/clock.ts';
import { MillwrightError } from '../base/errors.ts';
import type { FileHandle, Files } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';
import {
  type DecodedSegmentHeader,
  decodeSegmentHeader,
  epochSeed,
  FORMAT_VERSION,
  isEpoch,
  parseSegmentName,
  RECORD_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
} from './format.ts';
import type { Quarantine, SequenceRange } from './quarantine.ts';
import { type ScannedDamage, SegmentScanner, WINDOW_BYTES } from './scanner.ts';
import { Segment, Segments } from './segments.ts';
import { readSmallFile, saveSmallFile } from '../base/small-files.ts';
import { createSegment, GROUP_BYTES_MAX } from './writer.ts';

export const IDENTITY_NAME = 'log.identity';
export const LOCK_NAME = 'lock';

export interface RecoveryOptions {
  readonly files: Files;
  readonly folder: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly gatewayId: string;
  readonly newEpoch: () => string;
  readonly segmentBytesMax: number;
  readonly quarantine: Quarantine;
}

export interface Recovered {
  readonly segments: Segments;
  /** No number above this one was ever seen by a reader. */
  readonly lastSequence: number;
  readonly readingsTotal: number;
}

export interface FoundSegment {
  readonly name: string;
  readonly firstSequence: number;
  readonly bytes: number;
  readonly header: DecodedSegmentHeader;
}

/** The segments there are, oldest first, as their names and headers tell. @throws log_format for a newer version */
export async function findSegments(files: Files, folder: string): Promise<FoundSegment[]> {
  const names = (await files.list(folder)).filter((name) => parseSegmentName(name) !== undefined).sort();
  const found: FoundSegment[] = [];
  for (const name of names) {
    const handle = await files.open(`${folder}/${name}`, 'read');
    try {
      const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
      const header = decodeSegmentHeader(bytes.subarray(0, await handle.read(bytes, 0)));
      if (header.kind === 'newer') throw newerVersion(folder, header.version);
      found.push({ name, firstSequence: parseSegmentName(name) ?? 0, bytes: await handle.size(), header });
    } finally {
      await handle.close();
    }
  }
  return found;
}

/**
 * The log's epoch, from its identity file or, where that is damaged, from the segments; undefined when there is none.
 * @throws log_format for a newer version
 */
export async function findEpoch(
  files: Files,
  folder: string,
  found: readonly FoundSegment[],
): Promise<{ epoch: string; gatewayId: string | undefined } | undefined> {
  const identity = await readSmallFile(files, `${folder}/${IDENTITY_NAME}`);
  if (typeof identity === 'object') {
    const { version, epoch, gateway_id: gatewayId } = identity;
    if (typeof version === 'number' && version > FORMAT_VERSION) throw newerVersion(folder, version);
    if (isEpoch(epoch)) return { epoch, gatewayId: typeof gatewayId === 'string' ? gatewayId : undefined };
  }
  for (const { header } of found) {
    if (header.kind === 'good') return { epoch: header.header.epoch, gatewayId: undefined };
  }
  return undefined;
}

/** The epoch of the log in the folder, which gets an identity when it has none. */
export async function establishIdentity(options: RecoveryOptions, found: readonly FoundSegment[]): Promise<string> {
  const { files, folder, clock, log, gatewayId, newEpoch } = options;
  const known = await findEpoch(files, folder, found);
  if (known?.gatewayId === gatewayId) return known.epoch;
  const epoch = known?.epoch ?? newEpoch();
  if (known !== undefined && known.gatewayId === undefined) {
    log.warn('the identity of the log was damaged and is restored from its segments', { epoch });
  } else if (known !== undefined) {
    log.warn('the log was kept by a gateway of another name; its batches go on under the new one', {
      before: known.gatewayId,
      now: gatewayId,
    });
  }
  const value = {
    format: 'millwright-log',
    version: FORMAT_VERSION,
    epoch,
    gateway_id: gatewayId,
    created_at: now(clock),
  };
  await saveSmallFile(files, { folder, name: IDENTITY_NAME, value });
  return epoch;
}

/**
 * Makes the segments sound again.
 * @param settledMax the highest sequence that any sink has settled
 */
export async function recoverSegments(
  options: RecoveryOptions,
  { found, epoch, settledMax }: { found: readonly FoundSegment[]; epoch: string; settledMax: number },
): Promise<Recovered> {
  const { files, folder, segmentBytesMax } = options;
  const sound = await removeUseless(options, found, epoch);
  const last = sound.at(-1);
  const tail = last === undefined ? undefined : await recoverLast(options, { last, sound, epoch });
  await files.syncFolder(folder);
  const segments = sound.map(({ firstSequence, bytes }) => new Segment({ firstSequence, bytes, segmentBytesMax }));
  const newest = segments.at(-1);
  if (newest !== undefined && tail !== undefined) newest.bytes = tail.end;

  const readingsTotal = tail?.readingsTotal ?? 0;
  const lastOfTail = tail?.lastSequence ?? 0;
  const lastSequence = Math.max(lastOfTail + (tail?.abandoned ?? 0), settledMax);
  if (lastSequence > lastOfTail) {
    await abandonCursorsPart(options, { first: lastOfTail + (tail?.abandoned ?? 0) + 1, last: lastSequence });
    // The new segment's name is what remembers that the numbers before it are used up.
    const segment = new Segment({ firstSequence: lastSequence + 1, bytes: SEGMENT_HEADER_BYTES, segmentBytesMax });
    const createdAtMicros = options.clock.nowMicros();
    const header = { epoch, firstSequence: lastSequence + 1, createdAtMicros, readingsBefore: readingsTotal };
    await (await createSegment(files, { folder, header, records: [] })).close();
    segments.push(segment);
  }
  return { segments: new Segments(segments), lastSequence, readingsTotal };
}

/** Leaves out what is not of this log, and a last segment that was just being created. */
async function removeUseless(
  { files, folder, quarantine }: RecoveryOptions,
  found: readonly FoundSegment[],
  epoch: string,
): Promise<FoundSegment[]> {
  const sound: FoundSegment[] = [];
  for (const candidate of found) {
    const { name, header, bytes } = candidate;
    if (header.kind === 'good' && header.header.epoch !== epoch) {
      await quarantine.takeFile(name, 'it belongs to a log of another epoch');
    } else if (header.kind === 'damaged' && bytes <= SEGMENT_HEADER_BYTES && candidate === found.at(-1)) {
      await files.remove(`${folder}/${name}`);
    } else {
      sound.push(candidate);
    }
  }
  return sound;
}

async function abandonCursorsPart({ quarantine }: RecoveryOptions, range: SequenceRange): Promise<void> {
  if (range.first > range.last) return;
  const reason = 'a sink has settled them, but the log ends before them';
  const batches = range.last - range.first + 1;
  await quarantine.add({ ...range, batches, reason, segment: '', pieces: [] }, undefined);
}

interface Tail {
  /** Where the segment ends from now on. */
  readonly end: number;
  readonly lastSequence: number;
  /** How many numbers after it must never be given again. */
  readonly abandoned: number;
  readonly readingsTotal: number;
}

/** Reads the last segment through, cuts off its torn end, and syncs it. */
async function recoverLast(
  options: RecoveryOptions,
  { last, sound, epoch }: { last: FoundSegment; sound: readonly FoundSegment[]; epoch: string },
): Promise<Tail> {
  const seed = epochSeed(epoch);
  const handle = await options.files.open(`${options.folder}/${last.name}`, 'write');
  try {
    const scan = await scanLast(options, { last, handle, seed });
    const abandoned = await judgeTail(options, { last, handle, scan });
    // A tail that may once have been a batch is left where it is: a new segment begins after it.
    const end = abandoned === 0 ? scan.end : last.bytes;
    if (end < last.bytes) {
      options.log.warn('the end of the log was torn and is cut off', { segment: last.name, bytes: last.bytes - end });
      await handle.truncate(end);
    }
    // A group is at most this long, or it is one record.
    const doubtful = Math.min(scan.lastOffset, scan.end - GROUP_BYTES_MAX);
    await writeAgain(handle, doubtful > SEGMENT_HEADER_BYTES ? doubtful : 0, end);
    await handle.datasync();
    const readingsTotal = scan.readingsTotal ?? (await readingsThrough(options, sound.slice(0, -1), seed));
    return { end, lastSequence: scan.lastSequence, abandoned, readingsTotal };
  } finally {
    await handle.close();
  }
}

/** For a last segment that does not tell: how many readings the segments before it end with. */
async function readingsThrough(
  options: RecoveryOptions,
  before: readonly FoundSegment[],
  seed: number,
): Promise<number> {
  for (const candidate of before.toReversed()) {
    const handle = await options.files.open(`${options.folder}/${candidate.name}`, 'read');
    try {
      const { readingsTotal } = await scanLast(options, { last: candidate, handle, seed });
      if (readingsTotal !== undefined) return readingsTotal;
    } finally {
      await handle.close();
    }
  }
  return 0;
}

interface LastScan {
  /** Where the last whole record ends, and where it begins. */
  readonly end: number;
  readonly lastOffset: number;
  readonly lastSequence: number;
  /** Undefined when neither the header nor any record tells. */
  readonly readingsTotal: number | undefined;
  /** What stands after it. */
  readonly tail: readonly ScannedDamage[];
}

async function scanLast(
  options: RecoveryOptions,
  { last, handle, seed }: { last: FoundSegment; handle: FileHandle; seed: number },
): Promise<LastScan> {
  const scanner = new SegmentScanner({
    handle,
    start: SEGMENT_HEADER_BYTES,
    end: last.bytes,
    seed,
    sequenceAfter: last.firstSequence - 1,
    sequenceMax: Number.MAX_SAFE_INTEGER,
    payloadsFrom: 0,
    window: Buffer.allocUnsafeSlow(WINDOW_BYTES),
  });
  let end = SEGMENT_HEADER_BYTES;
  let lastOffset = SEGMENT_HEADER_BYTES;
  let lastSequence = last.firstSequence - 1;
  let readingsTotal = last.header.kind === 'good' ? last.header.header.readingsBefore : undefined;
  let tail: ScannedDamage[] = [];
  for (let item = await scanner.next(); item !== undefined; item = await scanner.next()) {
    if (item.kind === 'damage') {
      tail.push(item);
      continue;
    }
    const { sequence } = item.header;
    if (sequence > lastSequence + 1) {
      const range = { first: lastSequence + 1, last: sequence - 1, batches: sequence - 1 - lastSequence };
      const reason = tail[0]?.reason ?? 'they are missing';
      await options.quarantine.add({ ...range, reason, segment: last.name, pieces: tail }, handle);
    }
    tail = [];
    lastOffset = item.offset;
    end = item.offset + RECORD_HEADER_BYTES + item.header.payloadBytes;
    lastSequence = sequence;
    readingsTotal = item.header.readingsTotal;
  }
  return { end, lastOffset, lastSequence, readingsTotal, tail };
}

/**
 * Decides whether what stands after the last whole record may once have been a batch that a sink has seen.
 * @returns how many numbers must never be given again
 */
async function judgeTail(
  options: RecoveryOptions,
  { last, handle, scan }: { last: FoundSegment; handle: FileHandle; scan: LastScan },
): Promise<number> {
  const [first] = scan.tail;
  if (first === undefined || (scan.tail.length === 1 && first.cutShort)) return 0;
  const numbers = recordsMax(last.bytes - scan.end);
  const batches = Math.max(1, scan.tail.filter(({ sequence }) => sequence !== undefined).length);
  const range = { first: scan.lastSequence + 1, last: scan.lastSequence + numbers, batches };
  const reason = `${first.reason}, at the end of the log: it may also have been torn before anyone was told of it`;
  await options.quarantine.add({ ...range, reason, segment: last.name, pieces: scan.tail }, handle);
  return numbers;
}

/** How many records may stand in so many bytes. */
function recordsMax(bytes: number): number {
  return Math.ceil(bytes / RECORD_HEADER_BYTES);
}

/** Makes the pages dirty again, so that the sync that follows really writes them. */
async function writeAgain(handle: FileHandle, start: number, end: number): Promise<void> {
  const buffer = Buffer.allocUnsafeSlow(WINDOW_BYTES);
  for (let at = start; at < end; ) {
    const got = await handle.read(buffer.subarray(0, Math.min(buffer.length, end - at)), at);
    if (got === 0) return;
    await handle.write([buffer.subarray(0, got)], at);
    at += got;
  }
}

function newerVersion(folder: string, version: number): MillwrightError {
  return new MillwrightError(
    'log_format',
    `the log in ${folder} is of version ${version}; this program reads up to version ${FORMAT_VERSION}. ` +
      'Use the newer program, or give it another folder: nothing was changed',
  );
}

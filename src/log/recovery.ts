/**
 * Opening a folder that a crash, a power cut or damage may have left in any state.
 *
 * The rules, and why they lose nothing, are in `docs/log-format.md`, "Opening". Only the last segment is read through; of
 * the others only the header.
 */
import { type Clock, now } from '../base/clock.ts';
import { MillwrightError } from '../base/errors.ts';
import type { FileHandle, Files } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';
import { isSystemError } from '../base/node-files.ts';
import {
  type DecodedSegmentHeader,
  decodeSegmentHeader,
  epochInDamaged,
  epochSeed,
  FORMAT_VERSION,
  isEpoch,
  isOfEpoch,
  parseSegmentName,
  RECORD_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
} from './format.ts';
import type { Quarantine, SequenceRange } from './quarantine.ts';
import { type ScannedDamage, SegmentScanner, WINDOW_BYTES } from './scanner.ts';
import { Segment, Segments } from './segments.ts';
import { readSmallFile, saveSmallFile } from '../base/small-files.ts';
import { GROUP_BYTES_MAX } from './writer.ts';

export const IDENTITY_NAME = 'log.identity';
export const LOCK_NAME = 'lock';

export interface RecoveryOptions {
  readonly files: Files;
  readonly folder: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly quarantine: Quarantine;
}

/** To open the log for writing. */
export interface OpeningOptions extends RecoveryOptions {
  readonly gatewayId: string;
  readonly newId: () => string;
}

export interface Recovered {
  readonly segments: Segments;
  /** No number above this one was ever seen by a reader. */
  readonly lastSequence: number;
  readonly readingsTotal: number;
}

/** The highest sequence that every configured sink has settled, and that any has. */
export interface Settled {
  readonly settledMin: number;
  readonly settledMax: number;
}

export interface FoundSegment {
  readonly name: string;
  readonly firstSequence: number;
  readonly bytes: number;
  readonly header: DecodedSegmentHeader;
  /** From the header; where that is damaged, what is left of it, if the first record's checksum says that it is right. */
  readonly epoch: string | undefined;
  /** The first bytes of the file: its header, and that of the first record or block. */
  readonly start: Buffer;
}

/** The segments there are, oldest first, as their names and headers tell. @throws log_format for a newer version */
export async function findSegments(files: Files, folder: string): Promise<FoundSegment[]> {
  const names = (await files.list(folder)).filter((name) => parseSegmentName(name) !== undefined).sort();
  const found: FoundSegment[] = [];
  for (const name of names) {
    const handle = await files.open(`${folder}/${name}`, 'read');
    try {
      const start = await readStart(handle);
      const header = decodeSegmentHeader(start.subarray(0, SEGMENT_HEADER_BYTES));
      if (header.kind === 'newer') throw newerVersion(folder, header.version);
      const epoch = header.kind === 'good' ? header.header.epoch : epochInDamaged(start);
      found.push({
        name,
        firstSequence: parseSegmentName(name) ?? 0,
        bytes: await handle.size(),
        header,
        epoch,
        start,
      });
    } finally {
      await handle.close();
    }
  }
  return found;
}

/**
 * The segment's header and that of its first record. On a bad sector of the disk they count as damaged: the segment is
 * known by its name, and its epoch to the identity.
 */
async function readStart(handle: FileHandle): Promise<Buffer> {
  const buffer = Buffer.alloc(SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES);
  try {
    return buffer.subarray(0, await handle.read(buffer, 0));
  } catch (error) {
    if (!isSystemError(error, 'EIO')) throw error;
    return buffer.subarray(0, 0);
  }
}

/** Which log this is, and which epochs its batches have. */
export interface LogIdentity {
  /** The epochs of a log begin with its id. */
  readonly id: string;
  /** undefined: its file does not tell. */
  readonly gatewayId: string | undefined;
  /** Its file is damaged or gone, and all this was learned from the segments. */
  readonly isDamaged: boolean;
  /** Oldest first. Each holds from that sequence on: for segments whose own header is damaged. */
  readonly epochs: readonly EpochStart[];
}

export interface EpochStart {
  readonly epoch: string;
  readonly firstSequence: number;
}

/** Epochs that are remembered; those of older segments are known from their headers only. */
const EPOCHS_MAX = 200;

/**
 * The log's identity, from its file or, where that is damaged, from the segments; undefined when there is none.
 * @throws log_format for a newer version
 */
export async function findIdentity(
  files: Files,
  folder: string,
  found: readonly FoundSegment[],
): Promise<LogIdentity | undefined> {
  const identity = await readSmallFile(files, `${folder}/${IDENTITY_NAME}`);
  if (typeof identity === 'object') {
    const { version, epoch: id, gateway_id: gatewayId, epochs } = identity;
    if (typeof version === 'number' && version > FORMAT_VERSION) throw newerVersion(folder, version);
    if (isEpoch(id)) {
      const known = Array.isArray(epochs) ? epochs.filter(isEpochEntry) : [];
      return {
        id,
        gatewayId: typeof gatewayId === 'string' ? gatewayId : undefined,
        isDamaged: false,
        // In version 1 a log had one epoch, its id.
        epochs: [{ epoch: id, firstSequence: 1 }, ...known.map((one) => ({ epoch: one[1], firstSequence: one[0] }))],
      };
    }
  }
  const epochs = found.flatMap(({ epoch, firstSequence }) => (epoch === undefined ? [] : [{ epoch, firstSequence }]));
  if (epochs[0] === undefined) return undefined;
  return { id: logIdOf(epochs[0].epoch), gatewayId: undefined, isDamaged: true, epochs };
}

/** The epoch of a segment, from its header or, where that is damaged, from the identity. */
export function epochOf({ epoch, firstSequence, start }: FoundSegment, { id, epochs }: LogIdentity): string {
  if (epoch !== undefined) return epoch;
  // What was learned from other segments may lack the one that begins here: the first record tells which it is.
  const fitting = epochs.find((one) => isOfEpoch(start, SEGMENT_HEADER_BYTES, one.epoch));
  return (fitting ?? epochs.findLast((one) => one.firstSequence <= firstSequence))?.epoch ?? id;
}

/** Whether the segment is one of this log, as far as is known. */
export function isOfLog({ epoch }: FoundSegment, { id }: LogIdentity): boolean {
  return epoch === undefined || logIdOf(epoch) === id;
}

/** A segment without anything in it, that was just being created. */
export function isBarelyBegun({ header, bytes }: FoundSegment): boolean {
  return header.kind === 'damaged' && bytes <= SEGMENT_HEADER_BYTES;
}

/** An epoch is the log's id, and since version 2 an underscore and the id of one opening. */
function logIdOf(epoch: string): string {
  return epoch.split('_', 1)[0] ?? epoch;
}

function isEpochEntry(value: unknown): value is [number, string] {
  return Array.isArray(value) && Number.isSafeInteger(value[0]) && isEpoch(value[1]);
}

/** The identity of the log in the folder, or of a new one. */
export async function establishIdentity(
  { files, folder, log, gatewayId, newId }: OpeningOptions,
  found: readonly FoundSegment[],
): Promise<LogIdentity> {
  const known = await findIdentity(files, folder, found);
  if (known === undefined) return { id: newId(), gatewayId, isDamaged: false, epochs: [] };
  if (known.isDamaged) {
    log.warn('the identity of the log was damaged and is restored from its segments', { log: known.id });
  } else if (known.gatewayId !== undefined && known.gatewayId !== gatewayId) {
    log.warn('the log was kept by a gateway of another name; its batches go on under the new one', {
      before: known.gatewayId,
      now: gatewayId,
    });
  }
  return known;
}

/**
 * Gives what is appended from now on an epoch that no batch ever had: should the folder be a copy from a backup, or have
 * lost its end with the power, then numbers are given again, but never the same identity.
 * @returns the epoch, once it is remembered
 */
export async function beginEpoch(
  options: OpeningOptions,
  { found, identity, recovered }: { found: readonly FoundSegment[]; identity: LogIdentity; recovered: Recovered },
): Promise<string> {
  const { log, gatewayId, newId } = options;
  const { segments, lastSequence } = recovered;
  const epoch = `${identity.id}_${newId()}`;
  const firstKept = segments.first?.firstSequence ?? lastSequence + 1;
  const firstSequence = lastSequence + 1;
  const older = identity.epochs.filter((one, index) => {
    const end = identity.epochs[index + 1]?.firstSequence ?? firstSequence;
    return one.epoch !== identity.id && end > one.firstSequence && end > firstKept;
  });
  const epochs = [...older, { epoch, firstSequence }].slice(-EPOCHS_MAX);
  try {
    await saveIdentity(options, { id: identity.id, gatewayId, epochs });
  } catch (error) {
    // A log that is there can be read and delivered from a disk that is full, which is what will make room on it.
    if (found.length === 0) throw error;
    log.warn('the identity of the log could not be saved; its segments tell the same', { error });
  }
  return epoch;
}

export async function saveIdentity(
  { files, folder, clock }: Pick<RecoveryOptions, 'files' | 'folder' | 'clock'>,
  { id, gatewayId, epochs }: Omit<LogIdentity, 'isDamaged'>,
): Promise<void> {
  const value = {
    format: 'millwright-log',
    version: FORMAT_VERSION,
    epoch: id,
    gateway_id: gatewayId,
    epochs: epochs.map((one) => [one.firstSequence, one.epoch]),
    opened_at: now(clock),
  };
  await saveSmallFile(files, { folder, name: IDENTITY_NAME, value });
}

/**
 * Makes the segments sound again.
 * What a power cut has taken from the end (`sync: interval`), or somebody, may be settled: by all sinks, and then nothing is
 * lost, or by some.
 */
export async function recoverSegments(
  options: RecoveryOptions,
  { found, identity, settledMin, settledMax }: Settled & { found: readonly FoundSegment[]; identity: LogIdentity },
): Promise<Recovered> {
  const { files, folder } = options;
  const sound = await removeUseless(options, found, identity);
  const last = sound.at(-1);
  const tail = last === undefined ? undefined : await recoverLast(options, { last, sound, identity });
  await files.syncFolder(folder);
  const segments = sound.map((one) => new Segment(headerOf(one, identity), one.bytes));
  const newest = segments.at(-1);
  if (newest !== undefined && tail !== undefined) newest.bytes = tail.end;
  // A last segment without a record stays on the disk, where it remembers the numbers, until the next one takes its name.
  if (newest?.bytes === SEGMENT_HEADER_BYTES) segments.pop();

  const lastOfTail = (tail?.lastSequence ?? 0) + (tail?.abandoned ?? 0);
  const lastSequence = Math.max(lastOfTail, settledMax);
  const settledByAll = Math.min(Math.max(lastOfTail, settledMin), lastSequence);
  await abandon(options, { first: lastOfTail + 1, last: settledByAll, batches: 0 });
  await abandon(options, { first: settledByAll + 1, last: lastSequence, batches: lastSequence - settledByAll });
  return { segments: new Segments(segments), lastSequence, readingsTotal: tail?.readingsTotal ?? 0 };
}

/** A damaged header is replaced by what is known; a segment without it was never compressed, or its blocks tell. */
function headerOf(found: FoundSegment, identity: LogIdentity): SegmentHeader {
  if (found.header.kind === 'good') return { ...found.header.header, firstSequence: found.firstSequence };
  const { firstSequence } = found;
  const epoch = epochOf(found, identity);
  return { epoch, firstSequence, form: 'plain', thinning: 0, createdAtMicros: 0, readingsBefore: 0 };
}

/** What a crash has left of a segment that was being written anew. */
export async function removeTemporaries(files: Files, folder: string): Promise<void> {
  for (const name of await files.list(folder)) {
    if (name.endsWith('.seg.tmp')) await files.remove(`${folder}/${name}`);
  }
}

/** Leaves out what is not of this log, and a last segment that was just being created. */
async function removeUseless(
  { files, folder, quarantine }: Pick<RecoveryOptions, 'files' | 'folder' | 'quarantine'>,
  found: readonly FoundSegment[],
  identity: LogIdentity,
): Promise<FoundSegment[]> {
  const sound: FoundSegment[] = [];
  for (const candidate of found) {
    const { name } = candidate;
    if (!isOfLog(candidate, identity)) {
      await quarantine.takeFile(name, 'it belongs to another log');
    } else if (isBarelyBegun(candidate) && candidate === found.at(-1)) {
      await files.remove(`${folder}/${name}`);
    } else {
      sound.push(candidate);
    }
  }
  return sound;
}

/** Numbers beyond the end of the log that must not be given again. */
async function abandon({ quarantine }: RecoveryOptions, range: SequenceRange & { batches: number }): Promise<void> {
  if (range.first > range.last) return;
  const reason = 'a sink has settled them, but the log ends before them';
  await quarantine.add({ ...range, reason, segment: '', pieces: [] }, undefined);
}

interface Tail {
  /** Where the segment ends from now on. */
  readonly end: number;
  readonly lastSequence: number;
  /** How many numbers after it must never be given again. */
  readonly abandoned: number;
  readonly readingsTotal: number;
}

interface Last {
  readonly last: FoundSegment;
  readonly sound: readonly FoundSegment[];
  readonly identity: LogIdentity;
}

/** Reads the last segment through, cuts off its torn end, and syncs it. */
async function recoverLast(options: RecoveryOptions, { last, sound, identity }: Last): Promise<Tail> {
  const handle = await options.files.open(`${options.folder}/${last.name}`, 'write');
  try {
    const scan = await scanLast(options, { last, handle, seed: epochSeed(epochOf(last, identity)) });
    const abandoned = await judgeTail(options, { last, handle, scan });
    // A tail that may once have been a batch is left where it is, and so are its numbers.
    const end = abandoned === 0 ? scan.end : last.bytes;
    if (end < last.bytes) {
      options.log.warn('the end of the log was torn and is cut off', { segment: last.name, bytes: last.bytes - end });
      await handle.truncate(end);
    }
    // A group is at most this long, or it is one record.
    const doubtful = Math.min(scan.lastOffset, scan.end - GROUP_BYTES_MAX);
    await writeAgain(handle, doubtful > SEGMENT_HEADER_BYTES ? doubtful : 0, end);
    await handle.datasync();
    const readingsTotal = scan.readingsTotal ?? (await readingsThrough(options, sound.slice(0, -1), identity));
    return { end, lastSequence: scan.lastSequence, abandoned, readingsTotal };
  } finally {
    await handle.close();
  }
}

/** For a last segment that does not tell: how many readings the segments before it end with. */
async function readingsThrough(
  options: RecoveryOptions,
  before: readonly FoundSegment[],
  identity: LogIdentity,
): Promise<number> {
  for (const candidate of before.toReversed()) {
    const handle = await options.files.open(`${options.folder}/${candidate.name}`, 'read');
    try {
      const seed = epochSeed(epochOf(candidate, identity));
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
    from: 0,
    payloads: true,
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
    const { header } = item;
    const isBlock = 'lastSequence' in header;
    const first = isBlock ? header.firstSequence : header.sequence;
    if (first > lastSequence + 1) {
      const range = { first: lastSequence + 1, last: first - 1, batches: first - 1 - lastSequence };
      const reason = tail[0]?.reason ?? 'they are missing';
      await options.quarantine.add({ ...range, reason, segment: last.name, pieces: tail }, handle);
    }
    tail = [];
    if (!isBlock && item.kind === 'record' && item.block !== undefined) continue;
    lastOffset = item.offset;
    end = item.offset + RECORD_HEADER_BYTES + header.payloadBytes;
    lastSequence = isBlock ? header.lastSequence : header.sequence;
    readingsTotal = header.readingsTotal;
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

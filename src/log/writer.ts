/**
 * Group commit: all appends that wait while a sync is under way share the next write and the next sync.
 *
 * Order of sequences is order of calls. An append resolves when its bytes are on the disk, never before: there is no
 * loss window. A failed write or sync rejects the whole group, frees its numbers, and closes the segment for ever (see
 * `docs/log-format.md`, "Writing"); the next group tries a new one.
 */
import type { Clock } from '../base/clock.ts';
import { MillwrightError, messageOf } from '../base/errors.ts';
import type { FileHandle, Files } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';
import { BATCH_BYTES_MAX } from '../model/batch.ts';
import {
  checksum,
  encodeRecordHeader,
  encodeSegmentHeader,
  epochSeed,
  RECORD_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  segmentName,
} from './format.ts';
import type { HotBatch } from './hot.ts';
import { Segment, type Segments } from './segments.ts';

/** A group is at most this long, or it is one batch that is longer. Recovery relies on it. */
export const GROUP_BYTES_MAX: number = 1024 * 1024;
/** Batches in a group. */
const GROUP_BATCHES_MAX = 256;
/** Payloads that wait to be written; beyond it, an append is refused. */
export const QUEUE_BYTES_MAX: number = 8 * 1024 * 1024;

export interface WriterOptions {
  readonly files: Files;
  readonly folder: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly epoch: string;
  readonly segments: Segments;
  readonly segmentBytesMax: number;
  /** The first one is one more. */
  readonly lastSequence: number;
  readonly readingsTotal: number;
  /** Called when a group is on the disk, before its appends resolve. Must not throw. */
  readonly onDurable: (batches: readonly HotBatch[]) => void;
}

interface Pending {
  readonly payload: Uint8Array;
  readonly readings: number;
  readonly appendedAtMicros: number;
  readonly resolve: (sequence: number) => void;
  readonly reject: (error: MillwrightError) => void;
}

export class Writer {
  readonly #options: WriterOptions;
  readonly #seed: number;
  readonly #headers: Buffer = Buffer.allocUnsafeSlow(GROUP_BATCHES_MAX * RECORD_HEADER_BYTES);
  #nextSequence: number;
  #readingsTotal: number;
  #handle: FileHandle | undefined;
  /** The last segment may be written to. */
  #segmentIsOpen = false;
  #queue: Pending[] = [];
  #queuedBytes = 0;
  #pump: Promise<void> | undefined;
  #closed = false;
  #bytesWritten = 0;
  #lastError: string | null = null;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#seed = epochSeed(options.epoch);
    this.#nextSequence = options.lastSequence + 1;
    this.#readingsTotal = options.readingsTotal;
  }

  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /** Why the newest write failed; null when it did not. */
  get lastError(): string | null {
    return this.#lastError;
  }

  /** Readings ever appended to this log. */
  get readingsTotal(): number {
    return this.#readingsTotal;
  }

  /** Opens the segment that recovery found to be the last. */
  async start(): Promise<void> {
    const { files, folder, segments } = this.#options;
    if (segments.last === undefined) return;
    this.#handle = await files.open(`${folder}/${segments.last.name}`, 'write');
    this.#segmentIsOpen = true;
  }

  append(payload: Uint8Array, readings: number): Promise<number> {
    if (this.#closed) return Promise.reject(new MillwrightError('log_closed', 'the log is closed'));
    if (payload.length > BATCH_BYTES_MAX || this.#queuedBytes + payload.length > QUEUE_BYTES_MAX) {
      return Promise.reject(tooMuch(payload.length, this.#queuedBytes));
    }
    return new Promise((resolve, reject) => {
      const appendedAtMicros = this.#options.clock.nowMicros();
      this.#queue.push({ payload, readings, appendedAtMicros, resolve, reject });
      this.#queuedBytes += payload.length;
      this.#pump ??= this.#writeQueue();
    });
  }

  /** Refuses further appends, writes those that wait, and closes the file. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#pump;
    // All that was promised is synced; the cursors must be saved and the lock given back whatever closing says.
    await this.#handle?.close().catch(() => {});
    this.#handle = undefined;
  }

  async #writeQueue(): Promise<void> {
    // What is appended in the same turn goes into the first group.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const group = this.#takeGroup();
      try {
        await this.#commit(group);
      } catch (error) {
        this.#fail(group, error);
      }
    }
    this.#pump = undefined;
  }

  #takeGroup(): Pending[] {
    let bytes = 0;
    let count = 0;
    for (const { payload } of this.#queue) {
      bytes += RECORD_HEADER_BYTES + payload.length;
      if (count > 0 && (bytes > GROUP_BYTES_MAX || count >= GROUP_BATCHES_MAX)) break;
      count += 1;
    }
    const group = this.#queue.splice(0, count);
    for (const { payload } of group) this.#queuedBytes -= payload.length;
    return group;
  }

  async #commit(group: readonly Pending[]): Promise<void> {
    const { batches, buffers, bytes } = this.#encode(group);
    const { segments, segmentBytesMax } = this.#options;
    const last = segments.last;
    const isEmpty = last === undefined || last.bytes <= SEGMENT_HEADER_BYTES;
    if (last === undefined || !this.#segmentIsOpen || (!isEmpty && last.bytes + bytes > segmentBytesMax)) {
      await this.#writeNewSegment(buffers, bytes);
    } else {
      await this.#writeLastSegment(last, buffers, bytes);
    }
    this.#publish(group, batches);
  }

  #encode(group: readonly Pending[]): { batches: HotBatch[]; buffers: Uint8Array[]; bytes: number } {
    const batches: HotBatch[] = [];
    const buffers: Uint8Array[] = [];
    const { epoch } = this.#options;
    let bytes = 0;
    let sequence = this.#nextSequence;
    let readingsTotal = this.#readingsTotal;
    for (const [index, { payload, readings, appendedAtMicros }] of group.entries()) {
      readingsTotal += readings;
      const offset = index * RECORD_HEADER_BYTES;
      const header = { sequence, readings, readingsTotal, appendedAtMicros };
      const payloadFields = { payloadBytes: payload.length, payloadCrc: checksum(payload) };
      encodeRecordHeader(this.#headers, offset, { ...header, ...payloadFields }, this.#seed);
      buffers.push(this.#headers.subarray(offset, offset + RECORD_HEADER_BYTES), payload);
      bytes += RECORD_HEADER_BYTES + payload.length;
      batches.push({ ...header, epoch, payload });
      sequence += 1;
    }
    return { batches, buffers, bytes };
  }

  async #writeLastSegment(segment: Segment, buffers: readonly Uint8Array[], bytes: number): Promise<void> {
    const handle = this.#handle;
    if (handle === undefined) throw new MillwrightError('log_closed', 'the log is closed');
    try {
      await handle.write(buffers, segment.bytes);
      await handle.datasync();
    } catch (error) {
      this.#segmentIsOpen = false;
      this.#handle = undefined;
      // Whether or not these succeed, the next segment's first sequence rules out what is left here.
      await handle.truncate(segment.bytes).catch(() => {});
      await handle.close().catch(() => {});
      throw error;
    }
    segment.note(this.#nextSequence - 1, segment.bytes);
    segment.bytes += bytes;
    this.#bytesWritten += bytes;
  }

  async #writeNewSegment(buffers: readonly Uint8Array[], bytes: number): Promise<void> {
    const { files, folder, segments, segmentBytesMax, epoch, clock } = this.#options;
    const firstSequence = this.#nextSequence;
    const segment = new Segment({ firstSequence, bytes: SEGMENT_HEADER_BYTES + bytes, segmentBytesMax });
    const header = { epoch, firstSequence, createdAtMicros: clock.nowMicros(), readingsBefore: this.#readingsTotal };
    // A file of that name may be left by a failure, and would rule out what the old segment took after it.
    this.#segmentIsOpen = false;
    const handle = await createSegment(files, { folder, header, records: buffers });
    const before = this.#handle;
    this.#handle = handle;
    this.#segmentIsOpen = true;
    this.#bytesWritten += segment.bytes;
    segments.add(segment);
    await before?.close().catch(() => {});
  }

  #publish(group: readonly Pending[], batches: readonly HotBatch[]): void {
    const newest = batches.at(-1);
    if (newest === undefined) return;
    const firstSequence = this.#nextSequence;
    this.#nextSequence = newest.sequence + 1;
    this.#readingsTotal = newest.readingsTotal;
    if (this.#lastError !== null) this.#options.log.info('the log can be written again');
    this.#lastError = null;
    this.#options.onDurable(batches);
    for (const [index, { resolve }] of group.entries()) resolve(firstSequence + index);
  }

  #fail(group: readonly Pending[], error: unknown): void {
    if (this.#lastError === null) this.#options.log.error('the log cannot be written', { error });
    this.#lastError = messageOf(error);
    const failure = new MillwrightError('storage_failed', 'the batch could not be written to the log', {
      cause: error,
    });
    for (const { reject } of group) reject(failure);
  }
}

/** A new segment with its first records, on the disk; on failure there is none. @returns its handle */
export async function createSegment(
  files: Files,
  { folder, header, records }: { folder: string; header: SegmentHeader; records: readonly Uint8Array[] },
): Promise<FileHandle> {
  const path = `${folder}/${segmentName(header.firstSequence)}`;
  // Left from an earlier try: no record in it was ever durable, or its first sequence would not be free.
  await files.remove(path);
  const handle = await files.open(path, 'create');
  try {
    await handle.write([encodeSegmentHeader(header), ...records], 0);
    await handle.datasync();
    await files.syncFolder(folder);
    return handle;
  } catch (error) {
    await handle.close().catch(() => {});
    await files.remove(path).catch(() => {});
    throw error;
  }
}

function tooMuch(bytes: number, queuedBytes: number): MillwrightError {
  return new MillwrightError(
    'limit_exceeded',
    `a batch of ${bytes} bytes cannot be taken: at most ${BATCH_BYTES_MAX} in one, and ${QUEUE_BYTES_MAX} may wait ` +
      `to be written (${queuedBytes} do)`,
  );
}

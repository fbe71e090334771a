/**
 * Group commit: all appends that wait while a write is under way share the next write and the next sync.
 *
 * Order of sequences is order of calls. A failed write or sync rejects the whole group, frees its numbers, and closes the
 * segment for ever (see `docs/log-format.md`, "Writing"); the next group tries a new one.
 *
 * What an append's promise means is the {@link SyncPolicy}'s matter. `batch`: the bytes are on the disk; there is no loss
 * window. `interval`: the system has them, and they are on the disk at the latest `intervalMs` later; a power cut loses
 * what was appended in that time, a killed process nothing. `never`: whenever the system likes; for tests.
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

export interface SyncPolicy {
  readonly kind: 'batch' | 'interval' | 'never';
  /** For `interval`. */
  readonly intervalMs: number;
}

export interface WriterOptions {
  readonly files: Files;
  readonly folder: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly epoch: string;
  readonly segments: Segments;
  readonly segmentBytesMax: number;
  readonly sync: SyncPolicy;
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
  /** A segment is closed when it would grow beyond this. */
  segmentBytesMax: number;
  #nextSequence: number;
  #readingsTotal: number;
  /** Of the last segment, while it may be written to: until a failure, and after the first append. */
  #handle: FileHandle | undefined;
  #queue: Pending[] = [];
  #queuedBytes = 0;
  #pump: Promise<void> | undefined;
  readonly #closing = new AbortController();
  #syncer: Promise<void> | undefined;
  #isSyncDue = false;
  /** There are bytes that no sync has covered. */
  #isDirty = false;
  #bytesWritten = 0;
  #syncs = 0;
  #lastError: string | null = null;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.segmentBytesMax = options.segmentBytesMax;
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

  get syncs(): number {
    return this.#syncs;
  }

  append(payload: Uint8Array, readings: number): Promise<number> {
    if (this.#closing.signal.aborted) return Promise.reject(new MillwrightError('log_closed', 'the log is closed'));
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
    this.#closing.abort();
    await this.#syncer;
    await this.#pump;
    if (this.#options.sync.kind === 'interval') await this.#syncWritten();
    // All that was promised is synced; the cursors must be saved and the lock given back whatever closing says.
    await this.#handle?.close().catch(() => {});
    this.#handle = undefined;
  }

  async #writeQueue(): Promise<void> {
    // What is appended in the same turn goes into the first group.
    await Promise.resolve();
    // Syncs stand in one line with the writes: a failed one closes the file, which no write may then be using.
    while (this.#queue.length > 0 || this.#isSyncDue) {
      if (this.#isSyncDue) await this.#syncWritten();
      if (this.#queue.length === 0) continue;
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
    const { segments } = this.#options;
    const last = segments.last;
    const isEmpty = last === undefined || last.bytes <= SEGMENT_HEADER_BYTES;
    if (last === undefined || this.#handle === undefined || (!isEmpty && last.bytes + bytes > this.segmentBytesMax)) {
      await this.#writeNewSegment(buffers, bytes);
    } else {
      await this.#writeLastSegment(last, buffers, bytes);
    }
    this.#publish(group, batches);
  }

  #encode(group: readonly Pending[]): { batches: HotBatch[]; buffers: Uint8Array[]; bytes: number } {
    const batches: HotBatch[] = [];
    const buffers: Uint8Array[] = [];
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
      batches.push({ epoch: this.#options.epoch, ...header, payload });
      sequence += 1;
    }
    return { batches, buffers, bytes };
  }

  async #writeLastSegment(segment: Segment, buffers: readonly Uint8Array[], bytes: number): Promise<void> {
    const handle = this.#handle;
    if (handle === undefined) throw new MillwrightError('log_closed', 'the log is closed');
    try {
      await handle.write(buffers, segment.bytes);
      if (this.#options.sync.kind === 'batch') await handle.datasync();
    } catch (error) {
      this.#handle = undefined;
      // Whether or not these succeed, the next segment's first sequence rules out what is left here.
      await handle.truncate(segment.bytes).catch(() => {});
      if (this.#isDirty) await handle.datasync().catch(() => {});
      await handle.close().catch(() => {});
      throw error;
    }
    segment.note(this.#nextSequence - 1, segment.bytes);
    this.#options.segments.grow(segment, bytes);
    this.#written(bytes);
  }

  async #writeNewSegment(buffers: readonly Uint8Array[], bytes: number): Promise<void> {
    const { files, folder, segments, epoch, clock } = this.#options;
    const times = { createdAtMicros: clock.nowMicros(), readingsBefore: this.#readingsTotal };
    const first = { firstSequence: this.#nextSequence, form: 'plain', thinning: 0 } as const;
    const segment = new Segment({ epoch, ...first, ...times }, SEGMENT_HEADER_BYTES + bytes);
    await this.#syncWritten();
    // A file of that name may be left by a failure, and would rule out what the old segment took after it.
    const before = this.#handle;
    this.#handle = undefined;
    await before?.close().catch(() => {});
    this.#handle = await createSegment(files, { folder, header: segment.header, content: buffers });
    segments.add(segment);
    this.#written(segment.bytes);
    this.#isDirty = false;
  }

  #written(bytes: number): void {
    this.#bytesWritten += bytes;
    if (this.#options.sync.kind === 'batch') {
      this.#syncs += 1;
      return;
    }
    this.#isDirty = true;
    if (this.#options.sync.kind === 'interval') this.#syncer ??= this.#syncLater();
  }

  async #syncLater(): Promise<void> {
    const { clock, sync } = this.#options;
    await clock.sleep(sync.intervalMs, this.#closing.signal);
    this.#syncer = undefined;
    this.#isSyncDue = true;
    this.#pump ??= this.#writeQueue();
  }

  /** Never rejects: what was written in vain has been promised already, and can only be told. */
  async #syncWritten(): Promise<void> {
    this.#isSyncDue = false;
    const handle = this.#handle;
    if (handle === undefined || !this.#isDirty || this.#options.sync.kind === 'never') return;
    this.#isDirty = false;
    try {
      await handle.datasync();
      this.#syncs += 1;
    } catch (error) {
      this.#options.log.error('a sync of the log failed: a power cut now would lose its newest batches', { error });
      this.#lastError = messageOf(error);
      // After a failed sync the file is not trusted again; see `docs/log-format.md`, "Writing".
      if (this.#handle !== handle) return;
      this.#handle = undefined;
      await handle.close().catch(() => {});
    }
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
async function createSegment(
  files: Files,
  { folder, header, content }: { folder: string; header: SegmentHeader; content: readonly Uint8Array[] },
): Promise<FileHandle> {
  const path = `${folder}/${segmentName(header.firstSequence)}`;
  // Left from an earlier try: no record in it was ever durable, or its first sequence would not be free.
  await files.remove(path);
  const handle = await files.open(path, 'create');
  try {
    await handle.write([encodeSegmentHeader(header), ...content], 0);
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

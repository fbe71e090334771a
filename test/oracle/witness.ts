/**
 * The witness: what the log has written and promised, told beside it in a file of its own, so that what arrives can be
 * compared.
 *
 *     tried        = "T epoch sequence bytes\n" payload      before the log writes a batch to a segment
 *     kept         = "K epoch sequence\n"                    after the sync by which the log is bound to deliver it
 *     acknowledged = "A epoch sequence 0 crc\n"              when an append is resolved, before its caller knows
 *
 * Every entry is one synchronous write before the log goes on, so a `kill -9` leaves no promise without its witness.
 * What was tried and not kept may arrive (the log has promised nothing) or not; what was kept must; and what was
 * acknowledged must have been kept. Each process writes a file of its own, whose last entry a kill may have torn.
 */
import { openSync, readFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import type { FileHandle, Files } from '../../src/base/files.ts';
import { DurableLog } from '../../src/log/log.ts';
import { epochOf, parseSegmentName, recordsIn, SEGMENT_HEADER_BYTES, type SegmentRecord } from './segment-records.ts';

export interface BatchName {
  readonly epoch: string;
  readonly sequence: number;
}

export interface Witness {
  tried(batch: BatchName & { readonly payload: Uint8Array }): void;
  kept(batch: BatchName): void;
  acknowledged(batch: BatchName & { readonly payload: Uint8Array }): void;
}

export function openWitness(file: string): Witness {
  const descriptor = openSync(file, 'a');
  return {
    tried: ({ epoch, sequence, payload }) => {
      const head = Buffer.from(`T ${epoch} ${sequence} ${payload.length}\n`);
      writeSync(descriptor, Buffer.concat([head, payload]));
    },
    kept: ({ epoch, sequence }) => {
      writeSync(descriptor, `K ${epoch} ${sequence}\n`);
    },
    acknowledged: ({ epoch, sequence, payload }) => {
      writeSync(descriptor, `A ${epoch} ${sequence} 0 ${crc32(payload)}\n`);
    },
  };
}

export interface WitnessEntry extends BatchName {
  readonly kind: 'tried' | 'kept' | 'acknowledged';
  /** Of `tried`; else empty. */
  readonly payload: Buffer;
  /** Of the payload; 0 for `kept`. */
  readonly crc: number;
}

const KINDS = { T: 'tried', K: 'kept', A: 'acknowledged' } as const;
const LINE_FEED = 10;

/** The whole entries of a witness' file, in order. */
export function* readWitness(file: string): Generator<WitnessEntry> {
  const bytes = readFileSync(file);
  let offset = 0;
  for (;;) {
    const lineEnd = bytes.indexOf(LINE_FEED, offset);
    if (lineEnd < 0) return;
    const [mark, epoch = '', sequence, length = '0', crc] = bytes.toString('latin1', offset, lineEnd).split(' ');
    offset = lineEnd + 1 + Number(length);
    if (offset > bytes.length) return;
    const payload = bytes.subarray(lineEnd + 1, offset);
    const kind = KINDS[mark as keyof typeof KINDS];
    yield {
      kind,
      epoch,
      sequence: Number(sequence),
      payload,
      crc: kind === 'tried' ? crc32(payload) : Number(crc ?? 0),
    };
  }
}

/** Tells the witness of every append that is resolved: from outside, since the program need not know of it. */
export function watchAppends(witness: Witness): void {
  const append: (this: DurableLog, payload: Uint8Array, readings: number) => Promise<number> = Reflect.get(
    DurableLog.prototype,
    'append',
  );
  DurableLog.prototype.append = async function (payload, readings) {
    const sequence = await append.call(this, payload, readings);
    witness.acknowledged({ epoch: this.epoch, sequence, payload });
    return sequence;
  };
}

/** The port, with everything told to the witness that is appended to a segment through it. */
export function witnessing(files: Files, witness: Witness): Files {
  const unnamed = new Set<WitnessedFile>();
  return {
    ...files,
    open: async (file, mode) => {
      const handle = await files.open(file, mode);
      if (mode === 'read' || parseSegmentName(path.basename(file)) === undefined) return handle;
      const witnessed = new WitnessedFile({ handle, witness, folder: path.dirname(file), unnamed });
      if (mode === 'write') await witnessed.goOn();
      else unnamed.add(witnessed);
      return witnessed;
    },
    syncFolder: async (folder) => {
      const synced = [...unnamed].filter((file) => file.folder === folder && file.isSynced);
      await files.syncFolder(folder);
      for (const file of synced) file.named();
    },
  };
}

interface WitnessedOptions {
  readonly handle: FileHandle;
  readonly witness: Witness;
  readonly folder: string;
  /** New files whose name may not be on the disk yet. */
  readonly unnamed: Set<WitnessedFile>;
}

class WitnessedFile implements FileHandle {
  readonly #options: WitnessedOptions;
  #epoch: string | undefined;
  /** What is written before it was there before, and is only written again. */
  #end = 0;
  #written: SegmentRecord[] = [];
  #synced: SegmentRecord[] = [];
  #isSynced = false;

  constructor(options: WitnessedOptions) {
    this.#options = options;
  }

  get folder(): string {
    return this.#options.folder;
  }

  get isSynced(): boolean {
    return this.#isSynced;
  }

  /** Of a file that was there before. */
  async goOn(): Promise<void> {
    const { handle } = this.#options;
    const header = Buffer.alloc(SEGMENT_HEADER_BYTES);
    await handle.read(header, 0);
    this.#epoch = epochOf(header);
    this.#end = await handle.size();
  }

  /** The file's name is on the disk too: what was synced in it is kept. */
  named(): void {
    const { unnamed, witness } = this.#options;
    if (!unnamed.delete(this)) return;
    for (const record of this.#synced.splice(0)) witness.kept(record);
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    const bytes = Buffer.concat(buffers);
    if (position === 0) this.#epoch ??= epochOf(bytes);
    if (position >= this.#end && this.#epoch !== undefined) {
      const records = recordsIn(bytes, { epoch: this.#epoch, offset: position === 0 ? SEGMENT_HEADER_BYTES : 0 });
      for (const record of records) this.#options.witness.tried(record);
      this.#written.push(...records);
    }
    await this.#options.handle.write(buffers, position);
    this.#end = Math.max(this.#end, position + bytes.length);
  }

  async datasync(): Promise<void> {
    const { handle, unnamed, witness } = this.#options;
    const records = [...this.#written];
    await handle.datasync();
    this.#written = this.#written.filter((record) => !records.includes(record));
    this.#isSynced = true;
    if (unnamed.has(this)) this.#synced.push(...records);
    else for (const record of records) witness.kept(record);
  }

  async truncate(length: number): Promise<void> {
    this.#written = [];
    await this.#options.handle.truncate(length);
    this.#end = length;
  }

  close(): Promise<void> {
    this.#options.unnamed.delete(this);
    return this.#options.handle.close();
  }

  read(into: Uint8Array, position: number): Promise<number> {
    return this.#options.handle.read(into, position);
  }

  size(): Promise<number> {
    return this.#options.handle.size();
  }
}

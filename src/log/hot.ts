/** The hot tier: the newest batches in memory, so that a sink that keeps up is served without reading the disk. */

export interface StoredBatch {
  /** With the gateway and the sequence it is the batch's identity: a log has one for each time it was opened. */
  readonly epoch: string;
  readonly sequence: number;
  readonly readings: number;
  readonly appendedAtMicros: number;
  readonly payload: Uint8Array;
}

export interface HotBatch extends StoredBatch {
  /** Readings appended to the log up to and with this batch. */
  readonly readingsTotal: number;
}

export interface ReadLimits {
  readonly batchesMax: number;
  /** Of payloads; the first batch is given even if it is longer. */
  readonly bytesMax: number;
}

/** What one batch costs in memory besides its payload. */
const OVERHEAD_BYTES = 256;

export class HotTier {
  readonly #bytesMax: number;
  /** Oldest first, without gaps between neighbours; those before `#head` are gone. */
  #batches: (HotBatch | undefined)[] = [];
  #head = 0;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Of the oldest batch in memory; infinite when there is none. */
  get firstSequence(): number {
    return this.#oldest()?.sequence ?? Number.POSITIVE_INFINITY;
  }

  add(batches: readonly HotBatch[]): void {
    for (const batch of batches) {
      this.#batches.push(batch);
      this.#bytes += OVERHEAD_BYTES + batch.payload.length;
    }
    while (this.#bytes > this.#bytesMax) this.#dropOldest();
  }

  /** Batches that nobody will ask for any more. */
  dropThrough(sequence: number): void {
    for (let oldest = this.#oldest(); oldest !== undefined && oldest.sequence <= sequence; oldest = this.#oldest()) {
      this.#dropOldest();
    }
  }

  /** The first batch at or after `sequence`; undefined when older ones than those in memory would have to be looked at. */
  firstFrom(sequence: number): HotBatch | undefined {
    const oldest = this.#oldest();
    if (oldest === undefined || sequence < oldest.sequence) return undefined;
    return this.#batches[this.#indexOf(sequence)];
  }

  /** Undefined as in {@link firstFrom}. */
  read(from: number, { batchesMax, bytesMax }: ReadLimits): StoredBatch[] | undefined {
    if (this.firstFrom(from) === undefined) return undefined;
    const batches: StoredBatch[] = [];
    let bytes = 0;
    for (let index = this.#indexOf(from); index < this.#batches.length && batches.length < batchesMax; index += 1) {
      const batch = this.#batches[index];
      if (batch === undefined) break;
      bytes += batch.payload.length;
      if (bytes > bytesMax && batches.length > 0) break;
      batches.push(batch);
    }
    return batches;
  }

  /** Sequences rise by one from batch to batch while a process runs: numbers are abandoned only on opening. */
  #indexOf(sequence: number): number {
    const oldest = this.#oldest();
    return oldest === undefined ? this.#head : this.#head + sequence - oldest.sequence;
  }

  #oldest(): HotBatch | undefined {
    return this.#batches[this.#head];
  }

  #dropOldest(): void {
    const oldest = this.#oldest();
    if (oldest === undefined) return;
    this.#bytes -= OVERHEAD_BYTES + oldest.payload.length;
    this.#batches[this.#head] = undefined;
    this.#head += 1;
    // Shifting a long array at each batch would cost more than letting the front grow stale for a while.
    if (this.#head >= 64 && this.#head * 2 >= this.#batches.length) {
      this.#batches = this.#batches.slice(this.#head);
      this.#head = 0;
    }
  }
}

/**
 * Bytes that come in pieces, held as one. Pieces may be of a byte each: kept as they come, a million of them would take a
 * hundred times their length. Pure.
 */
const BYTES_FIRST = 16 * 1024;
/** Memory that is given back when it is no longer needed. */
const KEPT_BYTES_MAX: number = 1024 * 1024;

export class GrowingBytes {
  #memory: Buffer = Buffer.alloc(0);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** A view: valid until the next call. */
  get bytes(): Buffer {
    return this.#memory.subarray(0, this.#length);
  }

  push(piece: Uint8Array): void {
    const length = this.#length + piece.length;
    if (length > this.#memory.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(BYTES_FIRST, length, 2 * this.#memory.length));
      this.bytes.copy(larger);
      this.#memory = larger;
    }
    this.#memory.set(piece, this.#length);
    this.#length = length;
  }

  /** Takes so many off the beginning. */
  drop(count: number): void {
    const rest = this.#memory.subarray(count, this.#length);
    this.#length = rest.length;
    if (this.#memory.length > KEPT_BYTES_MAX && rest.length < BYTES_FIRST) this.#memory = Buffer.from(rest);
    else this.#memory.set(rest, 0);
  }
}

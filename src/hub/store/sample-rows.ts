/**
 * Rows of `COPY … TO STDOUT` in text format (PostgreSQL manual, "COPY", Text Format) to the text of an answer.
 *
 * Bytes to bytes, in memory that is used again: numbers are copied as PostgreSQL printed them, and a day of a machine
 * (864,000 rows) leaves nothing for the garbage collector. What a row becomes is said by `json-rows.ts` and `csv-rows.ts`.
 */
import { SIGNALS } from '../../model/signals.ts';

/** The columns that the rows must have, in this order. */
export const SAMPLE_ROW_COLUMNS: string = ['time', ...SIGNALS.map(({ name }) => name), 'extra'].join(', ');

/** A piece of the answer is not longer than this, unless a single row is. */
const PIECE_BYTES: number = 64 * 1024;
/** Most that the keys and punctuation of a row add to its text. */
const ROW_OVERHEAD_BYTES = 512;
/** PostgreSQL prints a control character as it is, which JSON writes as `\u0001`. */
const BYTES_OF_A_BYTE_MAX = 6;

const TAB = 0x09;
const NEWLINE = 0x0a;
const BACKSLASH = 0x5c;

/** What stands around the rows. */
export interface Frame {
  /** Before the first row. */
  readonly first: string;
  /** Before each other one. */
  readonly following: string;
  readonly end: string;
  /** The whole answer, where there is no row. */
  readonly empty: string;
}

export abstract class SampleRows {
  readonly #frame: Frame;
  readonly #first: Buffer;
  readonly #following: Buffer;
  #isEmpty = true;
  /** What has come and is not yet taken out. */
  protected in: Buffer = Buffer.allocUnsafe(2 * PIECE_BYTES);
  /** The piece that is being written, up to `at`. */
  protected out: Buffer = Buffer.allocUnsafe(PIECE_BYTES);
  protected at = 0;
  #inStart = 0;
  #inEnd = 0;

  constructor(frame: Frame) {
    this.#frame = frame;
    this.#first = Buffer.from(frame.first);
    this.#following = Buffer.from(frame.following);
  }

  /** Takes what has come; rows may be cut anywhere. Everything taken before must have been taken out by {@link next}. */
  push(chunk: Uint8Array): void {
    const rest = this.#inEnd - this.#inStart;
    if (rest + chunk.length > this.in.length) {
      const larger = Buffer.allocUnsafe(2 * (rest + chunk.length));
      this.in.copy(larger, 0, this.#inStart, this.#inEnd);
      this.in = larger;
    } else this.in.copyWithin(0, this.#inStart, this.#inEnd);
    this.in.set(chunk, rest);
    this.#inStart = 0;
    this.#inEnd = rest + chunk.length;
  }

  /** The next piece of the answer; undefined when more rows are needed. It stands until the next call. */
  next(): Uint8Array | undefined {
    this.at = 0;
    for (;;) {
      const end = this.in.indexOf(NEWLINE, this.#inStart);
      if (end === -1 || end >= this.#inEnd) break;
      const prefix = this.#isEmpty ? this.#first : this.#following;
      const bytesMax = prefix.length + ROW_OVERHEAD_BYTES + BYTES_OF_A_BYTE_MAX * (end - this.#inStart);
      if (this.at + bytesMax > this.out.length) {
        if (this.at > 0) break;
        this.out = Buffer.allocUnsafe(bytesMax);
      }
      this.put(prefix);
      this.row(this.#inStart, end);
      this.#isEmpty = false;
      this.#inStart = end + 1;
    }
    return this.at === 0 ? undefined : this.out.subarray(0, this.at);
  }

  /** The last piece, after all rows. */
  end(): Uint8Array {
    return Buffer.from(this.#isEmpty ? this.#frame.empty : this.#frame.end);
  }

  /** Writes the row that lies in `in`, without its line end. */
  protected abstract row(start: number, end: number): void;

  /** `2026-01-01 08:00:00.1234+00`, as PostgreSQL prints it in UTC, in the canonical form with six decimals. */
  protected time(from: number, to: number): void {
    const zone = to - 3;
    this.copy(from, from + 10);
    this.out[this.at++] = 0x54;
    this.copy(from + 11, zone);
    if (zone - from === 19) this.out[this.at++] = 0x2e;
    for (let decimals = Math.max(0, zone - from - 20); decimals < 6; decimals += 1) this.out[this.at++] = 0x30;
    this.out[this.at++] = 0x5a;
  }

  protected isEscaped(from: number, to: number): boolean {
    for (let index = from; index < to; index += 1) if (this.in[index] === BACKSLASH) return true;
    return false;
  }

  protected unescaped(from: number, to: number): string {
    const field = this.in.toString('utf8', from, to);
    if (!field.includes('\\')) return field;
    return field.replace(/\\(.)/gs, (_, letter: string) => ESCAPES[letter] ?? letter);
  }

  protected fieldEnd(from: number, end: number): number {
    let at = from;
    while (at < end && this.in[at] !== TAB) at += 1;
    return at;
  }

  protected isNull(from: number, to: number): boolean {
    return to - from === 2 && this.in[from] === BACKSLASH && this.in[from + 1] === 0x4e;
  }

  /** Whether a field that ends there is a finite number: other programs may have stored NaN and the infinities. */
  protected isFinite(to: number): boolean {
    const last = this.in[to - 1] ?? 0;
    return last >= 0x30 && last <= 0x39;
  }

  protected copy(from: number, to: number): void {
    for (let index = from; index < to; index += 1) this.out[this.at++] = this.in[index] ?? 0;
  }

  protected put(bytes: Uint8Array): void {
    this.out.set(bytes, this.at);
    this.at += bytes.length;
  }

  protected write(text: string): void {
    this.at += this.out.write(text, this.at);
  }
}

const ESCAPES: { readonly [letter: string]: string } = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/**
 * Rows of `COPY … TO STDOUT` in text format (PostgreSQL manual, "COPY", Text Format) to the wire form of samples.
 *
 * Bytes to bytes, in memory that is used again: numbers are copied as PostgreSQL printed them, and a day of a machine
 * (864,000 rows) leaves nothing for the garbage collector.
 */
import { SIGNALS } from '../../model/signals.ts';

/** The columns that the rows must have, in this order. */
export const JSON_ROW_COLUMNS: string = ['time', ...SIGNALS.map(({ name }) => name), 'extra'].join(', ');

/** A piece of the answer is not longer than this, unless a single row is. */
const PIECE_BYTES: number = 64 * 1024;
/** Most that the keys and punctuation of a row add to its text. */
const ROW_OVERHEAD_BYTES = 512;

const TAB = 0x09;
const NEWLINE = 0x0a;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const KEYS = SIGNALS.map(({ name, type }) => ({ key: Buffer.from(`,"${name}":`), isText: type === 'text' }));

export class JsonRows {
  readonly #prefix: Buffer;
  #in: Buffer = Buffer.allocUnsafe(2 * PIECE_BYTES);
  #inStart = 0;
  #inEnd = 0;
  #out: Buffer = Buffer.allocUnsafe(PIECE_BYTES);
  #at = 0;
  #first = true;

  constructor(machineId: string) {
    this.#prefix = Buffer.from(`{"machine_id":${JSON.stringify(machineId)},"timestamp":"`);
  }

  /** Takes what has come; rows may be cut anywhere. Everything taken before must have been taken out by {@link next}. */
  push(chunk: Uint8Array): void {
    const rest = this.#inEnd - this.#inStart;
    if (rest + chunk.length > this.#in.length) {
      const larger = Buffer.allocUnsafe(2 * (rest + chunk.length));
      this.#in.copy(larger, 0, this.#inStart, this.#inEnd);
      this.#in = larger;
    } else this.#in.copyWithin(0, this.#inStart, this.#inEnd);
    this.#in.set(chunk, rest);
    this.#inStart = 0;
    this.#inEnd = rest + chunk.length;
  }

  /** The next piece of the array's text; undefined when more rows are needed. It stands until the next call. */
  next(): Uint8Array | undefined {
    this.#at = 0;
    for (;;) {
      const end = this.#in.indexOf(NEWLINE, this.#inStart);
      if (end === -1 || end >= this.#inEnd) break;
      // An escaped byte is printed as up to two, and becomes up to two.
      const bytesMax = this.#prefix.length + ROW_OVERHEAD_BYTES + 2 * (end - this.#inStart);
      if (this.#at + bytesMax > this.#out.length) {
        if (this.#at > 0) break;
        this.#out = Buffer.allocUnsafe(bytesMax);
      }
      this.#row(this.#inStart, end);
      this.#inStart = end + 1;
    }
    return this.#at === 0 ? undefined : this.#out.subarray(0, this.#at);
  }

  /** The last piece, after all rows. */
  end(): Uint8Array {
    return Buffer.from(this.#first ? '[]' : '\n]');
  }

  #row(start: number, end: number): void {
    this.#put(this.#first ? OPENING : SEPARATOR);
    this.#first = false;
    this.#put(this.#prefix);
    let from = start;
    let to = this.#fieldEnd(from, end);
    this.#time(from, to);
    for (const { key, isText } of KEYS) {
      from = to + 1;
      to = this.#fieldEnd(from, end);
      if (this.#isNull(from, to)) continue;
      if (isText) {
        this.#put(key);
        this.#text(from, to);
      } else if (this.#isJsonNumber(to)) {
        this.#put(key);
        this.#copy(from, to);
      }
    }
    this.#extra(to + 1, end);
    this.#out[this.#at++] = 0x7d;
  }

  /** `2026-01-01 08:00:00.1234+00`, as PostgreSQL prints it in UTC, with six decimals and its closing quote. */
  #time(from: number, to: number): void {
    const zone = to - 3;
    this.#copy(from, from + 10);
    this.#out[this.#at++] = 0x54;
    this.#copy(from + 11, zone);
    if (zone - from === 19) this.#out[this.#at++] = 0x2e;
    for (let decimals = Math.max(0, zone - from - 20); decimals < 6; decimals += 1) this.#out[this.#at++] = 0x30;
    this.#out[this.#at++] = 0x5a;
    this.#out[this.#at++] = QUOTE;
  }

  #text(from: number, to: number): void {
    this.#at += this.#out.write(JSON.stringify(this.#unescaped(from, to)), this.#at);
  }

  /** The keys of `extra` follow those of the columns. */
  #extra(from: number, to: number): void {
    if (this.#isNull(from, to) || to - from <= 2) return;
    this.#out[this.#at++] = 0x2c;
    let escaped = false;
    for (let index = from; index < to; index += 1) if (this.#in[index] === BACKSLASH) escaped = true;
    // Without the braces.
    if (escaped) this.#at += this.#out.write(this.#unescaped(from, to).slice(1, -1), this.#at);
    else this.#copy(from + 1, to - 1);
  }

  #unescaped(from: number, to: number): string {
    const field = this.#in.toString('utf8', from, to);
    if (!field.includes('\\')) return field;
    return field.replace(/\\(.)/gs, (_, letter: string) => ESCAPES[letter] ?? letter);
  }

  #fieldEnd(from: number, end: number): number {
    let at = from;
    while (at < end && this.#in[at] !== TAB) at += 1;
    return at;
  }

  #isNull(from: number, to: number): boolean {
    return to - from === 2 && this.#in[from] === BACKSLASH && this.#in[from + 1] === 0x4e;
  }

  /** NaN and the infinities, which other programs may have stored, have no form in JSON. */
  #isJsonNumber(to: number): boolean {
    const last = this.#in[to - 1] ?? 0;
    return last >= 0x30 && last <= 0x39;
  }

  #copy(from: number, to: number): void {
    for (let index = from; index < to; index += 1) this.#out[this.#at++] = this.#in[index] ?? 0;
  }

  #put(bytes: Buffer): void {
    this.#out.set(bytes, this.#at);
    this.#at += bytes.length;
  }
}

const OPENING = Buffer.from('[\n');
const SEPARATOR = Buffer.from(',\n');
const ESCAPES: { readonly [letter: string]: string } = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

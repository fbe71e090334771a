/** Cuts the bytes of a connection into lines: every byte is looked at once, and an unfinished line has a limit. */
import { isUtf8 } from 'node:buffer';
import { MillwrightError } from '../../base/errors.ts';

/** Longest line, in bytes, without its end. */
export const LINE_BYTES_MAX: number = 1024 * 1024;
/** An adapter that sends byte by byte would have one object for each; so many are joined into one. */
const PARTS_MAX = 1_024;

export interface Line {
  readonly text: string;
  /** False for a line that is not UTF-8: it was read as Latin-1, which old adapters send. */
  readonly isUtf8: boolean;
}

export class LineSplitter {
  /** Copies of the parts of the line that has not ended yet. */
  #parts: Buffer[] = [];
  #bytes = 0;

  /**
   * Calls `take` for every line that ends in this chunk; the chunk's memory may be used again afterwards.
   * @throws `protocol_violation` when a line is longer than {@link LINE_BYTES_MAX}
   */
  push(chunk: Buffer, take: (line: Line) => void): void {
    let start = 0;
    for (let end = chunk.indexOf(0x0a); end !== -1; end = chunk.indexOf(0x0a, start)) {
      this.#checkLength(end - start);
      if (this.#parts.length === 0) take(decode(chunk, start, end));
      else {
        const line = Buffer.concat([...this.#parts, chunk.subarray(start, end)]);
        this.#parts = [];
        this.#bytes = 0;
        take(decode(line, 0, line.length));
      }
      start = end + 1;
    }
    if (start === chunk.length) return;
    this.#checkLength(chunk.length - start);
    this.#parts.push(Buffer.from(chunk.subarray(start)));
    this.#bytes += chunk.length - start;
    if (this.#parts.length >= PARTS_MAX) this.#parts = [Buffer.concat(this.#parts)];
  }

  #checkLength(bytes: number): void {
    if (this.#bytes + bytes <= LINE_BYTES_MAX) return;
    throw new MillwrightError('protocol_violation', `a line is longer than ${LINE_BYTES_MAX} bytes`);
  }
}

function decode(bytes: Buffer, start: number, end: number): Line {
  const stop = end > start && bytes[end - 1] === 0x0d ? end - 1 : end;
  const text = bytes.toString('utf8', start, stop);
  // The quick way marks bad bytes with U+FFFD; only then is it looked at twice.
  if (!text.includes('\ufffd') || isUtf8(bytes.subarray(start, stop))) return { text, isUtf8: true };
  return { text: bytes.toString('latin1', start, stop), isUtf8: false };
}

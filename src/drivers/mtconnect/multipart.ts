/**
 * The parts of a multipart answer as agents stream it: bytes in, documents out. Pure: no socket, no clock.
 *
 *     part     = boundary line, header lines, blank line, Content-length bytes
 *     boundary = "--" as in the answer's Content-Type; with "--" behind it, the end
 *
 * Lines end with CRLF or LF. What stands between a part and the next boundary is passed over. A part without
 * Content-length ends where the next boundary begins. Sources: RFC 2046, 5.1; MTConnect Part 1, streaming; cppagent.
 */
import { MillwrightError } from '../../base/errors.ts';
import { GrowingBytes } from './growing-bytes.ts';

/** Longest part: an agent puts `count` observations into one. */
export const PART_BYTES_MAX: number = 32 * 1024 * 1024;
/** Longest header of a part, and most that may stand between two parts. */
export const HEADER_BYTES_MAX: number = 16 * 1024;

const LF = 0x0a;

/** The boundary that a `multipart/mixed` or `multipart/x-mixed-replace` names; undefined for every other content. */
export function boundaryOf(contentType: string | undefined): string | undefined {
  const match = /^multipart\/(?:mixed|x-mixed-replace)\s*;(?:.*;)?\s*boundary\s*=\s*(?:"([^"]+)"|([^\s;"]+))/i.exec(
    contentType ?? '',
  );
  return match?.[1] ?? match?.[2];
}

type Place = 'before' | 'header' | 'body' | 'ended';

export class MultipartParser {
  readonly #boundary: Buffer;
  readonly #held = new GrowingBytes();
  /** With fewer bytes there is nothing to be done. */
  #bytesWanted = 1;
  #place: Place = 'before';
  #passedOver = 0;
  #headerBytes = 0;
  #length: number | undefined;
  /** Of a part without a length: so far it has no boundary. */
  #searched = 0;

  constructor(boundary: string) {
    this.#boundary = Buffer.from(`--${boundary}`, 'latin1');
  }

  /** @returns the bodies that are whole now @throws protocol_violation */
  push(piece: Buffer): Buffer[] {
    const bodies: Buffer[] = [];
    if (this.#place === 'ended') return bodies;
    this.#held.push(piece);
    if (this.#held.length < this.#bytesWanted) return bodies;
    const bytes = this.#held.bytes;
    let at = 0;
    for (;;) {
      const taken = this.#take(bytes.subarray(at), bodies);
      if (taken === 0) break;
      at += taken;
    }
    this.#held.drop(at);
    return bodies;
  }

  /** @returns how many bytes are dealt with; 0: more are needed */
  #take(bytes: Buffer, bodies: Buffer[]): number {
    this.#bytesWanted = bytes.length + 1;
    switch (this.#place) {
      case 'before':
        return this.#takeLine(bytes, (line) => this.#beforeLine(line));
      case 'header':
        return this.#takeLine(bytes, (line) => this.#headerLine(line));
      case 'body':
        return this.#length === undefined
          ? this.#takeUntilBoundary(bytes, bodies)
          : this.#takeBody(bytes, this.#length, bodies);
      case 'ended':
        return bytes.length;
    }
  }

  #takeLine(bytes: Buffer, use: (line: string) => void): number {
    const end = bytes.indexOf(LF);
    if (end < 0) {
      if (bytes.length > HEADER_BYTES_MAX) throw violation(`a line of more than ${HEADER_BYTES_MAX} bytes`);
      return 0;
    }
    if (end > HEADER_BYTES_MAX) throw violation(`a line of more than ${HEADER_BYTES_MAX} bytes`);
    use(bytes.toString('latin1', 0, end).trimEnd());
    return end + 1;
  }

  #beforeLine(line: string): void {
    const boundary = this.#boundary.toString('latin1');
    if (line === `${boundary}--`) this.#place = 'ended';
    if (line === boundary) {
      this.#place = 'header';
      this.#passedOver = 0;
      this.#headerBytes = 0;
      this.#length = undefined;
    }
    // Blank lines too: an agent that sends nothing else says nothing.
    this.#passedOver += line.length + 1;
    if (this.#passedOver > HEADER_BYTES_MAX) throw violation('no boundary where the next part should begin');
  }

  #headerLine(line: string): void {
    if (line === '') {
      this.#place = 'body';
      return;
    }
    this.#headerBytes += line.length;
    if (this.#headerBytes > HEADER_BYTES_MAX) throw violation(`a header of more than ${HEADER_BYTES_MAX} bytes`);
    const length = /^content-length\s*:\s*(\d{1,15})$/i.exec(line)?.[1];
    if (length === undefined) return;
    this.#length = Number(length);
    if (this.#length > PART_BYTES_MAX) throw violation(`a part of ${length} bytes`);
  }

  #takeBody(bytes: Buffer, length: number, bodies: Buffer[]): number {
    this.#bytesWanted = length;
    if (bytes.length < length) return 0;
    this.#place = 'before';
    bodies.push(Buffer.from(bytes.subarray(0, length)));
    // A part may be empty, and the line end after it is not there yet: "nothing taken" would end the loop.
    return length === 0 ? this.#take(bytes, bodies) : length;
  }

  #takeUntilBoundary(bytes: Buffer, bodies: Buffer[]): number {
    // What was searched before is not searched again, however small the pieces are.
    const end = bytes.indexOf(this.#boundary, this.#searched);
    this.#searched = end < 0 ? Math.max(0, bytes.length - this.#boundary.length + 1) : 0;
    if (end < 0) {
      if (bytes.length > PART_BYTES_MAX) throw violation(`a part of more than ${PART_BYTES_MAX} bytes`);
      return 0;
    }
    this.#place = 'before';
    bodies.push(Buffer.from(bytes.subarray(0, end)));
    return end === 0 ? this.#take(bytes, bodies) : end;
  }
}

function violation(what: string): MillwrightError {
  return new MillwrightError('protocol_violation', `${what} in a multipart answer`);
}

/** The objects of a JSON array as they arrive, in constant memory: the answer of `…/data` may have millions of them. */
import { MillwrightError } from '../base/errors.ts';
import type { JsonValue } from '../model/reading.ts';

export type JsonObject = { readonly [key: string]: JsonValue };

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const [OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d] as const;

export class JsonArrayReader {
  readonly #take: (object: JsonObject) => void;
  #depth = 0;
  #inString = false;
  #isEscaped = false;
  #isWhole = false;
  /** The beginning of an object that goes on in the next piece. */
  #rest: Buffer = Buffer.alloc(0);

  constructor(take: (object: JsonObject) => void) {
    this.#take = take;
  }

  push(piece: Uint8Array): void {
    let start = this.#rest.length > 0 ? 0 : -1;
    const from = this.#rest.length;
    const bytes =
      from > 0 ? Buffer.concat([this.#rest, piece]) : Buffer.from(piece.buffer, piece.byteOffset, piece.length);
    for (let at = from; at < bytes.length; at += 1) {
      const byte = bytes[at];
      if (this.#inString) {
        if (this.#isEscaped) this.#isEscaped = false;
        else if (byte === BACKSLASH) this.#isEscaped = true;
        else if (byte === QUOTE) this.#inString = false;
      } else if (byte === QUOTE) this.#inString = true;
      else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
        if (this.#depth === 1) start = at;
        this.#depth += 1;
      } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
        this.#depth -= 1;
        if (this.#depth === 0) this.#isWhole = true;
        if (this.#depth === 1) {
          this.#take(JSON.parse(bytes.toString('utf8', start, at + 1)) as JsonObject);
          start = -1;
        }
      }
    }
    this.#rest = start === -1 ? Buffer.alloc(0) : Buffer.from(bytes.subarray(start));
  }

  /** @throws connection_failed when the array has not come to its end: whoever sends it has failed on the way */
  end(): void {
    if (!this.#isWhole) throw new MillwrightError('connection_failed', 'the answer broke off before its end');
  }
}

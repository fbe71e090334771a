/** What the stamps of one connection's lines mean. */
import { microsOf, parseTimestamp, type Timestamp, timestampOf } from '../../model/time.ts';

const OFFSET_MS = /^\d{1,15}(?:\.\d{1,9})?$/;
const HAS_ZONE = /(?:[Zz]|[+-]\d\d:?\d\d)$/;

export class LineTimes {
  readonly #assumeZone: string;
  /** The line before, because many lines carry the same stamp. */
  #lastText = '';
  #lastTimestamp: Timestamp | undefined;
  /** Relative mode: what the first offset of the connection stood for. */
  #relative: { readonly micros: number; readonly offsetMs: number } | undefined;

  /** `assumeZone` as in RFC 3339: `Z` or `+02:00`. */
  constructor(assumeZone: string) {
    this.#assumeZone = assumeZone;
  }

  /**
   * @param receivedAt the gateway's time: the meaning of a blank stamp, and of the first offset in relative mode
   * @returns undefined when the text is no time
   */
  read(text: string, receivedAt: () => Timestamp): Timestamp | undefined {
    if (text === '') return receivedAt();
    if (text === this.#lastText) return this.#lastTimestamp;
    if (OFFSET_MS.test(text)) return this.#readOffset(Number(text), receivedAt);
    this.#lastText = text;
    this.#lastTimestamp = parseTimestamp(HAS_ZONE.test(text) ? text : `${text}${this.#assumeZone}`);
    return this.#lastTimestamp;
  }

  #readOffset(offsetMs: number, receivedAt: () => Timestamp): Timestamp | undefined {
    this.#relative ??= { micros: microsOf(receivedAt()), offsetMs };
    const micros = this.#relative.micros + Math.round((offsetMs - this.#relative.offsetMs) * 1000);
    return isYearOfFourDigits(micros) ? timestampOf(micros) : undefined;
  }
}

function isYearOfFourDigits(micros: number): boolean {
  return micros > -62_000_000_000_000_000 && micros < 9_000_000_000_000_000;
}

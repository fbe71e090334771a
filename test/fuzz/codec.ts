/** What the fuzzer has to know of a codec. A file of `codecs/` is one; `registry.ts` names it. */
import { MillwrightError } from '../../src/base/errors.ts';
import type { Random } from '../../src/base/random.ts';
import { NotUnderstood } from '../../src/drivers/files/rows.ts';
import { FRAME_BYTES_MAX } from '../../src/model/frame.ts';
import { decodeReading, type Reading } from '../../src/model/reading.ts';

export interface Codec {
  /** What is fed, and what must hold, in a sentence for the report. */
  readonly about: string;
  /** Real inputs; they are mutated. */
  readonly corpus: readonly Buffer[];
  /** Longer ones, taken seldom. */
  readonly longCorpus?: readonly Buffer[];
  /** Delimiters and words of the format; mutations put them in. */
  readonly words: readonly string[];
  /** What opens a level of the format's nesting; blank where there is none. */
  readonly opening: string;
  /** An input by the rules of the format, or nearly. */
  generate(random: Random): Buffer;
  /**
   * Reads the input as the program does. A coded error that is thrown is a refusal; all else that is thrown is a finding.
   * @param random for what the input does not say, such as where it is cut into pieces
   * @returns what was refused of the input while the rest was read
   */
  read(input: Buffer, random: Random): readonly Refusal[] | Promise<readonly Refusal[]>;
}

export interface Refusal {
  readonly code: string;
  readonly reason: string;
}

/** Something that must not be: the message says what. */
export class Finding extends Error {}

/** The refusal that an error is; undefined for an error that must not come out of a codec. */
export function refusalOf(error: unknown): Refusal | undefined {
  if (error instanceof MillwrightError) return { code: error.code, reason: error.message };
  // The files' own, which puts a file or a row into the quarantine.
  if (error instanceof NotUnderstood) return { code: 'not_understood', reason: error.message };
  return undefined;
}

/** @throws Finding when the hub would refuse the reading, or no frame can hold it */
export function mustBeTaken(reading: Reading): void {
  // Before it is JSON, in which a number that is none would become null.
  const decoded = decodeReading({ ...reading });
  if ('fault' in decoded) throw new Finding(`a reading that the hub refuses: ${fault(decoded.fault)}`);
  const bytes = Buffer.byteLength(JSON.stringify(reading));
  if (bytes > FRAME_BYTES_MAX) throw new Finding(`a reading of ${bytes} bytes, more than a frame holds`);
}

function fault({ path, reason }: { path: string; reason: string }): string {
  return `${path} ${reason}`.slice(0, 300);
}

/** @throws Finding when the results are not the same */
export function mustBeEqual(found: unknown, expected: unknown, what: string): void {
  const [one, other] = [JSON.stringify(found), JSON.stringify(expected)];
  if (one === other) return;
  throw new Finding(`${what}: ${shortened(one)} instead of ${shortened(other)}`);
}

function shortened(text: string): string {
  return text.length > 400 ? `${text.slice(0, 400)}… (${text.length})` : text;
}

/** The input in pieces, each in memory of its own that is spoiled after it was used, as a socket's buffer is. */
export function feedInPieces(input: Buffer, random: Random, take: (piece: Buffer) => void): void {
  const longest = 1 + Math.floor(input.length ** random());
  for (let at = 0; at < input.length; ) {
    const piece = Buffer.from(input.subarray(at, at + 1 + Math.floor(random() * longest)));
    at += piece.length;
    take(piece);
    piece.fill(0xaa);
  }
}

/** The outcome of reading, with a coded error in it, to compare one way of reading with another. */
export function outcomeOf<Value>(read: () => Value): { readonly value?: Value; readonly refusal?: Refusal } {
  try {
    return { value: read() };
  } catch (error) {
    const refusal = refusalOf(error);
    if (refusal === undefined) throw error;
    return { refusal };
  }
}

export function pick<Item>(random: Random, items: readonly Item[]): Item {
  return items[Math.floor(random() * items.length)]!;
}

/** From `least` to `most`, both included. */
export function between(random: Random, least: number, most: number): number {
  return least + Math.floor(random() * (most - least + 1));
}

export function chance(random: Random, probability: number): boolean {
  return random() < probability;
}

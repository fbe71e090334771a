/**
 * Feeds one codec with inputs, and judges. Each input follows from the seed and its number alone, so one number repeats a
 * failure. Whatever is thrown without a code, an input that takes too long, and memory that grows are findings.
 */
import { messageOf } from '../../src/base/errors.ts';
import { type Random, seededRandom } from '../../src/base/random.ts';
import { heldBytes } from '../support/memory.ts';
import { type Codec, Finding, type Refusal, refusalOf } from './codec.ts';
import { inputFor } from './mutate.ts';

/** An input that takes longer, of the processor's time, hangs: a busy machine is no fault of the codec. */
export const HANG_MS = 1_000;
/** What memory may grow by from the first quarter to the end; caches of the runtime and of the codec fill before. */
export const GROWTH_BYTES_MAX: number = 2 * 1024 * 1024;
/** Findings after which a codec is given up. */
const FINDINGS_MAX = 5;
/** What may be spent on making a failing input shorter. */
const MINIMISE_MS = 20_000;
/** Inputs between two looks at the signal and at what waits in the event loop. */
const REST_INPUTS = 2_000;
/** Kinds of refusals that are told apart; the report names the most frequent. */
const REASONS_MAX = 200;
/** Odd, so that neighbouring inputs share no state of the generator. */
const NUMBER_FACTOR = 0x9e3779b1;

export interface FuzzOptions {
  readonly codec: Codec;
  readonly inputs: number;
  readonly seed: number;
  /** The first input's number. */
  readonly first?: number;
  /** Called now and then with the number of inputs that are done. */
  readonly progress?: (done: number) => void;
  /** Called before each input with its number. */
  readonly begins?: (input: number) => void;
}

export interface Failure {
  /** Number of the input. */
  readonly input: number;
  readonly what: string;
  readonly stack: string;
  readonly bytes: Buffer;
}

export interface FuzzResult {
  readonly inputs: number;
  /** Nothing of the input was refused. */
  readonly accepted: number;
  /** Inputs with such a refusal, by its code. */
  readonly codes: ReadonlyMap<string, number>;
  readonly reasons: ReadonlyMap<string, number>;
  readonly bytes: number;
  readonly tookMs: number;
  readonly slowestMs: number;
  readonly slowestInput: number;
  /** After garbage collection: at the start, a quarter, half, three quarters and the end. */
  readonly memoryBytes: readonly number[];
  readonly failures: readonly Failure[];
}

export async function fuzz(options: FuzzOptions): Promise<FuzzResult> {
  const { codec, inputs, seed, first = 0, progress, begins } = options;
  const tally = new Tally();
  const failures: Failure[] = [];
  const marks = [0, 1, 2, 3, 4].map((quarter) => Math.floor((inputs * quarter) / 4));
  const memoryBytes: number[] = [];
  const startedMs = performance.now();
  for (let done = 0; done < inputs && failures.length < FINDINGS_MAX; done += 1) {
    if (marks[memoryBytes.length] === done) memoryBytes.push(heldBytes());
    const number = first + done;
    begins?.(number);
    const { bytes, random } = inputOf(codec, seed, number);
    const failure = await feed(codec, bytes, random, { tally, number });
    if (failure !== undefined && !failures.some(({ what }) => what === failure.what)) {
      const shorter = await minimised(codec, bytes, { what: failure.what, seed, number });
      failures.push({ input: number, ...failure, bytes: shorter });
    }
    if (done % REST_INPUTS !== 0) continue;
    progress?.(done);
    await new Promise((resolve) => void setImmediate(resolve));
  }
  memoryBytes.push(heldBytes());
  const growth = growthOf(memoryBytes);
  if (growth > GROWTH_BYTES_MAX && failures.length === 0) {
    const what = `memory grew by ${growth} bytes from the first quarter on`;
    failures.push({ input: first + inputs, what, stack: '', bytes: Buffer.alloc(0) });
  }
  return { ...tally.figures(), tookMs: performance.now() - startedMs, memoryBytes, failures };
}

/** From the first quarter to the least of what was held later. */
export function growthOf([, quarter = 0, ...later]: readonly number[]): number {
  return Math.min(...later) - quarter;
}

/** The input of that number, and the randomness that goes on from it. */
export function inputOf(codec: Codec, seed: number, number: number): { bytes: Buffer; random: Random } {
  const bytes = inputFor(codec, seededRandom((seed ^ Math.imul(number + 1, NUMBER_FACTOR)) >>> 0));
  return { bytes, random: randomOf(seed, number) };
}

/** What the codec is given besides the input, so that a shorter one is cut in the same way. */
export function randomOf(seed: number, number: number): Random {
  return seededRandom((Math.imul(number + 1, NUMBER_FACTOR) + seed) >>> 0);
}

/** @returns what must not be */
export async function feed(
  codec: Codec,
  bytes: Buffer,
  random: Random,
  about?: { readonly tally: Tally; readonly number: number },
): Promise<{ readonly what: string; readonly stack: string } | undefined> {
  const startedMs = cpuMs();
  let refusals: readonly Refusal[] = [];
  try {
    const result = codec.read(bytes, random);
    refusals = result instanceof Promise ? await result : result;
  } catch (error) {
    const refusal = refusalOf(error);
    if (refusal === undefined) return failureOf(error);
    refusals = [refusal];
  }
  const tookMs = cpuMs() - startedMs;
  about?.tally.add({ bytes: bytes.length, refusals, tookMs, number: about.number });
  return tookMs > HANG_MS ? { what: 'the input takes too long', stack: `${Math.round(tookMs)} ms` } : undefined;
}

function failureOf(error: unknown): { what: string; stack: string } {
  const stack = error instanceof Error ? (error.stack ?? '') : '';
  // Two findings with other values at the same place are one.
  const place = /\((?:file:\/\/)?[^)]*?((?:src|test)\/[^)]+)\)/.exec(stack)?.[1] ?? '';
  const text = error instanceof Finding ? error.message.split(':')[0] : messageOf(error).split(/[:"]/)[0];
  const kind = error instanceof Error ? error.constructor.name : typeof error;
  return { what: `${kind}: ${text} at ${place}`, stack };
}

class Tally {
  #inputs = 0;
  #accepted = 0;
  #bytes = 0;
  #slowestMs = 0;
  #slowestInput = 0;
  readonly #codes = new Map<string, number>();
  readonly #reasons = new Map<string, number>();

  add(one: { bytes: number; refusals: readonly Refusal[]; tookMs: number; number: number }): void {
    const { bytes, refusals, tookMs, number } = one;
    this.#inputs += 1;
    this.#bytes += bytes;
    if (refusals.length === 0) this.#accepted += 1;
    for (const code of new Set(refusals.map((refusal) => refusal.code))) count(this.#codes, code);
    for (const reason of new Set(refusals.map(kindOfReason))) {
      if (this.#reasons.has(reason) || this.#reasons.size < REASONS_MAX) count(this.#reasons, reason);
    }
    if (tookMs <= this.#slowestMs) return;
    this.#slowestMs = tookMs;
    this.#slowestInput = number;
  }

  figures(): Omit<FuzzResult, 'tookMs' | 'memoryBytes' | 'failures'> {
    return {
      inputs: this.#inputs,
      accepted: this.#accepted,
      codes: this.#codes,
      reasons: this.#reasons,
      bytes: this.#bytes,
      slowestMs: this.#slowestMs,
      slowestInput: this.#slowestInput,
    };
  }
}

/** Without what was found in the input: what is quoted, numbers, odd words, and what stands behind. */
function kindOfReason({ code, reason }: Refusal): string {
  const plain = reason
    .replaceAll(/"[^]*"|(?:^|(?<= ))(?![A-Za-z][A-Za-z'_-]{0,15}[,:;.)]?(?: |$))\S+/g, '…')
    .split(/, found|; |: /)[0]
    ?.slice(0, 60);
  return `${code}: ${plain ?? ''}`;
}

function count(map: Map<string, number>, key: string): void {
  map.set(key, (map.get(key) ?? 0) + 1);
}

/** The shortest that was found to fail in the same way: pieces are taken out, from halves down to single bytes. */
async function minimised(
  codec: Codec,
  bytes: Buffer,
  { what, seed, number }: { what: string; seed: number; number: number },
): Promise<Buffer> {
  const endMs = performance.now() + MINIMISE_MS;
  let shortest = Buffer.from(bytes);
  for (let size = Math.ceil(shortest.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < shortest.length && performance.now() < endMs; ) {
      const shorter = Buffer.concat([shortest.subarray(0, at), shortest.subarray(at + size)]);
      const failure = await feed(codec, shorter, randomOf(seed, number));
      if (failure?.what === what) shortest = shorter;
      else at += size;
    }
  }
  return shortest;
}

/** The processor's time of this process. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

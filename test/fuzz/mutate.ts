/** What is done to an input that a codec may have got right. Pure: the same randomness gives the same bytes. */
import type { Random } from '../../src/base/random.ts';
import { between, chance, type Codec, pick } from './codec.ts';

/** Most mutations keep to it: the time goes to many inputs, not to long ones. */
const BYTES_MAX = 4 * 1024;
const MUTATIONS_MAX = 6;
/** One run, storm or nesting in so many is as long as this, and one input in ten times as many is a long real one. */
const LONG_ONE_IN = 300;
const LONG_MAX = 40_000;
const SHORT_MAX = 60;

const NUMBERS = [
  '0',
  '-0',
  '-1',
  '1e308',
  '-1e309',
  '1e-400',
  'NaN',
  'Infinity',
  '-Infinity',
  '9007199254740993',
  '18446744073709551616',
  '4294967296',
  '2147483648',
  '-2147483649',
  '00012',
  '0x10',
  '1,5',
  '1.2.3',
  '٣',
  '9'.repeat(400),
  '0.'.padEnd(300, '3'),
];

/** A byte order mark, overlong and half sequences, half surrogate pairs, what is no Unicode, controls. */
const BAD_TEXT = [
  'efbbbf',
  'fffe',
  'feff',
  'c080',
  'e28',
  'e282',
  'f09f98',
  'eda080',
  'edb080',
  'f4908080',
  'ff',
  '80',
  '00',
  '1a',
  '0d',
  '0a0d',
  'efbfbf',
  'e280a8',
].map((hex) => Buffer.from(hex.padEnd(hex.length + (hex.length % 2), '0'), 'hex'));

type Mutation = (input: Buffer, random: Random, codec: Codec) => Buffer;

const MUTATIONS: readonly Mutation[] = [
  function flipBits(input, random) {
    const bytes = Buffer.from(input);
    for (let flips = between(random, 1, 4); flips > 0 && bytes.length > 0; flips -= 1) {
      const at = between(random, 0, bytes.length - 1);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << between(random, 0, 7));
    }
    return bytes;
  },
  function cut(input, random) {
    const { start, end } = range(input, random);
    const way = random();
    if (way < 0.25) return input.subarray(0, start);
    return way < 0.5 ? input.subarray(end) : Buffer.concat([input.subarray(0, start), input.subarray(end)]);
  },
  (input, random) => inserted(input, random, randomBytes(random, between(random, 1, 12))),
  (input, random, { words }) => inserted(input, random, Buffer.from(pick(random, words), 'latin1')),
  (input, random) => inserted(input, random, pick(random, BAD_TEXT)),
  function duplicate(input, random) {
    const { start, end } = range(input, random);
    return inserted(input, random, input.subarray(start, end));
  },
  function swap(input, random) {
    const one = range(input, random);
    const other = range(input, random);
    const [first, second] = one.start <= other.start ? [one, other] : [other, one];
    const between = Math.max(first.end, second.start);
    return Buffer.concat([
      input.subarray(0, first.start),
      input.subarray(second.start, second.end),
      input.subarray(first.end, between),
      input.subarray(first.start, first.end),
      input.subarray(Math.max(second.end, between)),
    ]);
  },
  function splice(input, random, codec) {
    const other = seed(codec, random);
    return Buffer.concat([input.subarray(0, range(input, random).start), other.subarray(range(other, random).start)]);
  },
  function editNumber(input, random) {
    const text = input.toString('latin1');
    const places = [...text.matchAll(/-?\d+(?:\.\d+)?/g)];
    if (places.length === 0) return input;
    const { index, 0: number } = pick(random, places);
    const edited = chance(random, 0.3) ? String(Number(number) + between(random, -2, 2)) : pick(random, NUMBERS);
    return Buffer.from(text.slice(0, index) + edited + text.slice(index + number.length), 'latin1');
  },
  (input, random, { words }) => inserted(input, random, repeated(pick(random, words), random)),
  (input, random) => inserted(input, random, Buffer.alloc(runLength(random), between(random, 0, 255))),
  (input, random, { opening, words }) =>
    inserted(input, random, repeated(opening === '' ? pick(random, words) : opening, random)),
];

/** The input to feed, by the randomness alone: bytes of chance, one by the rules, or one of either that was changed. */
export function inputFor(codec: Codec, random: Random): Buffer {
  const way = random();
  if (way < 0.05) return randomBytes(random, between(random, 0, 200));
  if (way < 0.25) return codec.generate(random);
  let input = seed(codec, random);
  for (let changes = between(random, 1, MUTATIONS_MAX); changes > 0; changes -= 1) {
    input = pick(random, MUTATIONS)(input, random, codec);
  }
  return input;
}

function seed(codec: Codec, random: Random): Buffer {
  const { corpus, longCorpus = [] } = codec;
  if (longCorpus.length > 0 && chance(random, 0.1 / LONG_ONE_IN)) return pick(random, longCorpus);
  const whole = corpus.length > 0 && chance(random, 0.6) ? pick(random, corpus) : codec.generate(random);
  return whole.subarray(0, BYTES_MAX);
}

export function randomBytes(random: Random, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let index = 0; index < length; index += 1) bytes[index] = Math.floor(random() * 256);
  return bytes;
}

function inserted(input: Buffer, random: Random, piece: Buffer): Buffer {
  const at = between(random, 0, input.length);
  return Buffer.concat([input.subarray(0, at), piece, input.subarray(at)]);
}

function range(input: Buffer, random: Random): { start: number; end: number } {
  const start = between(random, 0, input.length);
  return { start, end: Math.min(input.length, start + Math.floor(input.length ** random())) };
}

function runLength(random: Random): number {
  return between(random, 1, chance(random, 1 / LONG_ONE_IN) ? LONG_MAX : SHORT_MAX);
}

function repeated(word: string, random: Random): Buffer {
  return Buffer.from(word.repeat(runLength(random)).slice(0, 4 * LONG_MAX), 'latin1');
}

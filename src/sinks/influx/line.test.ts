import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Random, seededRandom } from '../../base/random.ts';
import { type FieldValue, lineOf, type Point } from './line.ts';

const RUNS = 5_000;

test('a line as the reference has it', () => {
  const point: Point = {
    measurement: 'my measurement,a',
    tags: [
      ['machine_id', 'CMM 1,=x'],
      ['empty', ''],
    ],
    fields: [
      ['a b', 1.5],
      ['whole', { integer: 12 }],
      ['text', 'say "no" \\ yes'],
      ['is', true],
      ['tiny', 1e-7],
    ],
    micros: 1_767_254_400_123_456,
  };
  assert.equal(
    lineOf(point),
    'my\\ measurement\\,a,machine_id=CMM\\ 1\\,\\=x ' +
      'a\\ b=1.5,whole=12i,text="say \\"no\\" \\\\ yes",is=true,tiny=1e-7 1767254400123456000',
  );
  assert.equal(lineOf({ ...point, fields: [] }), undefined);
});

test('whatever is written is read as it was, by rules of the format alone', (context) => {
  const seed = Number(process.env['MILLWRIGHT_SEED'] ?? Date.now() % 1_000_000);
  context.diagnostic(`seed ${seed} (repeat with MILLWRIGHT_SEED)`);
  const random = seededRandom(seed);
  for (let run = 0; run < RUNS; run += 1) {
    const point = anyPoint(random);
    const line = lineOf(point);
    assert.ok(line !== undefined);
    const read = parse(line);
    assert.equal(read.measurement, asName(point.measurement));
    assert.deepEqual(
      read.tags,
      point.tags.filter(([, value]) => value !== '').map(([name, value]) => [asName(name), asName(value)]),
    );
    assert.deepEqual(
      read.fields,
      point.fields.map(([name, value]) => [asName(name), value]),
    );
    assert.equal(read.nanos, BigInt(point.micros) * 1000n);
  }
});

/** What a name is known by there: see the head of line.ts. */
function asName(name: string): string {
  let run = -1;
  let text = name.replaceAll('\n', '\\n').replaceAll('\r', '\\r').replaceAll('\t', '\\t');
  // From the end on, so that each of several backslashes sees what became of the next.
  for (let at = text.length - 1; at >= 0; at -= 1) {
    const isRun = /[,= "]/.test(text[at + 1] ?? ' ') || run === at + 1;
    if (text[at] === '\\' && isRun) {
      text = `${text.slice(0, at)}/${text.slice(at + 1)}`;
      run = at;
    }
  }
  return text;
}

const PIECES = ['a', 'B7', ' ', ',', '=', '"', '\\', '\n', '\r', '\t', 'ä', '€', '😀', '#', "'", '\\n', '\\"', '\\\\'];

function anyText(random: Random, lengthMin: number): string {
  const length = lengthMin + Math.floor(random() * 6);
  return Array.from({ length }, () => PIECES[Math.floor(random() * PIECES.length)]).join('');
}

function anyValue(random: Random): FieldValue {
  const kind = random();
  if (kind < 0.4) return anyText(random, 0);
  if (kind < 0.5) return random() < 0.5;
  if (kind < 0.6) return { integer: Math.floor((random() - 0.5) * 2 ** 50) };
  const exponent = Math.floor(random() * 600) - 300;
  return (random() - 0.5) * 10 ** exponent;
}

function anyPoint(random: Random): Point {
  const some = <Item>(make: () => Item, least: number): Item[] =>
    Array.from({ length: least + Math.floor(random() * 4) }, make);
  return {
    measurement: anyText(random, 1),
    tags: some(() => [anyText(random, 1), anyText(random, 0)] as const, 0),
    fields: some(() => [anyText(random, 1), anyValue(random)] as const, 1),
    micros: Math.floor(random() * 2 ** 51),
  };
}

interface Read {
  readonly measurement: string;
  readonly tags: [string, string][];
  readonly fields: [string, FieldValue][];
  readonly nanos: bigint;
}

/** Reads a line by the rules of the reference, as a server does: written without a look at the writer. */
function parse(line: string): Read {
  let at = 0;
  /** Up to one of the ends that is not escaped; an escaped special character loses its backslash, others keep it. */
  const word = (ends: string, specials: string): string => {
    let text = '';
    for (; at < line.length && !ends.includes(line[at]!); at += 1) {
      if (line[at] === '\\' && specials.includes(line[at + 1] ?? '\0')) at += 1;
      text += line[at];
    }
    return text;
  };
  const quoted = (): string => {
    let text = '';
    for (at += 1; line[at] !== '"'; at += 1) {
      if (line[at] === '\\' && (line[at + 1] === '"' || line[at + 1] === '\\')) at += 1;
      text += line[at];
    }
    at += 1;
    return text;
  };
  const measurement = word(', ', ', ');
  const tags: [string, string][] = [];
  while (line[at] === ',') {
    at += 1;
    const name = word('=', ',= ');
    at += 1;
    tags.push([name, word(', ', ',= ')]);
  }
  const fields: [string, FieldValue][] = [];
  do {
    at += 1;
    const name = word('=', ',= ');
    at += 1;
    fields.push([name, line[at] === '"' ? quoted() : scalar(word(', ', ''))]);
  } while (line[at] === ',');
  return { measurement, tags, fields, nanos: BigInt(line.slice(at + 1)) };
}

function scalar(text: string): FieldValue {
  if (text === 'true' || text === 'false') return text === 'true';
  return text.endsWith('i') ? { integer: Number(text.slice(0, -1)) } : Number(text);
}

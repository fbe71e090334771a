import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../base/random.ts';
import { dataSet, seriesValues, storableText } from '../../model/mtconnect/values.ts';
import { LINE_BYTES_MAX, type Line, LineSplitter } from './lines.ts';
import { type ItemKind, LineParser, MULTILINE_CHARS_MAX, MULTILINE_LINES_MAX, type ParsedLine } from './parse.ts';
import { LineTimes } from './times.ts';

const KINDS: { readonly [key: string]: ItemKind } = {
  cond: 'condition',
  msg: 'message',
  ts: 'time_series',
  x: 'value',
};

function parser(device: string | null = null): LineParser {
  return new LineParser({ device, kindOf: (key) => (Object.hasOwn(KINDS, key) ? KINDS[key] : undefined) });
}

function entriesOf(line: string, device: string | null = null): string[] {
  const parsed = parser(device).parse(line);
  assert.equal(parsed.type, 'data', JSON.stringify(parsed));
  return 'entries' in parsed ? parsed.entries.map(({ kind, key }) => `${kind} ${key}`) : [];
}

test('takes as many fields as the kind of an item has', () => {
  assert.deepEqual(entriesOf('t|cond|FAULT|1|2|HIGH|text|msg|1|2|ts|1|2|3|x|1|y|2'), [
    'condition cond',
    'message msg',
    'time_series ts',
    'value x',
    'value y',
  ]);
});

test('guesses what is not configured, and never shifts what is', () => {
  assert.deepEqual(entriesOf('t|a|NORMAL||||'), ['condition a']);
  assert.deepEqual(entriesOf('t|a|unavailable||||'), ['condition a']);
  assert.deepEqual(entriesOf('t|a|Fault|7|1|low|text'), ['condition a']);
  assert.deepEqual(entriesOf('t|a|UNAVAILABLE|x|1|b|2'), ['value a', 'value x', 'value b']);
  assert.deepEqual(entriesOf('t|a|NORMAL|x|1|b|2'), ['value a', 'value x', 'value b']);
  assert.equal(entriesOf('t|a|FAULT|7|1|HIGH|text|x|1').at(-1), 'value x');
  assert.deepEqual(entriesOf('t|a|code|text|x|1'), ['message a', 'value x']);
});

test('takes only the wanted device, but leaves its fields their places', () => {
  assert.deepEqual(entriesOf('t|d1:cond|NORMAL||||ok|d2:x|1|x|3|d1:x|2', 'd1'), [
    'condition cond',
    'value x',
    'value x',
  ]);
});

test('gives up a block that never ends, and reads on', () => {
  for (const [lines, length] of [
    [MULTILINE_LINES_MAX, 1],
    [5, Math.floor(MULTILINE_CHARS_MAX / 5)],
  ] as const) {
    const one = parser();
    one.parse('t|@ASSET@|id|type|--multiline--END');
    for (let line = 0; line < lines; line += 1) assert.equal(one.parse('y'.repeat(length)).type, 'nothing');
    assert.deepEqual(one.parse('t|x|1'), {
      type: 'fault',
      reason: 'a multi-line block did not end with --multiline--END',
    });
    assert.equal(one.parse('t|x|1').type, 'data');
  }
});

test('passes over a multi-line value that is no asset, and says so', () => {
  const one = parser();
  assert.equal(one.parse('t|x|--multiline--AB').type, 'fault');
  assert.equal(one.parse('t|x|2').type, 'nothing');
  assert.equal(one.parse('--multiline--AB').type, 'nothing');
  assert.equal(one.parse('t|x|3').type, 'data');
});

test('reads commands', () => {
  const commands: [string, ParsedLine][] = [
    ['* PONG 10000', { type: 'command', name: 'PONG', value: '10000' }],
    ['*adapterVersion:UNAVAILABLE', { type: 'command', name: 'adapterVersion', value: 'UNAVAILABLE' }],
    ['* description: a | b', { type: 'command', name: 'description', value: 'a | b' }],
    ['*', { type: 'command', name: '', value: '' }],
  ];
  for (const [line, expected] of commands) assert.deepEqual(parser().parse(line), expected);
});

test('keeps a duration apart from its stamp', () => {
  const stampOf = (line: string): unknown => {
    const parsed = parser().parse(line);
    return parsed.type === 'data' ? parsed.stamp : parsed;
  };
  assert.deepEqual(stampOf('2026-01-01T00:00:00Z@0.5|x|1'), { text: '2026-01-01T00:00:00Z', durationSeconds: 0.5 });
  assert.deepEqual(stampOf('1000@|x|1'), { text: '1000', durationSeconds: undefined });
  assert.deepEqual(stampOf('1000@-1|x|1'), { text: '1000', durationSeconds: undefined });
});

test('random lines never throw', () => {
  const random = seededRandom(7);
  const parts = [
    '|',
    '|',
    '|',
    '"',
    '\\',
    '*',
    '@',
    ':',
    'x',
    'cond',
    'NORMAL',
    'UNAVAILABLE',
    '--multiline--',
    ' ',
    '\0',
  ];
  for (let round = 0; round < 20_000; round += 1) {
    const length = Math.floor(random() * 20);
    const line = Array.from({ length }, () => parts[Math.floor(random() * parts.length)]).join('');
    assert.ok(parser().parse(line).type, line);
  }
});

test('the same lines come out however the bytes are cut', () => {
  const bytes = Buffer.from('one\r\n\ntwo Ø\n\xff\nlast', 'utf8');
  const random = seededRandom(3);
  for (let round = 0; round < 200; round += 1) {
    const splitter = new LineSplitter();
    const lines: Line[] = [];
    const reused = Buffer.alloc(8);
    for (let at = 0; at < bytes.length; ) {
      const length = bytes.copy(reused, 0, at, at + 1 + Math.floor(random() * 8));
      splitter.push(reused.subarray(0, length), (line) => lines.push(line));
      reused.fill(0x21);
      at += length;
    }
    assert.deepEqual(
      lines.map(({ text }) => text),
      ['one', '', 'two Ø', 'ÿ'],
    );
  }
});

test('a line may be as long as the limit, and bytes that are not UTF-8 are Latin-1', () => {
  const lines: Line[] = [];
  const splitter = new LineSplitter();
  splitter.push(Buffer.alloc(LINE_BYTES_MAX, 'a'), (line) => lines.push(line));
  splitter.push(Buffer.from([0x0a, 0xdc, 0x0a, 0xef, 0xbf, 0xbd, 0x0a]), (line) => lines.push(line));
  assert.equal(lines[0]?.text.length, LINE_BYTES_MAX);
  assert.deepEqual(lines.slice(1), [
    { text: 'Ü', isUtf8: false },
    { text: '\ufffd', isUtf8: true },
  ]);
  splitter.push(Buffer.alloc(LINE_BYTES_MAX, 'a'), () => assert.fail());
  assert.throws(() => splitter.push(Buffer.from('a'), () => assert.fail()), { code: 'protocol_violation' });
});

test('a stamp may be nothing, an offset or a time', () => {
  const times = new LineTimes('+02:00');
  const now = (): string => '2026-01-01T00:00:00.000000Z';
  const cases: [string, string | undefined][] = [
    ['', '2026-01-01T00:00:00.000000Z'],
    ['2026-01-01T02:00:00.1234567', '2026-01-01T00:00:00.123456Z'],
    ['2026-01-01T02:00:00.1234567Z', '2026-01-01T02:00:00.123456Z'],
    ['2026-01-01T02:00:00.5', '2026-01-01T00:00:00.500000Z'],
    ['2026-01-01', undefined],
    ['10000', '2026-01-01T00:00:00.000000Z'],
    ['9000.5', '2025-12-31T23:59:59.000500Z'],
    ['999999999999999', undefined],
    ['-5', undefined],
  ];
  for (const [text, expected] of cases) assert.equal(times.read(text, now), expected, text);
});

test('data sets and series keep what they hold', () => {
  assert.deepEqual(dataSet('a=1 b=-2.5 c=0012 d="x y" e=\'z\' f={g=1} h= i j=unavailable'), {
    a: 1,
    b: -2.5,
    c: '0012',
    d: 'x y',
    e: 'z',
    f: 'g=1',
    h: null,
    i: null,
    j: null,
  });
  assert.ok(Object.hasOwn(dataSet('__proto__=1'), '__proto__'));
  assert.deepEqual(seriesValues(' 1  2.5 '), [1, 2.5]);
  assert.equal(seriesValues('1 two'), undefined);
  assert.equal(seriesValues('1 '.repeat(16_385)), undefined);
  assert.equal(storableText(`${'a'.repeat(4_095)}😀`), `${'a'.repeat(4_095)}\ufffd`);
});

import { type Clock, systemClock } from '../../../src/base/clock.ts';
import { type Logger, silentLogger } from '../../../src/base/logger.ts';
import type { Random } from '../../../src/base/random.ts';
import { schema } from '../../../src/drivers/shdr/config.ts';
import { LineSplitter } from '../../../src/drivers/shdr/lines.ts';
import { type ReaderContext, ShdrReader } from '../../../src/drivers/shdr/reader.ts';
import { WARNING_INTERVAL_MS } from '../../../src/base/fault-counter.ts';
import type { Reading } from '../../../src/model/reading.ts';
import { between, chance, type Codec, feedInPieces, mustBeEqual, mustBeTaken, outcomeOf, pick } from '../codec.ts';
import type { Refusal } from '../codec.ts';
import { linePieces, sample } from '../samples.ts';

const OPTIONS = [
  { extra: 'all' },
  {
    device: 'M1',
    map: {
      Srpm: 'spindle_speed',
      line: 'active_program_line',
      pos: { axes: ['x_pos_mm', 'y_pos_mm', 'z_pos_mm'] },
      wave: { extra: 'wave', time_series: true },
      vars: { extra: 'vars', type: 'data_set' },
      note: { message: true },
      servo: { condition: true },
    },
    state: { execution: 'exec', emergency_stop: 'estop', controller_mode: 'mode', availability: 'avail' },
    program: 'prog',
  },
].map((written) => schema.parse({ host: 'fuzz', ...written }));

const KEYS = ['Srpm', 'line', 'pos', 'wave', 'vars', 'note', 'servo', 'exec', 'estop', 'mode', 'avail', 'prog', 'x'];
const VALUES = ['', '1', '-2.5', '1 2 3', 'UNAVAILABLE', 'READY', 'a=1 b="two" c=', '"a\\|b"', '{x y}', 'ARMED', 'é'];
const TIMES = [
  '2026-01-01T08:00:00.123456Z',
  '2026-01-01T08:00:01Z@2.5',
  '',
  '100',
  '1500',
  '2026-02-30T08:00:00Z',
  'x',
];
const LEVELS = ['NORMAL', 'WARNING', 'FAULT', 'UNAVAILABLE', 'normal'];

export const codec: Codec = {
  about:
    'SHDR: bytes of an adapter, cut into lines, to readings; in pieces as in one, and each reading one that the hub takes',
  corpus: [
    ...linePieces(sample('mtconnect/nist-gfagie01-2016-11-07.shdr'), { pieces: 40, linesEach: 6 }),
    ...linePieces(sample('mtconnect/nist-mazak01-2017-04-26.shdr'), { pieces: 40, linesEach: 6 }),
    ...linePieces(sample('mtconnect/okuma-multus-u3000.shdr'), { pieces: 40, linesEach: 6 }),
  ],
  longCorpus: [sample('mtconnect/nist-gfagie01-2016-11-07.shdr').subarray(0, 100_000)],
  words: [
    '|',
    '||',
    '\n',
    '\r\n',
    ':',
    '@',
    '"',
    '\\',
    ' ',
    '=',
    '{',
    '}',
    '* PONG 1000\n',
    '--multiline--A',
    '@ASSET@',
  ]
    .concat(['UNAVAILABLE', '__proto__', 'constructor', '\0', 'timestamp', 'read_from', 'FAULT'])
    .concat(LEVELS, KEYS),
  opening: '"',
  generate(random) {
    const lines = Array.from({ length: between(random, 1, 6) }, () => line(random));
    return Buffer.from(lines.join(chance(random, 0.2) ? '\r\n' : '\n') + (chance(random, 0.8) ? '\n' : ''));
  },
  read(input, random) {
    const options = pick(random, OPTIONS);
    const whole = reading(options, (take) => take(input));
    const inPieces = reading(options, (take) => feedInPieces(input, random, take));
    mustBeEqual(inPieces.readings, whole.readings, 'in pieces');
    mustBeEqual(inPieces.refusals, whole.refusals, 'refused in pieces');
    for (const one of whole.readings) mustBeTaken(one);
    return whole.refusals;
  },
};

function line(random: Random): string {
  if (chance(random, 0.05)) return pick(random, ['* PONG 10000', '* shdrVersion: 2', '', '--multiline--X', '* PING']);
  if (chance(random, 0.05)) return `${pick(random, TIMES)}|@ASSET@|id|Part|--multiline--X`;
  const fields = [pick(random, TIMES)];
  for (let items = between(random, 1, 5); items > 0; items -= 1) {
    const key = pick(random, KEYS);
    fields.push(chance(random, 0.2) ? `${pick(random, ['M1', 'M2'])}:${key}` : key);
    if (key === 'servo') fields.push(pick(random, LEVELS), pick(random, VALUES), '', pick(random, ['HIGH', '']));
    if (key === 'wave') fields.push(String(between(random, 0, 9)), pick(random, ['100', 'x', 'UNAVAILABLE']));
    if (key === 'note') fields.push('C1');
    fields.push(pick(random, VALUES));
  }
  return fields.join('|');
}

/** What a connection gives that says so much, and its loss. */
function reading(
  options: (typeof OPTIONS)[number],
  feed: (take: (piece: Buffer) => void) => void,
): { readings: Reading[]; refusals: Refusal[] } {
  const readings: Reading[] = [];
  const refusals: Refusal[] = [];
  let nowMs = 0;
  // Each warning is told, though only one in a minute is.
  const clock: Clock = { ...systemClock, nowMicros: () => 1.8e15, monotonicMs: () => (nowMs += WARNING_INTERVAL_MS) };
  const log: Logger = {
    ...silentLogger,
    warn: (_, fields) => void refusals.push({ code: 'line_fault', reason: String(fields?.['reason']) }),
  };
  const context: ReaderContext = {
    machineId: 'M-1',
    emit: (one) => void readings.push(one),
    problem: () => {},
    clock,
    log,
  };
  const reader = new ShdrReader(options);
  const splitter = new LineSplitter();
  reader.connected();
  const { refusal } = outcomeOf(() =>
    feed((piece) => splitter.push(piece, (line) => void reader.readLine(line, context))),
  );
  if (refusal !== undefined) refusals.push(refusal);
  reader.disconnected(context);
  return { readings, refusals };
}

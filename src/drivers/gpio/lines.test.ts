/** Debounce, blinking, the stack light and the counting of parts, by instants alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkConfig, parseConfig } from '../../base/config.ts';
import { seededRandom } from '../../base/random.ts';
import { decodeReading, type Reading } from '../../model/reading.ts';
import { microsOf } from '../../model/time.ts';
import { schema } from './config.ts';
import { Debounce } from './debounce.ts';
import { Lamp } from './lamp.ts';
import { Lines, type Now } from './lines.ts';
import type { GpioOptions } from './options.ts';

const START = microsOf('2026-01-01T08:00:00Z');

function now(ms: number): Now {
  return { monotonicMs: ms, micros: START + ms * 1000 };
}

/** A source whose lines are set at instants; what it says is kept. */
class Source {
  readonly readings: Reading[] = [];
  readonly lines: Lines;
  readonly counts = new Map<string, number>();
  #ms = 0;

  constructor(text: string) {
    const options: GpioOptions = checkConfig(parseConfig({ file: 'gpio.yaml', text, environment: {} }), schema);
    const taker = {
      machineId: 'M-1',
      emit: (reading: Reading): void => {
        assert.ok('reading' in decodeReading(structuredClone(reading)), JSON.stringify(reading));
        this.readings.push(reading);
      },
    };
    this.lines = new Lines(JSON.parse(JSON.stringify(options)) as GpioOptions, taker, this.counts);
  }

  start(...levels: boolean[]): this {
    this.lines.start(levels, now(0));
    return this;
  }

  /** As the driver does: settles whenever something is due, until that instant. */
  until(ms: number): this {
    while (this.lines.dueMs <= ms) {
      this.#ms = Math.max(this.#ms, this.lines.dueMs);
      this.lines.settle(now(this.#ms));
    }
    this.#ms = ms;
    return this;
  }

  edge(ms: number, index: number, isHigh: boolean): this {
    this.until(ms);
    this.lines.edge(index, isHigh, ms, now(ms));
    this.lines.settle(now(ms));
    return this;
  }

  /** Milliseconds and what was said, without what is the same in all. */
  get said(): unknown[] {
    return this.readings.map(({ machine_id: _machine, timestamp, kind: _kind, ...rest }) => {
      return [(microsOf(timestamp) - START) / 1000, rest];
    });
  }

  get states(): unknown[] {
    return this.readings.flatMap((one) => {
      if (one.kind !== 'event' || one.event_type !== 'state') return [];
      return [[(microsOf(one.timestamp) - START) / 1000, one.state, one.text]];
    });
  }
}

test('a level counts once it has stood, from the edge on that began it', () => {
  const debounce = new Debounce(20);
  debounce.start(false);
  assert.equal(debounce.edge(true, 100), undefined);
  assert.equal(debounce.dueMs, 120);
  assert.equal(debounce.edge(false, 105), undefined);
  assert.equal(debounce.dueMs, Infinity);
  assert.equal(debounce.edge(true, 110), undefined);
  assert.equal(debounce.settle(129.9), undefined);
  assert.deepEqual(debounce.settle(130), { level: true, atMs: 110 });
  assert.equal(debounce.settle(1000), undefined);
  // An edge that comes later proves that the level before it had stood.
  debounce.edge(false, 2000);
  assert.deepEqual(debounce.edge(true, 2020), { level: false, atMs: 2000 });
});

for (const seed of [1, 2, 3]) {
  test(`bouncing contacts: what is left is what stood, whenever it is looked at (seed ${seed})`, () => {
    const random = seededRandom(seed);
    const debounceMs = 20;
    const debounce = new Debounce(debounceMs);
    debounce.start(false);
    const found: unknown[] = [];
    const expected: unknown[] = [];
    let counted = false;
    let level = false;
    let ms = 0;
    for (let count = 0; count < 5_000; count += 1) {
      const atMs = ms;
      const stoodMs = random() < 0.7 ? random() * 19 : 20 + random() * 50;
      if (stoodMs >= debounceMs && level !== counted) {
        counted = level;
        expected.push({ level, atMs });
      }
      ms += stoodMs;
      if (random() < 0.5) found.push(debounce.settle(ms - random()));
      level = !level;
      found.push(debounce.edge(level, ms));
    }
    const changes = found.filter((one) => one !== undefined);
    assert.deepEqual(changes, expected);
    assert.ok(changes.length > 100);
  });
}

test('a lamp that goes on twice in time is blinking from the first time on, until it stands', () => {
  const lamp = new Lamp(3000);
  lamp.start(false, 0);
  assert.deepEqual(lamp.settle(3000), [{ pattern: 'off', sinceMs: 0 }]);
  assert.deepEqual(lamp.change(true, 10_000), []);
  assert.deepEqual(lamp.possible, ['on', 'blinking']);
  assert.deepEqual(lamp.change(false, 10_500), []);
  assert.deepEqual(lamp.possible, ['off', 'blinking']);
  assert.deepEqual(lamp.change(true, 11_000), [{ pattern: 'blinking', sinceMs: 10_000 }]);
  for (const ms of [11_500, 12_500, 13_500]) assert.deepEqual(lamp.change(false, ms), lamp.change(true, ms + 500));
  assert.deepEqual(lamp.settle(16_999), []);
  assert.deepEqual(lamp.settle(17_000), [{ pattern: 'on', sinceMs: 14_000 }]);
  assert.deepEqual(lamp.change(false, 20_000), [{ pattern: 'off', sinceMs: 20_000 }]);
});

test('a lamp that is lit for a moment was on; one that goes on and off slowly is not blinking', () => {
  const lamp = new Lamp(3000);
  lamp.start(false, 0);
  lamp.settle(3000);
  lamp.change(true, 5000);
  lamp.change(false, 6000);
  assert.deepEqual(lamp.settle(8000), [
    { pattern: 'on', sinceMs: 5000 },
    { pattern: 'off', sinceMs: 6000 },
  ]);
  lamp.change(true, 10_000);
  assert.deepEqual(lamp.change(false, 12_500), []);
  assert.deepEqual(lamp.change(true, 13_001), [
    { pattern: 'on', sinceMs: 10_000 },
    { pattern: 'off', sinceMs: 12_500 },
  ]);
});

test('what was before the start is not known: one that blinks then was never said to be off', () => {
  const lamp = new Lamp(3000);
  lamp.start(false, 0);
  assert.deepEqual([lamp.change(true, 400), lamp.change(false, 900)], [[], []]);
  assert.deepEqual(lamp.change(true, 1400), [{ pattern: 'blinking', sinceMs: 400 }]);
});

const LIGHT = `
lines:
  - { line: 0, lamp: red }
  - { line: 1, lamp: amber }
  - { line: 2, lamp: green }
debounce: 0ms
`;

test('the stack light gives the state at once where it is the same whether a lamp blinks or not', () => {
  const source = new Source(LIGHT).start(false, false, true).until(10_000);
  source
    .edge(20_000, 0, true)
    .edge(30_000, 0, false)
    .edge(40_000, 1, true)
    .edge(50_000, 2, false)
    .edge(60_000, 1, false);
  source.until(70_000);
  assert.deepEqual(source.states, [
    // The other lamps may blink: that is known when they have been dark for so long.
    [0, 'running', 'green on'],
    [20_000, 'alarm', 'red on or blinking, green on'],
    [30_000, 'running', 'green on'],
    [40_000, 'hold', 'amber on or blinking, green on'],
    [60_000, 'idle', 'no lamp is lit'],
  ]);
  const [event, sample] = source.readings.filter(({ timestamp }) => timestamp === '2026-01-01T08:00:20.000000Z');
  assert.equal(event?.kind === 'event' && event.previous_state, 'running');
  assert.equal(sample !== undefined && 'machine_state' in sample && sample['machine_state'], 'alarm');
});

test('before anything is known there is no state: dark lamps may be about to blink', () => {
  const source = new Source(LIGHT).start(false, false, false);
  assert.deepEqual(source.readings, []);
  source.until(2999);
  assert.deepEqual(source.readings, []);
  source.until(3000);
  assert.deepEqual(source.states, [[0, 'idle', 'no lamp is lit']]);
});

test('where blinking means something else, it is waited for, and the time is right all the same', () => {
  const source = new Source(`${LIGHT}states: { green_blinking: setup, none: offline }\n`);
  source.start(false, false, false).until(5000);
  source.edge(10_000, 2, true).until(12_999);
  assert.deepEqual(source.states.length, 1);
  source.until(13_000);
  source.edge(20_000, 2, false);
  for (const ms of [30_000, 31_000, 32_000]) source.edge(ms, 2, true).edge(ms + 500, 2, false);
  source.until(40_000);
  assert.deepEqual(source.states, [
    [0, 'offline', 'no lamp is lit'],
    [10_000, 'running', 'green on'],
    [20_000, 'offline', 'no lamp is lit'],
    [30_000, 'setup', 'green blinking'],
    [32_500, 'offline', 'no lamp is lit'],
  ]);
  const lamps = source.said.filter((one) => JSON.stringify(one).includes('lamp_green'));
  assert.deepEqual(lamps, [
    [0, { lamp_green: 'off' }],
    [10_000, { lamp_green: 'on' }],
    [20_000, { lamp_green: 'off' }],
    [30_000, { lamp_green: 'blinking' }],
    [32_500, { lamp_green: 'off' }],
  ]);
});

test('of several lamps the first by priority counts, and one that means nothing does not', () => {
  const lines = 'lines: [{ line: 0, lamp: green }, { line: 1, lamp: blue }, { line: 2, lamp: white }]';
  const text = `${lines}\ndebounce: 0ms\npriority: [green, blue, white]\n`;
  const source = new Source(text).start(true, true, true).until(5000);
  source.edge(10_000, 0, false).edge(20_000, 1, false).until(30_000);
  assert.deepEqual(
    source.states.map((one) => (one as unknown[])[1]),
    ['running', 'setup', 'idle'],
  );
});

test('a switch is told at its edge, active low or not, and its bounces are not', () => {
  const text =
    'lines: [{ line: 0, input: door_closed }, { line: 1, input: guard, active_low: false }]\nactive_low: true';
  const source = new Source(text).start(false, false);
  source
    .edge(1000, 0, true)
    .edge(1005, 0, false)
    .edge(1010, 0, true)
    .edge(2000, 1, true)
    .edge(2015, 1, false)
    .until(3000);
  assert.deepEqual(source.said, [
    [0, { door_closed: true, guard: false }],
    [1010, { door_closed: false }],
  ]);
});

test('each part is an event and a number; one that comes too soon is none', () => {
  const source = new Source('lines: [{ line: 0, part_counter: parts, min_interval: 2s }]').start(false);
  for (const ms of [1000, 2000, 5000, 6999, 7000]) source.edge(ms, 0, true).edge(ms + 100, 0, false);
  source.until(8000);
  const part = (count: number) => ({ event_type: 'part', item: 'parts', details: { part_count: count } });
  assert.deepEqual(source.said, [
    [1000, part(1)],
    [1000, { parts: 1 }],
    [5000, part(2)],
    [5000, { parts: 2 }],
  ]);
});

test('an edge that was missed is found by looking, and what is lost is not known', () => {
  const source = new Source('lines: [{ line: 0, input: door }, { line: 1, lamp: red }]')
    .start(false, false)
    .until(5000);
  assert.deepEqual(source.lines.check([true, false], now(6000)), ['door']);
  source.until(7000);
  assert.deepEqual(source.said.at(-1), [6000, { door: true }]);
  assert.deepEqual(source.lines.check([true, false], now(7000)), []);
  source.lines.lose(now(8000));
  assert.deepEqual(source.said.at(-1), [8000, { door: null, lamp_red: null, machine_state: 'offline' }]);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkConfig, parseConfig } from '../../base/config.ts';
import { ManualClock } from '../../base/manual-clock.test-support.ts';
import { seededRandom } from '../../base/random.ts';
import { decodeReading, type MachineEvent, type Reading, type Sample } from '../../model/reading.ts';
import { microsOf, timestampOf } from '../../model/time.ts';
import type { Processor } from '../../ports/processor.ts';
import { schema } from './config.ts';
import type { PlausibilityOptions } from './options.ts';
import { create, MACHINES_MAX } from './processor.ts';
import { AWAY_MAX } from './signal-watch.ts';

const START = '2026-01-01T08:00:00.000000Z';

/** From YAML, through JSON, as on its way to the running edge. The gateway's clock stands still, an hour after START. */
function plausibility(text: string, clock = new ManualClock('2026-01-01T09:00:00Z')): Processor {
  const document = parseConfig({ file: 'plausibility.yaml', text, environment: {} });
  return create(JSON.parse(JSON.stringify(checkConfig(document, schema))) as PlausibilityOptions, clock);
}

function at(ms: number): string {
  return timestampOf(microsOf(START) + ms * 1000);
}

function sample(ms: number, fields: Partial<Sample>): Sample {
  return { machine_id: 'M-1', timestamp: at(ms), ...fields };
}

/** What comes out; each must be a reading that the hub takes. */
function through(processor: Processor, readings: readonly Reading[]): Reading[] {
  return readings.flatMap((reading) => {
    const out = processor.process(Object.freeze(structuredClone(reading)));
    for (const one of out) assert.ok('reading' in decodeReading(structuredClone(one)), JSON.stringify(one));
    return [...out];
  });
}

/** Samples only: milliseconds since START, and what they say. */
function samples(out: readonly Reading[]): unknown[] {
  return out.flatMap((one) => {
    if (one.kind === 'event' || one.kind === 'measurement') return [];
    const { machine_id: _machine, timestamp, ...rest } = one;
    return [[(microsOf(timestamp) - microsOf(START)) / 1000, rest]];
  });
}

function events(out: readonly Reading[]): MachineEvent[] {
  return out.filter((one): one is MachineEvent => one.kind === 'event');
}

const temperatures = (values: readonly number[], everyMs: number): Sample[] =>
  values.map((temperature, index) => sample(index * everyMs, { temperature }));

test('a value out of its range is marked, and the first good one after it says so', () => {
  const processor = plausibility('signals: [{ signal: temperature, range: { min: 0, max: 60 } }]');
  const out = through(processor, temperatures([20, 61, -1, 60, 0], 1000));
  assert.deepEqual(samples(out), [
    [0, { temperature: 20, temperature_quality: 'good' }],
    [1000, { temperature: 61, temperature_quality: 'out_of_range' }],
    [2000, { temperature: -1, temperature_quality: 'out_of_range' }],
    [3000, { temperature: 60, temperature_quality: 'good' }],
    [4000, { temperature: 0 }],
  ]);
});

test('a value that is removed is kept beside its null', () => {
  const processor = plausibility('signals: [{ signal: temperature, range: { max: 60, action: remove } }]');
  const out = through(processor, temperatures([20, 3276.7, 20], 1000));
  assert.deepEqual(samples(out), [
    [0, { temperature: 20, temperature_raw: null, temperature_quality: 'good' }],
    [1000, { temperature: null, temperature_raw: 3276.7, temperature_quality: 'out_of_range' }],
    [2000, { temperature: 20, temperature_raw: null, temperature_quality: 'good' }],
  ]);
});

test('the first of a run is told, and its end with their number; not each', () => {
  const processor = plausibility('signals: [{ signal: temperature, range: { max: 60 } }]');
  const out = through(processor, [
    ...temperatures([20, 61, 62, 20, 63], 1000),
    sample(30_000, { temperature: 20 }),
    sample(70_000, { temperature: 20 }),
    sample(80_000, { temperature: 20 }),
    sample(90_000, { temperature: 61 }),
  ]);
  const common = { machine_id: 'M-1', kind: 'event', event_type: 'condition', item: 'temperature' };
  const warning = { ...common, native_code: 'out_of_range', level: 'warning' };
  assert.deepEqual(events(out), [
    { ...warning, timestamp: at(1000), text: 'temperature (°C) is 61, above 60' },
    {
      ...common,
      native_code: 'out_of_range',
      level: 'normal',
      timestamp: at(70_000),
      text: 'temperature is plausible again: 3 values were not',
      details: { start_time: at(1000), end_time: at(4000), readings: 3 },
    },
    { ...warning, timestamp: at(90_000), text: 'temperature (°C) is 61, above 60' },
  ]);
});

test('a flip is told when it has come back: of values that went on at once', () => {
  const processor = plausibility('signals: [{ signal: temperature, flip: { by: 5, within: 1s } }]');
  const out = through(processor, temperatures([24, 0, 0, 24.5, 24], 400));
  assert.deepEqual(samples(out), [
    [0, { temperature: 24, temperature_quality: 'good' }],
    [400, { temperature: 0 }],
    [800, { temperature: 0 }],
    [400, { temperature_quality: 'flip' }],
    [800, { temperature_quality: 'flip' }],
    [1200, { temperature: 24.5, temperature_quality: 'good' }],
    [1600, { temperature: 24 }],
  ]);
  assert.deepEqual(
    events(out).map(({ text }) => text),
    ['temperature (°C) went from 24 to 0 and back within 1000 ms'],
  );
});

test('a flip that is to be removed is taken out until it is known, and a change that stays is put back', () => {
  const processor = plausibility('signals: [{ signal: temperature, flip: { by: 5, within: 1s, action: remove } }]');
  const flip = through(processor, temperatures([24, 0, 24], 400));
  const gone = { temperature: null, temperature_raw: 0, temperature_quality: 'unconfirmed' };
  assert.deepEqual(samples(flip), [
    [0, { temperature: 24, temperature_raw: null, temperature_quality: 'good' }],
    [400, gone],
    [400, { temperature_quality: 'flip' }],
    [800, { temperature: 24, temperature_raw: null, temperature_quality: 'good' }],
  ]);
  const change = through(processor, [
    sample(5000, { temperature: 0 }),
    // Any word of the machine shows that the time has passed.
    sample(6001, { spindle_speed: 100 }),
    sample(7000, { temperature: 1 }),
  ]);
  assert.deepEqual(samples(change), [
    [5000, gone],
    [5000, { temperature: 0, temperature_raw: null, temperature_quality: 'good' }],
    [6001, { spindle_speed: 100 }],
    [7000, { temperature: 1 }],
  ]);
});

test('a value that is away for too long is none of a flip, nor are more than are remembered', () => {
  const slow = plausibility('signals: [{ signal: temperature, flip: { by: 5, within: 1s } }]');
  assert.deepEqual(events(through(slow, temperatures([24, 0, 24], 1001))), []);
  const quick = plausibility('signals: [{ signal: temperature, flip: { by: 5, within: 10s, action: remove } }]');
  const away = Array.from({ length: AWAY_MAX + 1 }, () => 0);
  const out = through(quick, temperatures([24, ...away, 24], 1));
  const restored = samples(out).filter((one) => JSON.stringify(one).includes('"temperature":0,'));
  assert.equal(restored.length, AWAY_MAX);
});

test('a signal that becomes unknown while it was away is as it was said', () => {
  const processor = plausibility('signals: [{ signal: temperature, flip: { by: 5, action: remove } }]');
  const out = through(processor, [
    ...temperatures([24, 0], 100),
    sample(200, { temperature: null }),
    sample(300, { temperature: 24 }),
  ]);
  assert.deepEqual(samples(out).slice(2), [
    [100, { temperature: 0, temperature_raw: null, temperature_quality: 'good' }],
    [200, { temperature: null }],
    [300, { temperature: 24 }],
  ]);
});

test('a value cannot change faster than it can, counted from the last plausible one', () => {
  const processor = plausibility('signals: [{ signal: temperature, rate: { max: 2, over: 1s } }]');
  const out = through(processor, temperatures([20, 21.9, 90, 23, 40, 40, 40, 40, 40, 40, 40], 500));
  const marked = samples(out).flatMap((one) => {
    const [ms, { temperature_quality: quality }] = one as [number, Partial<Sample>];
    return quality === undefined ? [] : [[ms, quality]];
  });
  // To 90 from 21.9 it is too far; 23 is 2.2 s/2 from 21.9; 40 is reached 8.5 s after 23, at the earliest.
  assert.deepEqual(marked, [
    [0, 'good'],
    [1000, 'changes_too_fast'],
    [1500, 'good'],
    ...[2000, 2500, 3000, 3500, 4000, 4500, 5000].map((ms) => [ms, 'changes_too_fast']),
  ]);
  assert.deepEqual(samples(through(processor, [sample(10_000, { temperature: 40 })])), [
    [10_000, { temperature: 40, temperature_quality: 'good' }],
  ]);
});

test('readings out of their order break no rule of change, nor the rows of days ago at a connection', () => {
  const text = 'signals: [{ signal: temperature, range: { max: 60 }, rate: { max: 1 }, flip: { by: 5 } }]';
  const processor = plausibility(text);
  const days = -3 * 86_400_000;
  const out = through(processor, [
    sample(10_000, { temperature: 20 }),
    sample(5_000, { temperature: 59 }),
    sample(11_000, { temperature: 20 }),
    sample(days, { temperature: 45 }),
    sample(12_000, { temperature: 20 }),
    sample(12_500, { temperature: 20 }),
  ]);
  assert.deepEqual(events(out), []);
  assert.equal(out.length, 6);
  const late = through(processor, [sample(9_000, { temperature: 61 }), sample(13_000, { temperature: 20 })]);
  assert.deepEqual(samples(late), [
    [9_000, { temperature: 61, temperature_quality: 'out_of_range' }],
    [13_000, { temperature: 20 }],
  ]);
});

test('a value that is said again and again is stuck; one that is not said any more is not', () => {
  const processor = plausibility('signals: [{ signal: temperature, stuck: { after: 10s, action: remove } }]');
  const said = through(processor, temperatures([20, 20, 20, 20, 20.1], 4000));
  assert.deepEqual(samples(said).slice(3), [
    [12_000, { temperature: null, temperature_raw: 20, temperature_quality: 'stuck' }],
    [16_000, { temperature: 20.1, temperature_raw: null, temperature_quality: 'good' }],
  ]);
  assert.match(events(said)[0]?.text ?? '', /has been 20 for longer than 10 s/);
  const silent = through(processor, [
    sample(20_000, { temperature: 20.1 }),
    ...[25_000, 30_000].map((ms) => sample(ms, { spindle_speed: 1 })),
    sample(35_000, { temperature: 20.1 }),
  ]);
  assert.deepEqual(samples(silent).at(-1), [35_000, { temperature: 20.1 }]);
});

test('only the time in the states in which it should vary counts', () => {
  const text = 'signals: [{ signal: spindle_load_percent, stuck: { after: 10s, states: [running] } }]';
  const processor = plausibility(text);
  const load = (fromMs: number, untilMs: number): Sample[] => {
    const times = Array.from({ length: (untilMs - fromMs) / 1000 }, (_, index) => fromMs + index * 1000);
    return times.map((ms) => sample(ms, { spindle_load_percent: 0 }));
  };
  const state = (ms: number, machine_state: 'running' | 'idle') => sample(ms, { machine_state });
  const out = through(processor, [
    ...load(0, 30_000),
    state(30_000, 'running'),
    ...load(30_000, 38_000),
    state(38_000, 'idle'),
    ...load(38_000, 60_000),
    state(60_000, 'running'),
    ...load(60_000, 72_000),
  ]);
  const stuck = samples(out).filter((one) => JSON.stringify(one).includes('stuck'));
  assert.deepEqual(stuck, [
    [69_000, { spindle_load_percent: 0, spindle_load_percent_quality: 'stuck' }],
    [70_000, { spindle_load_percent: 0, spindle_load_percent_quality: 'stuck' }],
    [71_000, { spindle_load_percent: 0, spindle_load_percent_quality: 'stuck' }],
  ]);
});

test('machines and signals have nothing to do with each other, and what has no rule passes as it is', () => {
  const processor = plausibility(
    'signals: [{ signal: temperature, rate: { max: 1 } }, { signal: level_mm, range: { max: 9 } }]',
  );
  const other = { machine_id: 'M-2', timestamp: at(100), temperature: 80, note: 'x' } as const;
  const plain = sample(200, { spindle_speed: 1e9, level_mm: 'full' });
  const first = sample(0, { temperature: 20 });
  const good = { temperature_quality: 'good' };
  assert.deepEqual(through(processor, [first, other, plain]), [{ ...first, ...good }, { ...other, ...good }, plain]);
});

test('a source whose clock was never set is given the time of the gateway, and its own is kept', () => {
  const processor = plausibility('clock: { not_before: 2010-01-01T00:00:00Z }');
  const now = '2026-01-01T09:00:00.000000Z';
  const origin = { machine_id: 'M-1', timestamp: '2000-01-01T00:00:07Z' } as const;
  const measured = { kind: 'measurement', characteristic: 'd', measured_value: 1, unit: 'mm' } as const;
  const out = through(processor, [
    { ...origin, temperature: 20 },
    { ...origin, kind: 'event', event_type: 'message', text: 'hello', details: { a: 1 } },
    { ...origin, ...measured },
  ]);
  const flagged = { machine_id: 'M-1', timestamp: now, clock_quality: 'unsynchronized' };
  const source_time = '2000-01-01T00:00:07Z';
  const [first, told, ...rest] = out;
  assert.deepEqual(
    [first, ...rest],
    [
      { ...flagged, temperature: 20, source_time },
      { ...flagged, kind: 'event', event_type: 'message', text: 'hello', details: { a: 1, source_time } },
      { ...flagged, ...measured, details: { source_time } },
    ],
  );
  assert.ok(told?.kind === 'event');
  assert.deepEqual([told.item, told.native_code, told.level], ['source_clock', 'source_clock', 'warning']);
  assert.match(told.text ?? '', /says 2000-01-01T00:00:07Z: it was never set/);
});

test('a clock ahead is recognised; one behind only where it is asked for, as what was recorded before is read too', () => {
  const clock = new ManualClock('2026-01-01T09:00:00Z');
  const ahead = { machine_id: 'M-1', timestamp: '2026-01-01T09:10:01Z', temperature: 1 };
  const inTime = { ...ahead, timestamp: '2026-01-01T09:09:59Z' };
  const old = { ...ahead, timestamp: '2016-11-07T00:00:00Z' };
  const usual = plausibility('{}', clock);
  assert.deepEqual(through(usual, [inTime, old]), [inTime, old]);
  assert.equal(through(usual, [ahead])[0]?.clock_quality, 'unsynchronized');
  const strict = plausibility('clock: { past: 1d }', clock);
  assert.deepEqual(through(strict, [old])[0]?.timestamp, '2026-01-01T09:00:00.000000Z');
  assert.deepEqual(through(plausibility('clock: { enabled: false }', clock), [ahead, old]), [ahead, old]);
  // By the gateway's clock that the reading brings, where it brings one.
  const brought = { ...ahead, gateway_time: '2026-01-01T09:10:00Z' };
  assert.deepEqual(through(plausibility('{}', clock), [brought]), [brought]);
});

test('the end of a wrong clock is told when it has been right for a while', async () => {
  const clock = new ManualClock('2026-01-01T09:00:00Z');
  const processor = plausibility('{}', clock);
  through(processor, [{ machine_id: 'M-1', timestamp: '1970-01-01T00:00:07Z', temperature: 1 }]);
  await clock.step(61_000);
  const out = through(processor, [{ machine_id: 'M-1', timestamp: '2026-01-01T09:01:01Z', temperature: 1 }]);
  assert.deepEqual(
    [out[1]?.kind, events(out)[0]?.level, events(out)[0]?.details?.['readings']],
    ['event', 'normal', 1],
  );
});

test('a gateway that does not know the time itself judges no clock', () => {
  const processor = plausibility('{}', new ManualClock('1970-01-01T00:01:00Z'));
  const reading = { machine_id: 'M-1', timestamp: '2026-01-01T09:00:00Z', temperature: 1 };
  assert.deepEqual(through(processor, [reading]), [reading]);
});

for (const seed of [1, 2, 3, 4]) {
  test(`whatever comes, every value is there, as it is or beside its null (seed ${seed})`, () => {
    const random = seededRandom(seed);
    const rules = 'range: { min: 0, max: 90, action: remove }, flip: { by: 20, action: remove }, rate: { max: 9 }';
    const processor = plausibility(`signals: [{ signal: temperature, ${rules}, stuck: { after: 2s } }]`);
    let ms = 0;
    const input = Array.from({ length: 3_000 }, () => {
      ms += Math.floor(random() * 900) - (random() < 0.1 ? 2_000 : 0);
      const value =
        random() < 0.1 ? null : Math.round((random() < 0.3 ? 0 : 40) + random() * 5) * (random() < 0.05 ? 9 : 1);
      return sample(ms, random() < 0.2 ? { spindle_speed: 1 } : { temperature: value });
    });
    // What a table by time would hold in the end.
    const values = (readings: readonly Reading[]): string[] =>
      readings.flatMap((one) => {
        if (one.kind !== undefined || one['temperature'] === undefined) return [];
        const value = one['temperature'] ?? one['temperature_raw'];
        return typeof value === 'number' ? [`${one.timestamp} ${value}`] : [];
      });
    const out = input.flatMap((reading) => {
      const result = through(processor, [reading]);
      // At once, in the same call: nothing is held back that a crash could take.
      assert.ok(values([reading]).every((value) => values(result).includes(value)));
      return result;
    });
    assert.deepEqual([...new Set(values(out))].sort(), [...new Set(values(input))].sort());
    assert.ok(samples(out).some((one) => JSON.stringify(one).includes('"flip"')));
  });
}

test('after a restart the first good value says so: what was said before the restart may still stand', () => {
  const marking = plausibility('signals: [{ signal: temperature, range: { max: 60 } }]');
  assert.deepEqual(samples(through(marking, temperatures([20, 20], 1000))), [
    [0, { temperature: 20, temperature_quality: 'good' }],
    [1000, { temperature: 20 }],
  ]);
  const removing = plausibility('signals: [{ signal: temperature, range: { max: 60, action: remove } }]');
  assert.deepEqual(samples(through(removing, temperatures([20], 1000))), [
    [0, { temperature: 20, temperature_raw: null, temperature_quality: 'good' }],
  ]);
});

test('a value that is only marked does not leave the one before it as removed', () => {
  const processor = plausibility(
    'signals: [{ signal: temperature, range: { max: 100, action: remove }, rate: { max: 1 } }]',
  );
  const out = samples(through(processor, temperatures([20, 3276.7, 90], 1000)));
  assert.deepEqual(out.at(-1), [
    2000,
    { temperature: 90, temperature_raw: null, temperature_quality: 'changes_too_fast' },
  ]);
});

test('what is no finite number is not known, and makes no later value look wrong', () => {
  const text = 'signals: [{ signal: temperature, range: { min: 0 }, rate: { max: 1 }, flip: { by: 5 } }]';
  for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    const processor = plausibility(text);
    const out = temperatures([20, wrong, 20, 20], 1000).flatMap((one) => [...processor.process(one)]);
    assert.deepEqual(samples(out).slice(2), [
      [2000, { temperature: 20 }],
      [3000, { temperature: 20 }],
    ]);
  }
});

test('machines beyond what is remembered are forgotten, the first of them first', () => {
  const processor = plausibility('signals: [{ signal: temperature, rate: { max: 1 } }]');
  const qualityOf = (machine: number, temperature: number): unknown => {
    const reading = { machine_id: `M-${machine}`, timestamp: at(0), temperature };
    return (processor.process(reading)[0] as Sample)['temperature_quality'];
  };
  for (let machine = 0; machine <= MACHINES_MAX; machine += 1) qualityOf(machine, 20);
  assert.equal(qualityOf(MACHINES_MAX, 90), 'changes_too_fast');
  assert.equal(qualityOf(0, 90), 'good');
});

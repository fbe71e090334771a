import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkConfig, parseConfig } from '../../base/config.ts';
import { microsOf } from '../../model/time.ts';
import { schema } from './config.ts';
import type { PlausibilityOptions } from './options.ts';

function read(text: string): PlausibilityOptions {
  return checkConfig(parseConfig({ file: 'plausibility.yaml', text, environment: {} }), schema);
}

test('with nothing written only clocks are looked at', () => {
  const clock = { notBeforeMicros: microsOf('2010-01-01T00:00:00Z'), futureMs: 600_000, pastMs: null };
  assert.deepEqual(read('{}'), { signals: {}, clock });
  assert.deepEqual(read('clock: { enabled: false }'), { signals: {}, clock: null });
});

test('every key has its place', () => {
  const options = read(`
signals:
  - signal: temperature
    range: { min: -20, max: 120, action: remove }
    flip: { by: 5, within: 1500ms, action: remove }
    rate: { max: 2, over: 5s }
    stuck: { after: 10m, states: [running, hold] }
  - { signal: coolant_level, range: { max: 90 } }
clock: { not_before: 2015-01-01T00:00:00Z, future: 1m, past: 1h }
`);
  assert.deepEqual(options, {
    signals: {
      temperature: {
        range: { min: -20, max: 120, action: 'remove' },
        flip: { by: 5, withinMs: 1500, action: 'remove' },
        rate: { perSecondMax: 2, overMs: 5000, action: 'mark' },
        stuck: { afterMs: 600_000, states: ['running', 'hold'], action: 'mark' },
      },
      coolant_level: { range: { min: null, max: 90, action: 'mark' }, flip: null, rate: null, stuck: null },
    },
    clock: { notBeforeMicros: microsOf('2015-01-01T00:00:00Z'), futureMs: 60_000, pastMs: 3_600_000 },
  });
});

test('what cannot be meant is refused with the place', () => {
  const cases: [string, RegExp][] = [
    ['signals: [{ signal: temperature }]', /signals\[0\]: .*one of range, flip, rate, stuck at least/],
    ['signals: [{ signal: machine_state, range: { max: 1 } }]', /signals\[0\]\.signal: .*a signal that is a number/],
    ['signals: [{ signal: timestamp, range: { max: 1 } }]', /signals\[0\]\.signal: .*a signal that is a number/],
    ['signals: [{ signal: t, range: {} }]', /signals\[0\]\.range: .*min, max or both/],
    [
      'signals: [{ signal: t, range: { min: 2, max: 1 } }]',
      /signals\[0\]\.range\.min: found 2; allowed: less than max/,
    ],
    ['signals: [{ signal: t, flip: {} }]', /signals\[0\]\.flip\.by: is missing/],
    ['signals: [{ signal: t, flip: { by: 0 } }]', /signals\[0\]\.flip\.by: found 0/],
    ['signals: [{ signal: t, range: { max: 1, action: drop } }]', /action: found "drop"; allowed: mark, remove/],
    ['signals: [{ signal: t, stuck: { after: 10m, states: [working] } }]', /states\[0\]: found "working"/],
    [
      'signals: [{ signal: t, rate: { max: 1 } }, { signal: t, rate: { max: 1 } }]',
      /signals\[1\]\.signal: .*no rules yet/,
    ],
    ['clock: { not_before: yesterday }', /clock\.not_before: found "yesterday"; allowed: a time such as/],
    [`signals: [{ signal: ${'x'.repeat(125)}, rate: { max: 1 } }]`, /signals\[0\]\.signal/],
  ];
  for (const [text, expected] of cases) assert.throws(() => read(text), { message: expected }, text);
});

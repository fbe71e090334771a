import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MachineState } from '../../model/signals.ts';
import { type GateInput, type GateOptions, gateReasons, type Sighting, SoakClock } from './gates.ts';

const OFF: GateOptions = {
  temperatureCMin: null,
  temperatureCMax: null,
  change: null,
  differenceKMax: null,
  sensorAgeMsMax: null,
  soak: null,
};
const CALM: Sighting = { temperatureC: 20, ageMs: 0, changeK: 0 };

function reasons(options: Partial<GateOptions>, input: Partial<GateInput> = {}): string[] {
  return gateReasons({ ...OFF, ...options }, { part: CALM, scale: CALM, soakedMs: 0, ...input });
}

test('nothing configured, nothing said', () => {
  assert.deepEqual(
    reasons({}, { part: { temperatureC: 90, ageMs: 1e9, changeK: undefined }, soakedMs: undefined }),
    [],
  );
});

test('each gate tells what was found and what is allowed', () => {
  const cases: [Partial<GateOptions>, Partial<GateInput>, string[]][] = [
    [
      { temperatureCMin: 18, temperatureCMax: 22 },
      { part: { ...CALM, temperatureC: 22.0004 }, scale: { ...CALM, temperatureC: 17.98 } },
      [
        'the part temperature is 22.0004 °C; allowed are 22 °C and less',
        'the scale temperature is 17.98 °C; allowed are 18 °C and more',
      ],
    ],
    [
      { change: { maxK: 0.5, overMs: 600_000 } },
      { part: { ...CALM, changeK: 0.82 }, scale: { ...CALM, changeK: undefined } },
      [
        'the part temperature changed by 0.82 K in 10 min; allowed are 0.5 K',
        'the change of the scale temperature over 10 min is not known yet',
      ],
    ],
    [
      { differenceKMax: 1 },
      { scale: { ...CALM, temperatureC: 18.5 } },
      ['part and scale temperature differ by 1.5 K; allowed are 1 K'],
    ],
    [{ differenceKMax: 1 }, { scale: null }, ['the difference of part and scale temperature is not known']],
    [
      { sensorAgeMsMax: 30_000 },
      { part: { ...CALM, ageMs: 45_200 } },
      ['the part temperature is 45.2 s from the measurement; allowed are 30 s'],
    ],
    [
      { soak: { timeMs: 5_400_000, machineId: null } },
      { soakedMs: 720_000 },
      ['the soak time was 12 min; needed are 1.5 h'],
    ],
    [
      { soak: { timeMs: 60_000, machineId: null } },
      { soakedMs: undefined },
      ['the soak time is not known: no state of the machine was seen yet'],
    ],
  ];
  for (const [options, input, expected] of cases) assert.deepEqual(reasons(options, input), expected);
});

test('what is just allowed passes', () => {
  const options = {
    temperatureCMin: 18,
    temperatureCMax: 22,
    change: { maxK: 0.5, overMs: 1_000 },
    differenceKMax: 4,
    sensorAgeMsMax: 1_000,
    soak: { timeMs: 1_000, machineId: null },
  };
  const part = { temperatureC: 22, ageMs: 1_000, changeK: 0.5 };
  assert.deepEqual(reasons(options, { part, scale: { ...part, temperatureC: 18 }, soakedMs: 1_000 }), []);
});

test('a machine soaks from its last running on, or from when it was first seen', () => {
  const clock = new SoakClock();
  const soakedAfter = (second: number, state?: MachineState, at?: number): number | undefined => {
    if (state !== undefined && at !== undefined) clock.saw(state, at * 1e6);
    return clock.soakedMs(second * 1e6);
  };
  assert.equal(soakedAfter(5), undefined);
  assert.equal(soakedAfter(15, 'idle', 10), 5_000);
  assert.equal(soakedAfter(25, 'running', 20), 0);
  assert.equal(soakedAfter(40, 'hold', 30), 10_000);
  assert.equal(soakedAfter(60, 'idle', 50), 30_000, 'from the first state that is not running');
  assert.equal(soakedAfter(60, 'running', 40), 30_000, 'what comes late does not set it back');
  assert.equal(soakedAfter(20), 0, 'a measurement of before has not soaked');
});

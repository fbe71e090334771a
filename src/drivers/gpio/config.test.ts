import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkConfig, parseConfig } from '../../base/config.ts';
import { schema } from './config.ts';
import type { GpioOptions } from './options.ts';

function read(text: string): GpioOptions {
  return checkConfig(parseConfig({ file: 'gpio.yaml', text, environment: {} }), schema);
}

test('a line is enough', () => {
  assert.deepEqual(read('lines: [{ line: 17, input: door }]'), {
    chip: 'gpiochip0',
    lines: [{ line: '17', name: 'door', bias: 'as_is', isActiveLow: false, debounceMs: 20, use: { kind: 'input' } }],
    blinkMs: 3000,
    meanings: [
      { colour: 'red', on: 'alarm', blinking: 'alarm' },
      { colour: 'amber', on: 'hold', blinking: 'hold' },
      { colour: 'blue', on: 'setup', blinking: 'setup' },
      { colour: 'green', on: 'running', blinking: 'running' },
      { colour: 'white', on: null, blinking: null },
    ],
    none: 'idle',
    checkMs: 300_000,
    tools: null,
  });
});

test('every key has its place', () => {
  const options = read(`
chip: pinctrl-rp1
active_low: true
bias: pull_up
debounce: 5ms
blink: 2s
check_interval: 1m
tools: /opt/gpiod/bin
priority: [green, red]
states: { green_blinking: idle, red: nothing, none: offline }
lines:
  - { line: GPIO17, lamp: green, name: green_light }
  - { line: 27, lamp: red, active_low: false, bias: pull_down, debounce: 1s }
  - { line: 22, part_counter: parts, min_interval: 2s }
`);
  assert.deepEqual(options.lines[1], {
    line: '27',
    name: 'lamp_red',
    bias: 'pull_down',
    isActiveLow: false,
    debounceMs: 1000,
    use: { kind: 'lamp', colour: 'red' },
  });
  assert.deepEqual(
    options.lines.map(({ name, isActiveLow }) => [name, isActiveLow]),
    [
      ['green_light', true],
      ['lamp_red', false],
      ['parts', true],
    ],
  );
  assert.deepEqual(options.lines[2]?.use, { kind: 'part_counter', minIntervalMs: 2000 });
  assert.deepEqual(options.meanings, [
    { colour: 'green', on: 'running', blinking: 'idle' },
    { colour: 'red', on: null, blinking: null },
  ]);
  assert.deepEqual(
    [options.none, options.blinkMs, options.checkMs, options.tools, options.chip],
    ['offline', 2000, 60_000, '/opt/gpiod/bin', 'pinctrl-rp1'],
  );
});

test('what cannot be meant is refused with the place', () => {
  const cases: [string, RegExp][] = [
    ['lines: []', /lines: found \[\]; allowed: one line at least/],
    ['lines: [{ line: 1 }]', /lines\[0\]\.input: .*one of input, lamp, part_counter/],
    ['lines: [{ line: 1, input: a, lamp: red }]', /lines\[0\]\.input: .*one of/],
    ['lines: [{ line: 1, lamp: purple }]', /lines\[0\]\.lamp: found "purple"/],
    ['lines: [{ line: 1, input: temperature }]', /lines\[0\]\.input: .*a name of your own/],
    ['lines: [{ line: 1, input: a, name: b }]', /lines\[0\]\.name: .*with lamp/],
    ['lines: [{ line: 1, input: a, min_interval: 1s }]', /lines\[0\]\.min_interval: .*with part_counter/],
    ['lines: [{ line: 1, input: a }, { line: 2, part_counter: a }]', /lines\[1\]\.part_counter: .*not taken yet/],
    ['lines: [{ line: 1, input: a }, { line: 1, input: b }]', /lines\[1\]\.line: .*each line once/],
    ['lines: [{ line: 1, input: a }, { line: 01, input: b }]', /lines\[1\]\.line: .*each line once/],
    ['lines: [{ line: 1, lamp: red }, { line: 2, lamp: red, name: b }]', /lines\[1\]\.lamp: .*each colour once/],
    ['{ lines: [{ line: 1, lamp: red }], priority: [green] }', /priority: .*all colours of the lamps, red too/],
    ['{ lines: [{ line: 1, lamp: red }], priority: [red, red] }', /priority: .*each colour once/],
    ['{ lines: [{ line: 1, lamp: red }], states: { red: broken } }', /states\.red: found "broken"/],
    ['{ lines: [{ line: 1, lamp: red }], bias: up }', /bias: found "up"; allowed: as_is, pull_up/],
  ];
  for (const [text, expected] of cases) assert.throws(() => read(text), { message: expected }, text);
});

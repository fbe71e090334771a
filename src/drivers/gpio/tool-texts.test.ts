/** What the tools of both versions print. Texts without a chip are those of the real programs, run without one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '../../base/errors.ts';
import { seededRandom } from '../../base/random.ts';
import {
  agoMs,
  getArguments,
  monitorArguments,
  parseChips,
  parseEdge,
  parseLevels,
  parseLines,
  parseVersion,
} from './tool-texts.ts';

test('the version is told apart, and one that is not known is refused', () => {
  assert.equal(parseVersion('gpiomon (libgpiod) v1.6.3\nCopyright (C) 2017-2018 Bartosz Golaszewski\n'), 1);
  assert.equal(parseVersion('gpiomon (libgpiod) v2.2.1\nCopyright (C) 2017-2023 Bartosz Golaszewski\n'), 2);
  for (const text of ['gpiomon (libgpiod) v3.0', '', 'hello']) {
    assert.throws(
      () => parseVersion(text),
      (error) => hasCode(error, 'config_invalid'),
    );
  }
});

test('each version gets its own arguments', () => {
  const request = { chip: 'gpiochip0', bias: 'pull_up', offsets: [17, 27] } as const;
  assert.equal(monitorArguments(1, request).join(' '), '-b -F %o %e %s %n -B pull-up gpiochip0 17 27');
  assert.equal(monitorArguments(2, request).join(' '), '--banner -F %o %e %S -b pull-up -c gpiochip0 17 27');
  assert.equal(getArguments(1, { ...request, bias: 'disabled' }).join(' '), '-B disable gpiochip0 17 27');
  assert.equal(getArguments(2, { ...request, bias: 'disabled' }).join(' '), '--numeric -b disabled -c gpiochip0 17 27');
  assert.equal(getArguments(1, { ...request, bias: 'as_is' }).join(' '), 'gpiochip0 17 27');
  assert.equal(
    getArguments(2, { ...request, bias: 'pull_down' }).join(' '),
    '--numeric -b pull-down -c gpiochip0 17 27',
  );
});

test('an edge has its line, its direction and its time', () => {
  assert.deepEqual(parseEdge(1, '17 1 1584 123456789'), { offset: 17, isHigh: true, seconds: 1584.123456789 });
  assert.deepEqual(parseEdge(1, '17 0 1584 5'), { offset: 17, isHigh: false, seconds: 1584.000000005 });
  assert.deepEqual(parseEdge(2, '4 1 1584.123456789'), { offset: 4, isHigh: true, seconds: 1584.123456789 });
  assert.deepEqual(parseEdge(2, '4 2 1584.000000005'), { offset: 4, isHigh: false, seconds: 1584.000000005 });
  for (const [version, text] of [
    [1, '17 2 1584 1'],
    [2, '17 0 1584.1'],
    [1, ''],
    [2, '17 1 1584.1 x'],
    [1, 'event: RISING EDGE'],
  ] as const) {
    assert.throws(
      () => parseEdge(version, text),
      (error) => hasCode(error, 'protocol_violation'),
      text,
    );
  }
});

test('how long ago it was, by the clock that the kernel used', () => {
  const clocks = { monotonicMs: 5_000_000, wallMs: 1_767_254_400_000 };
  assert.equal(agoMs(4_999.75, clocks), 250);
  assert.equal(agoMs(1_767_254_399.5, clocks), 500);
  assert.equal(agoMs(5_000.001, clocks), 0, 'not in the future');
  assert.equal(agoMs(1_000, clocks), 0, 'another clock than was thought');
});

test('lines of both versions, with who has them', () => {
  const first = `gpiochip0 - 4 lines:
\tline   0:     "ID_SDA"       unused   input  active-high 
\tline   1:      unnamed       unused   input   active-low 
\tline  17:     "GPIO17"    "gpiomon"   input  active-high [used]
\tline  42: "STATUS_LED_G" "kernel thing" output active-high [used pull-up]
`;
  const second = `gpiochip0 - 4 lines:
\tline   0:\t"ID_SDA"        \tinput
\tline   1:\tunnamed         \tinput active-low
\tline  17:\t"GPIO17"        \tinput bias=pull-up edges=both consumer="gpiomon"
\tline  42:\t"STATUS_LED_G"  \toutput consumer="kernel thing"
`;
  for (const text of [first, second]) {
    assert.deepEqual(parseLines(text), [
      { offset: 0, name: 'ID_SDA', consumer: null },
      { offset: 1, name: null, consumer: null },
      { offset: 17, name: 'GPIO17', consumer: 'gpiomon' },
      { offset: 42, name: 'STATUS_LED_G', consumer: 'kernel thing' },
    ]);
  }
  assert.equal(
    parseLines('\tline   2:      unnamed       kernel   input  active-high [used]\n')[0]?.consumer,
    'the kernel',
  );
});

test('chips and levels', () => {
  assert.deepEqual(parseChips('gpiochip0 [pinctrl-bcm2711] (58 lines)\ngpiochip1 [raspberrypi-exp-gpio] (8 lines)\n'), [
    { name: 'gpiochip0', label: 'pinctrl-bcm2711' },
    { name: 'gpiochip1', label: 'raspberrypi-exp-gpio' },
  ]);
  assert.deepEqual(parseLevels('1 0 1\n', 3), [true, false, true]);
  for (const text of ['1 0', '1 0 2', '', '"17"=active "27"=inactive "22"=active']) {
    assert.throws(
      () => parseLevels(text, 3),
      (error) => hasCode(error, 'protocol_violation'),
    );
  }
});

test('whatever is said, it is understood or a coded error', () => {
  const random = seededRandom(3);
  const letters = '0123 .vline:"[]=\n\técu-';
  for (let count = 0; count < 50_000; count += 1) {
    const text = Array.from(
      { length: Math.floor(random() * 24) },
      () => letters[Math.floor(random() * letters.length)],
    ).join('');
    for (const parse of [
      () => parseEdge(1, text),
      () => parseEdge(2, text),
      () => parseLevels(text, 2),
      () => parseLines(text),
      () => parseChips(text),
      () => parseVersion(text),
    ]) {
      try {
        parse();
      } catch (error) {
        assert.ok(hasCode(error, 'protocol_violation') || hasCode(error, 'config_invalid'), String(error));
      }
    }
  }
});

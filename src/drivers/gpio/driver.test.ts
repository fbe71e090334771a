/** The driver on pins in memory, and with the tools of both versions of libgpiod on a board that stands in. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { until } from '../../../test/support/until.ts';
import { ManualClock } from '../../base/manual-clock.test-support.ts';
import { hasCode, messageOf } from '../../base/errors.ts';
import { microsOf } from '../../model/time.ts';
import { Gateway, Running } from '../../ports/driver.test-support.ts';
import { Board, type BoardLine } from './board.test-support.ts';
import { schema } from './config.ts';
import { create, EDGES_MAX, GpioDriver } from './driver.ts';
import { MemoryPins } from './pins.test-support.ts';

const cleanup: (() => unknown)[] = [];
afterEach(async () => {
  for (const undo of cleanup.splice(0).reverse()) await undo();
});

function run(config: object, pins: MemoryPins, options: ConstructorParameters<typeof Running>[1] = {}): Running {
  const running = new Running(new GpioDriver(schema.parse(config), pins.open), options);
  cleanup.push(() => running.stop());
  return running;
}

function valuesOf(gateway: Gateway): object[] {
  return gateway.samples.map(({ machine_id: _machine, timestamp: _time, ...values }) => values);
}

const START = '2026-01-01T08:00:00Z';
const DOOR = { lines: [{ line: 17, input: 'door_open' }], debounce: '0ms' };

test('levels first, then each edge at the time at which the kernel saw it', async () => {
  const pins = new MemoryPins(true);
  const clock = new ManualClock(START);
  const { gateway } = run(DOOR, pins, { gateway: new Gateway({ clock }) });
  await until(() => pins.isWatched && gateway.connections === 1);
  pins.set(0, false, 1500);
  await until(() => gateway.samples.length === 2);
  assert.deepEqual(valuesOf(gateway), [{ door_open: true }, { door_open: false }]);
  assert.equal(clock.nowMicros() - microsOf(gateway.samples[1]!.timestamp), 1_500_000);
});

test('an edge that the kernel did not tell is found when the levels are read again', async () => {
  const pins = new MemoryPins(false);
  const clock = new ManualClock(START);
  const { gateway } = run({ ...DOOR, check_interval: '1s' }, pins, { gateway: new Gateway({ clock }) });
  await until(() => pins.isWatched && clock.sleepers === 1);
  pins.isDeaf = true;
  pins.set(0, true);
  await clock.step(1_000);
  await until(() => gateway.samples.length === 2);
  assert.deepEqual(valuesOf(gateway).at(-1), { door_open: true });
  assert.equal(gateway.connections, 1);
  pins.isDeaf = false;
  await until(() => pins.isWatched && pins.looks >= 2);
  pins.set(0, false);
  await until(() => gateway.samples.length === 3);
  assert.equal(pins.opened, 1, 'the chip was not looked up again');
});

test('when watching ends the source fails, what was known is not known, and it begins anew', async () => {
  const pins = new MemoryPins(false, true);
  const config = { lines: [...DOOR.lines, { line: 18, lamp: 'red' }], debounce: '0ms', blink: '200ms' };
  const running = run(config, pins, { again: true });
  const { gateway } = running;
  await until(() => gateway.samples.some((one) => one['lamp_red'] === 'on'));
  pins.end();
  await until(() => gateway.connections === 2 && gateway.samples.at(-1)?.['lamp_red'] === 'on');
  assert.equal(running.lastError, 'gpiomon was ended by SIGKILL');
  const lost = valuesOf(gateway).find((one) => 'lamp_red' in one && one.lamp_red === null);
  assert.deepEqual(lost, { door_open: null, lamp_red: null, machine_state: 'offline' });
  const states = gateway.events.flatMap(({ event_type, state }) => (event_type === 'state' ? [state] : []));
  assert.deepEqual(states, ['alarm', 'alarm']);
});

test('a source that has nothing to say says when it is next to be heard', async () => {
  const { gateway } = run(DOOR, new MemoryPins(true));
  await until(() => gateway.nextWithinMs !== undefined);
  assert.equal(gateway.nextWithinMs, 2_000);
});

test('parts are counted on over a connection that was lost', async () => {
  const pins = new MemoryPins(false);
  const running = run({ lines: [{ line: 5, part_counter: 'parts' }], debounce: '0ms' }, pins, { again: true });
  const { gateway } = running;
  for (const connection of [1, 2]) {
    await until(() => gateway.connections === connection && pins.isWatched);
    pins.set(0, true);
    pins.set(0, false);
    await until(() => gateway.events.length === connection);
    pins.end();
  }
  assert.deepEqual(
    gateway.events.map(({ event_type, item, details }) => [event_type, item, details]),
    [1, 2].map((count) => ['part', 'parts', { part_count: count }]),
  );
});

test('a line that flutters without end is told, and not let fill the memory', async () => {
  const pins = new MemoryPins(false);
  const running = run(DOOR, pins);
  await until(() => pins.isWatched);
  for (let count = 0; count <= EDGES_MAX; count += 1) pins.set(0, count % 2 === 0);
  const failure = await running.failure();
  assert.ok(hasCode(failure, 'limit_exceeded'), messageOf(failure));
});

test('it can be looked at once, without watching', async () => {
  const pins = new MemoryPins(true, false);
  const lines = [...DOOR.lines, { line: 18, lamp: 'red', active_low: true }];
  const driver = new GpioDriver(schema.parse({ lines }), pins.open);
  const found = await driver.check(new AbortController().signal);
  assert.equal(found, '2 lines of gpiochip0; active: door_open, lamp_red');
  assert.equal(pins.isWatched, false);
});

async function board(version: 1 | 2, lines: BoardLine[]): Promise<Board> {
  const started = await Board.start(version, lines);
  cleanup.push(() => started.stop());
  return started;
}

function runOn({ folder }: Board, config: object, options: ConstructorParameters<typeof Running>[1] = {}): Running {
  const running = new Running(create(schema.parse({ ...config, tools: folder })), options);
  cleanup.push(() => running.stop());
  return running;
}

for (const version of [1, 2] as const) {
  const name = version === 1 ? 'libgpiod 1.6' : 'libgpiod 2.2';

  test(`${name}: lines by offset and by name, with two biases, from their edges to readings`, async () => {
    const lines = [{ name: 'ID', level: false }, { name: 'GPIO1', level: true }, { level: true }];
    const machine = await board(version, lines);
    const config = {
      chip: 'pinctrl-test',
      bias: 'pull_up',
      lines: [
        { line: 'GPIO1', input: 'door_closed', active_low: true },
        { line: 2, part_counter: 'parts', bias: 'pull_down', debounce: '0ms' },
      ],
      debounce: '5ms',
    };
    const running = runOn(machine, config);
    const { gateway } = running;
    await until(() => gateway.connections === 1 || running.errors.length > 0);
    assert.equal(running.lastError, '');
    assert.equal(machine.monitors.size, 2);
    machine.set(1, false);
    machine.set(2, false);
    await until(() => gateway.samples.length === 2);
    const beforeMicros = gateway.clock.nowMicros();
    machine.set(2, true);
    const afterMicros = gateway.clock.nowMicros();
    await until(() => gateway.events.length === 1);
    assert.deepEqual(valuesOf(gateway), [{ door_closed: false }, { door_closed: true }, { parts: 1 }]);
    // The two clocks are read one after the other.
    const micros = microsOf(gateway.events[0]!.timestamp);
    assert.ok(micros > beforeMicros - 2_000 && micros < afterMicros + 2_000, String(micros - beforeMicros));
    const [, , , get] = machine.runs;
    const expected = version === 1 ? 'gpioget -B pull-up gpiochip0 1' : 'gpioget --numeric -b pull-up -c gpiochip0 1';
    assert.equal(get, expected);
    await running.stop();
    await until(() => machine.monitors.size === 0);
  });

  test(`${name}: the levels are read again while nobody watches, and edges go on afterwards`, async () => {
    const machine = await board(version, [{ level: false }]);
    const clock = new ManualClock(START);
    const gateway = new Gateway({ clock });
    const config = { lines: [{ line: 0, input: 'door' }], debounce: '0ms', check_interval: '1s' };
    const running = runOn(machine, config, { gateway });
    const looks = (): number => machine.runs.filter((one) => one.startsWith('gpioget')).length;
    for (const count of [1, 2]) {
      await until(() => looks() === count && machine.monitors.size === 1 && clock.sleepers === 1);
      if (count === 1) await clock.step(1_000);
    }
    machine.set(0, true);
    await until(() => gateway.samples.length === 2);
    assert.deepEqual([running.errors.length, gateway.connections], [0, 1]);
  });

  test(`${name}: a gpiomon that is killed fails the source, and the next one works`, async () => {
    const machine = await board(version, [{ level: false }]);
    const running = runOn(machine, { lines: [{ line: 0, input: 'door' }], debounce: '0ms' }, { again: true });
    const { gateway } = running;
    await until(() => gateway.connections === 1);
    for (const { socket } of machine.monitors) socket.destroy();
    await until(() => gateway.connections === 2);
    assert.match(running.errors[0]?.message ?? '', /^gpiomon ended with 0$/);
    machine.set(0, true);
    await until(() => gateway.samples.at(-1)?.['door'] === true);
  });

  test(`${name}: what is not there or not free is told in words`, async () => {
    const machine = await board(version, [{ level: false }, { level: false, consumer: 'spi0 CS1' }]);
    const cases: [object, string, RegExp][] = [
      [
        { chip: 'pinctrl-other', lines: [{ line: 0, input: 'a' }] },
        'config_invalid',
        /no GPIO chip pinctrl-other; there are: gpiochip0 \[pinctrl-test\]/,
      ],
      [
        { chip: 'gpiochip7', lines: [{ line: 0, input: 'a' }] },
        'connection_failed',
        version === 1
          ? /^gpioinfo: looking up chip gpiochip7: No such file or directory$/
          : /cannot find GPIO chip character device 'gpiochip7'$/,
      ],
      [{ lines: [{ line: 9, input: 'a' }] }, 'config_invalid', /no line 9 on gpiochip0, which has 2/],
      [{ lines: [{ line: 'GPIO9', input: 'a' }] }, 'config_invalid', /no line GPIO9 on gpiochip0/],
      [{ lines: [{ line: 1, input: 'a' }] }, 'connection_failed', /line 1 of gpiochip0 is in use by spi0 CS1/],
    ];
    for (const [config, code, expected] of cases) {
      const failure = await runOn(machine, config).failure();
      assert.equal(failure.code, code, messageOf(failure));
      assert.match(messageOf(failure), expected);
    }
  });

  test(`${name}: a gpiomon that says what it never says is given up`, async () => {
    const machine = await board(version, [{ level: false }]);
    for (const said of ['0 9 1 1\n', 'x'.repeat(300), '5 1 1 1\n']) {
      const running = runOn(machine, { lines: [{ line: 0, input: 'door' }] });
      await until(() => running.gateway.connections === 1);
      machine.say(said);
      const failure = await running.failure();
      assert.ok(hasCode(failure, 'protocol_violation'), messageOf(failure));
      await until(() => machine.monitors.size === 0);
    }
  });
}

test('libgpiod 1.6 on a kernel that tells the wall clock', async () => {
  const machine = await board(1, [{ level: false }]);
  machine.isRealtime = true;
  const { gateway } = runOn(machine, { lines: [{ line: 0, input: 'door' }], debounce: '0ms' });
  await until(() => gateway.connections === 1);
  const beforeMicros = gateway.clock.nowMicros();
  machine.set(0, true);
  const afterMicros = gateway.clock.nowMicros();
  await until(() => gateway.samples.length === 2);
  // The board cuts it to whole milliseconds, and the gateway's own clock may stray by some from the wall clock.
  const micros = microsOf(gateway.samples[1]!.timestamp);
  assert.ok(micros > beforeMicros - 10_000 && micros < afterMicros + 10_000, String(micros - beforeMicros));
});

test('without the tools it is said what to install', async () => {
  const running = new Running(create(schema.parse({ lines: [{ line: 0, input: 'a' }], tools: '/no/such' })));
  const failure = await running.failure();
  assert.ok(hasCode(failure, 'config_invalid'));
  assert.match(messageOf(failure), /there is no program gpiomon: install gpiod/);
});

test('a gpiomon that is not ended, and what it has started, keep no run from its end', async () => {
  const machine = await board(2, [{ level: false }]);
  const file = path.join(machine.folder, 'gpiomon');
  const stubborn = `trap '' TERM\ncase "$1" in --version) ;; *) sleep 60 & echo $! > "$0.started" ;; esac`;
  writeFileSync(file, readFileSync(file, 'utf8').replace('\n', `\n${stubborn}\n`));
  const running = runOn(machine, { lines: [{ line: 0, input: 'door' }], debounce: '0ms' });
  await until(() => running.gateway.connections === 1);
  const started = Number(readFileSync(`${file}.started`, 'utf8'));
  cleanup.push(() => process.kill(started, 'SIGKILL'));
  await running.stop();
  assert.ok(process.kill(started, 0), 'what it has started runs on');
});

test('no gpiomon outlives an edge that is killed, or it would keep the lines', async () => {
  const machine = await board(2, [{ level: false }]);
  const config = schema.parse({ lines: [{ line: 0, input: 'door' }], tools: machine.folder });
  const modules = [import.meta.resolve('./driver.ts'), import.meta.resolve('../../ports/driver.test-support.ts')];
  const program = `
    const { create } = await import(${JSON.stringify(modules[0])});
    const { Running } = await import(${JSON.stringify(modules[1])});
    new Running(create(${JSON.stringify(config)}));
    setInterval(() => {}, 1000);`;
  const edge = spawn(process.execPath, ['--input-type=module', '-e', program], {
    cwd: fileURLToPath(new URL('../../..', import.meta.url)),
    stdio: 'ignore',
  });
  cleanup.push(() => edge.kill('SIGKILL'));
  await until(() => machine.monitors.size === 1);
  edge.kill('SIGKILL');
  await once(edge, 'exit');
  await until(() => machine.monitors.size === 0);
});

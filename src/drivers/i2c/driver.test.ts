import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, test } from 'node:test';
import { until } from '../../../test/support/until.ts';
import { type Clock, systemClock } from '../../base/clock.ts';
import { hasCode, messageOf } from '../../base/errors.ts';
import { seededRandom } from '../../base/random.ts';
import { decodeReading } from '../../model/reading.ts';
import { Gateway, Running } from '../../ports/driver.test-support.ts';
import {
  Adxl345,
  Bme280,
  exampleCalibration,
  Ina219,
  Mcp9808,
  NOT_ACKNOWLEDGED,
  rawData,
  SimulatedBus,
  STUCK,
  Tmp117,
  WordChip,
} from './bus.test-support.ts';
import { schema } from './config.ts';
import { create, I2cDriver } from './driver.ts';
import { describeMessages, parseOutput } from './i2ctransfer-port.ts';
import { TRIES_MAX } from './registers.ts';

const cleanup: (() => unknown)[] = [];
afterEach(async () => {
  for (const undo of cleanup.splice(0).reverse()) await undo();
});

function run(config: object, bus: SimulatedBus, options: ConstructorParameters<typeof Running>[1] = {}): Running {
  const running = new Running(new I2cDriver(schema.parse(config), bus), options);
  cleanup.push(() => running.stop());
  return running;
}

/** Every wait is over at once. */
const HASTY: Clock = { ...systemClock, sleep: () => new Promise((resolve) => setImmediate(resolve)) };

function valuesOf(gateway: Gateway): object[] {
  return gateway.samples.map(({ machine_id: _machine, timestamp: _time, ...values }) => values);
}

test('TMP117: its power-on value is no temperature, and is never told', async () => {
  const bus = new SimulatedBus();
  const chip = bus.add('TMP117', new Tmp117());
  const { gateway } = run({ chip: 'TMP117', names: { temperature_c: 'temperature' } }, bus);
  await until(() => gateway.latenciesMs.length > 3);
  assert.deepEqual(gateway.samples, []);
  chip.convert(0x0c80);
  await until(() => gateway.samples.length > 1);
  assert.deepEqual(valuesOf(gateway)[0], { temperature: 25 });
  assert.ok('reading' in decodeReading(structuredClone(gateway.samples[0])));
  assert.equal(gateway.connections, 1);
});

test('MCP9808: a negative temperature with its alerts on', async () => {
  const bus = new SimulatedBus();
  bus.add('MCP9808', new Mcp9808(0xfe6f), 0x1c);
  const gateway = new Gateway({ clock: HASTY });
  run({ chip: 'MCP9808', address: 0x1c, names: { temperature_c: 'scale_c' } }, bus, { gateway });
  await until(() => gateway.samples.length > 0);
  assert.deepEqual(valuesOf(gateway)[0], { scale_c: -25.0625 });
});

test('MCP9808: the 0 °C that it says after its supply broke down is never told', async () => {
  const bus = new SimulatedBus();
  const chip = bus.add('MCP9808', new Mcp9808(0x0191));
  const running = run({ chip: 'MCP9808' }, bus, { again: true });
  const { gateway } = running;
  await until(() => gateway.samples.length > 1);
  chip.powerCut();
  await until(() => running.errors.length > 0);
  assert.match(running.lastError, /the MCP9808 has lost its settings/);
  chip.registers.set(0x05, 0x0194);
  await until(() => gateway.samples.at(-1)?.['temperature_c'] === 25.25);
  assert.deepEqual([...new Set(gateway.samples.map(({ temperature_c }) => temperature_c))], [25.0625, null, 25.25]);
});

test('BME280: measured anew for each sample, and waited for', async () => {
  const bus = new SimulatedBus();
  const data = rawData({ temperature: 519_888, pressure: 415_148, humidity: 30_000 });
  const chip = bus.add('BME280', new Bme280(exampleCalibration(), data));
  chip.busyReads = 3;
  const { gateway } = run({ chip: 'BME280' }, bus);
  await until(() => gateway.samples.length > 1);
  const [first] = valuesOf(gateway) as { [key: string]: number }[];
  assert.deepEqual(Object.keys(first!), ['temperature_c', 'humidity_percent', 'pressure_hpa']);
  assert.deepEqual([first!['temperature_c'], first!['pressure_hpa']], [25.08, 1006.533]);
  const humidity = first!['humidity_percent'] ?? Number.NaN;
  assert.ok(humidity > 50 && humidity < 60, String(humidity));
});

test('BME280: one that does not come to an end is given up', async () => {
  const bus = new SimulatedBus();
  const chip = bus.add('BME280', new Bme280(exampleCalibration(), Buffer.alloc(8)));
  chip.busyReads = 1_000;
  assert.match(messageOf(await run({ chip: 'BME280' }, bus).failure()), /does not come to the end of a measurement/);
});

test('INA219: the example of its data sheet, by its own registers', async () => {
  const bus = new SimulatedBus();
  const chip = bus.add('INA219', new Ina219());
  const { gateway } = run({ chip: 'INA219', shunt_ohms: 0.002, max_current: 32.768 - 0.0001 }, bus);
  await until(() => gateway.latenciesMs.length > 1);
  assert.deepEqual(gateway.samples, []);
  chip.convert({ shunt: 2000, bus: 2995 << 3 });
  await until(() => gateway.samples.length > 0);
  assert.deepEqual(valuesOf(gateway)[0], { bus_voltage_v: 11.98, shunt_voltage_mv: 20, current_a: 10, power_w: 119.8 });
});

test('a chip whose supply broke down is set up anew, and says nothing wrong meanwhile', async () => {
  const bus = new SimulatedBus();
  const chip = bus.add('INA219', new Ina219());
  const machine = setInterval(() => chip.convert({ shunt: 1000, bus: 2995 << 3 }), 1);
  cleanup.push(() => clearInterval(machine));
  const running = run({ chip: 'INA219', shunt_ohms: 0.1, max_current: 3 }, bus, { again: true });
  const { gateway } = running;
  for (const connections of [1, 2, 3]) {
    await until(() => gateway.connections === connections && gateway.samples.at(-1)?.['current_a'] !== null);
    const before = gateway.samples.length;
    await until(() => gateway.samples.length > before + 2);
    chip.powerCut();
  }
  assert.match(running.lastError, /the INA219 at 0x40 of bus 1 cannot be read: the INA219 has lost its settings/);
  const currents = gateway.samples.flatMap(({ current_a }) => (typeof current_a === 'number' ? [current_a] : []));
  assert.ok(
    currents.every((one) => one > 0.099 && one < 0.101),
    currents.join(),
  );
  assert.ok(gateway.samples.some(({ current_a }) => current_a === null));
});

test('ADXL345: every reading of the interval counts, though it keeps but 32 of them', async () => {
  const bus = new SimulatedBus();
  const chip = bus.add('ADXL345', new Adxl345());
  const gateway = new Gateway({ intervalMs: 400 });
  run({ chip: 'ADXL345', rate_hz: 400 }, bus, { gateway });
  let taken = 0;
  const clock = setInterval(() => {
    for (let index = 0; index < 4; index += 1, taken += 1) chip.take([taken % 2 === 0 ? 128 : -128, 0, 256]);
  }, 10);
  cleanup.push(() => clearInterval(clock));
  await until(() => gateway.samples.length > 2);
  const [, second] = valuesOf(gateway) as { [key: string]: number }[];
  assert.ok((second!['vibration_samples'] ?? 0) > 64, JSON.stringify(second));
  assert.ok(Math.abs((second!['vibration_rms_g'] ?? 0) - 0.5) < 0.01, JSON.stringify(second));
  assert.equal(second!['vibration_z_rms_g'], 0);
});

test('ADXL345: one that has lost its settings is found out', async () => {
  const bus = new SimulatedBus();
  const chip = bus.add('ADXL345', new Adxl345());
  const running = run({ chip: 'ADXL345' }, bus);
  const clock = setInterval(() => chip.take([0, 0, 256], [0, 0, 250]), 5);
  cleanup.push(() => clearInterval(clock));
  await until(() => running.gateway.samples.length > 0);
  chip.powerCut();
  assert.match(messageOf(await running.failure()), /the ADXL345 has lost its settings/);
  assert.equal(running.gateway.samples.at(-1)?.['vibration_rms_g'], null);
});

test('ADXL345: one that takes no readings is found out', async () => {
  const bus = new SimulatedBus();
  bus.add('ADXL345', new Adxl345());
  assert.match(messageOf(await run({ chip: 'ADXL345' }, bus).failure()), /the ADXL345 takes no readings/);
});

test('what is none of the chip is refused as a fault of the configuration, with what it is', async () => {
  const cases: [object, WordChip | Bme280, RegExp][] = [
    [{ chip: 'TMP117' }, new WordChip({ 0x0f: 0x0190 }), /no TMP117: its identification is 0x0190, not 0x0117/],
    [{ chip: 'MCP9808' }, new WordChip({ 0x06: 0x0055, 0x07: 0x0400 }), /no MCP9808: .* 0x0055, not 0x0054/],
    [{ chip: 'MCP9808' }, new WordChip({ 0x06: 0x0054, 0x07: 0x0300 }), /no MCP9808: .* 0x03, not 0x04/],
    [{ chip: 'ADXL345' }, new WordChip({}), /no ADXL345: its identification is 0x00, not 0xE5/],
    [{ chip: 'INA219', shunt_ohms: 0.1, max_current: 2 }, new WordChip({}), /no INA219: .* 0x8000, not 0x399F/],
  ];
  for (const [config, chip, expected] of cases) {
    const bus = new SimulatedBus();
    bus.add((config as { chip: 'TMP117' }).chip, chip);
    const failure = await run(config, bus).failure();
    assert.ok(hasCode(failure, 'config_invalid'), messageOf(failure));
    assert.match(messageOf(failure), expected);
  }
  const bus = new SimulatedBus();
  const sister = bus.add('BME280', new Bme280(exampleCalibration(), Buffer.alloc(8)));
  sister.memory[0xd0] = 0x58;
  assert.match(messageOf(await run({ chip: 'BME280' }, bus).failure()), /a BMP280, which measures no humidity/);
});

test('a transfer that is lost now and then is tried again, and nobody notices', async () => {
  const bus = new SimulatedBus();
  bus.add('TMP117', new Tmp117()).convert(0x0c80);
  const random = seededRandom(117);
  for (let index = 0; index < 400; index += 1) {
    const isFault = random() < 0.3 && bus.faults.slice(1 - TRIES_MAX).some((one) => one === null);
    bus.faults.push(isFault ? NOT_ACKNOWLEDGED : null);
  }
  const running = run({ chip: 'TMP117' }, bus, { gateway: new Gateway({ clock: HASTY }) });
  await until(() => bus.faults.length === 0);
  await running.stop();
  assert.deepEqual(running.errors, []);
  assert.ok(valuesOf(running.gateway).every((one) => 'temperature_c' in one && one.temperature_c === 25));
});

test('a chip that is gone fails its own source, is told as unknown, and those beside it go on', async () => {
  const bus = new SimulatedBus();
  bus.add('TMP117', new Tmp117(), 0x48).convert(0x0c80);
  bus.add('TMP117', new Tmp117(), 0x49).convert(0x0c00);
  const gone = run({ chip: 'TMP117', address: 0x48 }, bus);
  const beside = run({ chip: 'TMP117', address: 0x49 }, bus);
  await until(() => gone.gateway.samples.length > 1 && beside.gateway.samples.length > 1);
  bus.chips.delete(0x48);
  const failure = await gone.failure();
  assert.ok(hasCode(failure, 'connection_failed'));
  assert.match(messageOf(failure), /the TMP117 at 0x48 of bus 1 cannot be read: .*Remote I\/O error/);
  assert.deepEqual(valuesOf(gone.gateway).at(-1), { temperature_c: null });
  const before = beside.gateway.samples.length;
  await until(() => beside.gateway.samples.length > before + 5);
  assert.deepEqual(beside.errors, []);
});

test('a bus that is stuck fails every source, and each comes back with it', async () => {
  const bus = new SimulatedBus();
  bus.add('TMP117', new Tmp117()).convert(0x0c80);
  const running = run({ chip: 'TMP117' }, bus, { again: true });
  const { gateway } = running;
  await until(() => gateway.samples.length > 1);
  bus.fault = STUCK;
  await until(() => running.errors.length > 2);
  assert.match(running.lastError, /Connection timed out/);
  const transfers = bus.transfers;
  await until(() => running.errors.length > 3);
  assert.ok(bus.transfers - transfers <= 2 * TRIES_MAX, 'tries are bounded');
  bus.fault = null;
  await until(() => gateway.samples.at(-1)?.['temperature_c'] === 25);
  assert.equal(gateway.connections, 2);
});

test('it ends soon after it is told to', { timeout: 30_000 }, async () => {
  const bus = new SimulatedBus();
  bus.add('TMP117', new Tmp117()).convert(0x0c80);
  const running = run({ chip: 'TMP117' }, bus, { gateway: new Gateway({ intervalMs: 3_600_000 }) });
  await until(() => running.gateway.samples.length > 0);
  await running.stop();
});

/** A stand-in for i2ctransfer that knows one TMP117, and says what the real one says (4.3). */
function standIn(script: string): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'i2c-'));
  cleanup.push(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'i2ctransfer');
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
  return file;
}

test('through a process for each transfer: as i2ctransfer takes its arguments and says what it read', async () => {
  const tool = standIn(`
case "$*" in
  "-y 7 w1@0x49 0x0f r2@0x49") echo "0x01 0x17" ;;
  "-y 7 w3@0x49 0x01 0x02 0x20") ;;
  "-y 7 w1@0x49 0x00 r2@0x49") echo "0xf3 0x80" ;;
  *) echo "Error: $*" >&2; exit 1 ;;
esac`);
  const running = new Running(create(schema.parse({ chip: 'TMP117', bus: 7, address: 0x49, tool })));
  cleanup.push(() => running.stop());
  await until(() => running.gateway.samples.length > 1 || running.errors.length > 0);
  assert.equal(running.lastError, '');
  assert.deepEqual(valuesOf(running.gateway)[0], { temperature_c: -25 });
});

test('what i2ctransfer says when it fails is told, with what to do', async () => {
  const cases: [string, string, RegExp][] = [
    [
      'echo "Error: Sending messages failed: Remote I/O error" >&2; exit 1',
      'connection_failed',
      /Sending messages failed: Remote I\/O error/,
    ],
    [
      'echo "Error: Could not open file" >&2; exit 1',
      'connection_failed',
      /Could not open file; is I2C switched on, so that there is \/dev\/i2c-99\?/,
    ],
    ['echo "0x01"', 'protocol_violation', /i2ctransfer said "0x01/],
    ['echo "hello world"', 'protocol_violation', /i2ctransfer said "hello world"/],
    ['exit 3', 'connection_failed', /i2ctransfer: Command failed/],
  ];
  for (const [script, code, expected] of cases) {
    const running = new Running(create(schema.parse({ chip: 'TMP117', bus: 99, tool: standIn(script) })));
    const failure = await running.failure();
    assert.equal(failure.code, code);
    assert.match(messageOf(failure), expected);
  }
  const missing = new Running(create(schema.parse({ chip: 'TMP117', tool: '/no/such/i2ctransfer' })));
  const failure = await missing.failure();
  assert.ok(hasCode(failure, 'config_invalid'));
  assert.match(messageOf(failure), /there is no program \/no\/such\/i2ctransfer: install i2c-tools/);
});

test('a program that hangs is ended with the source', { timeout: 30_000 }, async () => {
  const tool = standIn('touch "$0.runs"; exec sleep 60');
  const running = new Running(create(schema.parse({ chip: 'TMP117', tool })));
  await until(() => existsSync(`${tool}.runs`));
  await running.stop();
});

test('whatever a program says, it is bytes or a coded error', () => {
  const messages = [{ write: [0] }, { read: 2 }, { write: [1] }, { read: 1 }];
  assert.deepEqual(describeMessages(0x48, messages), ['w1@0x48', '0x00', 'r2@0x48', 'w1@0x48', '0x01', 'r1@0x48']);
  assert.deepEqual(parseOutput('0x01 0xff\n0x00\n', messages), [Buffer.from([1, 255]), Buffer.from([0])]);
  const random = seededRandom(2);
  const letters = '0x1f \nérg\t-';
  for (let count = 0; count < 50_000; count += 1) {
    const text = Array.from(
      { length: Math.floor(random() * 14) },
      () => letters[Math.floor(random() * letters.length)],
    );
    try {
      const read = parseOutput(text.join(''), messages);
      assert.deepEqual(
        read.map(({ length }) => length),
        [2, 1],
      );
    } catch (error) {
      assert.ok(hasCode(error, 'protocol_violation'), String(error));
    }
  }
});

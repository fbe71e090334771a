/** Numbers of the data sheets: what stands in the registers, and what it means. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../base/random.ts';
import { exampleCalibration, rawData } from './bus.test-support.ts';
import { accelerationOf, vibrationOf } from './adxl345.ts';
import {
  calibrationOf as bmeCalibrationOf,
  compensated,
  fineTemperature,
  humidityPercent,
  pressurePa,
  rawOf,
} from './bme280.ts';
import { calibrationOf, valuesOf } from './ina219.ts';
import { temperatureOf as mcp9808 } from './mcp9808.ts';
import { temperatureOf as tmp117 } from './tmp117.ts';

function word(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

test('TMP117: the table of SBOSD82, 7-1', () => {
  const table: [number, number][] = [
    [0x8001, -255.9921875],
    [0xf380, -25],
    [0xfff0, -0.125],
    [0xffff, -0.0078125],
    [0x0000, 0],
    [0x0001, 0.0078125],
    [0x0010, 0.125],
    [0x0080, 1],
    [0x0c80, 25],
    [0x3200, 100],
    [0x7fff, 255.9921875],
  ];
  for (const [register, temperatureC] of table) assert.equal(tmp117(word(register)), temperatureC);
  assert.equal(tmp117(word(0x8000)), undefined, 'before the first conversion there is none');
});

test('MCP9808: signs, sixteenths, and alert bits that are none of the temperature (DS25095A, 5.1.3)', () => {
  const table: [number, number][] = [
    [0x0191, 25.0625],
    [0x0194, 25.25],
    [0x0000, 0],
    [0x0001, 0.0625],
    [0x1fff, -0.0625],
    [0x1e6f, -25.0625],
    [0x1d80, -40],
    [0x07d0, 125],
  ];
  for (const [register, temperatureC] of table) {
    for (const alerts of [0x0000, 0x2000, 0x4000, 0x8000, 0xe000]) {
      assert.equal(mcp9808(word(register | alerts)), temperatureC, (register | alerts).toString(16));
    }
  }
});

const EXAMPLE = { temperature: 519_888, pressure: 415_148, humidity: 0 };

test('BME280: the worked example of Bosch is 25.08 °C and 1006.53 hPa', () => {
  const { first, humidity } = exampleCalibration();
  const calibration = bmeCalibrationOf(first, humidity);
  assert.deepEqual(calibration, {
    t: [27504, 26435, -1000],
    p: [36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000],
    h: [75, 362, 0, 315, 50, 30],
  });
  assert.deepEqual(rawOf(rawData({ ...EXAMPLE, humidity: 0x1234 })), { ...EXAMPLE, humidity: 0x1234 });
  const fine = fineTemperature(EXAMPLE.temperature, calibration);
  assert.equal(Math.trunc(fine), 128_422);
  assert.equal((fine / 5120).toFixed(2), '25.08');
  assert.equal(pressurePa(EXAMPLE.pressure, fine, calibration)?.toFixed(2), '100653.27');
  const values = compensated({ ...EXAMPLE, humidity: 30_000 }, calibration);
  assert.deepEqual([values['temperature_c'], values['pressure_hpa']], [25.08, 1006.533]);
});

/** Bosch BST-BME280-DS002, 4.2.3: humidity with whole numbers of 32 bits, by which the other formula is checked. */
function humidityByIntegers(raw: number, fine: number, [h1, h2, h3, h4, h5, h6]: number[]): number {
  let v = fine - 76_800;
  const left = ((raw << 14) - (h4! << 20) - Math.imul(h5!, v) + 16_384) >> 15;
  const slope = (Math.imul(Math.imul(v, h6!) >> 10, (Math.imul(v, h3!) >> 11) + 32_768) >> 10) + 2_097_152;
  v = Math.imul(left, (Math.imul(slope, h2!) + 8_192) >> 14);
  v -= Math.imul(Math.imul(v >> 15, v >> 15) >> 7, h1!) >> 4;
  return Math.min(419_430_400, Math.max(0, v)) / 4096 / 1024;
}

test('BME280: humidity is what the formula with whole numbers gives', () => {
  const { first, humidity } = exampleCalibration();
  const calibration = bmeCalibrationOf(first, humidity);
  const random = seededRandom(280);
  let least = 100;
  let most = 0;
  for (let count = 0; count < 2_000; count += 1) {
    const raw = 20_000 + Math.floor(random() * 25_000);
    const fine = Math.floor(random() * 300_000) - 50_000;
    const percent = humidityPercent(raw, fine, calibration);
    const expected = humidityByIntegers(raw, fine, [...calibration.h]);
    assert.ok(Math.abs(percent - expected) < 0.05, `${raw} ${fine}: ${percent} and ${expected}`);
    least = Math.min(least, percent);
    most = Math.max(most, percent);
  }
  assert.deepEqual([least < 5, most > 95], [true, true]);
});

test('BME280: what is below 0 °C, and calibration with negative numbers of twelve bits', () => {
  const { first, humidity } = exampleCalibration();
  const calibration = bmeCalibrationOf(first, humidity);
  assert.equal((fineTemperature(399_000, calibration) / 5120).toFixed(2), '-12.96');
  const negative = Buffer.from(humidity);
  negative.writeInt8(-20, 3);
  negative.writeUInt8(0x5c, 4);
  negative.writeInt8(-1, 5);
  negative.writeInt8(-7, 6);
  assert.deepEqual(bmeCalibrationOf(first, negative).h, [75, 362, 0, -20 * 16 + 12, -16 + 5, -7]);
});

test('BME280: what was not measured is not known', () => {
  const { first, humidity } = exampleCalibration();
  const calibration = bmeCalibrationOf(first, humidity);
  const raw = { ...EXAMPLE, humidity: 30_000 };
  assert.equal(compensated({ ...raw, humidity: 0x8000 }, calibration)['humidity_percent'], null);
  assert.equal(compensated({ ...raw, pressure: 0x80000 }, calibration)['pressure_hpa'], null);
  assert.deepEqual(compensated({ ...raw, temperature: 0x80000 }, calibration), {
    temperature_c: null,
    humidity_percent: null,
    pressure_hpa: null,
  });
  const blank = bmeCalibrationOf(Buffer.alloc(26), Buffer.alloc(7));
  assert.equal(compensated(raw, blank)['pressure_hpa'], null, 'a chip without calibration divides by nothing');
});

test('INA219: the worked example of SBOS448G, 8.5.1, is 10 A, 11.98 V and 119.8 W', () => {
  const aPerBit = 0.001;
  assert.equal(calibrationOf({ shuntOhms: 0.002, currentMaxA: aPerBit * 2 ** 15 }), 0x5000);
  const example = { shunt: word(0x07d0), bus: word(0x5d98 | 0x02), power: word(0x1766), current: word(0x2710) };
  assert.deepEqual(valuesOf(example, aPerBit), {
    bus_voltage_v: 11.98,
    shunt_voltage_mv: 20,
    current_a: 10,
    power_w: 119.8,
  });
  const back = { ...example, shunt: word(0xf830), current: word(0x10000 - 0x2710) };
  assert.deepEqual([valuesOf(back, aPerBit)['shunt_voltage_mv'], valuesOf(back, aPerBit)['current_a']], [-20, -10]);
  assert.deepEqual(valuesOf({ ...example, bus: word(0x5d98) }, aPerBit), {}, 'no conversion is done yet');
  const tooLarge = valuesOf({ ...example, bus: word(0x5d98 | 0x03) }, aPerBit);
  assert.deepEqual([tooLarge['current_a'], tooLarge['power_w'], tooLarge['bus_voltage_v']], [null, null, 11.98]);
});

test('ADXL345: 256 bits are 1 g in full resolution, with their sign', () => {
  const data = Buffer.alloc(6);
  for (const [axis, bits] of [256, -256, 4095].entries()) data.writeInt16LE(bits, axis * 2);
  assert.deepEqual(accelerationOf(data), { x: 1, y: -1, z: 15.99609375 });
});

test('ADXL345: gravity is no vibration; a sine has its amplitude over √2, whatever its axis', () => {
  const still = Array.from({ length: 100 }, () => ({ x: 0.02, y: -0.01, z: 1 }));
  assert.deepEqual(vibrationOf(still), {
    vibration_rms_g: 0,
    vibration_peak_g: 0,
    vibration_x_rms_g: 0,
    vibration_y_rms_g: 0,
    vibration_z_rms_g: 0,
    vibration_samples: 100,
  });
  const sine = still.map((one, index) => ({ ...one, x: one.x + 0.5 * Math.sin((2 * Math.PI * index) / 20) }));
  const values = vibrationOf(sine);
  assert.equal(values['vibration_rms_g'], 0.35355);
  assert.equal(values['vibration_x_rms_g'], values['vibration_rms_g']);
  assert.equal(values['vibration_peak_g']?.toFixed(4), '0.5000');
  assert.deepEqual(vibrationOf(still.slice(0, 1)), {});
});

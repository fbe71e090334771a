import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkConfig, parseConfig } from '../../base/config.ts';
import { schema } from './config.ts';
import type { I2cOptions } from './options.ts';

function read(text: string): I2cOptions {
  return checkConfig(parseConfig({ file: 'i2c.yaml', text, environment: {} }), schema);
}

test('a chip is enough', () => {
  assert.deepEqual(read('chip: TMP117'), {
    bus: 1,
    address: 0x48,
    chip: { name: 'TMP117' },
    names: { temperature_c: 'temperature_c' },
    tool: 'i2ctransfer',
  });
});

test('every key has its place', () => {
  const { bus, address, names } = read('{ chip: BME280, bus: 3, address: 0x77, names: { temperature_c: room_c } }');
  assert.deepEqual([bus, address], [3, 0x77]);
  assert.deepEqual(names, {
    temperature_c: 'room_c',
    humidity_percent: 'humidity_percent',
    pressure_hpa: 'pressure_hpa',
  });
  assert.deepEqual(read('{ chip: ADXL345, rate_hz: 200 }').chip, { name: 'ADXL345', rateHz: 200 });
  const meter = read('{ chip: INA219, shunt_ohms: 0.1, max_current: 2, tool: /opt/i2ctransfer }');
  assert.deepEqual([meter.chip, meter.tool], [{ name: 'INA219', shuntOhms: 0.1, currentMaxA: 2 }, '/opt/i2ctransfer']);
});

test('what cannot be meant is refused with the place', () => {
  const cases: [string, RegExp][] = [
    ['chip: DS18B20', /chip: found "DS18B20"; allowed: TMP117, MCP9808/],
    ['{ chip: TMP117, address: 0x76 }', /address: found 118; allowed: 0x48, 0x49, 0x4a, 0x4b, for TMP117/],
    ['{ chip: TMP117, rate_hz: 100 }', /rate_hz: .*only for ADXL345/],
    ['{ chip: ADXL345, rate_hz: 60 }', /rate_hz: found 60; allowed: 25, 50, 100, 200, 400/],
    ['{ chip: TMP117, shunt_ohms: 1 }', /shunt_ohms: .*with INA219, and only there/],
    ['chip: INA219', /shunt_ohms: .*\n.*max_current: /],
    ['{ chip: INA219, shunt_ohms: 0.1, max_current: 4 }', /max_current: .*0.0205 to 0.32 V across the shunt/],
    ['{ chip: INA219, shunt_ohms: 0.1, max_current: 0.1 }', /max_current: .*0.0205 to 0.32 V across the shunt/],
    ['{ chip: TMP117, names: { humidity_percent: x } }', /names\.humidity_percent: .*a name for temperature_c/],
    ['{ chip: TMP117, names: { temperature_c: x_pos_mm } }', /names\.temperature_c: .*only temperature/],
    ['{ chip: TMP117, names: { temperature_c: timestamp } }', /names\.temperature_c: .*a name of your own/],
    ['{ chip: BME280, names: { pressure_hpa: temperature } }', /names\.pressure_hpa: .*only temperature/],
    ['{ chip: BME280, names: { pressure_hpa: temperature_c } }', /names\.pressure_hpa: .*not taken yet/],
    ['{ chip: BME280, names: { pressure_hpa: a, humidity_percent: a } }', /names\.humidity_percent: .*not taken yet/],
  ];
  for (const [text, expected] of cases) assert.throws(() => read(text), { message: expected }, text);
});

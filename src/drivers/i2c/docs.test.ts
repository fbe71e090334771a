/** The example of docs/drivers/i2c.md, against the chips that it names; and its table of names. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { until } from '../../../test/support/until.ts';
import { readEdgeConfig } from '../../edge/config.ts';
import { Gateway, Running } from '../../ports/driver.test-support.ts';
import { Adxl345, Bme280, exampleCalibration, Ina219, rawData, SimulatedBus, Tmp117 } from './bus.test-support.ts';
import { I2cDriver } from './driver.ts';
import { type I2cOptions, QUANTITIES } from './options.ts';

const PAGE = readFileSync(new URL('../../../docs/drivers/i2c.md', import.meta.url), 'utf8');

test('the example reads what it says it does', async (context) => {
  const yaml = /```yaml\n([^`]*)```/.exec(PAGE)?.[1] ?? '';
  const text = `agent: { machine_id: PI }\n${yaml}`;
  const { settings } = await readEdgeConfig({ file: 'i2c.md', text, environment: {} });
  const bus = new SimulatedBus();
  bus.add('TMP117', new Tmp117(), 0x48).convert(0x0c80);
  bus.add('TMP117', new Tmp117(), 0x49).convert(0x0a80);
  const data = rawData({ temperature: 519_888, pressure: 415_148, humidity: 30_000 });
  bus.add('BME280', new Bme280(exampleCalibration(), data));
  const vibration = bus.add('ADXL345', new Adxl345());
  const meter = bus.add('INA219', new Ina219());
  const machine = setInterval(() => {
    vibration.take([64, 0, 256], [-64, 0, 256]);
    meter.convert({ shunt: 1000, bus: 2995 << 3 });
  }, 5);
  const running = settings.sensors.map(({ options, machineId }) => {
    return new Running(new I2cDriver(options as I2cOptions, bus), { gateway: new Gateway({ machineId }) });
  });
  context.after(async () => {
    clearInterval(machine);
    await Promise.all(running.map((one) => one.stop()));
  });
  await until(() => running.every(({ gateway, errors }) => gateway.samples.length > 0 || errors.length > 0));
  const first = running.map(({ gateway }) => {
    const { timestamp: _time, ...values } = gateway.samples[0] ?? {};
    return values;
  });
  const [part, scale, room, spindle, pump] = first as { [key: string]: unknown }[];
  assert.deepEqual(part, { machine_id: 'CMM-1', part_c: 25 });
  assert.deepEqual(scale, { machine_id: 'CMM-1', scale_c: 21 });
  assert.deepEqual([room?.['temperature_c'], room?.['pressure_hpa']], [25.08, 1006.533]);
  assert.equal(Number(spindle?.['vibration_x_rms_g']).toFixed(2), '0.25');
  assert.deepEqual([pump?.['bus_voltage_v'], Number(pump?.['pump_current_a']).toFixed(3)], [11.98, '0.100']);
});

test('the page has every quantity', () => {
  const names = [...new Set(Object.values(QUANTITIES).flat())];
  const axes = /vibration_[yz]_rms_g/;
  for (const name of names.filter((one) => !axes.test(one))) assert.ok(PAGE.includes(`\`${name}\``), name);
});

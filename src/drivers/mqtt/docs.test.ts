/** The examples of docs/drivers/mqtt.md, against what `millwright simulate mqtt` publishes, at a real broker; and the probe. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import { Gateway, Running } from '../../ports/driver.test-support.ts';
import { runMqttMachines } from '../../sim/mqtt.ts';
import { startMosquitto } from '../../../test/support/mosquitto.ts';
import { until } from '../../../test/support/until.ts';
import { schema } from './config.ts';
import { create } from './driver.ts';
import { describeBroker, unbornNodes } from './probe.ts';

const PAGE = readFileSync(new URL('../../../docs/drivers/mqtt.md', import.meta.url), 'utf8');
const EXAMPLES = [...PAGE.matchAll(/```yaml\n([^`]*)```/g)].map(([, text = '']) => parse(text).sensors[0]);

test('the examples read what the simulator publishes, and the probe tells how', async (context) => {
  const broker = await startMosquitto();
  const stop = new AbortController();
  const running: Running[] = [];
  const simulating: Promise<void>[] = [];
  context.after(async () => {
    stop.abort();
    await Promise.all([...running.map((one) => one.stop()), ...simulating]);
    await broker.close();
  });
  const listener = await broker.client();
  await listener.subscribe([{ filter: '#', qos: 0 }]);
  const heard: Parameters<typeof unbornNodes>[0][number][] = [];
  void (async () => {
    for await (const message of listener.messages()) heard.push(message);
  })().catch(() => {});
  for (const example of EXAMPLES) {
    const { name: _name, type, machine_id: _machine, ...keys } = example;
    assert.equal(type, 'mqtt');
    running.push(new Running(create(schema.parse({ ...keys, url: broker.url })), { gateway: new Gateway() }));
  }
  await until(() => running.every(({ gateway }) => gateway.connections > 0));
  const [plain, sparkplug] = running.map(({ gateway }) => gateway);
  for (const isSparkplug of [false, true]) {
    const parts = { clock: systemClock, random: Math.random, log: silentLogger, broker: broker.settings() };
    const own = { machines: 2, intervalMs: 50, place: 'shop', isSparkplug };
    simulating.push(runMqttMachines({ ...parts, ...own }, stop.signal));
  }
  await until(() => (plain?.samples.length ?? 0) > 3 && (sparkplug?.samples.length ?? 0) > 5);
  const value = plain?.samples[0];
  assert.match(String(value?.machine_id), /^mill-\d$/);
  assert.equal(typeof value?.spindle_speed, 'number');
  assert.equal(value?.machine_state, 'running');
  assert.ok(Number(value?.total_power_kw) < 20);
  const machines = new Set(sparkplug?.samples.map(({ machine_id }) => machine_id));
  assert.deepEqual(
    [...machines].toSorted((a, b) => (a < b ? -1 : 1)),
    ['MILL-1', 'shop-simulator-mill-2'],
  );
  const last = sparkplug?.samples.find(({ total_power_kw }) => typeof total_power_kw === 'number');
  assert.equal(last?.machine_state, 'running');
  assert.equal(typeof last?.spindle_load_percent, 'number');
  assert.deepEqual(unbornNodes(heard), []);
  assert.deepEqual(unbornNodes(heard.filter(({ topic }) => !topic.includes('NBIRTH'))), [
    { group: 'shop', node: 'simulator', isBorn: false },
  ]);
  const text = describeBroker({ url: broker.url, filter: '#', seconds: 1, messages: heard });
  assert.match(text, /shop\/mill-1\/telemetry  \(\d+\)\n {4}\{"timestamp":/);
  assert.match(text, /DBIRTH\/simulator\/mill-1  \(1\)\n {4}state String = /);
  assert.match(text, /temperature Double = \S+ °C/);
  const sensors: { name: string; type: string; machine_id?: string }[] = parse(
    text.slice(text.indexOf('sensors:')),
  ).sensors;
  for (const { name: _name, type: _type, machine_id: _machine, ...keys } of sensors) schema.parse(keys);
  assert.equal(sensors.length, 2);
  await listener.close();
});

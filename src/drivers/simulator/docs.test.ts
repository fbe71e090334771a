/** The example of docs/drivers/simulator.md, and its list of what there is. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { until } from '../../../test/support/until.ts';
import { readEdgeConfig } from '../../edge/config.ts';
import { Gateway, Running } from '../../ports/driver.test-support.ts';
import type { SimulatorOptions } from './config.ts';
import { create } from './driver.ts';

const PAGE = readFileSync(new URL('../../../docs/drivers/simulator.md', import.meta.url), 'utf8');

test('the example says what the page says, and the two machines are in two states', async (context) => {
  const yaml = /```yaml\n([^`]*)```/.exec(PAGE)?.[1] ?? '';
  const text = `agent: { machine_id: SIM }\n${yaml}`;
  const { settings } = await readEdgeConfig({ file: 'simulator.md', text, environment: {} });
  const running = settings.sensors.map(({ options, machineId }) => {
    return new Running(create(options as SimulatorOptions), { gateway: new Gateway({ machineId }) });
  });
  context.after(() => Promise.all(running.map((one) => one.stop())));
  await until(() => running.every(({ gateway }) => gateway.samples.length > 0));
  const first = running.map(({ gateway }) => gateway.samples[0]!);
  assert.deepEqual(
    first.map(({ machine_id, machine_state }) => [machine_id, machine_state]),
    [
      ['SIM-1', 'running'],
      ['SIM-2', 'idle'],
    ],
  );
  const { machine_id: _machine, timestamp: _time, ...values } = first[0]!;
  for (const key of Object.keys(values)) assert.ok(PAGE.includes(`\`${key}\``), key);
});

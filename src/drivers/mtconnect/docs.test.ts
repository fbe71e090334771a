/** The example of docs/drivers/mtconnect.md, against an agent. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import type { AgentItem } from '../../sim/mtconnect-agent.ts';
import { Bench, openAgent } from './driver.test-support.ts';

const PAGE = new URL('../../../docs/drivers/mtconnect.md', import.meta.url);

test('the example reads what it says it does', async (context) => {
  const example = /```yaml\n([^`]*)```/.exec(readFileSync(PAGE, 'utf8'))?.[1] ?? '';
  const { name: _name, type, machine_id: _machine, url: _url, ...config } = parse(example).sensors[0];
  assert.equal(type, 'mtconnect');
  const item = (id: string, itemType: string, units: string): AgentItem => {
    return { id, name: id, category: 'SAMPLE', type: itemType, units, component: ['Controller', 'c'] };
  };
  const items = [
    item('Srpm', 'ROTARY_VELOCITY', 'REVOLUTION/MINUTE'),
    item('Xabs', 'POSITION', 'MILLIMETER'),
    item('Fact', 'PATH_FEEDRATE', 'MILLIMETER/SECOND'),
    item('Ptemp', 'TEMPERATURE', 'CELSIUS'),
    item('Fovr', 'PATH_FEEDRATE_OVERRIDE', 'PERCENT'),
  ];
  const { agent, url } = await openAgent(['M1', 'M2'].map((name) => ({ name, uuid: name, items })));
  const bench = await Bench.make(url);
  context.after(async () => {
    await bench.stop();
    await agent.close();
  });
  const timestamp = '2026-01-01T08:00:00Z';
  for (const [index, { id }] of items.entries()) {
    agent.observe({ device: 'M1', item: id, timestamp, text: String(index + 1) });
  }
  bench.start(config);
  await bench.until(() => bench.samples.filter((sample) => sample.timestamp === timestamp).length === items.length);
  const { read_from: _mark, ...values } = Object.assign({}, ...bench.samples);
  assert.deepEqual(values, {
    machine_id: 'M-1',
    timestamp,
    spindle_speed: 1,
    x_pos_mm: 2,
    feed_rate_actual: 180,
    coolant_c: 4,
    Fovr: 5,
  });
});

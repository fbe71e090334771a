import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readEdgeConfig } from './config.ts';

function read(sink: string): ReturnType<typeof readEdgeConfig> {
  const text = `agent: { machine_id: CNC-1 }\nsinks:\n  - { type: hub, url: "http://hub:8081"${sink} }\n`;
  return readEdgeConfig({ file: 'edge.yaml', text, environment: {} });
}

test('a sink begins at the oldest batch and drains as fast as it goes, unless it is told otherwise', async () => {
  const cases: [string, unknown, number | null][] = [
    ['', 'oldest', null],
    [', from: now', 'now', null],
    [', from: 1200, max_rate: 500', 1200, 500],
  ];
  for (const [keys, from, maxRate] of cases) {
    const { settings } = await read(keys);
    assert.deepEqual([settings.sinks[0]?.from, settings.sinks[0]?.maxRate], [from, maxRate]);
  }
  const wrong: [string, RegExp][] = [
    [', from: yesterday', /edge\.yaml:3: sinks\[0\]\.from: found "yesterday"; allowed: oldest, now, or a sequence/],
    [', from: 0', /from: found 0/],
    [', max_rate: 0', /max_rate: found 0; allowed: a whole number from 1/],
  ];
  for (const [keys, message] of wrong) await assert.rejects(read(keys), { code: 'config_invalid', message });
});

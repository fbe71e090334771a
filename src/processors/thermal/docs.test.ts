/** docs/processors/thermal.md: its example does what it says, and its table has the materials that there are. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { readEdgeConfig } from '../../edge/config.ts';
import { createStage, Pipeline } from '../../edge/pipeline/pipeline.ts';
import { decodeReading, type Reading } from '../../model/reading.ts';
import { MATERIALS } from './materials.ts';

const PAGE = readFileSync(new URL('../../../docs/processors/thermal.md', import.meta.url), 'utf8');

function blocks(language: string): string[] {
  return [...PAGE.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'))].map(([, block = '']) => block);
}

test('the example of the page gives what the page says', async () => {
  const [yaml] = blocks('yaml');
  const [sent, expected] = blocks('json').map((block): unknown => JSON.parse(block));
  const text = `agent: { machine_id: CMM-1 }\n${yaml}`;
  const { settings } = await readEdgeConfig({ file: 'thermal.md', text, environment: {} });
  const out: Reading[] = [];
  const stages = await Promise.all(settings.processors.map(createStage));
  const pipeline = new Pipeline(stages, { accept: (reading) => void out.push(reading) });
  for (const reading of sent as Reading[]) {
    assert.ok('reading' in decodeReading(reading));
    pipeline.accept(reading);
  }
  assert.equal(out.length, 2);
  assert.deepEqual(out[0], (sent as Reading[])[0]);
  assert.deepEqual(JSON.parse(JSON.stringify(out[1], rounded)), expected);
});

function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toFixed(6)) : value;
}

test('the table of the page has every material, with its numbers', () => {
  const rows = [...PAGE.matchAll(/^\| `(\w+)` \| ([\d.]+) \| ([\d.]+) \|$/gm)];
  const table = rows.map(([, name, coefficient, halfWidth]) => [name, Number(coefficient), Number(halfWidth)]);
  const materials = Object.entries(MATERIALS).map(([name, { coefficient, halfWidth }]) => [
    name,
    coefficient,
    halfWidth,
  ]);
  assert.deepEqual(table, materials);
});

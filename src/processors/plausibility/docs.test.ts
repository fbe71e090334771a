/** docs/processors/plausibility.md: its example does what it says. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ManualClock } from '../../base/manual-clock.test-support.ts';
import { readEdgeConfig } from '../../edge/config.ts';
import { decodeReading, type Reading } from '../../model/reading.ts';
import type { PlausibilityOptions } from './options.ts';
import { create } from './processor.ts';
import { QUALITIES } from './signal-watch.ts';

const PAGE = readFileSync(new URL('../../../docs/processors/plausibility.md', import.meta.url), 'utf8');

function blocks(language: string): string[] {
  return [...PAGE.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'))].map(([, block = '']) => block);
}

test('the example of the page gives what the page says', async () => {
  const [yaml] = blocks('yaml');
  const [sent, expected] = blocks('json').map((block): unknown => JSON.parse(block));
  const text = `agent: { machine_id: LATHE-3 }\n${yaml}`;
  const { settings } = await readEdgeConfig({ file: 'plausibility.md', text, environment: {} });
  const [first] = settings.processors;
  const clock = new ManualClock('2026-01-01T08:00:08Z');
  const processor = create(first?.options as PlausibilityOptions, clock);
  const out = (sent as Reading[]).flatMap((reading) => processor.process(reading));
  for (const reading of out) assert.ok('reading' in decodeReading(structuredClone(reading)));
  assert.deepEqual(out, expected);
});

test('the page has every word of quality', () => {
  for (const quality of QUALITIES) assert.ok(PAGE.includes(`\`${quality}\``) || PAGE.includes(`"${quality}"`), quality);
});

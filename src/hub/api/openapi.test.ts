import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { openapiText } from './openapi.ts';

test('docs/openapi.json is what the routes say; else: node src/hub/api/openapi.ts docs/openapi.json', async () => {
  const written = await readFile(new URL('../../../docs/openapi.json', import.meta.url), 'utf8');
  assert.equal(written, await openapiText());
});

test('every route of the API is described', async () => {
  const { paths } = JSON.parse(await openapiText()) as { paths: Record<string, Record<string, { summary?: string }>> };
  assert.ok(Object.keys(paths).length >= 14);
  for (const [address, methods] of Object.entries(paths)) {
    for (const { summary } of Object.values(methods)) assert.ok(summary !== undefined, address);
  }
});

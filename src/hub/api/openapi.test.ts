import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openapiText } from './openapi.ts';

test('every route of the API is described', async () => {
  const { paths } = JSON.parse(await openapiText()) as { paths: Record<string, Record<string, { summary?: string }>> };
  assert.ok(Object.keys(paths).length >= 14);
  for (const [address, methods] of Object.entries(paths)) {
    for (const { summary } of Object.values(methods)) assert.ok(summary !== undefined, address);
  }
});

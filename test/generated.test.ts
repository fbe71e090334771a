/** What is generated from the code is committed as the code makes it. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { generatedFiles } from '../scripts/generate.ts';

test('the reference, the examples and the OpenAPI document are up to date', async () => {
  for (const [file, content] of await generatedFiles()) {
    const committed = await readFile(new URL(`../${file}`, import.meta.url), 'utf8');
    assert.equal(committed, content, `${file} is out of date: run "npm run generate"`);
  }
});

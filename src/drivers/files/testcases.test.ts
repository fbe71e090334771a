/**
 * Runs every folder of `testcases/`: `config.yaml` (a sensor's options), a file `input…`, and `expected.json`: the
 * readings in order, without machine_id and the place where they were read, and the reasons in the quarantine. A time
 * that is the file's own, or the gateway's, is written `file` or `now`.
 */
import assert from 'node:assert/strict';
import { copyFileSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import type { Reading } from '../../model/reading.ts';
import { Bench, withoutPlace } from './driver.test-support.ts';

const FOLDER = fileURLToPath(new URL('./testcases/', import.meta.url));
const FILE_TIME = '2026-03-01T12:00:00.000000Z';

for (const name of readdirSync(FOLDER).sort()) {
  test(`case ${name}`, async () => {
    const folder = path.join(FOLDER, name);
    const outcome = await read(folder);
    const file = path.join(folder, 'expected.json');
    if (process.env['MILLWRIGHT_WRITE_EXPECTED'] !== undefined) {
      writeFileSync(file, `${JSON.stringify(outcome, null, 2)}\n`);
    }
    assert.deepEqual(outcome, JSON.parse(readFileSync(file, 'utf8')));
  });
}

async function read(folder: string): Promise<{ readings: object[]; quarantine: Record<string, string> }> {
  const bench = await Bench.make();
  try {
    const input = readdirSync(folder).find((name) => name.startsWith('input')) ?? '';
    const target = path.join(bench.folder, input);
    copyFileSync(path.join(folder, input), target);
    utimesSync(target, new Date(FILE_TIME), new Date(FILE_TIME));
    bench.start({
      last_line_after: '50ms',
      quarantine_after: '60ms',
      ...parse(readFileSync(path.join(folder, 'config.yaml'), 'utf8')),
    });
    // Read to the end, or in the quarantine: the journal says so.
    const journal = path.join(bench.state, 'read.journal');
    await bench.until(async () => {
      const text = await readFile(journal, 'utf8').catch(() => '');
      return text.includes('"isDone":true') && bench.held === null;
    });
    await bench.stop();
    const quarantine: Record<string, string> = {};
    const held = path.join(bench.folder, 'quarantine');
    for (const name of (await readdir(held).catch((): string[] => [])).sort()) {
      quarantine[name] = await readFile(path.join(held, name), 'latin1');
      if (name === input) quarantine[name] = 'the file';
    }
    return { readings: bench.log.map(told), quarantine };
  } finally {
    await rm(bench.root, { recursive: true, force: true });
  }
}

function told(reading: Reading): object {
  const { machine_id, timestamp, ...rest } = withoutPlace(reading) as Reading & { details?: Record<string, unknown> };
  assert.equal(machine_id, 'CMM-1');
  if (reading.kind === 'event') return { timestamp: 'now', ...rest, details: 'the folder' };
  return { timestamp: timestamp === FILE_TIME ? 'file' : timestamp, ...rest };
}

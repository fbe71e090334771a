import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { FileWatch, LOOK_INTERVAL_MS, stateOfFile } from './file-watch.ts';
import { ManualClock } from './manual-clock.test-support.ts';

interface Watched {
  readonly file: string;
  readonly watch: FileWatch;
  /** Lets a look pass. @returns whether the change was told by then */
  readonly look: () => Promise<boolean>;
}

/** What `make` makes in a folder is watched. */
async function watched(context: TestContext, make: (folder: string) => string): Promise<Watched> {
  const folder = mkdtempSync(join(tmpdir(), 'millwright-watch-'));
  const stop = new AbortController();
  context.after(() => {
    stop.abort();
    rmSync(folder, { recursive: true });
  });
  const file = make(folder);
  const clock = new ManualClock('2026-01-01T08:00:00Z');
  const watch = new FileWatch(file, await stateOfFile(file), clock);
  let isTold = false;
  const wait = (): void => void watch.changed(stop.signal).then(() => (isTold = true));
  wait();
  const look = async (): Promise<boolean> => {
    await clock.step(LOOK_INTERVAL_MS);
    // The look itself asks the disk.
    await stateOfFile(file);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const wasTold = isTold;
    if (isTold) wait();
    isTold = false;
    return wasTold;
  };
  return { file, watch, look };
}

function plainFile(folder: string): string {
  const file = join(folder, 'edge.yaml');
  writeFileSync(file, 'a: 1\n');
  return file;
}

test('a file that is written anew is told when it has come to rest, and once', async (context) => {
  const { file, watch, look } = await watched(context, plainFile);
  assert.deepEqual([await look(), await look()], [false, false]);
  // In two halves.
  writeFileSync(file, 'a: 2\n');
  assert.equal(await look(), false);
  appendFileSync(file, 'b: 3\n');
  assert.equal(await look(), false, 'it was being written');
  assert.equal(await look(), true);
  await watch.notice();
  assert.deepEqual([await look(), await look(), await look()], [false, false, false]);
});

test('an editor that renames is seen, and so is a file that goes and comes', async (context) => {
  const { file, watch, look } = await watched(context, plainFile);
  writeFileSync(`${file}.new`, 'a: 2\n');
  renameSync(`${file}.new`, file);
  assert.deepEqual([await look(), await look()], [false, true]);
  await watch.notice();
  rmSync(file);
  assert.deepEqual([await look(), await look()], [false, true]);
  await watch.notice();
  assert.deepEqual([await look(), await look()], [false, false]);
  writeFileSync(file, 'a: 1\n');
  assert.deepEqual([await look(), await look()], [false, true]);
});

test('a file that is gone for a moment only, and is then as it was, has not changed', async (context) => {
  const { file, look } = await watched(context, plainFile);
  renameSync(file, `${file}.aside`);
  assert.equal(await look(), false);
  renameSync(`${file}.aside`, file);
  assert.deepEqual([await look(), await look(), await look()], [false, false, false]);
});

test('a link to a folder that is turned to another is seen, as Kubernetes does it', async (context) => {
  const { file, look } = await watched(context, (folder) => {
    for (const version of ['..v1', '..v2']) {
      mkdirSync(join(folder, version));
      writeFileSync(join(folder, version, 'edge.yaml'), 'a: 1\n');
    }
    symlinkSync('..v1', join(folder, '..data'));
    symlinkSync('..data/edge.yaml', join(folder, 'edge.yaml'));
    return join(folder, 'edge.yaml');
  });
  const folder = join(file, '..');
  symlinkSync('..v2', join(folder, '..data_tmp'));
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
  assert.deepEqual([await look(), await look()], [false, true]);
});

import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { AGAIN_MS, FileWatch, LOOK_INTERVAL_MS, RESTLESS_LOOKS_MAX, stateOfFile } from './file-watch.ts';
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
    while (!isTold && clock.sleepers === 0) await new Promise((resolve) => setImmediate(resolve));
    const wasTold = isTold;
    isTold = false;
    if (wasTold) wait();
    return wasTold;
  };
  return { file, watch, look };
}

/** How many looks pass until something is told. */
async function looksUntilTold({ look }: Watched): Promise<number> {
  for (let looks = 1; looks <= 1_000; looks += 1) if (await look()) return looks;
  throw new Error('nothing was told in a thousand looks');
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

test('a file that never rests is told all the same, after a minute', async (context) => {
  const { file, look } = await watched(context, plainFile);
  for (let looks = 1; looks < RESTLESS_LOOKS_MAX; looks += 1) {
    appendFileSync(file, 'more\n');
    assert.equal(await look(), false);
  }
  appendFileSync(file, 'more\n');
  assert.equal(await look(), true);
});

test('a file that one may read now is told, though nothing was written', async (context) => {
  const { file, look } = await watched(context, plainFile);
  chmodSync(file, 0o600);
  assert.deepEqual([await look(), await look()], [false, true]);
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

test('files that are followed are told too, as they are from then on', async (context) => {
  const { file, watch, look } = await watched(context, plainFile);
  const [first, second] = [`${file}.ca`, `${file}.key`];
  writeFileSync(first, 'A');
  await watch.follow([first, second]);
  assert.deepEqual([await look(), await look()], [false, false]);
  // One after the other, as what renews certificates does it: they are told when both are at rest.
  writeFileSync(first, 'another');
  assert.equal(await look(), false);
  writeFileSync(second, 'its key');
  assert.deepEqual([await look(), await look()], [false, true]);
  await watch.notice();
  assert.deepEqual([await look(), await look()], [false, false]);
  // Whom nobody names any more is let go, and what the first file has changed meanwhile is not forgotten.
  writeFileSync(file, 'a: 22\n');
  await watch.follow([second]);
  writeFileSync(first, 'of no interest');
  assert.deepEqual([await look(), await look()], [false, true]);
  await watch.notice();
  writeFileSync(first, 'of no interest at all');
  assert.deepEqual([await look(), await look(), await look()], [false, false, false]);
});

test('what could not be used is told again after waits that double up to a limit, until it is used', async (context) => {
  const all = await watched(context, plainFile);
  const { file, watch, look } = all;
  const waits: number[] = [];
  for (let tries = 0; tries < 8; tries += 1) {
    watch.used(false);
    waits.push((await looksUntilTold(all)) * LOOK_INTERVAL_MS);
  }
  assert.deepEqual(waits, [5_000, 10_000, 20_000, 40_000, 80_000, 160_000, AGAIN_MS.max, AGAIN_MS.max]);
  // Another file is a new beginning, and so is one that was used.
  writeFileSync(file, 'a: 22\n');
  assert.deepEqual([await look(), await look()], [false, true]);
  await watch.notice();
  watch.used(false);
  assert.equal(await looksUntilTold(all), 5);
  watch.used(true);
  for (let looks = 0; looks < 400; looks += 1) assert.equal(await look(), false);
  watch.used(false);
  assert.equal(await looksUntilTold(all), 5);
});

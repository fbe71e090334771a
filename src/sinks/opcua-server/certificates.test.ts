import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { Rejected, REJECTED_MAX } from './certificates.ts';

test('strangers with ever new certificates fill neither the disk nor the log', async (context) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-'));
  context.after(() => rm(folder, { recursive: true }));
  await mkdir(path.join(folder, 'rejected'));
  const put = async (name: string, seconds: number): Promise<void> => {
    const file = path.join(folder, 'rejected', name);
    await writeFile(file, name);
    await utimes(file, seconds, seconds);
  };
  const rejected = new Rejected(folder);
  let told = 0;
  for (let seconds = 0; seconds < REJECTED_MAX + 30; seconds += 1) {
    await put(`${seconds}.pem`, seconds);
    await rejected.prune();
    told += (await rejected.untold(seconds * 1000)).length;
  }
  const kept = await readdir(rejected.folder);
  assert.equal(kept.length, REJECTED_MAX);
  assert.ok(!kept.includes('29.pem') && kept.includes('30.pem'), 'the oldest go');
  assert.equal(told, 20);
  assert.equal((await rejected.untold(3_600_000)).length, 20, 'others are told later');
});

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isSystemError, nodeFiles } from './node-files.ts';

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millwright-files-'));
});
after(() => rm(folder, { recursive: true }));

test('what is written is read back, from any place', async () => {
  const path = join(folder, 'a');
  const handle = await nodeFiles.open(path, 'create');
  await handle.write([Buffer.from('one '), Buffer.alloc(0), Buffer.from('two')], 0);
  await handle.write([Buffer.from('TWO!')], 4);
  await handle.datasync();
  assert.equal(await handle.size(), 8);
  await handle.close();
  const again = await nodeFiles.open(path, 'read');
  const into = Buffer.alloc(10);
  assert.equal(await again.read(into, 4), 4);
  assert.equal(into.toString('latin1', 0, 4), 'TWO!');
  assert.equal(await again.read(into, 100), 0);
  await assert.rejects(again.write([Buffer.from('x')], 0), (error) => isSystemError(error, 'EBADF'));
  await again.close();
});

test('more buffers are written in one call than the system takes at once', async () => {
  const handle = await nodeFiles.open(join(folder, 'many'), 'create');
  const buffers = Array.from({ length: 3000 }, (_, index) => Buffer.from(`${index},`));
  await handle.write(buffers, 0);
  const expected = Buffer.concat(buffers);
  const into = Buffer.alloc(expected.length);
  assert.equal(await handle.read(into, 0), expected.length);
  assert.ok(into.equals(expected));
  await handle.truncate(5);
  assert.equal(await handle.size(), 5);
  await handle.close();
});

test('create refuses a file that exists, and the others one that does not', async () => {
  const path = join(folder, 'b');
  await (await nodeFiles.open(path, 'create')).close();
  await assert.rejects(nodeFiles.open(path, 'create'), (error) => isSystemError(error, 'EEXIST'));
  await assert.rejects(nodeFiles.open(join(folder, 'none'), 'write'), (error) => isSystemError(error, 'ENOENT'));
  await assert.rejects(nodeFiles.open(join(folder, 'none'), 'read'), (error) => isSystemError(error, 'ENOENT'));
});

test('folders are made with those above them, listed without folders, and synced', async () => {
  const deep = join(folder, 'x', 'y', 'z');
  assert.deepEqual(await nodeFiles.list(deep), []);
  await nodeFiles.makeFolder(deep);
  await nodeFiles.makeFolder(deep);
  await nodeFiles.makeFolder(join(deep, 'sub'));
  await (await nodeFiles.open(join(deep, 'file'), 'create')).close();
  await nodeFiles.syncFolder(deep);
  assert.deepEqual(await nodeFiles.list(deep), ['file']);
});

test('rename replaces, and removing what is not there is no error', async () => {
  const [from, to] = [join(folder, 'from'), join(folder, 'to')];
  for (const [path, text] of [
    [from, 'new'],
    [to, 'old'],
  ] as const) {
    const handle = await nodeFiles.open(path, 'create');
    await handle.write([Buffer.from(text)], 0);
    await handle.close();
  }
  await nodeFiles.rename(from, to);
  const handle = await nodeFiles.open(to, 'read');
  const into = Buffer.alloc(3);
  await handle.read(into, 0);
  await handle.close();
  assert.equal(into.toString(), 'new');
  await nodeFiles.remove(to);
  await nodeFiles.remove(to);
  await assert.rejects(nodeFiles.open(to, 'read'), (error) => isSystemError(error, 'ENOENT'));
});

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { nodeFiles } from '../base/node-files.ts';
import { inspectLog, readAll } from './inspect.ts';

const APPENDER = fileURLToPath(new URL('appender.test-support.ts', import.meta.url));

test('kill -9 in the midst of appends loses none that was promised, and doubles none', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'millwright-kill-'));
  const promised = new Map<number, string>();
  // Each process takes over the lock and the log of the one before.
  for (const appends of [1, 40, 333, 700]) {
    const child = spawn(process.execPath, [APPENDER, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
    const closed = once(child, 'close');
    let seen = 0;
    for await (const line of createInterface({ input: child.stdout })) {
      const [sequence = '', text = ''] = line.split(' ');
      assert.ok(!promised.has(Number(sequence)), `sequence ${sequence} was given twice`);
      promised.set(Number(sequence), text);
      seen += 1;
      if (seen === appends) child.kill('SIGKILL');
    }
    await closed;
    assert.ok(seen >= appends, 'the process appended until it was killed');
    const stored = new Map<number, string>();
    for await (const { sequence, payload } of readAll(nodeFiles, folder)) {
      const [text = ''] = Buffer.from(payload).toString().split(' ', 1);
      assert.equal(text, promised.get(sequence) ?? text);
      stored.set(sequence, text);
    }
    assert.deepEqual(
      [...promised.keys()].filter((sequence) => !stored.has(sequence)),
      [],
    );
    assert.equal(new Set(stored.values()).size, stored.size);
    assert.deepEqual(
      [...stored.keys()],
      Array.from({ length: stored.size }, (_, index) => index + 1),
    );
    assert.ok((await inspectLog(nodeFiles, folder)).sound);
  }
  await rm(folder, { recursive: true });
});

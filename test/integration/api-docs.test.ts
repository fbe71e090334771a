/** The commands of docs/api.md, as a person would copy them. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { startTestServer } from '../support/hub-database.ts';
import { startHub } from '../support/hub-server.ts';

const run = promisify(execFile);

test('every command of docs/api.md is answered', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-api-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const server = await startTestServer();
  const hub = await startHub(await server.database());
  const text = await readFile(new URL('../../docs/api.md', import.meta.url), 'utf8');
  const blocks = [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = '']) => block);
  const commands = blocks.flatMap((block) => block.replaceAll('\\\n', '').trim().split('\n'));
  assert.ok(commands.length >= 15);
  for (const command of commands) {
    // A status of 400 or more is a failure then.
    const real = command.replace(/^curl /, 'curl --fail --silent --show-error ').replace('http://HUB:8081', hub.url);
    assert.ok(real.includes(hub.url), command);
    const { stdout } = await run('sh', ['-c', real], { cwd: folder });
    assert.ok(stdout !== '' || command.includes('>'), `${command} said nothing`);
  }
  assert.match(
    await readFile(path.join(folder, 'day.csv'), 'utf8'),
    /^machine_id,timestamp,.*\r\nCNC-001,2026-01-01T08:00:00\.000000Z,21\.5,/s,
  );
});

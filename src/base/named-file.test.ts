import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { NAMED_FILE_BYTES_MAX, readNamedFile } from './named-file.ts';

test('a file is read whole, and what is none is refused and not waited for', (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'millwright-named-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const path = (name: string): string => join(folder, name);
  writeFileSync(path('ca.pem'), 'the authority');
  symlinkSync('ca.pem', path('link.pem'));
  assert.equal(readNamedFile(path('link.pem')).toString(), 'the authority');
  assert.throws(() => readNamedFile(path('gone.pem')), { code: 'ENOENT' });
  mkdirSync(path('folder'));
  assert.throws(() => readNamedFile(path('folder')), { message: `${path('folder')} is no file` });
  assert.throws(() => readNamedFile('/dev/null'), { message: '/dev/null is no file' });
  writeFileSync(path('huge'), '');
  truncateSync(path('huge'), NAMED_FILE_BYTES_MAX + 1);
  assert.throws(() => readNamedFile(path('huge')), { message: `${path('huge')} is larger than 16777216 bytes` });

  // In a process of its own: one that waits for a pipe hears of no timeout.
  execFileSync('mkfifo', [path('pipe')]);
  const program = `
    import { readNamedFile } from ${JSON.stringify(new URL('./named-file.ts', import.meta.url))};
    try { readNamedFile(${JSON.stringify(path('pipe'))}); } catch (error) { process.stdout.write(error.message); }`;
  const options = { timeout: 60_000 };
  const said = execFileSync(process.execPath, ['--input-type=module', '-e', program], options).toString();
  assert.equal(said, `${path('pipe')} is no file`);
});

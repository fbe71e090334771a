import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MillwrightError } from './errors.ts';
import { EXIT_CANNOT_START, EXIT_FAILED, exitCodeOf } from './process.ts';

test('a supervisor is told to try again when the disk is what failed, and not when the folder is', () => {
  const storage = (code: string): MillwrightError => {
    return new MillwrightError('storage_failed', 'x', { cause: Object.assign(new Error(code), { code }) });
  };
  for (const code of ['ENOSPC', 'EDQUOT', 'EIO']) assert.equal(exitCodeOf(storage(code)), EXIT_FAILED, code);
  for (const code of ['EACCES', 'EROFS', 'ENOTDIR']) assert.equal(exitCodeOf(storage(code)), EXIT_CANNOT_START, code);
  assert.equal(exitCodeOf(new MillwrightError('config_invalid', 'x')), EXIT_CANNOT_START);
  assert.equal(exitCodeOf(new MillwrightError('connection_failed', 'x')), EXIT_FAILED);
  assert.equal(exitCodeOf(new Error('x')), EXIT_FAILED);
});

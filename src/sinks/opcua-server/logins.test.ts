import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { LogFields } from '../../base/logger.ts';
import { ManualClock } from '../../base/manual-clock.test-support.ts';
import { Logins, TELL_MS, WAITING_MAX } from './logins.ts';
import { hashPassword } from './passwords.ts';

test('whoever guesses passwords fills neither the log nor the threads of the process', async (context) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-'));
  context.after(() => rm(folder, { recursive: true }));
  const passwordFile = path.join(folder, 'password');
  const clock = new ManualClock('2026-01-01T08:00:00.000000Z');
  const told: [message: string, fields: LogFields | undefined][] = [];
  const log = (_level: string, message: string, fields?: LogFields): void => void told.push([message, fields]);
  const users = [
    { name: 'scada', passwordHash: hashPassword('open sesame') },
    { name: 'filed', passwordFile },
  ];
  const logins = new Logins({ users, clock, log });
  assert.equal(await logins.isAllowed('scada', 'open sesame'), true);
  const guesses = Array.from({ length: WAITING_MAX + 5 }, (_, index) => logins.isAllowed('scada', String(index)));
  const late = await logins.isAllowed('scada', 'open sesame');
  assert.equal(late, false, 'too many wait');
  assert.deepEqual(new Set(await Promise.all(guesses)), new Set([false]));
  assert.equal(told.length, 1);
  assert.equal(await logins.isAllowed('scada', 'open sesame'), true);
  await clock.step(TELL_MS);
  assert.equal(await logins.isAllowed('x'.repeat(1_000_000), 'y'), false);
  const { user, others_before } = told[1]?.[1] ?? {};
  assert.deepEqual([user, others_before], ['x'.repeat(128), WAITING_MAX + 5]);
  assert.equal(await logins.isAllowed(null, 'p'), false);
  // The file of a password is read at each login.
  await clock.step(TELL_MS);
  assert.equal(await logins.isAllowed('filed', 'p'), false);
  assert.match(told[2]?.[0] ?? '', /the password of the user cannot be read/);
  await writeFile(passwordFile, 'p\n');
  assert.equal(await logins.isAllowed('filed', 'p'), true);
  assert.equal(await logins.isAllowed('filed', ''), false);
});

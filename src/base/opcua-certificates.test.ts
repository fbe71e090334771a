import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { OPCUACertificateManager } from 'node-opcua';
import { Rejected, REJECTED_MAX, timeTrouble } from './opcua-certificates.ts';

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

test('a certificate is told that soon ends, has ended, or was made by a clock that stood ahead', async (context) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-'));
  context.after(() => rm(folder, { recursive: true }));
  const manager = new OPCUACertificateManager({ rootFolder: folder });
  await manager.initialize();
  const outputFile = path.join(folder, 'own/certs/certificate.pem');
  const startDate = new Date('2026-01-01T00:00:00Z');
  const common = { applicationUri: 'urn:x', dns: ['localhost'], subject: '/CN=x' };
  await manager.createSelfSignedCertificate({ ...common, startDate, validity: 100, outputFile });
  await manager.dispose();
  const pem = await readFile(outputFile, 'utf8');
  const at = (time: string): unknown => timeTrouble(pem, Date.parse(time));
  assert.equal(at('2026-01-20T00:00:00Z'), undefined);
  assert.deepEqual(at('2026-04-01T00:00:00Z'), { when: 'expires in 10 days', isValid: true });
  assert.deepEqual(at('2026-05-01T00:00:00Z'), { when: 'has expired', isValid: false });
  assert.deepEqual(at('1970-01-01T00:00:00Z'), {
    when: 'is valid from Jan  1 00:00:00 2026 GMT on only, by the clock of this machine',
    isValid: false,
  });
});

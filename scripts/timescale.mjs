// PostgreSQL 17 with TimescaleDB for tests: unpacked packages of Debian in a folder of the cache, for `chroot`, because they
// need a newer C library than Debian 12 has. Run as a program it writes the folder's path.
import { chmodSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from './cache.mjs';
import { fillFromDebian, must, unpackPackages } from './debian.mjs';

const RELEASE = 'trixie';
/** The database, the shell by which initdb calls it, and what gives up root's rights for it. */
const PACKAGES = ['postgresql-17', 'postgresql-17-timescaledb', 'dash', 'util-linux'];
const NAME = `timescaledb-17-${process.arch}`;
const USER = 'postgres:x:65534:65534::/:/bin/sh\n';

/** The path of that folder, made when there is none yet. @throws with what to do when it cannot be made */
export function ensureTimescale() {
  if (process.getuid?.() !== 0)
    throw new Error('TimescaleDB for tests runs by chroot, for which you must be root: sudo npm run test:timescale');
  const folder = path.join(cacheFolder, NAME);
  if (existsSync(folder)) return folder;
  process.stderr.write('millwright: fetching TimescaleDB from Debian (once; 100 MB)\n');
  try {
    return fillFromDebian(fill);
  } catch ({ message }) {
    throw new Error(`the tests with TimescaleDB need packages of Debian ${RELEASE}: ${message}`);
  }
}

function fill(folder, mirror) {
  unpackPackages({ mirror, release: RELEASE, names: PACKAGES, withDependencies: true, into: folder });
  // What the packages leave to the installation of a whole system.
  for (const name of ['bin', 'sbin', 'lib', 'lib64'])
    if (!existsSync(path.join(folder, name))) symlinkSync(path.join('usr', name), path.join(folder, name));
  for (const name of ['dev', 'etc', 'srv', 'tmp']) mkdirSync(path.join(folder, name), { recursive: true });
  must('mknod', ['--mode=666', path.join(folder, 'dev', 'null'), 'c', '1', '3']);
  writeFileSync(path.join(folder, 'etc', 'passwd'), USER);
  // The database's own user must be able to enter.
  chmodSync(folder, 0o755);
  chmodSync(path.join(folder, 'tmp'), 0o1777);
  return NAME;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  try {
    process.stdout.write(`${ensureTimescale()}\n`);
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }

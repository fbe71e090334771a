// A Modbus server by other hands, and pairs of serial lines, for tests: Debian's python3-pymodbus and socat, fetched into
// the cache once. Run as a program it writes the folder with `bin/python3` and `bin/socat`.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from './cache.mjs';
import { fillFromDebian, unpackPackages } from './debian.mjs';

const NAME = `pymodbus-${process.arch}`;
/** With pymodbus 3.0.0; newer ones have another way of being called. */
const RELEASE = 'bookworm';
const PACKAGES = ['python3-pymodbus', 'python3-serial', 'python3-serial-asyncio', 'python3', 'socat'];

/** The folder, fetched when there is none yet. @throws with what to do when they cannot be had */
export function ensurePymodbus() {
  const folder = path.join(cacheFolder, NAME);
  if (existsSync(folder)) return folder;
  try {
    return fillFromDebian(fill);
  } catch ({ message }) {
    throw new Error(
      `the tests of the driver modbus need pymodbus and socat in the folder MILLWRIGHT_PYMODBUS; ${message}`,
    );
  }
}

/** The folder is moved afterwards: the programs find their parts by their own place. */
function fill(folder, mirror) {
  unpackPackages({ mirror, release: RELEASE, names: PACKAGES, withDependencies: true, into: folder });
  mkdirSync(path.join(folder, 'bin'), { recursive: true });
  const python = readdirSync(path.join(folder, 'usr', 'bin')).find((name) => /^python3\.\d+$/.test(name));
  for (const [name, program] of [
    ['python3', python],
    ['socat', 'socat'],
  ]) {
    const script = path.join(folder, 'bin', name);
    writeFileSync(script, startScript(program));
    chmodSync(script, 0o755);
    const { status, stderr } = spawnSync(script, name === 'socat' ? ['-V'] : ['-c', 'import pymodbus.server, serial']);
    if (status !== 0) throw new Error(`${name} does not run here: ${stderr}`);
  }
  return NAME;
}

/** Everything comes from the folder, down to the C library. */
function startScript(program) {
  return `#!/bin/sh
here=$(dirname "$(dirname "$0")")
libraries=$(echo "$here"/lib/*-linux-gnu "$here"/usr/lib/*-linux-gnu | tr ' ' ':')
loader=$(ls "$here"/lib/*-linux-gnu/ld-linux-*.so.* | head -n 1)
export PYTHONHOME="$here/usr" PYTHONPATH="$here/usr/lib/python3/dist-packages" PYTHONDONTWRITEBYTECODE=1
exec "$loader" --library-path "$libraries" "$here/usr/bin/${program}" "$@"
`;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  try {
    process.stdout.write(`${ensurePymodbus()}\n`);
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }

// An OPC UA server by other hands, for tests: Debian's open62541, and the python3 that calls it, fetched into the cache once.
// Run as a program it writes the folder with `bin/python3`.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from './cache.mjs';
import { fillFromDebian, unpackPackages } from './debian.mjs';

const NAME = `open62541-${process.arch}`;
/** With open62541 1.4; the structures that `opcua-server.py` hands over are those of this version. */
const RELEASE = 'trixie';
const PACKAGES = ['libopen62541-1.4', 'python3'];

/** The folder, fetched when there is none yet. @throws with what to do when they cannot be had */
export function ensureOpen62541() {
  const folder = path.join(cacheFolder, NAME);
  if (existsSync(folder)) return folder;
  try {
    return fillFromDebian(fill);
  } catch (error) {
    throw new Error(`a test of the driver opcua needs open62541 in the folder MILLWRIGHT_OPEN62541; ${error.message}`);
  }
}

/** The folder is moved afterwards: the programs find their parts by their own place. */
function fill(folder, mirror) {
  unpackPackages({ mirror, release: RELEASE, names: PACKAGES, withDependencies: true, into: folder });
  mkdirSync(path.join(folder, 'bin'), { recursive: true });
  const python = readdirSync(path.join(folder, 'usr', 'bin')).find((name) => /^python3\.\d+$/.test(name));
  const script = path.join(folder, 'bin', 'python3');
  writeFileSync(script, startScript(python));
  chmodSync(script, 0o755);
  const { status, stderr } = spawnSync(script, ['-c', 'import ctypes; ctypes.CDLL("libopen62541.so.1.4")']);
  if (status !== 0) throw new Error(`open62541 does not run here: ${stderr}`);
  return NAME;
}

/** Everything comes from the folder, down to the C library. In this release all of it is below `usr`. */
function startScript(program) {
  return `#!/bin/sh
here=$(dirname "$(dirname "$0")")
libraries=$(echo "$here"/usr/lib/*-linux-gnu)
loader=$(ls "$libraries"/ld-linux-*.so.* | head -n 1)
export PYTHONHOME="$here/usr" PYTHONDONTWRITEBYTECODE=1
exec "$loader" --library-path "$libraries" "$here/usr/bin/${program}" "$@"
`;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  try {
    process.stdout.write(`${ensureOpen62541()}\n`);
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }

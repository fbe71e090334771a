// A MQTT broker by other hands for tests: Debian's mosquitto, fetched into the cache once with the libraries it needs.
// Run as a program it writes the broker's path.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from './cache.mjs';
import { fillFromDebian, unpackPackages } from './debian.mjs';

const NAME = `mosquitto-${process.arch}`;
const RELEASE = 'bookworm';
/** Everything comes from the folder, down to the C library. */
const START_SCRIPT = `#!/bin/sh
here=$(dirname "$0")
libraries=$(echo "$here"/lib/*-linux-gnu "$here"/usr/lib/*-linux-gnu | tr ' ' ':')
loader=$(ls "$here"/lib/*-linux-gnu/ld-linux-*.so.* | head -n 1)
exec "$loader" --library-path "$libraries" "$here/usr/sbin/mosquitto" "$@"
`;

const brokerIn = (folder) => path.join(folder, 'mosquitto');

/** The broker's path, fetched when there is none yet. @throws with what to do when it cannot be had */
export function ensureMosquitto() {
  const folder = path.join(cacheFolder, NAME);
  if (existsSync(brokerIn(folder))) return brokerIn(folder);
  try {
    return brokerIn(fillFromDebian(fill));
  } catch ({ message }) {
    throw new Error(`the tests of mqtt need a mosquitto, named by MILLWRIGHT_MOSQUITTO; ${message}`);
  }
}

function fill(folder, mirror) {
  unpackPackages({ mirror, release: RELEASE, names: ['mosquitto'], withDependencies: true, into: folder });
  writeFileSync(brokerIn(folder), START_SCRIPT);
  chmodSync(brokerIn(folder), 0o755);
  // It has no option that only tells its version; its help does, and ends with 3.
  const { stdout, stderr } = spawnSync(brokerIn(folder), ['-h'], { encoding: 'utf8' });
  if (!stdout.includes('mosquitto version')) throw new Error(`mosquitto does not run here: ${stderr}`);
  return NAME;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  try {
    process.stdout.write(`${ensureMosquitto()}\n`);
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }

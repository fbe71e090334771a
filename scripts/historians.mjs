// Historians for tests: VictoriaMetrics and InfluxDB 1.6 as Debian has packaged them, fetched into the cache once.
// Run as a program it writes the folder that has the programs `victoria-metrics` and `influxd`.
import { spawnSync } from 'node:child_process';
import { existsSync, renameSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder, fillCache } from './cache.mjs';
import { debianMirrors, unpackPackages } from './debian.mjs';

const PROGRAMS = ['victoria-metrics', 'influxd'];
/** The first that has both is taken; they are linked statically enough to run on others. */
const RELEASES = ['bookworm', 'trixie', 'sid'];
const NAME = `historians-${process.arch}`;

/** The folder, fetched when there is none yet. @throws with what to do when they cannot be had */
export function ensureHistorians() {
  const folder = path.join(cacheFolder, NAME);
  if (PROGRAMS.every((program) => existsSync(path.join(folder, program)))) return folder;
  const reasons = [];
  for (const mirror of debianMirrors())
    for (const release of RELEASES)
      try {
        return fillCache((unfinished) => fill(unfinished, mirror, release));
      } catch (error) {
        reasons.push(`${release}: ${error.message}`);
      }
  const why = reasons.length > 0 ? reasons.join('; ') : 'this machine is no Debian, from which they could be fetched';
  throw new Error(
    `the tests of the sink influx need ${PROGRAMS.join(' and ')} in a folder named by MILLWRIGHT_HISTORIANS; ${why}`,
  );
}

function fill(folder, mirror, release) {
  unpackPackages({ mirror, release, names: ['victoria-metrics', 'influxdb'], into: folder });
  for (const program of PROGRAMS) {
    renameSync(path.join(folder, 'usr', 'bin', program), path.join(folder, program));
    const { error } = spawnSync(path.join(folder, program), ['--help'], { stdio: 'ignore' });
    if (error) throw error;
  }
  return NAME;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  try {
    process.stdout.write(`${ensureHistorians()}\n`);
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }

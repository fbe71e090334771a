// A nats-server for tests and benchmarks: the machine's own when it is new enough, else one that Debian has packaged.
// Run as a program it writes the server's path.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, renameSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder, fillCache } from './cache.mjs';
import { debianMirrors, unpackPackages } from './debian.mjs';

/** The first that takes readings over from a site without loss, see docs/decisions/012-leaf-nodes.md. */
const VERSION_MIN = [2, 14];
/** The first whose server runs here is taken. */
const RELEASES = ['sid', 'forky'];
const PREFIX = `nats-server-${process.arch}-`;

/** The path of a nats-server, fetched when there is none yet. @throws with what to do when none can be had */
export function ensureNatsServer() {
  return onPath() ?? cached() ?? fetched();
}

function onPath() {
  const folders = (process.env.PATH ?? '').split(path.delimiter).filter((folder) => path.isAbsolute(folder));
  const servers = folders.map((folder) => path.join(folder, 'nats-server'));
  return servers.find((server) => existsSync(server) && isNewEnough(versionOf(server)));
}

function cached() {
  if (!existsSync(cacheFolder)) return undefined;
  const folders = readdirSync(cacheFolder).filter((name) => name.startsWith(PREFIX));
  return folders.map(serverIn).find((server) => isNewEnough(versionOf(server)));
}

const serverIn = (folder) => path.join(cacheFolder, folder, 'nats-server');

function fetched() {
  const reasons = [];
  for (const mirror of debianMirrors())
    for (const release of RELEASES)
      try {
        return serverIn(path.basename(fillCache((folder) => fill(folder, mirror, release))));
      } catch (error) {
        reasons.push(`${release}: ${error.message}`);
      }
  const why = reasons.length > 0 ? reasons.join('; ') : 'this machine is no Debian, from which it could be fetched';
  throw new Error(
    `the tests need nats-server ${VERSION_MIN.join('.')} or newer: put one on the PATH (github.com/nats-io/nats-server/releases); ${why}`,
  );
}

/** Leaves the server in the folder, and answers the folder's name in the cache. */
function fill(folder, mirror, release) {
  unpackPackages({ mirror, release, names: ['nats-server'], into: folder });
  const server = path.join(folder, 'nats-server');
  renameSync(path.join(folder, 'usr', 'sbin', 'nats-server'), server);
  const version = versionOf(server);
  if (!isNewEnough(version)) throw new Error('its nats-server does not run here, or is too old');
  return `${PREFIX}${version.join('.')}`;
}

/** Undefined when it does not run. */
function versionOf(server) {
  const { stdout } = spawnSync(server, ['--version'], { encoding: 'utf8' });
  return /v(\d+)\.(\d+)\.(\d+)/
    .exec(stdout ?? '')
    ?.slice(1)
    .map(Number);
}

function isNewEnough(version) {
  if (version === undefined) return false;
  const [major, minor] = version;
  return major > VERSION_MIN[0] || (major === VERSION_MIN[0] && minor >= VERSION_MIN[1]);
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  try {
    process.stdout.write(`${ensureNatsServer()}\n`);
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }

// Packages of a newer Debian release than the machine's own, without a change to the machine.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fillCache } from './cache.mjs';

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** The package servers that this machine uses itself, where other releases can be had too; none when it is no Debian. */
export function debianMirrors() {
  const asked = ['indextargets', '--format', '$(REPO_URI) $(COMPONENT) $(RELEASE)', 'Created-By: Packages'];
  const { status, stdout } = spawnSync('apt-get', asked, { encoding: 'utf8' });
  if (status !== 0 || !/^ID=debian$/m.test(readFileSync('/etc/os-release', 'utf8'))) return [];
  const targets = stdout.split('\n').map((line) => line.split(' '));
  // "bookworm" is the release itself; "bookworm-security" and the like may have servers of their own.
  const uris = targets.filter(([, component, release = '']) => component === 'main' && !/[-/]/.test(release));
  return [...new Set(uris.map(([uri]) => uri))];
}

/**
 * Fills a folder of the cache from the first of the machine's package servers that can: `fill` is told the folder and the
 * server, and answers the folder's name.
 * @throws with what each of them said
 */
export function fillFromDebian(fill) {
  const reasons = [];
  for (const mirror of debianMirrors())
    try {
      return fillCache((unfinished) => fill(unfinished, mirror));
    } catch (error) {
      reasons.push(error.message);
    }
  throw new Error(
    reasons.length > 0 ? reasons.join('; ') : 'this machine is no Debian, from which it could be fetched',
  );
}

/**
 * Unpacks packages of that release into a folder, with lists of its own: nothing is installed, and no script of a package
 * is run. Needs no root.
 * @param withDependencies whether everything else comes too that they need to run, down to the C library
 * @throws with apt's own words
 */
export function unpackPackages({ mirror, release, names, withDependencies = false, into }) {
  const work = mkdtempSync(path.join(into, 'apt-'));
  const archives = path.join(work, 'cache', 'archives');
  for (const folder of [path.join(work, 'state', 'lists', 'partial'), path.join(archives, 'partial')])
    mkdirSync(folder, { recursive: true });
  const sources = path.join(work, 'release.sources');
  writeFileSync(sources, `Types: deb\nURIs: ${mirror}\nSuites: ${release}\nComponents: main\nSigned-By: ${keyring}\n`);
  const nothingInstalled = path.join(work, 'status');
  writeFileSync(nothingInstalled, '');
  const settings = {
    'Dir::Etc::SourceList': sources,
    'Dir::Etc::SourceParts': '-',
    'Dir::State': path.join(work, 'state'),
    'Dir::State::status': nothingInstalled,
    'Dir::Cache': path.join(work, 'cache'),
    'Acquire::Languages': 'none',
    'Acquire::Retries': '2',
    // apt's own user could not enter our folder.
    'APT::Sandbox::User': 'root',
  };
  const options = Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  must('apt-get', [...options, 'update', '--error-on=any'], work);
  const fetch = withDependencies ? ['install', '--download-only', '--no-install-recommends', '--yes'] : ['download'];
  must('apt-get', [...options, ...fetch, ...names], archives);
  for (const file of readdirSync(archives).filter((name) => name.endsWith('.deb')))
    must('dpkg-deb', ['--extract', path.join(archives, file), into], work);
  rmSync(work, { recursive: true });
}

/** Runs a program to its end. @throws with what it said when it fails */
export function must(program, args, cwd) {
  const options = { cwd, encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] };
  const { status, stderr, error } = spawnSync(program, args, options);
  if (status !== 0) throw new Error(`${program}: ${error?.message ?? stderr.trim().split('\n').slice(-3).join(' ')}`);
}

// npm test [-- FILE ...]: sets up what the tests need, then runs them all, or the files named.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { ensureNatsServer } from './nats-server.mjs';
import { ensureInstalled, ensurePages, fail, node, root, run, say } from './tools.mjs';

ensureInstalled();
await ensurePages();
ensureBrowserLibraries();
const named = process.argv.slice(2).filter((argument) => existsSync(argument));
const options = process.argv.slice(2).filter((argument) => argument.startsWith('--'));
const strange = process.argv.slice(2).filter((argument) => !existsSync(argument) && !argument.startsWith('--'));
if (strange.length > 0)
  fail(`there is no ${strange.join(', ')}; allowed: files and folders of tests, and --name=value`);
// Those of test/timescale/ are run by `npm run test:timescale`.
const all = ['src/**/*.test.ts', 'test/*.test.ts', 'test/!(timescale)/**/*.test.ts'];
const files = named.length > 0 ? named : all;
const args = ['--test', '--test-concurrency=2', ...options, ...files];
// Tests start some hundred processes; what one has stripped of its types and compiled serves the next.
const compiled = { NODE_COMPILE_CACHE: path.join(root, 'node_modules', '.cache', 'compiled') };
process.exitCode = await run(node(), args, { ...compiled, ...natsServer() });

/** Without one, the tests that need it say so themselves, and fail. */
function natsServer() {
  try {
    return { MILLWRIGHT_NATS_SERVER: ensureNatsServer() };
  } catch (error) {
    say(error.message);
    return {};
  }
}

/** The browser comes inside its package, but for two libraries of the system. */
function ensureBrowserLibraries() {
  const { stdout } = spawnSync('/sbin/ldconfig', ['-p'], { encoding: 'utf8' });
  if (!stdout || ['libnss3.so', 'libexpat.so.1'].every((library) => stdout.includes(library))) return;
  const packages = ['libnss3', 'libexpat1'];
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    say(`the tests of the pages need system libraries: sudo apt-get install ${packages.join(' ')}`);
    return;
  }
  say('installing system libraries for the browser of the tests');
  spawnSync('apt-get', ['update'], { stdio: 'ignore' });
  spawnSync('apt-get', ['install', '-y', '--no-install-recommends', ...packages], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

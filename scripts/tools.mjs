// What the npm scripts share. Plain JavaScript that Node 20 runs, because before the first `npm ci` there may be no other.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, statSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const modules = path.join(root, 'node_modules');
const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';

/** Installs what package-lock.json says, when that has not been done since it last changed. */
export function ensureInstalled() {
  // A linked folder belongs to another checkout, which looks after it.
  if (lstatSync(modules, { throwIfNoEntry: false })?.isSymbolicLink()) return;
  const stamp = path.join(modules, '.package-lock.json');
  const lock = path.join(root, 'package-lock.json');
  if (existsSync(stamp) && statSync(stamp).mtimeMs >= statSync(lock).mtimeMs) return linkNode();
  say('installing packages (once; about half a minute)');
  const { status } = spawnSync(npm, ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  if (status !== 0) fail('npm ci failed; see its message above (is there a way to the npm registry?)');
  linkNode();
}

/** npm 10 leaves this one link out, by which `node` means the Node that was installed. */
function linkNode() {
  const link = path.join(modules, '.bin', 'node');
  const packaged = packagedNode();
  if (packaged === undefined || existsSync(link)) return;
  try {
    symlinkSync(path.relative(path.dirname(link), packaged), link);
  } catch {
    // The folder is somebody else's; then only the commands that a person types without npm miss it.
  }
}

function packagedNode() {
  const file = path.join(modules, `node-${process.platform}-${process.arch}`, 'bin', 'node');
  return existsSync(file) ? file : undefined;
}

/** The Node that runs TypeScript: the one installed by npm, or this one when it is new enough. */
export function node() {
  const installed = packagedNode();
  if (installed !== undefined) return installed;
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 24 || (major === 24 && minor >= 12)) return process.execPath;
  return fail(
    `Node ${process.versions.node} is too old and no newer one is packaged for ${process.platform}-${process.arch}; install Node 24.12 or newer`,
  );
}

export function bin(name) {
  return path.join(modules, '.bin', process.platform === 'win32' ? `${name}.cmd` : name);
}

/** The environment in which `node` means the installed one. */
export function environment(extra = {}) {
  return {
    ...process.env,
    PATH: [path.dirname(node()), path.join(modules, '.bin'), process.env.PATH].join(path.delimiter),
    ...extra,
  };
}

/** Runs a program to its end with this terminal; passes signals on; resolves to its exit code. */
export function run(program, args, extra = {}) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: root, stdio: 'inherit', env: environment(extra) });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
    // npm ended by a signal leaves its script behind without a word; what was started here must end with it.
    const parent = process.ppid;
    const watch = setInterval(() => process.ppid !== parent && child.kill('SIGTERM'), 1000);
    watch.unref();
    child.once('error', (error) => fail(`cannot run ${program}: ${error.message}`));
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

/** Builds the pages when they are missing or older than their sources. */
export async function ensurePages() {
  const built = path.join(root, 'dist', 'web', 'index.html');
  const sources = [
    path.join(root, 'src', 'web'),
    path.join(root, 'src', 'model'),
    path.join(root, 'package-lock.json'),
  ];
  if (existsSync(built) && statSync(built).mtimeMs >= Math.max(...sources.map(newest))) return;
  say('building the pages');
  const code = await run(node(), [
    path.join(modules, 'vite', 'bin', 'vite.js'),
    'build',
    '--logLevel',
    'warn',
    '--config',
    'src/web/vite.config.ts',
  ]);
  if (code !== 0) fail('the pages could not be built');
}

function newest(place) {
  const { mtimeMs } = statSync(place);
  if (!statSync(place).isDirectory()) return mtimeMs;
  return Math.max(mtimeMs, ...readdirSync(place).map((name) => newest(path.join(place, name))));
}

export function say(text) {
  process.stdout.write(`millwright: ${text}\n`);
}

export function fail(text) {
  process.stderr.write(`millwright: ${text}\n`);
  process.exit(1);
}

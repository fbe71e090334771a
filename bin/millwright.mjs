#!/usr/bin/env node
// The command: finds a Node that is new enough and the program, built or as source, and runs it.
import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const source = path.join(root, 'src', 'cli.ts');
const built = path.join(root, 'dist', 'cli.js');
// What is built starts sooner and takes 20 MB less; in a checkout only as long as nothing has changed since.
const program = !existsSync(source) || isNewerThanSources(built) ? built : source;
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

if (major > 24 || (major === 24 && minor >= 12)) {
  process.argv[1] = program;
  await import(program);
} else {
  const child = spawn(packagedNode(), [program, ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.once('exit', (code) => process.exit(code ?? 1));
}

function isNewerThanSources(file) {
  if (!existsSync(file)) return false;
  const sources = readdirSync(path.join(root, 'src'), { recursive: true, withFileTypes: true });
  const changed = sources
    .filter((entry) => entry.isFile())
    .map((entry) => statSync(path.join(entry.parentPath ?? entry.path, entry.name)).mtimeMs);
  return statSync(file).mtimeMs >= Math.max(...changed);
}

/** The newer Node that npm installed beside this program. */
function packagedNode() {
  try {
    return path.join(
      path.dirname(createRequire(import.meta.url).resolve(`node-linux-${process.arch}/package.json`)),
      'bin',
      'node',
    );
  } catch {
    process.stderr.write(
      `millwright: Node ${process.versions.node} is too old; install Node 24.12 or newer, or run "npm ci" first\n`,
    );
    process.exit(2);
  }
}

// npm run bench -- NAME [ARG ...]: builds the program and runs bench/NAME.ts.
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { ensureInstalled, fail, node, root, run } from './tools.mjs';

const names = readdirSync(path.join(root, 'bench'))
  .filter((file) => file.endsWith('.ts') && !file.includes('.support.'))
  .map((file) => file.slice(0, -3));
const [name, ...args] = process.argv.slice(2);
if (!names.includes(name)) fail(`usage: npm run bench -- NAME; there is ${names.join(', ')}`);
ensureInstalled();
const built = await run(process.execPath, ['scripts/build.mjs']);
process.exitCode = built === 0 ? await run(node(), [`bench/${name}.ts`, ...args]) : built;

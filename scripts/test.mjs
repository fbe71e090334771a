// npm test [-- FILE ...]: sets up what the tests need, then runs them all, or the files named.
import { existsSync } from 'node:fs';
import { ensureInstalled, ensurePages, node, run } from './tools.mjs';

ensureInstalled();
await ensurePages();
const named = process.argv.slice(2).filter((argument) => existsSync(argument));
const options = process.argv.slice(2).filter((argument) => !existsSync(argument));
const files = named.length > 0 ? named : ['src/**/*.test.ts', 'test/**/*.test.ts'];
process.exitCode = await run(node(), ['--test', '--test-concurrency=2', ...options, ...files]);

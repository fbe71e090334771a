// npm run test:timescale [-- FILE ...]: the tests that need TimescaleDB, which is fetched when it is not there yet.
import { existsSync } from 'node:fs';
import { ensureTimescale } from './timescale.mjs';
import { ensureInstalled, fail, node, run } from './tools.mjs';

ensureInstalled();
let folder;
try {
  folder = ensureTimescale();
} catch (error) {
  fail(error.message);
}
const named = process.argv.slice(2).filter((argument) => existsSync(argument));
const options = process.argv.slice(2).filter((argument) => !existsSync(argument));
const files = named.length > 0 ? named : ['test/timescale/**/*.test.ts'];
const args = ['--test', '--test-concurrency=2', ...options, ...files];
process.exitCode = await run(node(), args, { MILLWRIGHT_TIMESCALE: folder });

// npm run check: types, lint with the import fences, format. Runs all, then fails when one did.
import { bin, ensureInstalled, run, say } from './tools.mjs';

ensureInstalled();
const checks = [
  ['types', bin('tsc'), ['-p', '.']],
  ['types of the pages', bin('tsc'), ['-p', 'src/web']],
  ['lint', bin('oxlint'), ['--type-aware', '--deny-warnings', 'src', 'test', 'bench']],
  ['format', bin('biome'), ['format', '.']],
];
const failed = [];
for (const [name, program, args] of checks) {
  say(name);
  if ((await run(program, args)) !== 0) failed.push(name);
}
if (failed.length > 0) say(`failed: ${failed.join(', ')}`);
process.exitCode = failed.length === 0 ? 0 : 1;

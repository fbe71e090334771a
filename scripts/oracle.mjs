// npm run oracle [-- --seed S --minutes N --report FILE]: lets faults happen, and proves that nothing is lost.
import { ensureInstalled, node, run } from './tools.mjs';

ensureInstalled();
process.exitCode = await run(node(), ['test/oracle/main.ts', ...process.argv.slice(2)]);

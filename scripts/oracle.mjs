// npm run oracle [-- --transport http|nats --seed S --minutes N --report FILE]: lets faults happen, and proves that nothing
// is lost. With --drill database-down: one long outage of the database under load.
import { ensureInstalled, node, run } from './tools.mjs';

ensureInstalled();
process.exitCode = await run(node(), ['test/oracle/main.ts', ...process.argv.slice(2)]);

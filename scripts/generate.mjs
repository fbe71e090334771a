// npm run generate: writes what is made from the code.
import { ensureInstalled, node, run } from './tools.mjs';

ensureInstalled();
process.exitCode = await run(node(), ['scripts/generate.ts']);

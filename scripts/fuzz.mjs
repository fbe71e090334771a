// npm run fuzz [-- CODEC ... --inputs N --seed S --report FILE]: feeds every codec, or those named, with what nobody should
// have sent. With --at NUMBER only that input.
import { ensureInstalled, node, run } from './tools.mjs';

ensureInstalled();
process.exitCode = await run(node(), ['test/fuzz/main.ts', ...process.argv.slice(2)]);

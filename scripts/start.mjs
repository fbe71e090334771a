// npm start: installs and builds what is missing, then `millwright up` with the same arguments.
import { ensureInstalled, ensurePages, node, run } from './tools.mjs';

const args = process.argv.slice(2);
ensureInstalled();
if (!args.includes('--help') && !args.includes('-h')) await ensurePages();
process.exitCode = await run(node(), ['src/cli.ts', 'up', ...args]);

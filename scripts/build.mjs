// npm run build: JavaScript and pages in dist/, for publishing and images (Node strips no types under node_modules).
import { cpSync, rmSync } from 'node:fs';
import path from 'node:path';
import { bin, ensureInstalled, ensurePages, fail, root, run } from './tools.mjs';

ensureInstalled();
rmSync(path.join(root, 'dist'), { recursive: true, force: true });
if ((await run(bin('tsc'), ['-p', 'tsconfig.build.json'])) !== 0) fail('the program could not be built');
cpSync(path.join(root, 'src/hub/store/migrations'), path.join(root, 'dist/hub/store/migrations'), { recursive: true });
cpSync(path.join(root, 'src/drivers/modbus/profiles'), path.join(root, 'dist/drivers/modbus/profiles'), {
  recursive: true,
});
await ensurePages();

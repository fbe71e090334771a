/** The OpenAPI document, as a file of the documentation: `node src/hub/api/openapi.ts FILE` writes it. */
import { writeFile } from 'node:fs/promises';
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import { VERSION } from '../../base/version.ts';
import { composeHub } from '../hub.ts';

/** The document's text. Nothing is connected or listened to. */
export async function openapiText(): Promise<string> {
  const { app, close } = await composeHub(
    {
      server: { host: '127.0.0.1', port: 0 },
      database: { host: '127.0.0.1', port: 0, dbname: '', user: '', password: '', readConnectionsMax: 1 },
      timeZone: 'UTC',
      logLevel: 'error',
      pagesFolder: null,
    },
    { version: VERSION, clock: systemClock, random: Math.random, log: silentLogger },
  );
  const document = app.swagger();
  await close();
  return `${JSON.stringify(document, null, 2)}\n`;
}

const [, script, file] = process.argv;
if (import.meta.filename === script && file !== undefined) await writeFile(file, await openapiText());

/** The OpenAPI document as text; `npm run generate` writes it into the documentation. */
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import { VERSION } from '../../base/version.ts';
import { composeHub } from '../hub.ts';
import { DEFAULT_STORE } from '../settings.ts';

/** The document's text. Nothing is connected or listened to. */
export async function openapiText(): Promise<string> {
  const hub = await composeHub(
    {
      server: { host: '127.0.0.1', port: 0 },
      database: { host: '127.0.0.1', port: 0, dbname: '', user: '', password: '', readConnectionsMax: 1 },
      store: DEFAULT_STORE,
      timeZone: 'UTC',
      nats: null,
      logLevel: 'error',
      pagesFolder: null,
    },
    { version: VERSION, clock: systemClock, random: Math.random, log: silentLogger },
  );
  const document = hub.app.swagger();
  await hub.close();
  return `${JSON.stringify(document, null, 2)}\n`;
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import { ConfigurationFile } from './configuration-file.ts';

test('a process that cannot be started is a refusal, also where Node throws at once', async () => {
  const parts = { file: 'edge.yaml', state: '', clock: systemClock, log: silentLogger, applied: () => {} };
  // As for want of memory, which no test can bring about, Node throws for an argument that the system does not take.
  for (const cli of ['no\0file', '/nowhere/cli.ts']) {
    const configuration = new ConfigurationFile({ ...parts, cli });
    await assert.rejects(configuration.read(new AbortController().signal), {
      code: 'config_invalid',
      message: /^the configuration could not be read: /,
    });
  }
});

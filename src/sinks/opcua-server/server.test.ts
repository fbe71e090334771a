import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { OPCUACertificateManager } from 'node-opcua';
import { freePort } from '../../../test/support/system.ts';
import { until } from '../../../test/support/until.ts';
import { systemClock } from '../../base/clock.ts';
import type { Trouble } from '../../ports/sink.ts';
import { schema } from './config.ts';
import { OpcuaServer } from './server.ts';
import { NewestValues } from './values.ts';

test('strange names are shown, a folder that cannot be used and a certificate that ends soon are told', async (context) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-'));
  context.after(() => rm(folder, { recursive: true }));
  const pki = path.join(folder, 'pki');
  const manager = new OPCUACertificateManager({ rootFolder: pki });
  await manager.initialize();
  await manager.createSelfSignedCertificate({
    applicationUri: 'urn:millwright:edge:gw%201',
    dns: ['localhost'],
    subject: '/CN=short',
    startDate: new Date(),
    validity: 20,
    outputFile: path.join(pki, 'own/certs/certificate.pem'),
  });
  await manager.dispose();
  const values = new NewestValues({ machines: null, onChange: () => {} });
  let shown = 0;
  const troubles: (Trouble | null)[] = [];
  const lines: string[] = [];
  const stop = new AbortController();
  const newServer = (pkiFolder: string, port: number): OpcuaServer =>
    new OpcuaServer({
      options: schema.parse({ host: '127.0.0.1', port, pki_folder: pkiFolder }),
      gatewayId: 'gw 1',
      folder,
      clock: systemClock,
      random: () => 0,
      variables: () => [...values.variables()].map((variable) => ((shown += 1), variable)),
      log: (level, message) => lines.push(`${level} ${message}`),
      onTrouble: (trouble) => troubles.push(trouble),
    });
  for (const machine_id of ['a/b', 'a%2Fb', 'a', 'Features', 'ns=2;s="x" <&>']) {
    const sample = { machine_id, timestamp: '2026-01-01T08:00:00Z', 'b/c': 1, Features: true, '': 3, "it's": 'é' };
    values.take(sample, { sequence: 1, isFresh: true, nowMicros: 0 });
    const measurement = { ...sample, characteristic: 'Features/x', measured_value: 1, unit: 'constructor' } as const;
    const { timestamp, characteristic, measured_value, unit } = measurement;
    values.take(
      { kind: 'measurement', machine_id, timestamp, characteristic, measured_value, unit },
      { sequence: 1, isFresh: true, nowMicros: 0 },
    );
  }
  const server = newServer(pki, await freePort());
  const running = server.run(stop.signal);
  await until(() => troubles.length > 0);
  assert.match(troubles[0]?.message ?? '', /certificate\.pem, expires in 19 days; docs\/sinks\/opcua-server\.md/);
  assert.equal(troubles[0]?.isServing, true);
  assert.deepEqual(
    lines.filter((line) => line.includes('cannot be shown')),
    Array(5).fill('warn a variable cannot be shown'),
    'only what has no name at all',
  );
  assert.ok(shown > 60 && lines.some((line) => line.startsWith('warn the certificate of')), lines.join('\n'));
  stop.abort();
  await running;

  // A file where the folder should be.
  const again = new AbortController();
  troubles.length = 0;
  const other = newServer(path.join(pki, 'own/certs/certificate.pem'), await freePort()).run(again.signal);
  await until(() => troubles.length > 0);
  assert.equal(troubles[0]?.isServing, false);
  assert.match(troubles[0]?.message ?? '', /^the folder of certificates .*certificate\.pem cannot be used: .*EEXIST/);
  again.abort();
  await other;
});

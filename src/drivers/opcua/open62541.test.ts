/** A server by other hands: open62541. It has no machine, so what every server has is read. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { endsWithUs, provided } from '../../../test/support/processes.ts';
import { freePort, waitUntil } from '../../../test/support/system.ts';
import { comes, folderFor, newest, read } from './driver.test-support.ts';

const SERVER = fileURLToPath(new URL('../../../test/support/open62541-server.py', import.meta.url));

async function startOpen62541(context: TestContext, port: number): Promise<ChildProcess> {
  const folder = await provided({ variable: 'MILLWRIGHT_OPEN62541', script: 'open62541.mjs' });
  const [command = '', ...args] = endsWithUs([path.join(folder, 'bin/python3'), SERVER, String(port)]);
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  context.after(() => child.kill('SIGKILL'));
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (text: Buffer) => {
      said = (said + text.toString()).slice(-10_000);
    });
  }
  await waitUntil('open62541 to serve', () => {
    if (child.exitCode !== null) throw new Error(said);
    return /^ready$/m.test(said) || undefined;
  });
  return child;
}

test('open62541 is read by path and by id, with a structure, an array and changes, also after it was killed', async (context) => {
  const port = await freePort();
  const child = await startOpen62541(context, port);
  const reader = read(context, {
    url: `opc.tcp://127.0.0.1:${port}`,
    pki: path.join(await folderFor(context), 'client'),
    policy: 'None',
    nodes: [
      { node: 'Objects/Server/ServerStatus/CurrentTime', extra: 'time' },
      { node: 'i=2256', field: 'BuildInfo.ProductName', extra: 'product' },
      { node: 'i=2255', index: 0, extra: 'first_namespace' },
      { node: 'Objects/Server/ServerDiagnostics/ServerDiagnosticsSummary/CurrentSessionCount', extra: 'sessions' },
      { node: 'Objects/Server/Nothing', extra: 'nothing' },
    ],
  });
  await comes(reader, 'first_namespace', 'http://opcfoundation.org/UA/');
  assert.match(String(newest(reader, 'product')), /open62541/i);
  const seen = (): number =>
    new Set(reader.gateway.samples.flatMap(({ time }) => (time === undefined ? [] : [time]))).size;
  await waitUntil('the time to go on', () => seen() >= 4 || undefined);
  assert.match(
    reader.gateway.problems.get('Objects/Server/Nothing') ?? '',
    /^there is no Nothing below Objects\/Server, but /,
  );

  child.kill('SIGKILL');
  await once(child, 'exit');
  await waitUntil('the loss to be told', () => newest(reader, 'time') === null || undefined);
  await startOpen62541(context, port);
  await comes(reader, 'first_namespace', 'http://opcfoundation.org/UA/');
  assert.equal(reader.gateway.connections, 2);
});

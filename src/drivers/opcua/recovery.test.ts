/** Whatever happens to the connection, the machine is read again, and the server has one session, then none. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { OpcuaServerProcess, type OpcuaTestServer } from '../../../test/support/opcua-server.ts';
import { waitUntil } from '../../../test/support/system.ts';
import { comes, newest, NODES, read, type Reader, startServer } from './driver.test-support.ts';
import { wayTo } from './way.test-support.ts';

const open = { policy: 'None' } as const;
/** Changes the temperature until it is read, and looks what the server has left. */
async function recovers(
  context: TestContext,
  { reader, server, sinceMs }: { reader: Reader; server: OpcuaTestServer; sinceMs: number },
): Promise<void> {
  await server.set({ name: 'Temperature', value: 99 });
  await comes(reader, 'temperature', 99);
  context.diagnostic(`read again after ${Math.round(performance.now() - sinceMs)} ms`);
  assert.equal(await server.sessions(), 1);
  assert.equal(await server.subscriptions(), 1);
  await reader.running.stop();
  await waitUntil('the session to be closed', async () => (await server.sessions()) === 0 || undefined);
  assert.equal(await server.subscriptions(), 0);
}

// They wait, nearly all of the time.
suite('beside each other', { concurrency: true }, () => {
  test('a server that was killed and started again', async (context) => {
    const { server, folder } = await startServer(context, { process: new OpcuaServerProcess() });
    const reader = read(context, { url: server.url, pki: path.join(folder, 'client'), ...open });
    await comes(reader, 'temperature', 21.5);
    const sinceMs = performance.now();
    await server.kill();
    await waitUntil('the loss to be told', () => reader.running.lastError || undefined);
    assert.equal(newest(reader, 'temperature'), null);
    assert.equal(newest(reader, 'machine_state'), 'offline');
    await server.start();
    await recovers(context, { reader, server, sinceMs });
  });

  test('a session that the server has closed', async (context) => {
    const { server, folder } = await startServer(context);
    const nodes = [...NODES, { node: 'Objects/Machines/CNC-001/Program', extra: 'program' }];
    const reader = read(context, { url: server.url, pki: path.join(folder, 'client'), nodes, ...open });
    await server.set({ name: 'Program', value: 'O1001' });
    await comes(reader, 'program', 'O1001');
    await comes(reader, 'temperature', 21.5);
    const sinceMs = performance.now();
    await server.closeSessions();
    await waitUntil('the loss to be told', () => reader.running.lastError || undefined);
    assert.match(reader.running.lastError, /has closed the session|closed the connection|closed the session/);
    await recovers(context, { reader, server, sinceMs });
    const programs = reader.gateway.events.filter(({ event_type }) => event_type === 'program');
    assert.deepEqual(
      programs.map(({ text }) => text),
      ['O1001'],
      'a new session is no change of program',
    );
  });

  for (const passes of ['no-publish', 'no-values'] as const) {
    test(`a subscription that is frozen: ${passes}`, async (context) => {
      const { server, port, folder } = await startServer(context);
      const way = await wayTo(context, port);
      const reader = read(context, { url: way.url, pki: path.join(folder, 'client'), ...open });
      await comes(reader, 'temperature', 21.5);
      const sinceMs = performance.now();
      way.passes = passes;
      await waitUntil('the silence to be told', () => reader.running.lastError || undefined);
      way.passes = 'all';
      assert.match(
        reader.running.lastError,
        /has told nothing for \d+ s, though it answers: its subscription is frozen/,
      );
      assert.equal(newest(reader, 'temperature'), null);
      await recovers(context, { reader, server, sinceMs });
    });
  }

  test('a connection on which nothing comes through any more: the session before it is closed with the next', async (context) => {
    const { server, port, folder } = await startServer(context);
    const way = await wayTo(context, port);
    const reader = read(context, {
      url: way.url,
      pki: path.join(folder, 'client'),
      timeout: '2s',
      session_timeout: '120s',
      ...open,
    });
    await comes(reader, 'temperature', 21.5);
    const sinceMs = performance.now();
    way.passes = 'nothing';
    await waitUntil('the silence to be told', () => reader.running.lastError || undefined);
    assert.match(reader.running.lastError, /has told nothing for \d+ s, and does not answer/);
    assert.equal(await server.sessions(), 1, 'the server does not know');
    // An outage is longer than the first try to connect again.
    await waitUntil('a try that fails', () => reader.running.errors.length > 1 || undefined);
    way.passes = 'all';
    await recovers(context, { reader, server, sinceMs });
  });
});

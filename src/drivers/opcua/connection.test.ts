/** However far connecting has come: when it is given up, the server has no session left, and no connection stands. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { waitUntil } from '../../../test/support/system.ts';
import { aborted, type Clock, systemClock } from '../../base/clock.ts';
import { Gateway, Running } from '../../ports/driver.test-support.ts';
import { CertificateFolder } from './certificates.ts';
import { schema } from './config.ts';
import { connect, type ConnectParts } from './connection.ts';
import { create } from './driver.ts';
import { NODES, startServer } from './driver.test-support.ts';
import { wayTo } from './way.test-support.ts';

/** Every wait for an answer is as long as that takes. */
const patient: Clock = { ...systemClock, sleep: (_ms, signal) => aborted(signal ?? new AbortController().signal) };

/** In the order in which they come; the library asks for the endpoints more often than we do. */
const ANSWERS = [
  'the greeting of the connection for the endpoints',
  'the channel for the endpoints',
  'the endpoints that the library looks at',
  'the endpoints',
  'the greeting',
  'the channel',
  'the endpoints that the library looks at again',
  'the session that was made',
  'the session that was activated',
] as const;
const SESSION_MADE = ANSWERS.indexOf('the session that was made');
const LIMIT = { timeout: 120_000 };

function partsFor({ url, pki, clock, signal }: { url: string; pki: string; clock: Clock; signal: AbortSignal }): {
  parts: ConnectParts;
  certificates: CertificateFolder;
} {
  const certificates = new CertificateFolder(pki);
  const options = {
    url,
    security: { policy: 'None', mode: 'SignAndEncrypt' },
    identity: { kind: 'anonymous' },
    sessionTimeoutMs: 3_600_000,
    timeoutMs: 60_000,
  } as const;
  return { parts: { options, certificates, clock, signal, sessionName: 'test' }, certificates };
}

test('connecting is given up while the answer of the server is on its way', async (context) => {
  const { server, port, folder } = await startServer(context);
  const way = await wayTo(context, port);
  for (const [index, answer] of ANSWERS.entries()) {
    await context.test(answer, LIMIT, async () => {
      const stop = new AbortController();
      const pki = path.join(folder, 'client');
      const { parts, certificates } = partsFor({ url: way.url, pki, clock: patient, signal: stop.signal });
      const held = way.holdAfter(index);
      const connecting = connect(parts);
      connecting.catch(() => {});
      await held;
      assert.equal(await server.sessions(), index >= SESSION_MADE ? 1 : 0);
      stop.abort();
      way.letGo();
      await assert.rejects(connecting, /is not needed any more/);
      await waitUntil('no session to be left', async () => (await server.sessions()) === 0 || undefined);
      await waitUntil('no connection to be left', () => way.connections() === 0 || undefined);
      await certificates.close();
    });
  }
});

test('a session that is made is closed at once when connecting is given up, though nothing comes from the server', async (context) => {
  const { server, port, folder } = await startServer(context);
  const way = await wayTo(context, port);
  const keys = { url: way.url, policy: 'None', anonymous: true, session_timeout: '1h', timeout: '60s' };
  const options = schema.parse({ ...keys, pki_folder: path.join(folder, 'client'), nodes: NODES });
  // The thread is ended when it is ready, however long a busy machine takes for that.
  const running = new Running(create(options), { gateway: new Gateway({ clock: patient }) });
  await way.holdAfter(ANSWERS.indexOf('the session that was activated'));
  assert.equal(await server.sessions(), 1);
  await running.stop();
  await waitUntil('no session to be left', async () => (await server.sessions()) === 0 || undefined);
});

test('when the server says nothing more, giving up ends all the same', async (context) => {
  const { port, folder } = await startServer(context);
  const way = await wayTo(context, port);
  const stop = new AbortController();
  const pki = path.join(folder, 'client');
  const { parts, certificates } = partsFor({ url: way.url, pki, clock: systemClock, signal: stop.signal });
  const held = way.holdAfter(SESSION_MADE);
  const connecting = connect(parts);
  connecting.catch(() => {});
  await held;
  stop.abort();
  await assert.rejects(connecting, /is not needed any more/);
  await waitUntil('no connection to be left', () => way.connections() === 0 || undefined);
  await certificates.close();
});
